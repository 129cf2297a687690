//! What this machine grants, found by trying.

use serde::{Deserialize, Serialize};

use crate::sys::{init, raw};
use crate::{Net, Program, Room, Root, Sysfs, Upper};

/// Users of the range that is tried: as many as an administrator usually gives.
const RANGE: u32 = 65_536;

/// What was found when one thing was tried.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// It works.
    Works,
    /// It does not: the step, the kernel's answer and what to do about it.
    Missing(String),
}

impl Finding {
    /// Whether it works.
    pub fn works(&self) -> bool {
        *self == Self::Works
    }
}

/// What this machine grants the caller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The kernel's release.
    pub kernel: String,
    /// A room at all: namespaces, maps, mounts, filter.
    pub room: Finding,
    /// A root made of layers.
    pub overlay: Finding,
    /// A root made of layers that can be written (in memory).
    pub overlay_upper: Finding,
    /// A fresh `/sys`.
    pub sysfs: Finding,
    /// The host's network.
    pub host_net: Finding,
    /// A range of users ([`Room::range`](crate::Room::range)).
    pub id_range: Finding,
    /// Control groups of the caller's own, for exact limits on memory and processes.
    pub groups: Finding,
    /// Landlock's scopes (its version 6), which cut a room off from abstract sockets and signals.
    pub scopes: Finding,
    /// The version of Landlock, 0 without it.
    pub landlock_abi: u32,
}

impl Probe {
    /// The thing, by name, and what was found; for a table.
    pub fn findings(&self) -> [(&'static str, &Finding); 8] {
        [
            ("clean room", &self.room),
            ("overlay root", &self.overlay),
            ("writable overlay root", &self.overlay_upper),
            ("fresh /sys", &self.sysfs),
            ("host network", &self.host_net),
            ("range of users", &self.id_range),
            ("control groups", &self.groups),
            ("landlock scopes", &self.scopes),
        ]
    }

    /// What it costs to be without the thing of this name, one of [`findings`](Self::findings).
    pub fn cost(name: &str) -> &'static str {
        match name {
            "clean room" => "nothing can be built or run in a room",
            "overlay root" => {
                "no root of layers: builds, whose dependencies are layers, cannot run; rooms on one folder can"
            }
            "writable overlay root" => "a root of layers can only be read",
            "fresh /sys" => "/sys is an empty folder, as it is by default",
            "host network" => "no room shares the network of the host",
            "range of users" => "a room has one user and one group: files in it cannot be given to others",
            "control groups" => {
                "limits on memory and processes are looked at from time to time: a room may go beyond them for a moment"
            }
            "landlock scopes" => "a room that shares the host's network can reach the host's abstract sockets",
            _ => "",
        }
    }
}

/// Tries what rooms need by making some that run nothing but an exit.
pub fn probe() -> Probe {
    let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
    let layered = |upper| Root::Overlay { layers: vec!["/usr".into()], upper };
    let plain = || room(Root::Empty);
    let mut sysfs = plain();
    sysfs.sys = Some(Sysfs::Real);
    let mut host_net = plain();
    host_net.net = Net::Host;
    let mut ranged = plain();
    ranged.range = Some(RANGE);
    let landlock_abi = raw::landlock_abi().map_or(0, |abi| abi as u32);
    let scopes = if landlock_abi >= 6 {
        Finding::Works
    } else {
        Finding::Missing(format!(
            "Landlock has version {landlock_abi}, 6 is needed: Linux 6.12 with landlock among lsm="
        ))
    };
    Probe {
        kernel,
        room: finding(&plain()),
        overlay: finding(&room(layered(Upper::None))),
        overlay_upper: finding(&room(layered(Upper::Tmpfs { size: 1 << 20 }))),
        sysfs: finding(&sysfs),
        host_net: finding(&host_net),
        id_range: finding(&ranged),
        groups: groups(plain()),
        scopes,
        landlock_abi,
    }
}

fn room(root: Root) -> Room {
    let mut room = Room::new(root, "");
    room.program = Program::Bytes(init::exit_program());
    room
}

fn groups(mut room: Room) -> Finding {
    (room.limits.memory, room.limits.processes) = (Some(1 << 30), Some(100));
    let counted = match room.spawn() {
        Ok(child) => child.is_counted(),
        Err(error) => return Finding::Missing(error.to_string()),
    };
    if counted {
        return Finding::Works;
    }
    let why = "no control group with memory and pids in which this user may make others: run as root, or in one that was \
               delegated (systemd-run --user --scope -p Delegate=yes)";
    Finding::Missing(why.to_owned())
}

fn finding(room: &Room) -> Finding {
    match room.run(|_, _| Ok(())) {
        Ok(outcome) if outcome.success() => Finding::Works,
        Ok(outcome) => Finding::Missing(format!("a program that does nothing ended with {}", outcome.exit)),
        Err(error) => Finding::Missing(error.to_string()),
    }
}
