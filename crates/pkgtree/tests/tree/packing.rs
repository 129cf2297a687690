//! What a packer puts in, leaves out, and refuses.
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;

use crate::sample::{dir, everything, file, make, meta, mode, noise, pack, pack_once, packer, path, scratch};
use pkgformat::{Entry, EntryKind, Limits, Reader, ScriptKind, Use};
use pkgfs::{Durability, Root};
use pkgtree::{Error, Keep, PackOptions, Packer};
use pkgtypes::{Digest, PkgPath, Timestamp};

fn sample(root: &Root) -> Root {
    let tree = dir(root, "tree");
    let things = [
        (b"doc/COPYING".to_vec(), file("licence", 0o644)),
        (b"doc/COPYING.too".to_vec(), file("licence", 0o644)),
        (b"etc/conf".to_vec(), file("x=1", 0o600)),
        (b"large".to_vec(), file(noise(400_000, 1), 0o644)),
        (b"tmp/junk/file".to_vec(), file("junk", 0o644)),
    ];
    make(&tree, &things);
    tree
}

/// Does `change` between the look at the tree and the reading of its files.
fn pack_while(tree: &Root, change: impl Fn()) -> Result<(), Error> {
    let filter = |entry: &mut Entry| {
        if entry.path == path("doc") {
            change();
        }
        Ok(Keep::Yes)
    };
    Packer::new(tree, meta(), PackOptions::default()).filter(filter).write_to_file(&tempfile::tempfile().unwrap())?;
    Ok(())
}

#[test]
fn a_tree_that_changes_is_no_package() {
    type Change = (&'static str, &'static str, fn(&Root));
    let changes: [Change; 6] = [
        ("a file is longer", "etc/conf", |tree| write(tree, "etc/conf", 3, b"!")),
        ("a file has other bytes", "etc/conf", |tree| write(tree, "etc/conf", 0, b"y")),
        ("a large file has other bytes", "large", |tree| write(tree, "large", 300_000, b"y")),
        ("a file is another one", "etc/conf", |tree| {
            tree.write_file(&path("etc/conf"), mode(0o600), b"x=1", Durability::Atomic).unwrap();
        }),
        ("a folder has one more name", "etc", |tree| {
            tree.write_file(&path("etc/more"), mode(0o600), b"", Durability::Atomic).unwrap();
        }),
        ("a folder has a name less", "tmp/junk", |tree| {
            tree.remove_file(&path("tmp/junk/file")).unwrap();
        }),
    ];
    for (what, place, change) in changes {
        let scratch = scratch();
        let tree = sample(scratch.root());
        match pack_while(&tree, || change(&tree)) {
            Err(Error::Changed { path: found }) => assert_eq!(found, path(place), "{what}"),
            Err(Error::Disk(error)) if what.ends_with("less") => assert_eq!(error.kind, pkgfs::ErrorKind::NotFound),
            other => panic!("{what}: {other:?}"),
        }
    }
}

fn write(tree: &Root, name: &str, at: u64, bytes: &[u8]) {
    let full = tree.path().join(name);
    std::fs::OpenOptions::new().write(true).open(full).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn a_file_that_changes_while_it_is_read_is_no_package() {
    /// Writes into the file that is being read just now.
    struct Meddler<'a>(&'a Root);
    impl pkgtree::Progress for Meddler<'_> {
        fn begin(&mut self, _: u64) {}
        fn advance(&mut self, _: u64) -> ControlFlow<()> {
            write(self.0, "huge", 0, b"y");
            ControlFlow::Continue(())
        }
    }
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &[(b"huge".to_vec(), file(noise(3 << 20, 1), 0o644))]);
    // Several threads might be done with it before anybody is told.
    let mut options = PackOptions::default();
    options.threads = std::num::NonZeroUsize::MIN;
    let packer = Packer::new(&tree, meta(), options);
    let packed = packer.progress(&mut Meddler(&tree)).write_to_file(&tempfile::tempfile().unwrap());
    assert!(matches!(packed, Err(Error::Changed { path: found }) if found == path("huge")));
}

#[test]
fn a_failure_leaves_no_file() {
    let scratch = scratch();
    let tree = sample(scratch.root());
    let before = scratch.root().read_dir(None).unwrap();
    let refuse = |_: &mut Entry| Err("no".into());
    let packed = packer(&tree).filter(refuse).create(scratch.root(), &path("new.kpkg"), Durability::Atomic);
    assert_eq!(packed.unwrap_err().to_string(), "doc: no");
    assert_eq!(scratch.root().read_dir(None).unwrap(), before);
}

