//! What is packed and unpacked is the same again.
use std::num::NonZeroUsize;
use std::os::unix::fs::MetadataExt;

use crate::sample::{
    Thing, dir, elf, everything, file, make, meta, mode, noise, pack, pack_once, packer, path, scratch, unpack,
};
use pkgformat::{ElfFacts, EntryKind, Limits, Principal, Reader, Xattr};
use pkgfs::{Durability, FileKind, Root, Walk, fd};
use pkgtree::{Names, Owners, Ownership, PackOptions, Packer, TreeStore, UnpackOptions, Unpacker};
use proptest::prelude::*;

#[test]
fn a_tree_of_everything_comes_back() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &everything());
    let package = pack(&tree);
    let unpacked = unpack(&package, scratch.root(), "new").unwrap();
    assert_eq!(unpacked.not_applied.devices, []);
    assert_eq!(unpacked.not_applied.attributes, []);
    let stat = |name: &str| unpacked.root.stat(&path(name)).unwrap().unwrap();
    if !pkgfs::is_superuser() {
        // In the package they are root's: an ordinary user's tree has nothing that runs as him instead.
        assert_eq!(unpacked.not_applied.special, ["bin/group", "bin/tool"].map(path));
        assert_eq!([stat("bin/group").mode, stat("bin/tool").mode], [mode(0o711), mode(0o755)]);
        unpacked.root.set_mode(&path("bin/group"), mode(0o2711)).unwrap();
        unpacked.root.set_mode(&path("bin/tool"), mode(0o4755)).unwrap();
    }
    assert!(pack(&unpacked.root) == package, "packing what was unpacked gives other bytes");

    let manifest = unpacked.record.manifest();
    let kind = |name: &str| &manifest.find(&path(name)).unwrap().kind;
    assert_eq!(kind("bin/tool-1"), &EntryKind::Hardlink { target: path("bin/tool") });
    let facts = |soname: &str| ElfFacts {
        soname: Some(soname.into()),
        needed: vec!["libz.so.1".into(), "liba.so".into()],
        interpreter: Some("/lib/ld.so".into()),
        build_id: Some("deadbeef".into()),
    };
    for (name, soname) in [("lib/libx.so.1", "libx.so.1"), ("lib/plain-name", "liby.so")] {
        let EntryKind::File { elf, .. } = kind(name) else { panic!("{name} is no file") };
        assert_eq!(elf.as_deref(), Some(&facts(soname)));
    }
    let sizes: u64 = manifest
        .entries()
        .iter()
        .map(|entry| if let EntryKind::File { size, .. } = entry.kind { size } else { 0 })
        .sum();
    assert_eq!(unpacked.record.meta().installed_size, Some(sizes));

    assert_eq!(stat("bin/tool").ino, stat("bin/tool-1").ino);
    assert_ne!(stat("large-1").ino, stat("large-2").ino);
    assert_eq!(stat("bin/tool").mode, mode(0o4755));
    let names = scratch.root().read_dir(None).unwrap();
    assert_eq!(names.len(), 2, "nothing but the trees is left");
}

#[test]
fn zeros_become_holes() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &everything());
    let root = unpack(&pack(&tree), scratch.root(), "new").unwrap().root;
    let sparse = root.open_file(&path("sparse")).unwrap().metadata().unwrap();
    assert_eq!(sparse.len(), 1 << 20);
    assert!(sparse.blocks() * 512 <= 64 << 10, "{} blocks", sparse.blocks());
    let zeros = root.open_file(&path("zeros")).unwrap().metadata().unwrap();
    assert_eq!((zeros.len(), zeros.blocks() * 512 <= 8 << 10), (100_001, true));
}

#[test]
fn the_package_depends_on_the_tree_alone() {
    let scratch = scratch();
    let mut things = everything();
    let mut packages = Vec::new();
    for (number, threads) in [1, 2, 7].into_iter().enumerate() {
        let tree = dir(scratch.root(), &format!("tree-{number}"));
        make(&tree, &things);
        let mut options = PackOptions::default();
        options.threads = NonZeroUsize::new(threads).unwrap();
        packages.push(pack_once(Packer::new(&tree, meta(), options)));
        things.rotate_left(7);
        things.reverse();
    }
    packages.push(pack(&scratch.root().sub(&path("tree-0")).unwrap()));
    assert!(packages.windows(2).all(|pair| pair[0] == pair[1]));
}

