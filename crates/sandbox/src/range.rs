//! Ranges of subordinate users and groups, which an administrator gives an ordinary user.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::blank::Maps;
use crate::error::STEP_RANGE;
use crate::sys::userns::Extent;
use crate::sys::{dumpable, raw};
use crate::{Error, Ids};

/// Where the two set-user-id helpers may be; the library does not look at the caller's `PATH`.
const FOLDERS: [&str; 5] = ["/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin", "/run/wrappers/bin"];

/// How often a helper is run again while other rooms of this process take the mark that it looks for.
const TRIES: usize = 20;

/// The maps that show the caller as `ids` and his subordinate ids as all others below `count`.
pub(crate) fn maps(ids: Ids, caller: (u32, u32), count: u32) -> Result<Maps, Error> {
    let (uid, gid) = caller;
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = user_name(&passwd, uid);
    let map = |file: &'static str, inside, outside| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let granted = granted(&text, uid, name);
        extents(inside, outside, count, &granted).ok_or_else(|| {
            let have: u64 = granted.iter().map(|(_, count)| u64::from(*count)).sum();
            let hint = format!(
                "{file} gives user {} {have} ids, {} are needed: as root run usermod --add-subuids 100000-{last} --add-subgids \
                 100000-{last} {}, with a range that nobody else has",
                name.map_or_else(|| uid.to_string(), str::to_owned),
                count - 1,
                name.unwrap_or("NAME"),
                last = 100_000u64 + u64::from(count) - 2
            );
            Error::hinted(STEP_RANGE, libc::EPERM, String::new(), hint)
        })
    };
    Ok(Maps { users: map("/etc/subuid", ids.uid, uid)?, groups: map("/etc/subgid", ids.gid, gid)? })
}

/// Has the helpers write the maps of process `pid`, which is in a user namespace without any.
pub(crate) fn write(pid: i32, maps: &Maps) -> Result<(), Error> {
    for (helper, kind, extents) in [("newuidmap", "uid", &maps.users), ("newgidmap", "gid", &maps.groups)] {
        let program = FOLDERS.iter().map(|folder| Path::new(folder).join(helper)).find(|path| path.exists());
        let program = program.ok_or_else(|| {
            let hint = format!("{helper} is not installed: it is in the package uidmap, or shadow");
            Error::hinted(STEP_RANGE, libc::ENOENT, String::new(), hint)
        })?;
        let mut command = Command::new(&program);
        command.arg(pid.to_string()).env_clear().stdin(Stdio::null());
        for (inside, outside, count) in extents {
            command.args([inside, outside, count].map(u32::to_string));
        }
        run(&mut command, helper, &format!("/proc/{pid}/{kind}_map"))?;
    }
    Ok(())
}

/// Runs a helper until the map is there, which also a caller sees who ignores the end of his children.
fn run(command: &mut Command, helper: &str, map: &str) -> Result<(), Error> {
    let mut said = String::new();
    for _ in 0..TRIES {
        if let Ok(output) = command.output() {
            said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        }
        if std::fs::read_to_string(map).is_ok_and(|text| !text.trim().is_empty()) {
            return Ok(());
        }
        if !dumpable::marked() {
            break;
        }
        // Another room of this process was entered just now and took the mark: the target then seems to be root's.
        raw::set_dumpable(1);
    }
    let hint = format!(
        "{helper} must be set-user-id root, or have the capability for it, outside a file system mounted nosuid"
    );
    Err(Error::hinted(STEP_RANGE, libc::EPERM, said, hint))
}

/// The name of user `uid` in the text of `/etc/passwd`.
fn user_name(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

/// The ranges (first, count) of a user in the text of `/etc/subuid` or `/etc/subgid`.
fn granted(text: &str, uid: u32, name: Option<&str>) -> Vec<(u32, u32)> {
    let lines = text.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let who = fields.next()?;
        let (first, count): (u32, u32) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let his = Some(who) == name || who.parse() == Ok(uid);
        (his && count > 0 && first.checked_add(count).is_some()).then_some((first, count))
    });
    lines.collect()
}

/// The extents of a map of `count` ids where `inside` is `outside` and all others are taken from `granted` in turn; none where
/// that has too few.
fn extents(inside: u32, outside: u32, count: u32, granted: &[(u32, u32)]) -> Option<Vec<Extent>> {
    let mut extents = vec![(inside, outside, 1)];
    let mut granted = granted.iter().copied();
    let mut rest = (0, 0);
    for (mut first, last) in [(0, inside), (inside + 1, count)] {
        while first < last {
            if rest.1 == 0 {
                rest = granted.next()?;
            }
            let taken = rest.1.min(last - first);
            extents.push((first, rest.0, taken));
            first += taken;
            rest = (rest.0 + taken, rest.1 - taken);
        }
    }
    Some(extents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_user_by_name_or_number() {
        let text = "ann:100000:65536\nbob:200000:65536\n7:300000:5\nann:400000:x\nann:4294967295:9\nann:0:0\nann\n";
        assert_eq!(granted(text, 7, Some("ann")), [(100_000, 65_536), (300_000, 5)]);
        assert_eq!(granted(text, 8, None), []);
        assert_eq!(user_name("root:x:0:0::/:/bin/sh\nbad\nann:x:7:7::/:/bin/sh\n", 7), Some("ann"));
    }

    #[test]
    fn every_id_of_a_range_is_mapped_once() {
        for (inside, count) in [(0, 1), (0, 5), (4, 5), (2, 5), (1000, 65_536)] {
            let granted = [(100_000, 3), (200_000, 65_536)];
            let map = extents(inside, 42, count, &granted).unwrap();
            let mut ids: Vec<u32> = map.iter().flat_map(|(first, _, count)| *first..first + count).collect();
            ids.sort_unstable();
            assert_eq!(ids, (0..count).collect::<Vec<_>>());
            let outside: std::collections::BTreeSet<u32> =
                map.iter().flat_map(|(_, first, count)| *first..first + count).collect();
            assert_eq!(outside.len(), count as usize);
            assert_eq!(map[0], (inside, 42, 1));
        }
        assert_eq!(extents(0, 42, 6, &[(100_000, 4)]), None);
    }
}