#[test]
fn a_filter_shapes_entries() {
    let scratch = scratch();
    let tree = sample(scratch.root());
    let mut seen: Vec<PkgPath> = Vec::new();
    let filter = |entry: &mut Entry| {
        seen.push(entry.path.clone());
        if entry.path == path("etc/conf") {
            entry.uses.insert(Use::Config);
            entry.owner = "daemon".parse()?;
        }
        if entry.path.as_bytes().starts_with(b"doc/COPYING") {
            entry.uses.insert(Use::License);
        }
        Ok(if entry.path == path("tmp") { Keep::No } else { Keep::Yes })
    };
    let mut options = PackOptions::default();
    options.clamp_mtime = Some(Timestamp::from_seconds(1));
    let device = EntryKind::Char { mode: mode(0o666), major: 1, minor: 3 };
    let package = pack_once(
        Packer::new(&tree, meta(), options)
            .filter(filter)
            .entry(Entry::new(path("etc/null"), device))
            .entry(Entry::new(path("etc/ghost"), EntryKind::Ghost))
            .script(ScriptKind::PostInstall, b"true\n".to_vec())
            .script(ScriptKind::PreRemove, b"x=1".to_vec()),
    );
    let mut reader = Reader::open(&*package, Limits::default()).unwrap();
    let record = reader.package().clone();
    let names: Vec<_> = record.manifest().entries().iter().map(|entry| entry.path.clone()).collect();
    let expected = ["doc", "doc/COPYING", "doc/COPYING.too", "etc", "etc/conf", "etc/ghost", "etc/null", "large"];
    assert_eq!(names, expected.map(path));
    assert_eq!(seen, ["doc", "doc/COPYING", "doc/COPYING.too", "etc", "etc/conf", "large", "tmp"].map(path));
    let conf = record.manifest().find(&path("etc/conf")).unwrap();
    assert_eq!((conf.owner.as_str(), conf.uses.len(), conf.mtime), ("daemon", 1, Timestamp::from_seconds(1)));
    assert_eq!(record.meta().license_files, [Digest::of("licence")]);
    assert_eq!(record.meta().scripts.pre_remove, Some(Digest::of("x=1")));
    let mut blobs = Vec::new();
    while let Some(blob) = reader.next_blob().unwrap() {
        blobs.push(blob.digest());
    }
    // A script that is a file too is stored once, before the files.
    let large = Digest::of(noise(400_000, 1));
    assert_eq!(blobs, [Digest::of("true\n"), Digest::of("x=1"), Digest::of("licence"), large]);
}

#[test]
fn a_filter_can_not_change_what_the_tree_says() {
    let scratch = scratch();
    let tree = sample(scratch.root());
    let changes: [fn(&mut Entry); 3] = [
        |entry| entry.path = path("elsewhere"),
        |entry| entry.kind = EntryKind::Ghost,
        |entry| {
            if let EntryKind::File { size, .. } = &mut entry.kind {
                *size += 1;
            }
        },
    ];
    for change in changes {
        let filter = |entry: &mut Entry| {
            if entry.path == path("etc/conf") {
                change(entry);
            }
            Ok(Keep::Yes)
        };
        let packed = packer(&tree).filter(filter).write_to(std::io::sink());
        assert!(matches!(packed, Err(Error::FilterChanged { path: found }) if found == path("etc/conf")));
    }
    let kind = EntryKind::File { mode: mode(0o644), size: 0, digest: Digest::of(""), elf: None };
    let packed = packer(&tree).entry(Entry::new(path("new"), kind)).write_to(std::io::sink());
    assert!(matches!(packed, Err(Error::AddedFile { .. })));
}

#[test]
fn both_ways_to_write_give_the_same_package() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &everything());
    let script = |packer: Packer<'_>| -> Vec<u8> { pack_once(packer.script(ScriptKind::PreInstall, b"same".to_vec())) };
    let mut stream = Vec::new();
    let packed = packer(&tree).script(ScriptKind::PreInstall, b"same".to_vec()).write_to(&mut stream).unwrap();
    assert_eq!(packed.bytes, stream.len() as u64);
    assert!(script(packer(&tree)) == stream);
    let created = packer(&tree).create(scratch.root(), &path("new.kpkg"), Durability::Synced).unwrap();
    assert_eq!(created.record.id(), Reader::open(&*pack(&tree), Limits::default()).unwrap().package().id());
    assert_eq!(scratch.root().stat(&path("new.kpkg")).unwrap().unwrap().size, created.bytes);
}

