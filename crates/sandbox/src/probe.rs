//! What this machine grants, found by trying.

use serde::{Deserialize, Serialize};

use crate::sys::{init, raw};
use crate::{Net, Program, Room, Root, Sysfs, Upper};

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
    /// The version of Landlock, 0 without it; from 6 on, rooms are cut off from abstract sockets and signals by it, too.
    pub landlock_abi: u32,
}

impl Probe {
    /// The thing, by name, and what was found; for a table.
    pub fn findings(&self) -> [(&'static str, &Finding); 5] {
        [
            ("clean room", &self.room),
            ("overlay root", &self.overlay),
            ("writable overlay root", &self.overlay_upper),
            ("fresh /sys", &self.sysfs),
            ("host network", &self.host_net),
        ]
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
    Probe {
        kernel,
        room: finding(&plain()),
        overlay: finding(&room(layered(Upper::None))),
        overlay_upper: finding(&room(layered(Upper::Tmpfs { size: 1 << 20 }))),
        sysfs: finding(&sysfs),
        host_net: finding(&host_net),
        landlock_abi: raw::landlock_abi().map_or(0, |abi| abi as u32),
    }
}

fn room(root: Root) -> Room {
    let mut room = Room::new(root, "");
    room.program = Program::Bytes(init::exit_program());
    room
}

fn finding(room: &Room) -> Finding {
    match room.run(|_, _| Ok(())) {
        Ok(outcome) if outcome.success() => Finding::Works,
        Ok(outcome) => Finding::Missing(format!("a program that does nothing ended with {}", outcome.exit)),
        Err(error) => Finding::Missing(error.to_string()),
    }
}
