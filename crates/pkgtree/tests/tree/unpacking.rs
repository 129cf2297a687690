//! A package that is damaged, hostile or too large for the disk does no harm.
use std::io::Read;
use std::process::Command;

use crate::sample::{dir, everything, file, make, meta, mode, noise, pack, path, scratch, unpack};
use pkgformat::{Entry, EntryKind, Limits, Manifest, PackageRecord, Reader, Writer};
use pkgfs::{ErrorKind, Root, Walk};
use pkgtree::{Error, UnpackOptions, Unpacked, Unpacker};
use pkgtypes::Digest;

fn names(root: &Root) -> Vec<String> {
    Walk::new(root).unwrap().map(|entry| entry.unwrap().path.to_string()).collect()
}

fn into_existing(package: &[u8], root: &Root) -> Result<Unpacked, Error> {
    Unpacker::new(Reader::open(package, Limits::default())?, UnpackOptions::default()).into_existing(root)
}

#[test]
fn a_damaged_package_leaves_nothing() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    let mut things = everything();
    things.retain(|(name, _)| !name.starts_with(b"ddd"));
    make(&tree, &things);
    let package = pack(&tree);
    let target = dir(scratch.root(), "target");
    target.create_dir(&path("bin"), mode(0o755)).unwrap();
    let before = names(&target);
    let step = package.len() / 23;
    for at in (0..package.len()).step_by(step).chain([package.len() - 1]) {
        let mut changed = package.clone();
        changed[at] ^= 1;
        for damaged in [&package[..at], &changed] {
            assert!(unpack(damaged, scratch.root(), "new").is_err(), "at {at}");
            assert!(into_existing(damaged, &target).is_err(), "at {at}");
            assert_eq!(names(&target), before, "at {at}");
        }
    }
    let longer = [&package[..], b"x"].concat();
    assert!(unpack(&longer, scratch.root(), "new").is_err());
    assert_eq!(scratch.root().read_dir(None).unwrap().len(), 2, "nothing but the two folders is left");
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    struct Failing<'a>(&'a [u8]);
    impl Read for Failing<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(std::io::Error::other("the line is dead")),
                count => Ok(count),
            }
        }
    }
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &[(b"a".to_vec(), file(noise(900_000, 1), 0o644))]);
    let package = pack(&tree);
    let reader = Reader::open(Failing(&package[..600_000]), Limits::default()).unwrap();
    let error = Unpacker::new(reader, UnpackOptions::default()).create(scratch.root(), &path("new")).unwrap_err();
    assert!(error.to_string().contains("the line is dead"), "{error}");
    assert_eq!(scratch.root().read_dir(None).unwrap().len(), 1);
}

#[test]
fn a_link_in_the_target_is_no_way_out() {
    let scratch = scratch();
    let outside = dir(scratch.root(), "outside");
    let target = dir(scratch.root(), "target");
    target.symlink(&path("usr"), b"../outside").unwrap();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &[(b"usr/bin/evil".to_vec(), file("evil", 0o755)), (b"a".to_vec(), file("a", 0o644))]);
    let error = into_existing(&pack(&tree), &target).unwrap_err();
    assert!(matches!(error, Error::Occupied(_)), "{error}");
    assert_eq!(names(&outside), [""; 0]);
    assert_eq!(names(&target), ["usr"]);
}

#[test]
fn a_link_of_the_package_is_no_way_out() {
    // A manifest that has something below a link is refused; one that makes the link a hard link's folder, too.
    let link = Entry::new(path("out"), EntryKind::Symlink { target: b"/tmp".to_vec() });
    let below = Entry::new(path("out/file"), EntryKind::Fifo { mode: mode(0o600) });
    assert!(Manifest::new(vec![link, below]).is_err());
}

#[test]
fn what_is_there_is_not_overwritten() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &[(b"d/a".to_vec(), file("new", 0o644)), (b"d/b".to_vec(), file("new", 0o644))]);
    let package = pack(&tree);
    let target = dir(scratch.root(), "target");
    make(&target, &[(b"d/b".to_vec(), file("old", 0o644))]);
    target.set_mode(&path("d"), mode(0o700)).unwrap();
    let error = into_existing(&package, &target).unwrap_err();
    assert!(matches!(&error, Error::Disk(error) if error.kind == ErrorKind::Exists), "{error}");
    assert_eq!(names(&target), ["d", "d/b"]);

    target.remove_file(&path("d/b")).unwrap();
    into_existing(&package, &target).unwrap();
    assert_eq!(names(&target), ["d", "d/a", "d/b"]);
    assert_eq!(target.stat(&path("d")).unwrap().unwrap().mode, mode(0o700), "folders that were there stay");

    assert!(matches!(unpack(&package, scratch.root(), "target"), Err(Error::Occupied(_))));
    dir(scratch.root(), "empty");
    unpack(&package, scratch.root(), "empty").unwrap();
}

