//! File capabilities: the text of `setcap(8)` as the kernel's attribute.

/// The capabilities in the order of their numbers (linux/capability.h).
const NAMES: [&str; 41] = [
    "cap_chown",
    "cap_dac_override",
    "cap_dac_read_search",
    "cap_fowner",
    "cap_fsetid",
    "cap_kill",
    "cap_setgid",
    "cap_setuid",
    "cap_setpcap",
    "cap_linux_immutable",
    "cap_net_bind_service",
    "cap_net_broadcast",
    "cap_net_admin",
    "cap_net_raw",
    "cap_ipc_lock",
    "cap_ipc_owner",
    "cap_sys_module",
    "cap_sys_rawio",
    "cap_sys_chroot",
    "cap_sys_ptrace",
    "cap_sys_pacct",
    "cap_sys_admin",
    "cap_sys_boot",
    "cap_sys_nice",
    "cap_sys_resource",
    "cap_sys_time",
    "cap_sys_tty_config",
    "cap_mknod",
    "cap_lease",
    "cap_audit_write",
    "cap_audit_control",
    "cap_setfcap",
    "cap_mac_override",
    "cap_mac_admin",
    "cap_syslog",
    "cap_wake_alarm",
    "cap_block_suspend",
    "cap_audit_read",
    "cap_perfmon",
    "cap_bpf",
    "cap_checkpoint_restore",
];

/// `VFS_CAP_REVISION_2` (linux/capability.h): two words, no user namespace.
const REVISION_2: u32 = 0x0200_0000;
/// `VFS_CAP_FLAGS_EFFECTIVE`.
const EFFECTIVE: u32 = 1;

/// The value of `security.capability` for a text as `cap_from_text(3)` reads it, such as `cap_net_raw=ep`.
///
/// `None` where the text is none, and where no file can have it: a file's capabilities are effective all or none.
pub(crate) fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut sets = Sets::default();
    for clause in text.split_ascii_whitespace() {
        sets.apply(clause)?;
    }
    sets.to_attribute()
}

#[derive(Default)]
struct Sets {
    effective: u64,
    inheritable: u64,
    permitted: u64,
}

impl Sets {
    /// A list of names and one or more of `=`, `+`, `-` with flags.
    fn apply(&mut self, clause: &str) -> Option<()> {
        let names = clause.find(['=', '+', '-'])?;
        let (names, mut actions) = clause.split_at(names);
        let mask = match names {
            // Without names, `=` is about all of them, and the others are about none that could be meant.
            "" if actions.starts_with('=') => all(),
            "" => return None,
            names => names.split(',').map(mask).try_fold(0, |all, mask| Some(all | mask?))?,
        };
        while let Some(action) = actions.chars().next() {
            let rest = &actions[1..];
            let end = rest.find(['=', '+', '-']).unwrap_or(rest.len());
            self.act(action, &rest[..end], mask)?;
            actions = &rest[end..];
        }
        Some(())
    }

    fn act(&mut self, action: char, flags: &str, mask: u64) -> Option<()> {
        if action == '=' {
            for set in [&mut self.effective, &mut self.inheritable, &mut self.permitted] {
                *set &= !mask;
            }
        } else if flags.is_empty() {
            return None;
        }
        for flag in flags.chars() {
            let set = match flag {
                'e' => &mut self.effective,
                'i' => &mut self.inheritable,
                'p' => &mut self.permitted,
                _ => return None,
            };
            if action == '-' { *set &= !mask } else { *set |= mask }
        }
        Some(())
    }

    fn to_attribute(&self) -> Option<Vec<u8>> {
        let usable = self.permitted | self.inheritable;
        if self.effective != 0 && self.effective != usable {
            return None;
        }
        let flag = if self.effective == 0 { 0 } else { EFFECTIVE };
        let low = |set: u64| set as u32;
        let high = |set: u64| (set >> 32) as u32;
        let words = [
            REVISION_2 | flag,
            low(self.permitted),
            low(self.inheritable),
            high(self.permitted),
            high(self.inheritable),
        ];
        Some(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }
}

fn all() -> u64 {
    (1 << NAMES.len()) - 1
}

fn mask(name: &str) -> Option<u64> {
    if name.eq_ignore_ascii_case("all") {
        return Some(all());
    }
    let known = NAMES.iter().position(|known| known.eq_ignore_ascii_case(name));
    // Names that a program does not know yet are written as numbers.
    let number = known.or_else(|| name.parse().ok().filter(|number| *number < 64))?;
    Some(1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Option<String> {
        Some(from_text(text)?.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// What `setcap TEXT FILE; getfattr -e hex -n security.capability FILE` shows.
    #[test]
    fn as_setcap_sets_them() {
        for (text, attribute) in [
            ("cap_net_raw=ep", "0100000200200000000000000000000000000000"),
            ("= cap_net_raw+ep", "0100000200200000000000000000000000000000"),
            ("cap_net_raw,cap_net_admin=p", "0000000200300000000000000000000000000000"),
            ("cap_bpf=ep cap_setuid+ep", "0100000280000000000000008000000000000000"),
            ("cap_setgid=i", "0000000200000000400000000000000000000000"),
            ("CAP_SETGID=eip", "0100000240000000400000000000000000000000"),
            ("cap_setgid=ep-e", "0000000240000000000000000000000000000000"),
            ("=", "0000000200000000000000000000000000000000"),
        ] {
            assert_eq!(hex(text).as_deref(), Some(attribute), "{text}");
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "cap_net_raw",
            "cap_unheard_of=p",
            "cap_setgid=x",
            "+ep",
            "cap_setgid+",
            "cap_setgid=p cap_kill+pe",
            "64=p",
        ] {
            assert_eq!(from_text(text), None, "{text}");
        }
    }
}
