use std::str::FromStr;

use pkgtypes::ParseError;

/// File capabilities: `cap_net_raw,cap_net_admin+ep`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capabilities {
    /// The bits that a program has from the start.
    pub permitted: u64,
    /// The bits that a program may hand on.
    pub inheritable: u64,
    /// Whether the permitted bits are effective from the start.
    pub effective: bool,
}

/// Bit n is the nth name: capability.h of Linux 6.
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

impl Capabilities {
    /// The value of `security.capability` in its version 2 form: `struct vfs_cap_data` of linux/capability.h.
    pub fn to_xattr(self) -> [u8; 20] {
        const VERSION_2: u32 = 0x0200_0000;
        let mut value = [0; 20];
        let halves = |bits: u64| [(bits & 0xffff_ffff) as u32, (bits >> 32) as u32];
        let [permitted, inheritable] = [halves(self.permitted), halves(self.inheritable)];
        let words = [VERSION_2 | u32::from(self.effective), permitted[0], inheritable[0], permitted[1], inheritable[1]];
        for (place, word) in value.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        value
    }
}

impl FromStr for Capabilities {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let error = |reason| ParseError { what: "set of file capabilities", text: text.to_owned(), reason };
        let (names, flags) = text.split_once(['+', '=']).ok_or_else(|| error("`cap_NAME,cap_NAME+ep` is expected"))?;
        let mut bits = 0;
        for name in names.split(',') {
            let bit = NAMES.iter().position(|known| *known == name);
            bits |= 1_u64 << bit.ok_or_else(|| error("Linux has no capability of that name"))?;
        }
        if flags.is_empty() || !flags.bytes().all(|flag| b"eip".contains(&flag)) {
            return Err(error("after the names some of `e`, `i` and `p` are expected"));
        }
        let has = |flag| flags.contains(flag);
        Ok(Self {
            permitted: if has('p') { bits } else { 0 },
            inheritable: if has('i') { bits } else { 0 },
            effective: has('e'),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `setcap cap_net_raw,cap_checkpoint_restore+ep` writes it.
    #[test]
    fn the_kernels_layout() {
        let set: Capabilities = "cap_net_raw,cap_checkpoint_restore+ep".parse().unwrap();
        let expected = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        assert_eq!(set.to_xattr(), expected);
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in ["", "cap_net_raw", "cap_net_raw+", "cap_net_raw+x", "net_raw+p", "cap_net_raw,+p"] {
            assert!(bad.parse::<Capabilities>().is_err(), "{bad}");
        }
    }
}
