use pkgformat::ScriptKind;
use pkgtypes::PackageName;

use crate::outgoing::Outgoing;
use crate::request::{Arriving, Content, Options};
use crate::tree::{Packages, Tree};
use crate::{Ground, Operation, Retention, User, Wish, links, order};

/// What all states of a transaction carry along.
#[derive(Debug)]
pub(crate) struct Work<'p> {
    pub(crate) incoming: Vec<Arriving>,
    /// Where their contents come from, in the same order.
    pub(crate) contents: Vec<Content<'p>>,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) removed: Vec<PackageName>,
    pub(crate) wishes: Vec<Wish>,
    pub(crate) ground: Ground,
    pub(crate) retention: Option<Retention>,
    pub(crate) forget: bool,
    pub(crate) operations: Vec<Operation>,
    pub(crate) tree: Tree,
    pub(crate) links: links::Found,
    pub(crate) time: pkgtypes::Timestamp,
    pub(crate) argv: Vec<Vec<u8>>,
    pub(crate) user: Option<User>,
    pub(crate) options: Options,
}

impl Work<'_> {
    pub(crate) fn packages(&self) -> Packages<'_> {
        Packages { incoming: &self.incoming, outgoing: &self.outgoing }
    }

    /// What is done with the incoming package at this position.
    pub(crate) fn operation(&self, incoming: usize) -> &Operation {
        self.operation_on(&self.incoming[incoming].record.meta().name)
    }

    /// The packages that go and that no other version takes the place of, each after those that it requires.
    pub(crate) fn removals(&self) -> Vec<(&Operation, &Outgoing)> {
        let goes = |known: &&Outgoing| self.operation_on(&known.record.meta().name).new.is_none();
        let going: Vec<&Outgoing> = self.outgoing.iter().filter(goes).collect();
        let metas: Vec<_> = going.iter().map(|known| known.record.meta()).collect();
        let order = order::dependencies_first(&metas);
        order.into_iter().map(|index| (self.operation_on(&metas[index].name), going[index])).collect()
    }

    /// Whether packages only come, and no script may refuse them.
    pub(crate) fn asks_nobody(&self) -> bool {
        let has_script = |incoming: &Arriving| {
            let mut kinds = incoming.record.meta().scripts.iter();
            kinds.any(|(kind, _)| kind == ScriptKind::PreInstall)
        };
        let Options { skip_scripts, foreign_scripts, .. } = self.options;
        let asks = foreign_scripts || self.incoming.iter().any(has_script);
        self.outgoing.is_empty() && (skip_scripts || !asks)
    }

    fn operation_on(&self, name: &PackageName) -> &Operation {
        let found = self.operations.binary_search_by(|operation| operation.name.cmp(name));
        &self.operations[found.expect("every package that comes or goes has an operation, and these are sorted")]
    }
}
