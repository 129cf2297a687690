//! Who is told what of a room, besides the exit code.

use std::fs::File;
use std::io::{ErrorKind, Result as IoResult, Write};
use std::time::Duration;

use anyhow::Context;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::stdio::stdout;
use sandbox::{Child, Error, Exit, Outcome, Stream};
use serde_json::{Map, Value, json};

use super::operations::opened;
use crate::failure::Failure;
use crate::signals;

/// Descriptors that are told, and standard output if that is.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Telling {
    /// Write how it ended as a line of JSON to this descriptor.
    #[arg(long, value_name = "FD")]
    json_status: Option<String>,
    /// Write its process and namespaces, and at the end its exit code, as lines of JSON as bwrap does, to this descriptor.
    #[arg(long, value_name = "FD")]
    json_status_fd: Option<String>,
    /// Write its process and namespaces as JSON, as bwrap does, to this descriptor.
    #[arg(long, value_name = "FD")]
    info_fd: Option<String>,
    /// Write what it writes, and how it ended, as lines of JSON to standard output.
    #[arg(long, conflicts_with_all = ["shell", "shell_on_failure"])]
    pub json: bool,
}

impl Telling {
    /// Opens all that will be told, before there is a room.
    pub(super) fn begin(&self) -> Result<Told, Failure> {
        let open = |option: &str, number: &Option<String>| {
            number.as_ref().map(|number| opened(option, number.as_ref())).transpose()
        };
        Ok(Told {
            json: self.json,
            held: [Vec::new(), Vec::new()],
            out: Out::default(),
            is_begun: false,
            status: open("json-status", &self.json_status)?,
            both: open("json-status-fd", &self.json_status_fd)?,
            info: open("info-fd", &self.info_fd)?,
        })
    }
}

/// What has been opened, and what is still to be told.
#[derive(Debug)]
pub(super) struct Told {
    json: bool,
    /// Of each stream the beginning of a character whose end has not come yet.
    held: [Vec<u8>; 2],
    out: Out,
    /// Whether `out` has begun with the present piece.
    is_begun: bool,
    status: Option<File>,
    both: Option<File>,
    info: Option<File>,
}

impl Told {
    /// The command runs.
    pub(super) fn started(&mut self, child: &Child) -> anyhow::Result<()> {
        if self.both.is_some() || self.info.is_some() {
            let process = Value::Object(process(child.id()));
            line(self.both.as_ref(), "json-status-fd", &process)?;
            line(self.info.as_ref(), "info-fd", &process)?;
        }
        self.event(&json!({ "reason": "started", "process": child.id() }))
    }

    /// It wrote something; as a sink of the library, that is asked again with the same piece until all of it was taken.
    pub(super) fn wrote(&mut self, stream: Stream, bytes: &[u8]) -> IoResult<()> {
        if !self.is_begun {
            self.is_begun = true;
            self.say(stream, bytes);
        }
        if !self.out.write()? {
            return Err(ErrorKind::WouldBlock.into());
        }
        self.is_begun = false;
        Ok(())
    }

    fn say(&mut self, stream: Stream, bytes: &[u8]) {
        if !self.json {
            return self.out.waiting.extend_from_slice(bytes);
        }
        let held = match stream {
            Stream::Stdout => &mut self.held[0],
            Stream::Stderr => &mut self.held[1],
        };
        held.extend_from_slice(bytes);
        let rest = held.split_off(held.len() - unfinished(held));
        let text = std::mem::replace(held, rest);
        if !text.is_empty() {
            self.out.line(&said(stream, &text));
        }
    }

    /// It has ended, or could not start.
    pub(super) fn ended(&mut self, result: &Result<Outcome, Error>, code: fn(&Error) -> u8) -> anyhow::Result<()> {
        if matches!(result, Err(Error::Sink(_))) {
            // Nobody takes what would be told there.
            self.json = false;
        }
        for (stream, held) in [Stream::Stdout, Stream::Stderr].into_iter().zip(std::mem::take(&mut self.held)) {
            if !held.is_empty() {
                self.event(&said(stream, &held))?;
            }
        }
        let mut status = status(result, code);
        line(self.status.as_ref(), "json-status", &Value::Object(status.clone()))?;
        if let Ok(outcome) = result {
            line(self.both.as_ref(), "json-status-fd", &json!({ "exit-code": code_of(outcome) }))?;
        }
        status.remove("format_version");
        status.insert("reason".to_owned(), "finished".into());
        self.event(&Value::Object(status))
    }

    fn event(&mut self, event: &Value) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        self.out.line(event);
        match self.out.finish() {
            // Where nobody reads, the exit code tells all the same.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
            written => written.context("cannot write to standard output"),
        }
    }
}

/// Standard output, whose reader may take his time: a room's limits hold meanwhile, and who asks to stop does not wait for him.
#[derive(Debug, Default)]
struct Out {
    waiting: Vec<u8>,
    /// So much of it was written.
    written: usize,
}

