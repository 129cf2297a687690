//! Everything unsafe: system calls and the processes that make a room.

pub(crate) mod dumpable;
pub(crate) mod init;
pub(crate) mod launch;
pub(crate) mod mountpoint;
pub(crate) mod namespaces;
pub(crate) mod raw;
pub(crate) mod report;
pub(crate) mod stack;
pub(crate) mod step;
pub(crate) mod sweeper;
pub(crate) mod userns;
