//! Why a room could not be made.

use std::io;
use std::path::PathBuf;

/// Why a room could not be made or watched. How the program in it ended is never an error: see [`Outcome`](crate::Outcome).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The description contradicts itself.
    #[error("the room is described wrongly: {what}")]
    Invalid {
        /// What is wrong, and what would be right.
        what: String,
    },
    /// The kernel refused a step of the set-up.
    #[error("the room could not be made: {step}: {source}{}{}", Colon(detail), Hint(hint))]
    Start {
        /// The step, with the path concerned.
        step: String,
        /// The kernel's answer.
        source: io::Error,
        /// What the file system said, may be empty.
        detail: String,
        /// What to do, may be empty.
        hint: String,
    },
    /// Everything was there except the program.
    #[error("the program {} cannot be run in the room: {source}{}", program.display(), Hint(hint))]
    Exec {
        /// The program.
        program: PathBuf,
        /// The kernel's answer.
        source: io::Error,
        /// What to do, may be empty.
        hint: String,
    },
    /// The running room could not be watched any longer; it was ended.
    #[error("{what}: {source}")]
    Watch {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// What the room wrote could not be listed.
    #[error("the changes of the room cannot be listed at {}: {source}", path.display())]
    Changes {
        /// Where.
        path: PathBuf,
        /// Why; for more folders in folders or more entries than are allowed ENAMETOOLONG and EFBIG.
        source: io::Error,
    },
    /// A tree could not be removed.
    #[error("{} cannot be removed: {source}{}", path.display(), Colon(detail))]
    Remove {
        /// The tree.
        path: PathBuf,
        /// Why.
        source: io::Error,
        /// What was said about it, may be empty.
        detail: String,
    },
    /// The sink for the output failed; the room was ended.
    #[error("the output of the room could not be passed on: {0}")]
    Sink(io::Error),
}

impl Error {
    pub(crate) fn invalid(what: impl Into<String>) -> Self {
        Self::Invalid { what: what.into() }
    }

    pub(crate) fn start(step: impl Into<String>, errno: i32) -> Self {
        let step = step.into();
        let hint = hint(&step, errno);
        Self::Start { step, source: io::Error::from_raw_os_error(errno), detail: String::new(), hint }
    }

    /// A refusal that this machine's set-up explains.
    pub(crate) fn hinted(step: &str, errno: i32, detail: String, hint: String) -> Self {
        Self::Start { step: step.to_owned(), source: io::Error::from_raw_os_error(errno), detail, hint }
    }

    /// The step that failed, where it was one of the set-up's.
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::Start { step, .. } => Some(step),
            Self::Exec { .. } => Some("running the program"),
            Self::Invalid { .. } | Self::Watch { .. } | Self::Changes { .. } | Self::Remove { .. } | Self::Sink(_) => {
                None
            }
        }
    }

    /// The kernel's error number, where there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Start { source, .. }
            | Self::Exec { source, .. }
            | Self::Watch { source, .. }
            | Self::Changes { source, .. }
            | Self::Remove { source, .. }
            | Self::Sink(source) => source.raw_os_error(),
            Self::Invalid { .. } => None,
        }
    }
}

/// `text` after a colon, if there is any.
struct Colon<'a>(&'a str);

impl std::fmt::Display for Colon<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0) }
    }
}

/// `text` in parentheses, if there is any.
struct Hint<'a>(&'a str);

impl std::fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " ({})", self.0) }
    }
}

/// Steps whose refusal has well-known reasons.
pub(crate) const STEP_NAMESPACES: &str = "making the namespaces";
pub(crate) const STEP_MAPS: &str = "mapping the user";
pub(crate) const STEP_OWN_MAP: &str = "reading the caller's user map";
pub(crate) const STEP_RANGE: &str = "mapping the range of users";
pub(crate) const STEP_PROC: &str = "mounting /proc";
pub(crate) const STEP_OVERLAY: &str = "mounting the overlay";
pub(crate) const STEP_IDMAP: &str = "mapping the owners of";
pub(crate) const STEP_PIVOT: &str = "changing the root";
pub(crate) const STEP_WRITE: &str = "writing";
pub(crate) const STEP_INIT: &str = "starting the room's init";

/// The limits on namespaces, those that forbid one kind alone if there are such.
fn namespace_limits() -> String {
    let kinds = ["user", "mnt", "pid", "net", "uts", "ipc", "cgroup"];
    let values: Vec<(String, String)> = kinds
        .into_iter()
        .filter_map(|kind| {
            let name = format!("max_{kind}_namespaces");
            let value = std::fs::read_to_string(format!("/proc/sys/user/{name}")).ok()?;
            Some((format!("user.{name}"), value.trim().to_owned()))
        })
        .collect();
    let forbidden: Vec<_> = values.iter().filter(|(_, value)| value == "0").map(|(name, _)| name.as_str()).collect();
    if !forbidden.is_empty() {
        return format!("forbidden by the sysctl {} = 0: set it to 100 or more", forbidden.join(" = 0, "));
    }
    let all: Vec<_> = values.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    format!("as many as allowed are in use, here or in a container around: sysctl {}", all.join(", "))
}

