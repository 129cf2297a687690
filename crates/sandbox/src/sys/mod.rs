//! Everything unsafe: system calls and the two processes that make a room.

pub(crate) mod init;
pub(crate) mod launch;
pub(crate) mod mountpoint;
pub(crate) mod raw;
pub(crate) mod report;
pub(crate) mod step;
pub(crate) mod userns;