/// Contents of one size are only compared in places before they are written.
#[test]
fn large_files_stand_once_each() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    let first = noise(900_000, 1);
    let mut alike = first.clone();
    alike[100_000] ^= 1;
    let contents = [&first, &noise(900_000, 2), &first, &alike, &noise(300, 3), &alike, &noise(2_000_000, 4), &first];
    let things: Vec<_> =
        (0..).zip(contents).map(|(n, content): (u8, _)| (vec![b'a' + n], file(&content[..], 0o644))).collect();
    make(&tree, &things);
    let package = pack(&tree);
    for threads in [1, 2, 5] {
        let mut options = PackOptions::default();
        options.threads = std::num::NonZeroUsize::new(threads).unwrap();
        let packer = || Packer::new(&tree, meta(), options.clone());
        assert!(pack_once(packer()) == package, "{threads} threads");
        let mut through = Vec::new();
        packer().write_through(&tempfile::tempfile().unwrap(), &mut through).unwrap();
        assert!(through == package, "{threads} threads, through a file");
    }
    let unpacked = crate::sample::unpack(&package, scratch.root(), "new").unwrap();
    assert_eq!(unpacked.summary.blobs, 5);
    assert!(pack(&unpacked.root) == package);
}

/// Debug files have no name that tells that they are ELF, so they are found out while they are packed.
#[test]
fn large_elf_files_of_one_content_are_packed() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    let elf = [b"\x7fELF\x02\x01\x01".to_vec(), noise(400_000, 3)].concat();
    make(&tree, &[(b"one.debug".to_vec(), file(elf.clone(), 0o644)), (b"two.debug".to_vec(), file(elf, 0o644))]);
    let packed = pack(&tree);
    assert_eq!(Reader::open(&*packed, Limits::default()).unwrap().finish().unwrap().blobs, 1);
}

#[test]
fn progress_counts_every_byte() {
    #[derive(Default)]
    struct Count(u64, u64);
    impl pkgtree::Progress for Count {
        fn begin(&mut self, bytes: u64) {
            *self = Self(bytes, 0);
        }
        fn advance(&mut self, bytes: u64) -> ControlFlow<()> {
            self.1 += bytes;
            ControlFlow::Continue(())
        }
    }
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &everything());
    let mut count = Count::default();
    packer(&tree).progress(&mut count).write_to(std::io::sink()).unwrap();
    assert!(count.0 > 0 && count.0 >= count.1, "{} of {}", count.1, count.0);
    let package = pack(&tree);
    let reader = Reader::open(&*package, Limits::default()).unwrap();
    let mut count = Count::default();
    pkgtree::Unpacker::new(reader, pkgtree::UnpackOptions::default())
        .progress(&mut count)
        .create(scratch.root(), &path("new"))
        .unwrap();
    assert!(count.0 >= count.1 && count.1 > 0);
}

#[test]
fn a_listener_that_says_stop_leaves_nothing() {
    struct Stop;
    impl pkgtree::Progress for Stop {
        fn begin(&mut self, _: u64) {}
        fn advance(&mut self, _: u64) -> ControlFlow<()> {
            ControlFlow::Break(())
        }
    }
    let scratch = scratch();
    let tree = sample(scratch.root());
    let before = scratch.root().read_dir(None).unwrap();
    let packed = packer(&tree).progress(&mut Stop).create(scratch.root(), &path("new.kpkg"), Durability::Atomic);
    assert!(matches!(packed, Err(Error::Stopped)));
    let package = pack(&tree);
    let reader = Reader::open(&*package, Limits::default()).unwrap();
    let mut stop = Stop;
    let unpacker = pkgtree::Unpacker::new(reader, pkgtree::UnpackOptions::default()).progress(&mut stop);
    assert!(matches!(unpacker.create(scratch.root(), &path("new")), Err(Error::Stopped)));
    assert_eq!(scratch.root().read_dir(None).unwrap(), before);
}