/// What an administrator can do about `errno` in `step`.
fn hint(step: &str, errno: i32) -> String {
    let text = match errno {
        libc::ENOSPC | libc::EUSERS if step == STEP_NAMESPACES || step == STEP_MAPS => return namespace_limits(),
        // Each counts as a mount namespace until it is in its place.
        libc::ENOSPC if step.starts_with("mounting") || step.starts_with("opening") => {
            return format!("{}; the sysctl fs.mount-max bounds mounts, too", namespace_limits());
        }
        libc::EPERM | libc::EACCES if step == STEP_NAMESPACES => {
            "user namespaces are blocked: set the sysctl kernel.unprivileged_userns_clone to 1 if it exists; in a container its seccomp \
             profile must allow clone with namespaces; in a chroot they are never granted"
        }
        libc::ENOSYS | libc::EINVAL if step == STEP_NAMESPACES => {
            "the kernel is built without one of the namespaces (CONFIG_USER_NS ..)"
        }
        libc::EPERM | libc::EACCES if step == STEP_MAPS => {
            "set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0, or give this program an AppArmor profile with the rule \
             'userns,'; the program must also not be made undumpable"
        }
        libc::EPERM | libc::EACCES if step.starts_with("mounting") || step.starts_with("keeping mounts") => {
            "where AppArmor restricts user namespaces, set the sysctl kernel.apparmor_restrict_unprivileged_userns to 0; in a container \
             its own /proc must not be masked"
        }
        libc::ENOENT if step == STEP_MAPS || step == STEP_OWN_MAP => {
            "a room is made by way of /proc: mount it on the host"
        }
        libc::ENODEV if step == STEP_OVERLAY => {
            "this kernel has no overlayfs, or has it as a module that is not loaded: as root run modprobe overlay"
        }
        libc::EINVAL if step == STEP_OVERLAY => {
            "overlayfs with lowerdir+ needs Linux 6.8; for an ordinary user nothing may be mounted inside a layer; an upper directory must \
             not lie on an overlay or on NFS"
        }
        libc::ENOENT if step.starts_with("opening /dev/") => "the host's /dev lacks it: mount a devtmpfs there",
        libc::ENOENT
            if step.starts_with("opening /")
                || step.starts_with("opening the root")
                || step.starts_with("opening layer") =>
        {
            "nothing of that name is on the host: make it, or name another"
        }
        libc::ENOENT if step.starts_with("entering the working directory") => {
            "the room has no such folder: name another, or let one be made there"
        }
        libc::ENOTDIR if step.starts_with("opening the root") || step.starts_with("opening layer") => {
            "a root is a folder: name one"
        }
        libc::ENOTDIR if step.starts_with("opening") => {
            "something on the way to it is a file: name what is below folders"
        }
        libc::EEXIST if step.starts_with("making the link") => {
            "the room has something of that name already: leave the link out, or name another"
        }
        libc::ENOENT if step.starts_with("setting the mode of") => {
            "the room has nothing of that name: name what is in it, after what puts it there"
        }
        libc::EROFS | libc::EPERM if step.starts_with("setting the mode of") => {
            "what is there is read-only or the host's: only what is made in the room gets another mode"
        }
        libc::ENOENT if step.starts_with("mounting /proc/") => "no place can be made in /proc: name one that it has",
        libc::EACCES if step.starts_with("opening") => {
            "this user may not reach it: change the modes on the way, or run as one who may"
        }
        libc::EINVAL if step.starts_with("mounting /") && step != STEP_PROC => {
            "a file can be shown in the place of a file only, and a folder in that of a folder"
        }
        libc::ELOOP if step == STEP_OVERLAY => "a layer is named twice, or lies inside another",
        libc::EMFILE => "every layer and mount takes an open file: raise the limit (ulimit -n), or name fewer of them",
        libc::EINVAL if step.starts_with("making read-only") => "nothing is mounted there by itself",
        libc::EROFS if step.starts_with(STEP_WRITE) => {
            "what is there is read-only: write into a file system in memory, or mount the data over the place"
        }
        libc::EINVAL if step == STEP_PIVOT => "the root of this machine is an initramfs, which cannot be left",
        libc::EACCES if step == STEP_INIT => "the sysctl vm.memfd_noexec must not be 2",
        libc::EAGAIN if step == STEP_NAMESPACES || step.starts_with("starting") => {
            "there are as many processes as this user, or the control group around, may have: raise the limit (ulimit -u, pids.max)"
        }
        libc::ENOSYS => "this kernel is too old: Linux 6.8 is needed",
        _ => "",
    };
    text.to_owned()
}
