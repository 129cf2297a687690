//! Apt's programs, run so that they can be stopped.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::Builder;

use crate::error::Failure;
use crate::progress::TICK;
use crate::{Error, Reason};

/// What is kept of each stream; the rest is read and dropped.
const MOST_OUTPUT: u64 = 16 << 20;

pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    /// Apt's own complaints, shortened.
    pub(crate) fn complaints(&self) -> String {
        let mut lines: Vec<&str> = self.complaint_lines().collect();
        lines.truncate(4);
        match lines.as_slice() {
            [] => format!("{} without a word", self.status),
            lines => lines.join("; "),
        }
    }

    pub(crate) fn complaint_lines(&self) -> impl Iterator<Item = &str> {
        let line = |line: &'_ str| line.starts_with("E: ") || line.starts_with("W: ");
        self.stderr.lines().filter(move |text| line(text)).map(|line| line[3..].trim())
    }
}

/// A child that does not outlive its owner.
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a program to its end, unless `go_on` says no.
pub(crate) fn run(
    program: &Path,
    arrange: impl FnOnce(&mut Command),
    mut go_on: impl FnMut() -> bool,
) -> Result<Output, Failure> {
    let mut command = Command::new(program);
    // Its messages are searched for words.
    command.env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    arrange(&mut command);
    let mut child = match command.spawn() {
        Ok(child) => Owned(child),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Reason::AptMissing { program: program.to_owned() }.into());
        }
        Err(error) => return Err(Reason::Apt { text: format!("{}: {error}", program.display()) }.into()),
    };
    let stdout = collect(child.0.stdout.take())?;
    let stderr = collect(child.0.stderr.take())?;
    let stdout = wait_for(&stdout, &mut go_on)?;
    let stderr = wait_for(&stderr, &mut go_on)?;
    let status = child.0.wait().map_err(|error| Reason::Apt { text: error.to_string() })?;
    Ok(Output { status, stdout, stderr })
}

fn collect(stream: Option<impl Read + Send + 'static>) -> Result<Receiver<String>, Failure> {
    let (sender, receiver) = mpsc::channel();
    let read = move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // A stream that breaks is one that ended.
            let _ = stream.by_ref().take(MOST_OUTPUT).read_to_end(&mut bytes);
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        // Nobody waits any more when the child was stopped.
        let _ = sender.send(String::from_utf8_lossy(&bytes).into_owned());
    };
    Builder::new().spawn(read).map_err(Error::Thread)?;
    Ok(receiver)
}

fn wait_for(stream: &Receiver<String>, go_on: &mut impl FnMut() -> bool) -> Result<String, Failure> {
    loop {
        match stream.recv_timeout(TICK) {
            Ok(text) => return Ok(text),
            Err(RecvTimeoutError::Timeout) if go_on() => {}
            Err(RecvTimeoutError::Timeout) => return Err(Error::Cancelled.into()),
            Err(RecvTimeoutError::Disconnected) => return Ok(String::new()),
        }
    }
}
