//! A clean room of Linux namespaces, used like [`std::process::Command`].
//!
//! Describe a [`Room`] as plain data, [`spawn`](Room::spawn) it, and [`wait`](Child::wait) for its [`Outcome`]. Nothing is
//! inherited that is not named: neither environment nor descriptors, files, users, capabilities, network or signals. The same
//! description does the same for root and for an ordinary user.
//!
//! ```no_run
//! use sandbox::{Access, Exit, Limits, Mount, Room, Root};
//! use std::time::Duration;
//!
//! let mut room = Room::new(Root::layers(["/store/make", "/store/gcc", "/store/libc"]), "/usr/bin/make");
//! room.args(["install"]).env("DESTDIR", "/dest").cwd("/build").bind_rw("/home/me/build", "/build").bind_rw("/home/me/out", "/dest");
//! room.limits = Limits { wall: Some(Duration::from_secs(3600)), log_bytes: Some(64 << 20), ..Limits::default() };
//! let outcome = room.run(|_stream, bytes| std::io::Write::write_all(&mut std::io::stdout(), bytes))?;
//! match outcome.exit {
//!     Exit::Code(0) => println!("built in {:?}", outcome.usage.wall),
//!     other => println!("{other}"),
//! }
//! # Ok::<(), sandbox::Error>(())
//! ```
//!
//! # What a room promises
//!
//! - **Its own world**: new user, mount, pid, uts, ipc and cgroup namespaces, and a network namespace with nothing but a loopback
//!   (unless [`Net::Host`] is asked for). The old root is gone, no mount of the host's comes in later nor one of the room's gets
//!   out, `/proc` is fresh with `/proc/sys` read-only and those of its
//!   dangerous files covered that their mode does not close to the program, `/dev` holds six devices and what a mount puts there, `/sys` is empty.
//! - **No power**: every capability and the bounding set dropped, `no_new_privs`, a list of denied system calls, Landlock scopes
//!   where the kernel has them, a new session and keyring. A root caller's program runs as [`Room::host_id`], never as the
//!   host's root; only [`Profile::Script`] does. That and user 0 of a [`Room::range`] have seven capabilities, which hold inside.
//! - **No orphan**: an init of the room's own, a program of two hundred bytes, reaps what is left behind. Everything inside ends
//!   when the program ends, when a limit is reached, when the [`Child`] is dropped, and when the process that holds it dies, by
//!   whatever signal; the thread that spawned it does not matter. When `wait` returns nothing is left: no process, no mount
//!   (with a [`Stock`] the mounts go a moment later). What a room needs on the host, a control group or mount points in a writable
//!   root, a process of its own removes when the caller is killed.
//!   A room from [`spawn_keeping`](Room::spawn_keeping) stays, for a shell in it, until its [`Kept`] is dropped.
//! - **The truth**: an [`Error`] of [`Room::spawn`] means that the program never ran, and says which step the kernel refused
//!   and what to do; one of [`Child::wait`], that the room was ended because it could not be watched ([`Error::Watch`]) or
//!   nobody took its output ([`Error::Sink`]). An [`Outcome`] is exactly how the program ended, with the [`Limit`] that ended
//!   it if one did.
//! - **Same numbers**: files of the caller show as [`Ids`] inside, for root by id-mapped mounts, and what is written inside
//!   belongs to the caller outside. Files of all others show as 65534.
//! - **Threads**: what a process of the set-up needs is allocated before that process exists. It shares the caller's memory, so
//!   the cost does not grow with that memory and no copy of it (keys!) lives in the room; it only calls the kernel. Some of it
//!   is done while the caller goes on. No such process runs beside the program: the init has replaced the last one by then.
//! - **Speed**: a [`Stock`] makes ahead what all rooms have, which halves the time of a start and frees it from the number of
//!   the host's mounts; a [`HeadStart`] is for programs that make one room. Example `launch` measures it.
//!
//! # Limitations
//!
//! - Linux 6.8 or newer for overlay roots with `lowerdir+`; x86_64 and aarch64 (which was run on emulated machines only).
//! - One user and one group inside (all of them for a root caller's [`Profile::Script`], more with [`Room::range`]): `chown` to
//!   another fails with EINVAL.
//! - A layer of an ordinary user's overlay must not have other file systems mounted inside it, and layers must not nest.
//! - Limits on memory and processes are exact where the caller may make control groups (root, and users to whom a group was
//!   delegated). Elsewhere memory is looked at while [`Child::wait_with`] runs, so that a room may have more for a moment; and a limit
//!   on processes does not bind users of a range or [`Profile::Script`] for root in the kernel, and is then only looked at.
//!   [`probe`] tells.
//! - [`Limits`] on time and output hold while [`Child::wait_with`] runs, for pipes that were not taken away.
//! - Setid bits and extended attributes can be written into writable mounts unless [`Room::setid`] bans them; all are mounted
//!   `nosuid`, but outside them such a file is what it is: keep [`Access::Rw`] directories below a parent of mode 0700 and look
//!   before use ([`changes`] tells of them in an upper directory).
//! - What is shown of the host is the host's own, read-only or not: sockets and FIFOs in it can be used, files locked and watched. A
//!   file behind a standard stream can be opened anew by its name in `/proc`, for writing, too, where its mode lets the program's
//!   user; who must not allow that hands over a pipe.
//! - The names of the layers are visible in the room's `/proc/mounts`.
//! - Mount points that a writable [`Root::Dir`] lacks are made in it, and removed after the room where nobody put anything into
//!   them; links that were asked for stay. So do they where another room has that root when the one ends that made them.
//! - What the caller forks without running another program in it holds the caller's rooms, too: they end with the last of them.
//! - A caller that has made itself undumpable can make rooms as root only.
//! - Paths and arguments that are not UTF-8 work, but such paths cannot be serialised.
#![deny(unsafe_code)]

mod blank;
mod census;
mod cgroup;
mod changes;
mod child;
mod claims;
mod disk;
mod error;
mod filter;
mod head_start;
mod kept;
mod outcome;
mod pieces;
mod plan;
mod probe;
mod range;
mod remove;
mod room;
mod spawn;
mod steps;
mod stock;
#[expect(unsafe_code, reason = "the one place that calls the kernel by hand; each block says on what it relies")]
mod sys;

pub use changes::{Change, Changed, changes};
pub use child::Child;
pub use error::Error;
pub use head_start::HeadStart;
pub use kept::Kept;
pub use outcome::{Exit, Limit, Limits, Outcome, Stream, Usage};
pub use probe::{Finding, Probe, probe};
pub use remove::remove_tree;
pub use room::{
    Access, DEFAULT_HOST_ID, Ids, InheritedFd, Input, Mount, Net, Output, Owner, Profile, Program, Room, Root, Session,
    SetId, Sysfs, Upper,
};
pub use stock::Stock;

/// A copy of a descriptor that this process was started with and knows by its number only, for example from a command line.
///
/// # Errors
/// `EBADF` when there is none of that number, or one that this process opened for itself.
pub fn inherited(number: std::os::fd::RawFd) -> std::io::Result<std::os::fd::OwnedFd> {
    sys::raw::copy_inherited(number).map_err(std::io::Error::from_raw_os_error)
}

/// Whether this process ignores a signal, as `nohup` has it ignore one before it starts.
pub fn is_ignored(signal: i32) -> bool {
    sys::raw::is_ignored(signal)
}