#[test]
fn an_ordinary_user_is_told_what_he_does_not_get() {
    let device = EntryKind::Block { mode: mode(0o660), major: 8, minor: 0 };
    let content = EntryKind::File { mode: mode(0o755), size: 1, digest: Digest::of("x"), elf: None };
    let mut owned = Entry::new(path("tool"), content);
    owned.owner = "daemon".parse().unwrap();
    let manifest = Manifest::new(vec![Entry::new(path("sda"), device), owned]).unwrap();
    let record = PackageRecord::new(meta(), manifest).unwrap();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    writer.blob(1, &b"x"[..]).unwrap();
    let (package, _) = writer.finish().unwrap();
    let scratch = scratch();
    let unpacked = unpack(&package, scratch.root(), "new").unwrap();
    assert!(unpacked.not_applied.owners > 0);
    if !pkgfs::is_superuser() {
        assert_eq!(unpacked.not_applied.devices, [path("sda")]);
    }
    assert!(unpacked.root.stat(&path("tool")).unwrap().is_some());
}

#[test]
fn folders_that_shut_out_their_owner_are_filled_first() {
    let folder = |name: &str| Entry::new(path(name), EntryKind::Dir { mode: mode(0o000) });
    let link = Entry::new(path("a/b/link"), EntryKind::Symlink { target: b"x".to_vec() });
    let manifest = Manifest::new(vec![folder("a"), folder("a/b"), link]).unwrap();
    let record = PackageRecord::new(meta(), manifest).unwrap();
    let (package, _) = Writer::new(Vec::new(), &record).unwrap().finish().unwrap();
    let scratch = scratch();
    let root = unpack(&package, scratch.root(), "new").unwrap().root;
    assert_eq!(root.stat(&path("a")).unwrap().unwrap().mode, mode(0o000));
}

#[test]
fn many_files_and_duplicates_in_a_small_queue() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    let things: Vec<_> = (0..1500u64)
        .map(|number| {
            (
                format!("d{}/f{number}", number % 13).into_bytes(),
                file(noise(100 + 7 * number as usize, number % 700), 0o644),
            )
        })
        .collect();
    make(&tree, &things);
    let package = pack(&tree);
    let unpacked = unpack(&package, scratch.root(), "new").unwrap();
    assert!(pack(&unpacked.root) == package);
}

/// Runs in a namespace with a small file system of its own; see below.
#[test]
#[ignore = "started by a_full_disk_leaves_nothing in a namespace of its own"]
fn inside_a_small_disk() {
    let scratch = scratch();
    let tree = dir(scratch.root(), "tree");
    make(&tree, &[(b"a/large".to_vec(), file(noise(3 << 20, 1), 0o644)), (b"b".to_vec(), file("b", 0o644))]);
    let package = pack(&tree);
    let small = dir(scratch.root(), "small");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(small.path()).status();
    assert!(mounted.unwrap().success());
    let small = Root::open(small.path()).unwrap();
    let existing = dir(&small, "existing");
    for error in [unpack(&package, &small, "new").unwrap_err(), into_existing(&package, &existing).unwrap_err()] {
        assert!(matches!(&error, Error::Disk(error) if error.kind == ErrorKind::NoSpace), "{error}");
    }
    assert_eq!(names(&small), ["existing"]);
    let error = crate::sample::packer(&tree).create(&small, &path("new.kpkg"), pkgfs::Durability::Atomic).unwrap_err();
    assert!(matches!(&error, Error::Disk(error) if error.kind == ErrorKind::NoSpace), "{error}");
    assert_eq!(names(&small), ["existing"]);
    let unmounted = Command::new("umount").arg("-l").arg(small.path()).status();
    assert!(unmounted.unwrap().success());
    println!("the small disk was full");
}

#[test]
fn a_full_disk_leaves_nothing() {
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]);
        command
    };
    match unshare().arg("true").output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            println!("skipped: no namespaces here: {}", String::from_utf8_lossy(&output.stderr).trim());
            return;
        }
        Err(error) => {
            println!("skipped: no unshare(1) here: {error}");
            return;
        }
    }
    let inside = unshare()
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "unpacking::inside_a_small_disk", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&inside.stdout);
    assert!(
        inside.status.success() && said.contains("the small disk was full"),
        "{said}{}",
        String::from_utf8_lossy(&inside.stderr)
    );
}