#[test]
fn attributes_of_files_and_folders_are_kept() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    let mut things = everything();
    // Special bits, which an ordinary user's tree does not get back.
    things.retain(|(name, _)| !name.starts_with(b"bin/"));
    make(&tree, &things);
    let acl: Vec<u8> = [
        &[2, 0, 0, 0][..],
        &entry(1, 6, u32::MAX),
        &entry(2, 4, 1234),
        &entry(4, 4, u32::MAX),
        &entry(16, 4, u32::MAX),
        &entry(32, 0, u32::MAX),
    ]
    .concat();
    let plain = tree.open_file(&path("empty")).unwrap();
    let folder = tree.at(&path("odd")).unwrap().open_dir().unwrap();
    if let Err(error) = fd::set_xattr(&plain, b"user.note", b"a\0b") {
        println!("skipped: no extended attributes here: {error}");
        return;
    }
    fd::set_xattr(&folder, b"user.long", &noise(2000, 9)).unwrap();
    let mut expected = vec![Xattr { name: b"user.note".to_vec(), value: b"a\0b".to_vec() }];
    match fd::set_xattr(&plain, b"system.posix_acl_access", &acl) {
        Ok(()) => expected.insert(0, Xattr { name: b"system.posix_acl_access".to_vec(), value: acl }),
        Err(error) => println!("without ACLs, which are not known here: {error}"),
    }
    let package = pack(&tree);
    assert!(package == pack_once(packer(&tree)), "the file did not look like it had attributes");
    let unpacked = unpack(&package, scratch.root(), "new").unwrap();
    assert_eq!(unpacked.record.manifest().find(&path("empty")).unwrap().xattrs, expected);
    assert!(pack(&unpacked.root) == package);
}

/// One entry of an ACL as the kernel has it.
fn entry(tag: u16, permissions: u16, id: u32) -> Vec<u8> {
    [&tag.to_le_bytes()[..], &permissions.to_le_bytes(), &id.to_le_bytes()].concat()
}

#[test]
fn root_keeps_owners_devices_and_capabilities() {
    if !pkgfs::is_superuser() {
        println!("skipped: only root can set owners");
        return;
    }
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &everything());
    let owned = [("bin/tool", (1000, 33)), ("bin", (0, 33)), ("bin/link", (1000, 0)), ("pipe", (7, 8))];
    for (name, (uid, gid)) in owned {
        if let Err(error) = tree.set_owner(&path(name), uid, gid) {
            println!("skipped: this root can not set owners: {error}");
            return;
        }
    }
    tree.set_mode(&path("bin/tool"), mode(0o4755)).unwrap();
    if let Err(error) = tree.create_node(&path("null"), FileKind::Char, mode(0o666), (1, 3)) {
        println!("without devices, which can not be made here: {error}");
    }
    let capable = tree.open_file(&path("bin/group")).unwrap();
    let capability = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
    if let Err(error) = fd::set_xattr(&capable, b"security.capability", &capability) {
        println!("without capabilities, which can not be set here: {error}");
    }
    dir(&tree, "etc");
    let table = |line: &str| line.as_bytes().to_vec();
    tree.write_file(
        &path("etc/passwd"),
        mode(0o644),
        &table("root:x:0:0::/:\nann:x:1000:1000::/:\n"),
        Durability::Atomic,
    )
    .unwrap();
    tree.write_file(&path("etc/group"), mode(0o644), &table("root:x:0:\nwww-data:x:33:\n"), Durability::Atomic)
        .unwrap();

    let keep = |tree: &Root| {
        let mut options = PackOptions::default();
        options.owners = Owners::Keep(Names::load(tree).unwrap());
        pack_once(Packer::new(tree, meta(), options))
    };
    let package = keep(&tree);
    let mut options = UnpackOptions::default();
    options.ownership = Ownership::of_user(&tree).unwrap();
    let reader = Reader::open(&*package, Limits::default()).unwrap();
    let unpacked = Unpacker::new(reader, options).create(scratch.root(), &path("new")).unwrap();
    assert_eq!(unpacked.not_applied, Default::default());
    assert!(keep(&unpacked.root) == package);
    for (name, owner) in owned {
        let stat = unpacked.root.stat(&path(name)).unwrap().unwrap();
        assert_eq!((stat.uid, stat.gid), owner, "{name}");
    }
    let tool = unpacked.record.manifest().find(&path("bin/tool")).unwrap();
    assert_eq!((tool.owner.as_str(), tool.group.as_str()), ("ann", "www-data"));
    assert_eq!(unpacked.record.manifest().find(&path("pipe")).unwrap().owner, Principal::from_id(7));
    assert_eq!(unpacked.root.stat(&path("bin/tool")).unwrap().unwrap().mode, mode(0o4755));

    let plain = Reader::open(&*pack(&tree), Limits::default()).unwrap().into_package();
    assert!(plain.manifest().entries().iter().all(|entry| entry.owner.is_root() && entry.group.is_root()));
}

