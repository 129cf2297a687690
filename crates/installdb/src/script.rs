//! A package's script: what it is told, and how it is run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use pkgformat::ScriptKind;
use pkgfs::Root;
use pkgtypes::PackageName;
use sandbox::{Access, Limits, Output, Room};

use crate::{Operation, PackageVersion};

/// A script that runs longer is ended: it waits for somebody who is not there.
const PATIENCE: Duration = Duration::from_secs(600);
/// What is kept of a script's output: its end, where it says what went wrong.
const TAIL: usize = 4 << 10;

/// A script and what it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) package: PackageName,
    pub(crate) stage: String,
    pub(crate) arguments: Vec<Vec<u8>>,
    pub(crate) content: Vec<u8>,
}

impl Call {
    pub(crate) fn new(operation: &Operation, kind: ScriptKind, content: Vec<u8>) -> Self {
        let arguments = arguments(operation);
        Self { package: operation.name.clone(), stage: kind.to_string(), arguments, content }
    }

    /// Runs the script with the root as `/`. A script that comes before the change may look at everything and change
    /// nothing.
    ///
    /// # Errors
    /// How it ended and what it said last, or why it could not be started.
    pub(crate) fn run(&self, root: &Root, access: Access) -> Result<(), String> {
        let top = root.path().canonicalize().map_err(|error| error.to_string())?;
        let mut room = Room::script(top, access, self.content.clone());
        room.args(self.arguments.iter().cloned().map(OsString::from_vec));
        room.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        room.stderr = Output::Same;
        room.limits = Limits { wall: Some(PATIENCE), ..Limits::default() };
        let mut tail = Vec::new();
        let outcome = room.run(|_, bytes| {
            tail.extend_from_slice(bytes);
            tail.drain(..tail.len().saturating_sub(TAIL));
            Ok(())
        });
        let outcome = outcome.map_err(|error| error.to_string())?;
        let how = match outcome.cause {
            None if outcome.exit.success() => return Ok(()),
            None => outcome.exit.to_string(),
            Some(limit) => format!("ended by {limit}"),
        };
        let said = String::from_utf8_lossy(&tail);
        let said = said.trim();
        Err(if said.is_empty() { how } else { format!("{how}: {said}") })
    }
}

/// The name; version and release of what will be installed, empty where nothing will; version and release of what is
/// installed, if anything is.
fn arguments(operation: &Operation) -> Vec<Vec<u8>> {
    let numbers = |known: &PackageVersion| [known.version.to_string(), known.release.to_string()];
    let new = operation.new.as_ref().map_or_else(|| [String::new(), String::new()], numbers);
    let old = operation.old.as_ref().map(numbers);
    let words = [operation.name.to_string()].into_iter().chain(new).chain(old.into_iter().flatten());
    words.map(String::into_bytes).collect()
}
