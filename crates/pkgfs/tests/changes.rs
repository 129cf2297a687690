//! What each change does to the tree.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "a test that can not be arranged has failed")]

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use pkgfs::{Batch, Durability, ErrorKind, FileKind, LockKind, Rename, Root, TempDir, TempFile, Wait, Walk, fd};
use pkgtypes::{Mode, PkgPath, Timestamp};
use proptest::prelude::*;

fn path(text: &str) -> PkgPath {
    PkgPath::new(text.as_bytes()).unwrap()
}

fn mode(bits: u32) -> Mode {
    Mode::from_raw(bits)
}

fn tree() -> (tempfile::TempDir, Root) {
    let scratch = tempfile::tempdir().unwrap();
    let root = Root::open(scratch.path()).unwrap();
    (scratch, root)
}

fn read(root: &Root, at: &str) -> Vec<u8> {
    let mut content = Vec::new();
    root.open_file(&path(at)).unwrap().read_to_end(&mut content).unwrap();
    content
}

#[test]
fn a_file_is_replaced_in_one_step() {
    let (_scratch, root) = tree();
    root.write_file(&path("f"), mode(0o640), b"one", Durability::Atomic).unwrap();
    let mut open = root.open_file(&path("f")).unwrap();
    root.write_file(&path("f"), mode(0o4755), b"two", Durability::Synced).unwrap();
    let mut old = String::new();
    open.read_to_string(&mut old).unwrap();
    assert_eq!((old.as_str(), read(&root, "f").as_slice()), ("one", b"two".as_slice()));
    assert_eq!(root.stat(&path("f")).unwrap().unwrap().mode, mode(0o4755));
    assert_eq!(root.read_dir(None).unwrap().len(), 1);
}

#[test]
fn renames_replace_refuse_or_swap() {
    let (_scratch, root) = tree();
    let write = |at: &str| root.write_file(&path(at), mode(0o644), at.as_bytes(), Durability::Atomic).unwrap();
    write("a");
    write("b");
    let refused = root.rename(&path("a"), &path("b"), Rename::NoReplace).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Exists);
    root.rename(&path("a"), &path("b"), Rename::Exchange).unwrap();
    assert_eq!((read(&root, "a"), read(&root, "b")), (b"b".to_vec(), b"a".to_vec()));
    root.rename(&path("a"), &path("b"), Rename::Replace).unwrap();
    assert_eq!(read(&root, "b"), b"b");
    assert_eq!(root.stat(&path("a")).unwrap(), None);
}

#[test]
fn metadata_is_set_exactly() {
    let (_scratch, root) = tree();
    let place = path("f");
    let file = root.create_file(&place, mode(0o600)).unwrap();
    fd::set_mode(&file, mode(0o2751)).unwrap();
    fd::set_mtime(&file, Timestamp::new(-1, 500_000_001).unwrap()).unwrap();
    let stat = root.stat(&place).unwrap().unwrap();
    assert_eq!((stat.mode, stat.mtime), (mode(0o2751), Timestamp::new(-1, 500_000_001).unwrap()));
    root.set_mode(&place, mode(0o7)).unwrap();
    root.set_owner(&place, stat.uid, stat.gid).unwrap();
    assert_eq!(fd::stat(&file).unwrap().mode, mode(0o7));
    root.create_node(&path("p"), FileKind::Fifo, mode(0o600), (0, 0)).unwrap();
    root.create_node(&path("s"), FileKind::Socket, mode(0o600), (0, 0)).unwrap();
    assert_eq!(root.stat(&path("p")).unwrap().unwrap().kind, FileKind::Fifo);
    assert_eq!(root.stat(&path("s")).unwrap().unwrap().kind, FileKind::Socket);
    assert!(root.open_file(&path("p")).is_err(), "a pipe without a writer must not block us");
    root.hard_link(&place, &path("g")).unwrap();
    assert_eq!(root.stat(&path("g")).unwrap().unwrap().nlink, 2);
}

#[test]
fn extended_attributes_of_any_length_round_trip() {
    let (_scratch, root) = tree();
    let file = root.create_file(&path("f"), mode(0o600)).unwrap();
    if let Err(error) = fd::set_xattr(&file, b"user.small", b"") {
        println!("skipped: no extended attributes here: {error}");
        return;
    }
    fd::set_xattr(&file, b"user.large", &[7; 3000]).unwrap();
    let mut names = fd::xattr_names(&file).unwrap();
    names.retain(|name| name.starts_with(b"user."));
    names.sort();
    assert_eq!(names, [b"user.large".to_vec(), b"user.small".to_vec()]);
    assert_eq!(fd::xattr(&file, b"user.small").unwrap(), Some(vec![]));
    assert_eq!(fd::xattr(&file, b"user.large").unwrap(), Some(vec![7; 3000]));
    assert_eq!(fd::xattr(&file, b"user.none").unwrap(), None);
}

