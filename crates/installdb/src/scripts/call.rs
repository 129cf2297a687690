//! A package's script: what it is told, and how it is run.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::time::Duration;

use pkgformat::ScriptKind;
use pkgfs::Root;
use pkgtypes::PackageName;
use sandbox::{Access, Input, Limit, Limits, Output, Room};

use crate::{Event, Operation, PackageVersion, Progress};

/// A script that runs longer is ended: it waits for somebody who is not there.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);
/// How long a script has to end by itself when it is asked to: because it took too long, or by request.
const GRACE: Duration = Duration::from_secs(5);
/// What is kept of a script's output: its end, where it says what went wrong.
const TAIL: usize = 16 << 10;
/// What is shown of it beside the reason of a failure.
const SHOWN: usize = 4 << 10;

/// A script or a trigger, and what it is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Program {
    /// The command, where it is a trigger.
    pub(crate) command: Option<String>,
    pub(crate) arguments: Vec<Vec<u8>>,
    /// `NAME=VALUE`, besides what every script has.
    pub(crate) environment: Vec<Vec<u8>>,
    pub(crate) input: Vec<u8>,
    pub(crate) content: Vec<u8>,
}

/// A program of a package at one moment of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) package: PackageName,
    pub(crate) stage: String,
    pub(crate) program: Program,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Why it did not succeed, and what it said last.
    pub(crate) failure: Option<String>,
    /// Whether a program was missing that it needs to run at all.
    pub(crate) is_missing: bool,
    /// Whether it did not run because no room could be made for it.
    pub(crate) is_without_room: bool,
    /// Whether it was ended by request.
    pub(crate) is_stopped: bool,
    pub(crate) output: Vec<u8>,
    pub(crate) took: Duration,
}

impl Call {
    pub(crate) fn new(operation: &Operation, kind: ScriptKind, content: Vec<u8>) -> Self {
        let program = Program { arguments: arguments(operation), content, ..Program::default() };
        Self { package: operation.name.clone(), stage: kind.to_string(), program }
    }

    /// Runs the program with the root as `/`. One that comes before the change may look at everything and change nothing.
    pub(crate) fn run(&self, root: &Root, access: Access, patience: Duration, progress: &mut dyn Progress) -> Ended {
        let not_started = |failure: String, is_missing, is_without_room| Ended {
            failure: Some(failure),
            is_missing,
            is_without_room,
            is_stopped: false,
            output: Vec::new(),
            took: Duration::ZERO,
        };
        let top = match root.path().canonicalize() {
            Ok(top) => top,
            Err(error) => return not_started(error.to_string(), false, true),
        };
        let mut tail = Vec::new();
        let keep_tail = |_, bytes: &[u8]| {
            tail.extend_from_slice(bytes);
            tail.drain(..tail.len().saturating_sub(TAIL));
            Ok(())
        };
        let child = self.room(top, access, patience).spawn();
        let outcome = match child.and_then(|child| child.wait_while(keep_tail, || self.may_go_on(progress))) {
            Ok(outcome) => outcome,
            Err(error) => {
                let is_missing = matches!(&error, sandbox::Error::Exec { source, .. } if is_absent(source));
                let is_without_room = !matches!(&error, sandbox::Error::Exec { .. });
                // What the room says of itself need not name the root.
                let place = if is_without_room { format!("in {:?}: ", root.path()) } else { String::new() };
                return not_started(format!("{place}{error}"), is_missing, is_without_room);
            }
        };
        let how = match outcome.cause {
            None if outcome.exit.success() => None,
            None => Some(outcome.exit.to_string()),
            Some(limit) => Some(format!("ended by {limit}")),
        };
        let failure = how.map(|how| {
            let said = String::from_utf8_lossy(&tail[tail.len().saturating_sub(SHOWN)..]);
            let said = said.trim();
            if said.is_empty() { how } else { format!("{how}: {said}") }
        });
        // A shell that does not find the command says so with this status.
        let is_missing = outcome.exit.code() == 127 && self.program.command.is_some();
        let is_stopped = outcome.cause == Some(Limit::Stopped);
        Ended { failure, is_missing, is_without_room: false, is_stopped, output: tail, took: outcome.usage.wall }
    }

    /// Whether it may run, or run on.
    pub(crate) fn may_go_on(&self, progress: &mut dyn Progress) -> bool {
        let Self { package, stage, .. } = self;
        progress.report(Event::Script { package, stage }).is_continue()
    }

    fn room(&self, top: std::path::PathBuf, access: Access, patience: Duration) -> Room {
        let Program { arguments, environment, input, content, .. } = &self.program;
        let mut room = Room::script(top, access, content.clone());
        room.args(arguments.iter().cloned().map(OsString::from_vec));
        room.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
        for variable in environment {
            let mut parts = variable.splitn(2, |&byte| byte == b'=').map(|part| OsString::from_vec(part.to_vec()));
            room.env(parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        }
        if !input.is_empty() {
            room.stdin = Input::Bytes(input.clone());
        }
        room.stderr = Output::Same;
        room.limits = Limits { wall: Some(patience), grace: Some(GRACE), ..Limits::default() };
        room
    }
}

fn is_absent(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
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
