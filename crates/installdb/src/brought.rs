//! What the packages of a transaction turned out to bring.

use std::collections::HashSet;

use pkgformat::ScriptKind;
use pkgtypes::Digest;

use crate::Unset;
use crate::arrivals::Arrivals;
use crate::originals::Original;
use crate::unset::Missing;

/// A script that came with a package.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) package: usize,
    pub(crate) kind: ScriptKind,
    pub(crate) digest: Digest,
    pub(crate) content: Vec<u8>,
}

/// What is taken aside while packages are read, in their order.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    pub(crate) scripts: Vec<Script>,
    pub(crate) originals: Vec<Original>,
}

/// What staging found out.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What is known that it can not be given, one for each node.
    pub(crate) unset: Vec<Unset>,
    /// What turned out that it can not.
    pub(crate) missing: Vec<Missing>,
    /// The rows of the packages, if their writing began.
    pub(crate) begun: Option<Arrivals>,
    pub(crate) aside: Aside,
    /// What could not be kept, by its number.
    pub(crate) unkept: HashSet<i64>,
}

impl Findings {
    /// The script of this kind of the incoming package at this position.
    pub(crate) fn scripts_of(&self, package: usize, kind: ScriptKind) -> Option<Vec<u8>> {
        let script = self.aside.scripts.iter().find(|script| script.package == package && script.kind == kind);
        script.map(|script| script.content.clone())
    }
}