#[test]
fn a_tree_of_closed_folders_is_removed() {
    let (scratch, root) = tree();
    fs::create_dir_all(scratch.path().join("t/a/b/c")).unwrap();
    fs::write(scratch.path().join("t/a/b/f"), "x").unwrap();
    for (folder, bits) in [("t/a/b/c", 0o000), ("t/a/b", 0o500), ("t/a", 0o000), ("t", 0o100)] {
        fs::set_permissions(scratch.path().join(folder), fs::Permissions::from_mode(bits)).unwrap();
    }
    root.remove_tree(&path("t")).unwrap();
    root.remove_tree(&path("t")).unwrap();
    assert!(root.read_dir(None).unwrap().is_empty());
}

#[test]
fn a_tree_deeper_than_any_path_is_removed() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    // Nor may the depth count on many descriptors.
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(512), maximum }).unwrap();
    let (_scratch, root) = tree();
    let mut folder = root.try_clone().unwrap();
    for _ in 0..3000 {
        folder.create_dir(&path("d"), mode(0o700)).unwrap();
        folder.write_file(&path("f"), mode(0o600), b"", Durability::Atomic).unwrap();
        folder = folder.sub(&path("d")).unwrap();
    }
    root.remove_tree(&path("d")).unwrap();
    root.remove_tree(&path("f")).unwrap();
    assert!(root.read_dir(None).unwrap().is_empty());
}

#[test]
fn what_is_not_kept_is_gone() {
    let (_scratch, root) = tree();
    let dir = TempDir::new_in(&root, None).unwrap();
    dir.root().write_file(&path("f"), mode(0o600), b"x", Durability::Atomic).unwrap();
    drop(dir);
    assert!(root.read_dir(None).unwrap().is_empty());

    let dir = TempDir::new_in(&root, None).unwrap();
    let kept = dir.persist(&path("kept"), Rename::NoReplace).unwrap();
    assert_eq!(kept.path(), root.path().join("kept"));
    let mut file = TempFile::new_for(&root, &path("kept/f"), mode(0o444)).unwrap();
    file.write_all(b"content").unwrap();
    file.persist(Durability::Atomic).unwrap();
    assert_eq!(read(&root, "kept/f"), b"content");
}