#[test]
fn the_store_has_plain_trees() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &everything());
    let package = pack(&tree);
    let store = TreeStore::open(scratch.root().path().join("store"), Durability::Atomic).unwrap();
    let reader = || Reader::open(&*package, Limits::default()).unwrap();
    let id = reader().package().id();
    assert!(store.tree(&id).unwrap().is_none());
    // Any number of processes may add the same package.
    let trees: Vec<Root> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| store.add(reader()).unwrap())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let inodes: std::collections::BTreeSet<u64> = trees.iter().map(|tree| tree.stat_top().unwrap().ino).collect();
    assert_eq!(inodes.len(), 1);
    assert_eq!(store.ids().unwrap(), [id]);
    let stored = store.tree(&id).unwrap().unwrap();
    for entry in Walk::new(&stored).unwrap() {
        let entry = entry.unwrap();
        let expected = match entry.stat.kind {
            FileKind::Dir => 0o755,
            FileKind::File if entry.stat.mode.bits() & 0o111 != 0 => 0o755,
            FileKind::File => 0o644,
            FileKind::Symlink => 0o777,
            other => panic!("a {other:?} in the store"),
        };
        assert_eq!(entry.stat.mode, mode(expected), "{}", entry.path);
        let original = tree.stat(&entry.path).unwrap().unwrap();
        assert_eq!(entry.stat.mtime, original.mtime, "{}", entry.path);
    }
    assert_eq!(store.open_file(&id, &path("closed/file")).unwrap().metadata().unwrap().len(), 6);
    store.remove(&id).unwrap();
    store.remove(&id).unwrap();
    assert!(store.tree(&id).unwrap().is_none());
    assert_eq!(store.ids().unwrap(), []);
}

#[test]
fn an_entry_in_a_half_written_elf_has_no_facts() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    let whole = elf("libx.so.1");
    let cuts: Vec<_> = (0..whole.len())
        .step_by(7)
        .map(|cut| (format!("cut-{cut}.so").into_bytes(), file(&whole[..cut], 0o644)))
        .collect();
    make(&tree, &cuts);
    // Headers that claim the most of everything.
    for at in 32..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] = 0xff;
        make(&tree, &[(format!("changed-{at}.so").into_bytes(), file(bytes, 0o644))]);
    }
    let package = pack(&tree);
    assert!(package == pack_once(packer(&tree)));
}

fn things() -> impl Strategy<Value = Vec<(Vec<u8>, Thing)>> {
    let name = "[a-c]{1,2}(/[a-c][a-c.-]){0,2}z";
    let thing = prop_oneof![
        (0usize..5000, 0u64..4).prop_map(|(length, seed)| file(noise(length, seed), 0o644)),
        (250_000usize..300_000, 0u64..2).prop_map(|(length, seed)| file(noise(length, seed), 0o755)),
        Just(Thing::Link(b"a".to_vec())),
        Just(Thing::Fifo),
    ];
    prop::collection::btree_map(name, thing, 0..12).prop_map(|things| {
        let things = things.into_iter().map(|(name, thing)| (name.into_bytes(), thing));
        // No file stands where another one has a folder: only names of files end with z.
        things.collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_tree_comes_back(things in things()) {
        let scratch = scratch();
        let tree = dir(scratch.root(), "tree");
        make(&tree, &things);
        let package = pack(&tree);
        prop_assert!(package == pack_once(packer(&tree)));
        let unpacked = unpack(&package, scratch.root(), "new").unwrap();
        prop_assert!(pack(&unpacked.root) == package);
    }
}
