//! Nothing done through a `Root` reaches outside of it.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "a test that can not be arranged has failed")]

use std::fs;
use std::os::unix::fs::symlink;

use pkgfs::{Batch, Durability, ErrorKind, FileKind, Rename, Root, TempFile, Walk};
use pkgtypes::{Mode, PkgPath, Timestamp};

fn path(text: &str) -> PkgPath {
    PkgPath::new(text.as_bytes()).unwrap()
}

const MODE: Mode = Mode::from_raw(0o644);

/// `inside/` is the tree, `outside/` holds a file, and links in the tree lead there.
fn arranged() -> (tempfile::TempDir, Root) {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    fs::create_dir(at.join("inside")).unwrap();
    fs::create_dir(at.join("outside")).unwrap();
    fs::write(at.join("outside/file"), "precious").unwrap();
    symlink("../outside", at.join("inside/relative")).unwrap();
    symlink(at.join("outside"), at.join("inside/absolute")).unwrap();
    symlink("../outside/file", at.join("inside/link")).unwrap();
    symlink(".", at.join("inside/self")).unwrap();
    let root = Root::open(at.join("inside")).unwrap();
    (scratch, root)
}

#[test]
fn no_operation_goes_through_a_link() {
    let (scratch, root) = arranged();
    let refused = |result: pkgfs::Result<()>| assert_eq!(result.unwrap_err().kind, ErrorKind::Symlink);
    for folder in ["relative", "absolute", "self"] {
        let file = path(folder).join(b"file").unwrap();
        let new = path(folder).join(b"new").unwrap();
        refused(root.open_file(&file).map(drop));
        refused(root.stat(&file).map(drop));
        refused(root.read_link(&file).map(drop));
        refused(root.create_file(&new, MODE).map(drop));
        refused(root.create_dir(&new, MODE));
        refused(root.create_dirs(&new.join(b"deep").unwrap(), MODE).map(drop));
        refused(root.symlink(&new, b"x"));
        refused(root.hard_link(&file, &path("new")));
        refused(root.create_node(&new, FileKind::Fifo, MODE, (0, 0)));
        refused(root.rename(&file, &path("new"), Rename::Replace));
        refused(root.rename(&path("link"), &new, Rename::NoReplace));
        refused(root.remove_file(&file));
        refused(root.remove_dir(&file));
        refused(root.remove_tree(&file));
        refused(root.set_mode(&file, MODE));
        refused(root.set_owner(&file, 0, 0));
        refused(root.set_mtime(&file, Timestamp::EPOCH));
        refused(root.write_file(&new, MODE, b"", Durability::Atomic));
        refused(root.sub(&path(folder)).map(drop));
        refused(root.lock(&new, pkgfs::LockKind::Exclusive, pkgfs::Wait::No).map(drop));
        refused(Batch::new(&root).at(&new).map(drop));
        refused(Batch::new(&root).at(&new.join(b"deep").unwrap()).map(drop));
    }
    assert_eq!(fs::read_dir(scratch.path().join("outside")).unwrap().count(), 1);
    assert_eq!(fs::read(scratch.path().join("outside/file")).unwrap(), b"precious");
}

#[test]
fn a_link_itself_is_never_followed() {
    let (scratch, root) = arranged();
    let link = path("link");
    assert_eq!(root.open_file(&link).unwrap_err().kind, ErrorKind::Symlink);
    assert_eq!(root.create_file(&link, MODE).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(root.stat(&link).unwrap().unwrap().kind, FileKind::Symlink);
    assert!(root.set_mode(&link, Mode::from_raw(0o777)).is_err());
    root.set_mtime(&link, Timestamp::new(7, 8).unwrap()).unwrap();
    assert_eq!(root.stat(&link).unwrap().unwrap().mtime, Timestamp::new(7, 8).unwrap());
    root.write_file(&link, MODE, b"new", Durability::Synced).unwrap();
    assert_eq!(root.stat(&link).unwrap().unwrap().kind, FileKind::File);
    root.remove_tree(&path("absolute")).unwrap();
    assert_eq!(root.stat(&path("absolute")).unwrap(), None);
    let outside = fs::metadata(scratch.path().join("outside/file")).unwrap();
    assert_eq!(outside.len(), 8);
}

#[test]
fn a_walk_shows_links_and_does_not_enter_them() {
    let (_scratch, root) = arranged();
    let found: Vec<_> = Walk::new(&root).unwrap().map(|entry| entry.unwrap().path).collect();
    assert_eq!(found, ["absolute", "link", "relative", "self"].map(path));
}

#[test]
fn an_abandoned_replacement_leaves_nothing() {
    let (_scratch, root) = arranged();
    let before = root.read_dir(None).unwrap();
    drop(TempFile::new_for(&root, &path("new"), MODE).unwrap());
    assert_eq!(root.read_dir(None).unwrap(), before);
}

#[test]
fn errors_say_what_and_where() {
    let (scratch, root) = arranged();
    let error = root.open_file(&path("no/such\nfile")).unwrap_err();
    assert_eq!(error.kind, ErrorKind::NotFound);
    let shown = error.to_string();
    let base = scratch.path().display();
    assert_eq!(shown, format!("cannot open the folder \"{base}/inside/no\": No such file or directory (os error 2)"));
}
