//! Which extended attributes a package carries, and in which form.

use std::fs::File;
use std::io;

use pkgformat::Xattr;
use pkgfs::fd;

pub(crate) const CAPABILITY: &[u8] = b"security.capability";
const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Whether a package carries this attribute. Labels and signatures of one machine (`security.selinux`, `security.ima`),
/// `trusted.*` and what overlayfs notes for itself belong to the place, not to the file.
fn is_carried(name: &[u8]) -> bool {
    let of_user = name.starts_with(b"user.") && !name.starts_with(b"user.overlay.");
    of_user || [CAPABILITY, ACL_ACCESS, ACL_DEFAULT].contains(&name)
}

/// The attributes of an open file that a package carries, sorted by name.
pub(crate) fn carried(file: &File) -> io::Result<Vec<Xattr>> {
    let names = fd::xattr_names(file)?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut xattrs = Vec::new();
    for name in names.into_iter().filter(|name| is_carried(name)) {
        // Gone in between: the look at the file afterwards finds the change.
        let Some(value) = fd::xattr(file, &name)? else { continue };
        let value = if name == CAPABILITY { capability_version_2(value) } else { value };
        xattrs.push(Xattr { name, value });
    }
    xattrs.sort();
    Ok(xattrs)
}

/// A capability in the form that holds for the whole machine, not for one user namespace: `struct vfs_cap_data` of
/// `linux/capability.h`, little-endian. Version 1 has one word a set, version 3 the namespace's root user at the end.
fn capability_version_2(value: Vec<u8>) -> Vec<u8> {
    const VERSION_1: u8 = 1;
    const VERSION_2: u8 = 2;
    const VERSION_3: u8 = 3;
    match (value.get(3), value.len()) {
        (Some(&VERSION_3), 24) => [&value[..3], &[VERSION_2], &value[4..20]].concat(),
        (Some(&VERSION_1), 12) => [&value[..3], &[VERSION_2], &value[4..12], &[0; 8]].concat(),
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_machine_stays_there() {
        for carried in ["user.mime_type", "user.", "security.capability", "system.posix_acl_default"] {
            assert!(is_carried(carried.as_bytes()), "{carried}");
        }
        for left in
            ["security.selinux", "security.ima", "trusted.overlay.opaque", "user.overlay.whiteout", "system.nfs4_acl"]
        {
            assert!(!is_carried(left.as_bytes()), "{left}");
        }
    }

    #[test]
    fn capabilities_have_version_2() {
        let two: Vec<u8> = [&[1, 0, 0, 2], &[9; 16][..]].concat();
        let three: Vec<u8> = [&[1, 0, 0, 3], &[9; 16][..], &[0xe8, 3, 0, 0]].concat();
        let one = [&[1, 0, 0, 1], &[9; 8][..]].concat();
        assert_eq!(capability_version_2(three), two);
        assert_eq!(capability_version_2(two.clone()), two);
        assert_eq!(capability_version_2(one), [&[1, 0, 0, 2], &[9; 8][..], &[0; 8]].concat());
        assert_eq!(capability_version_2(vec![3]), [3]);
    }
}