#[test]
fn space_is_kept_behind_a_file_that_stays_as_it_is() {
    use std::os::unix::fs::MetadataExt;
    let (scratch, root) = tree();
    let at = path("log");
    root.write_file(&at, mode(0o644), b"so far", Durability::Atomic).unwrap();
    let blocks = || fs::metadata(scratch.path().join("log")).unwrap().blocks();
    let before = blocks();
    root.at(&at).unwrap().reserve(1 << 20).unwrap();
    assert_eq!(read(&root, "log"), b"so far");
    // Some file systems keep nothing, which is no error.
    assert!([before, before + 2048].iter().any(|expected| blocks().abs_diff(*expected) <= 16), "{}", blocks());
    assert_eq!(root.at(&path("none")).unwrap().reserve(1).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn missing_folders_are_made_and_named() {
    let (_scratch, root) = tree();
    root.create_dir(&path("a"), mode(0o755)).unwrap();
    assert_eq!(root.create_dirs(&path("a/b/c"), mode(0o755)).unwrap(), ["a/b", "a/b/c"].map(path));
    assert_eq!(root.create_dirs(&path("a/b/c"), mode(0o755)).unwrap(), []);
    root.write_file(&path("f"), mode(0o644), b"", Durability::Atomic).unwrap();
    assert_eq!(root.create_dirs(&path("f"), mode(0o755)).unwrap_err().kind, ErrorKind::WrongType);
}

#[test]
fn a_lock_names_its_holder() {
    let (_scratch, root) = tree();
    let name = path("lock");
    let held = root.lock(&name, LockKind::Exclusive, Wait::No).unwrap();
    for kind in [LockKind::Exclusive, LockKind::Shared] {
        let error = root.lock(&name, kind, Wait::No).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Locked { holder: Some(std::process::id()) });
    }
    drop(held);
    let one = root.lock(&name, LockKind::Shared, Wait::Yes).unwrap();
    let two = root.lock(&name, LockKind::Shared, Wait::No).unwrap();
    assert!(root.lock(&name, LockKind::Exclusive, Wait::No).is_err());
    drop((one, two));
    drop(root.lock(&name, LockKind::Exclusive, Wait::Yes).unwrap());
}

#[test]
fn space_and_syncs() {
    let (_scratch, root) = tree();
    root.create_dir(&path("d"), mode(0o755)).unwrap();
    assert!(root.free_space(None).unwrap().bytes > 0);
    assert!(root.free_space(Some(&path("d"))).unwrap().inodes != Some(0));
    root.sync_dir(None).unwrap();
    root.sync_dir(Some(&path("d"))).unwrap();
    root.syncfs().unwrap();
}

#[test]
fn a_walk_goes_on_after_a_closed_folder() {
    let (scratch, root) = tree();
    for folder in ["a", "b", "b/c"] {
        fs::create_dir(scratch.path().join(folder)).unwrap();
    }
    fs::set_permissions(scratch.path().join("a"), fs::Permissions::from_mode(0o000)).unwrap();
    let found: Vec<_> = Walk::new(&root).unwrap().filter_map(|entry| Some(entry.ok()?.path)).collect();
    assert_eq!(found, ["a", "b", "b/c"].map(path));
}

#[test]
fn a_walk_can_leave_a_folder_out() {
    let (scratch, root) = tree();
    fs::create_dir_all(scratch.path().join("a/b/c")).unwrap();
    fs::create_dir_all(scratch.path().join("d/e")).unwrap();
    let mut walk = Walk::new(&root).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = walk.next() {
        let entry = entry.unwrap();
        if entry.path == path("a/b") {
            walk.skip_folder();
        }
        found.push(entry.path);
    }
    assert_eq!(found, ["a", "a/b", "d", "d/e"].map(path));
    let below: Vec<_> = Walk::below(&root, &path("a")).unwrap().map(|entry| entry.unwrap().path).collect();
    assert_eq!(below, ["a/b", "a/b/c"].map(path));
}

fn names() -> impl Strategy<Value = PkgPath> {
    let name = prop::sample::select(vec!["a", "b", "a-b", "a.b", "a\u{e9}", "z"]);
    prop::collection::vec(name, 1..60).prop_map(|names| path(&names.join("/")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order in which folders are made, a batch reaches each, and a walk finds them in order.
    #[test]
    fn batch_and_walk_agree(paths in prop::collection::vec(names(), 1..5)) {
        let (_scratch, root) = tree();
        let mut batch = Batch::new(&root);
        let mut expected = std::collections::BTreeSet::new();
        for folder in &paths {
            root.create_dirs(folder, mode(0o755)).unwrap();
            prop_assert_eq!(batch.at(folder).unwrap().stat().unwrap().unwrap().kind, FileKind::Dir);
            expected.extend(folder.ancestors());
            expected.insert(folder.clone());
        }
        let found: Vec<_> = Walk::new(&root).unwrap().map(|entry| entry.unwrap().path).collect();
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }
}

#[test]
fn a_sibling_stands_in_the_same_folder_only() {
    let (_scratch, root) = tree();
    root.create_dir(&path("d"), mode(0o755)).unwrap();
    root.write_file(&path("d/a"), mode(0o644), b"a", Durability::Atomic).unwrap();
    let (a, b, elsewhere) = (path("d/a"), path("d/b"), path("b"));
    let place = root.at(&a).unwrap();
    place.rename(&place.sibling(&b).unwrap(), Rename::Replace).unwrap();
    assert_eq!(read(&root, "d/b"), b"a");
    assert!(place.sibling(&elsewhere).is_none());
    assert_eq!(root.stat_top().unwrap().kind, FileKind::Dir);
}

#[test]
fn rights_are_known_without_trying() {
    let (_scratch, root) = tree();
    root.create_dir(&path("closed"), mode(0o755)).unwrap();
    root.set_mode(&path("closed"), mode(0o555)).unwrap();
    assert!(root.may_change(None).is_ok());
    let answer = root.may_change(Some(&path("closed"))).map_err(|error| error.kind);
    let tried = root.create_dir(&path("closed/new"), mode(0o755)).map_err(|error| error.kind);
    assert_eq!(answer, tried);
}
