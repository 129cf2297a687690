//! Limits, and how a room ended.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds of a room; `None` is no bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From start to end.
    pub wall: Option<Duration>,
    /// Between two pieces of output (needs a pipe as standard output or error).
    pub silence: Option<Duration>,
    /// Bytes of standard output and error together (through pipes).
    pub log_bytes: Option<u64>,
    /// Processes and threads at once. The kernel refuses more: with a control group exactly, and the room is ended when it did;
    /// without one it may grant one more to an ordinary caller's room, and the room is ended when it is seen at the bound, or has
    /// ended if it is there at its end.
    pub processes: Option<u64>,
    /// Bytes of memory. With a control group of everything together, file systems in memory too (exact). Without one it is looked
    /// at how much all processes have together, four to forty times a second, the more often the less is left, and at the end how
    /// much one of them had at most: meanwhile a room may go beyond it, but it does not end well then. Each process has eight times
    /// as much address space, and 8 GiB at least, so that there is a bound also while nobody looks.
    pub memory: Option<u64>,
    /// Open files of each process. The kernel refuses more; the room is ended when a process is seen at the bound, which is
    /// looked at four times a second.
    pub open_files: Option<u64>,
    /// Bytes of the largest file that can be written.
    pub file_size: Option<u64>,
    /// Bytes by which the folders of the caller that the room can write may grow together: [`Upper::Dir`](crate::Upper::Dir),
    /// [`Root::Dir`](crate::Root::Dir) and binds with [`Access::Rw`](crate::Access::Rw). Every entry counts for 1 KiB besides what
    /// it takes. Looked at four times a second (less often where a look takes long, but every five seconds) and once more at the end: meanwhile a room
    /// may go beyond it, but it does not end well then. Where the room has shut folders to its caller, what its
    /// file system has less free than before counts instead, whoever took or freed it. File systems in memory have their own bounds.
    #[serde(default)]
    pub disk: Option<u64>,
    /// When the room is to end for want of time or output, or because the caller said stop: how long the processes inside have
    /// between SIGTERM, which all of them get, and SIGKILL. `None` is no time, as for everything that runs away.
    pub grace: Option<Duration>,
}

/// The limit that ended a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Limit {
    /// [`Limits::wall`].
    Wall,
    /// [`Limits::silence`].
    Silence,
    /// [`Limits::log_bytes`].
    LogBytes,
    /// [`Limits::processes`].
    Processes,
    /// [`Limits::memory`].
    Memory,
    /// [`Limits::open_files`].
    OpenFiles,
    /// [`Limits::file_size`].
    FileSize,
    /// [`Limits::disk`].
    Disk,
    /// None: the caller said stop ([`Child::wait_while`](crate::Child::wait_while)).
    Stopped,
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Wall => "the time limit",
            Self::Silence => "the limit on time without output",
            Self::LogBytes => "the limit on output",
            Self::Processes => "the limit on processes",
            Self::Memory => "the limit on memory",
            Self::OpenFiles => "the limit on open files",
            Self::FileSize => "the limit on file size",
            Self::Disk => "the limit on disk space",
            Self::Stopped => "a request to stop",
        })
    }
}

/// How the program itself ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It exited with this status.
    Code(u8),
    /// This signal ended it.
    Signal(u8),
}

impl Exit {
    /// Reads a status word of wait(2).
    pub(crate) fn from_status(status: i32) -> Self {
        let signal = (status & 0x7f) as u8;
        if signal == 0 { Self::Code((status >> 8) as u8) } else { Self::Signal(signal) }
    }

    /// Whether the status was 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// As shells number it: the status, or 128 and the signal.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit status {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// What everything in a room used together. Where [`Child::kill`](crate::Child::kill) ended it, what was still there is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From spawn to the end.
    pub wall: Duration,
    /// Processor time in user mode.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// Largest resident memory of one process, bytes. `None` where none was larger than the caller: the set-up shares his memory,
    /// so that the kernel counts that, too.
    pub max_rss: Option<u64>,
}

/// How a room ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The program's own end, also within [`Limits::grace`]; signal 9 when a limit or [`Child::kill`](crate::Child::kill) ended
    /// it.
    pub exit: Exit,
    /// The limit that was reached, if one was.
    pub cause: Option<Limit>,
    /// What was used.
    pub usage: Usage,
}

impl Outcome {
    /// Whether the program exited with 0 and no limit was reached.
    pub fn success(&self) -> bool {
        self.exit.success() && self.cause.is_none()
    }
}

/// Where a piece of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn status_words_are_read_as_wait_defines_them() {
        assert_eq!(Exit::from_status(0), Exit::Code(0));
        assert_eq!(Exit::from_status(255 << 8), Exit::Code(255));
        assert_eq!(Exit::from_status(9), Exit::Signal(9));
        assert_eq!(Exit::from_status(0x80 | 6), Exit::Signal(6));
        assert_eq!(Exit::Signal(15).code(), 143);
    }
}
