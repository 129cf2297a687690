//! Access lists, capabilities and devices come with a package as the rest of it does.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use pkgformat::{EntryKind, Xattr};
use pkgtypes::Mode;

use crate::scene::{Pack, Scene, pack};

/// Owner reads and writes, a certain user, the group and all others read.
fn access_list() -> Vec<u8> {
    let entry =
        |tag: u16, rights: u16, id: u32| [&tag.to_le_bytes()[..], &rights.to_le_bytes(), &id.to_le_bytes()].concat();
    let nobody = u32::MAX;
    let entries =
        [entry(1, 6, nobody), entry(2, 4, 0), entry(4, 4, nobody), entry(16, 4, nobody), entry(32, 4, nobody)];
    [2_u32.to_le_bytes().to_vec(), entries.concat()].concat()
}

/// `cap_net_bind_service`, permitted.
fn capability() -> Vec<u8> {
    [&[0, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat()
}

fn with(package: Pack, at: &str, xattr: &str, value: Vec<u8>) -> Pack {
    package.edit(at, |entry| entry.xattrs.push(Xattr { name: xattr.as_bytes().to_vec(), value }))
}

#[test]
fn access_lists_and_capabilities_survive_an_upgrade() {
    let scene = Scene::new();
    let of = |version: &str| {
        let package =
            pack(&format!("p {version}")).file("bin/capable", 0o755, version).file("etc/list", 0o644, version);
        let package = with(package, "etc/list", "system.posix_acl_access", access_list());
        with(package, "bin/capable", "security.capability", capability()).build()
    };
    // What this user or this file system can not give is remembered, and everything else has to be there.
    let probe = File::create(scene.at("probe")).unwrap();
    let can = |name: &str, value: Vec<u8>| pkgfs::fd::set_xattr(&probe, name.as_bytes(), &value).is_ok();
    let given = [
        ("etc/list", "system.posix_acl_access", access_list(), can("system.posix_acl_access", access_list())),
        ("bin/capable", "security.capability", capability(), can("security.capability", capability())),
    ];
    for version in ["1-1", "2-1", "1-1"] {
        scene.install(&[&of(version)]);
        scene.assert_verified();
        assert_eq!(scene.read("etc/list"), version);
        for (at, name, value, can) in &given {
            let file = File::open(scene.at(at)).unwrap();
            let found = pkgfs::fd::xattr(&file, name.as_bytes()).unwrap();
            assert_eq!(found, can.then(|| value.clone()), "{at} {name}");
        }
    }
    scene.remove(&["p"]);
    assert!(!scene.at("etc").exists());
}

#[test]
fn devices_are_made_where_the_user_may() {
    let scene = Scene::new();
    let mode = Mode::from_raw(0o660);
    let of = |version: &str, minor| {
        pack(&format!("p {version}"))
            .entry("dev/null", EntryKind::Char { mode, major: 1, minor })
            .entry("dev/loop", EntryKind::Block { mode, major: 7, minor })
            .build()
    };
    for (version, minor) in [("1-1", 3), ("2-1", 5)] {
        scene.install(&[&of(version, minor)]);
        scene.assert_verified();
        // Not even the first user of a namespace makes them.
        if let Ok(stat) = fs::metadata(scene.at("dev/null")) {
            assert!(stat.file_type().is_char_device());
            assert_eq!(stat.rdev(), rustix::fs::makedev(1, minor));
        }
    }
    scene.remove(&["p"]);
    assert!(!scene.at("dev").exists());
}