impl Out {
    /// What a pipe takes without a wait where it takes anything: `PIPE_BUF`.
    const PIECE: usize = 4096;

    fn line(&mut self, value: &Value) {
        self.waiting.extend_from_slice(value.to_string().as_bytes());
        self.waiting.push(b'\n');
    }

    /// Writes what is taken at once; whether that was all.
    fn write(&mut self) -> IoResult<bool> {
        while self.written < self.waiting.len() {
            if !takes_something(Duration::ZERO)? {
                return Ok(false);
            }
            let rest = &self.waiting[self.written..];
            match rustix::io::write(stdout(), &rest[..rest.len().min(Self::PIECE)]) {
                Ok(count) => self.written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
        }
        (self.waiting, self.written) = (Vec::new(), 0);
        Ok(true)
    }

    /// Writes the rest.
    fn finish(&mut self) -> IoResult<()> {
        while !self.write()? && signals::pending().is_none() {
            takes_something(Duration::from_millis(100))?;
        }
        Ok(())
    }
}

/// Whether standard output takes something within that time.
fn takes_something(time: Duration) -> IoResult<bool> {
    let mut fds = [PollFd::from_borrowed_fd(stdout(), PollFlags::OUT)];
    match poll(&mut fds, Timespec::try_from(time).ok().as_ref()) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::INTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The command's exit code, unless it ended well in spite of a limit that the room reached: then that of a room which was ended.
pub(super) fn code_of(outcome: &Outcome) -> u8 {
    let is_over = outcome.cause.is_some() && outcome.exit.success();
    if is_over { Exit::Signal(KILLED).code() } else { outcome.exit.code() }
}

fn line(to: Option<&File>, option: &str, value: &Value) -> anyhow::Result<()> {
    let Some(mut to) = to else { return Ok(()) };
    writeln!(to, "{value}").with_context(|| format!("the --{option} descriptor cannot be written"))
}

fn said(stream: Stream, bytes: &[u8]) -> Value {
    let name = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    json!({ "reason": "output", "stream": name, "text": String::from_utf8_lossy(bytes) })
}

const KILLED: u8 = 9;

/// How many bytes at the end are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    let Some(chunk) = bytes.utf8_chunks().last() else { return 0 };
    let is_begin = |error: std::str::Utf8Error| error.error_len().is_none();
    let begun = std::str::from_utf8(chunk.invalid()).err().is_some_and(is_begin);
    if begun { chunk.invalid().len() } else { 0 }
}

/// The room's first process and, where they may be seen, its namespaces, by bwrap's names.
fn process(id: u32) -> Map<String, Value> {
    let mut known = Map::new();
    known.insert("child-pid".to_owned(), id.into());
    for kind in ["cgroup", "ipc", "mnt", "net", "pid", "uts"] {
        let link = std::fs::read_link(format!("/proc/{id}/ns/{kind}")).ok();
        let number = link.as_ref().and_then(|link| link.to_str()?.split(['[', ']']).nth(1)?.parse::<u64>().ok());
        if let Some(number) = number {
            known.insert(format!("{kind}-namespace"), number.into());
        }
    }
    known
}

fn status(result: &Result<Outcome, Error>, code: fn(&Error) -> u8) -> Map<String, Value> {
    let status = match result {
        Ok(outcome) => json!({
            "format_version": 1,
            "exit": outcome.exit,
            "exit_code": code_of(outcome),
            "limit": outcome.cause,
            "wall_seconds": outcome.usage.wall.as_secs_f64(),
            "user_seconds": outcome.usage.user.as_secs_f64(),
            "system_seconds": outcome.usage.system.as_secs_f64(),
            "max_rss": outcome.usage.max_rss,
        }),
        Err(error) => json!({
            "format_version": 1,
            "exit_code": code(error),
            "error": error.to_string(),
            "step": error.step(),
            "errno": error.errno(),
        }),
    };
    if let Value::Object(status) = status { status } else { Map::new() }
}

#[cfg(test)]
mod tests {
    use super::unfinished;

    #[test]
    fn only_the_beginning_of_a_character_waits_for_the_rest() {
        let cases: [(&[u8], usize); 7] = [
            (b"", 0),
            (b"abc", 0),
            ("é".as_bytes(), 0),
            (b"a\xc3", 1),
            (b"\xe2\x82", 2),
            (b"\xff", 0),
            (b"\xc3\xff", 0),
        ];
        for (bytes, held) in cases {
            assert_eq!(unfinished(bytes), held, "{bytes:?}");
        }
        // However it is cut, nothing is lost.
        let text = "aé€🙂";
        let mut waiting = Vec::new();
        let mut told = String::new();
        for byte in text.bytes() {
            waiting.push(byte);
            let rest = waiting.split_off(waiting.len() - unfinished(&waiting));
            told.push_str(std::str::from_utf8(&std::mem::replace(&mut waiting, rest)).unwrap());
        }
        assert_eq!(told, text);
    }
}
