//! A package that is damaged, hostile or too large for the disk does no harm.
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use crate::sample::{dir, everything, file, make, meta, mode, noise, pack, path, scratch, unpack};
use pkgformat::{Entry, EntryKind, Limits, Manifest, PackageRecord, Reader, Writer, Xattr};
use pkgfs::{ErrorKind, Root, Walk, fd};
use pkgtree::{Error, Names, Ownership, UnpackOptions, Unpacked, Unpacker};
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

/// What a user can do: root sets owners by the names of a root that knows nobody.
fn as_this_user() -> UnpackOptions {
    let mut options = UnpackOptions::default();
    if pkgfs::is_superuser() {
        options.ownership = Ownership::Set(Names::default());
    }
    options
}

/// Empty files by this name, of this mode, owner and group, and with a capability where the name asks for one.
fn special(files: &[(&str, u32, &str, &str)]) -> Vec<u8> {
    let entry = |&(name, bits, owner, group): &(&str, u32, &str, &str)| {
        let content = EntryKind::File { mode: mode(bits), size: 0, digest: Digest::of(""), elf: None };
        let is_dir = name.starts_with("dir");
        let mut entry = Entry::new(path(name), if is_dir { EntryKind::Dir { mode: mode(bits) } } else { content });
        (entry.owner, entry.group) = (owner.parse().unwrap(), group.parse().unwrap());
        if name.starts_with("cap") {
            let value = [&[1, 0, 0, 2][..], &[0, 4, 0, 0], &[0; 12]].concat();
            entry.xattrs.push(Xattr { name: b"security.capability".to_vec(), value });
        }
        entry
    };
    let record = PackageRecord::new(meta(), Manifest::new(files.iter().map(entry).collect()).unwrap()).unwrap();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    writer.blob(0, &b""[..]).unwrap();
    writer.finish().unwrap().0
}

fn unpack_as_this_user(package: &[u8]) -> (pkgfs::TempDir, Unpacked) {
    let scratch = scratch();
    let reader = Reader::open(package, Limits::default()).unwrap();
    let unpacked = Unpacker::new(reader, as_this_user()).create(scratch.root(), &path("new")).unwrap();
    (scratch, unpacked)
}

#[test]
fn no_program_runs_as_somebody_else_than_the_package_says() {
    let package = special(&[
        ("both", 0o6755, "alice", "staff"),
        ("cap", 0o755, "alice", "staff"),
        ("dir", 0o3777, "alice", "staff"),
        ("plain", 0o755, "alice", "staff"),
        ("user", 0o4711, "alice", "staff"),
    ]);
    let (_scratch, unpacked) = unpack_as_this_user(&package);
    let bits = |name: &str| unpacked.root.stat(&path(name)).unwrap().unwrap().mode;
    assert_eq!([bits("both"), bits("user"), bits("dir")], [mode(0o755), mode(0o711), mode(0o1777)]);
    let names = fd::xattr_names(&unpacked.root.open_file(&path("cap")).unwrap()).unwrap();
    assert!(!names.contains(&b"security.capability".to_vec()));
    assert_eq!(unpacked.not_applied.special, ["both", "cap", "dir", "user"].map(path));
    assert_eq!(unpacked.not_applied.owners, 5);
}

/// The user and group that files made here get.
fn own_ids() -> (String, String) {
    let own = tempfile::tempfile().unwrap().metadata().unwrap();
    (own.uid().to_string(), own.gid().to_string())
}

#[test]
fn setuid_needs_the_owner_and_setgid_the_group() {
    let (user, group) = own_ids();
    let package = special(&[
        ("mine", 0o6755, &user, &group),
        ("owner", 0o6755, &user, "staff"),
        ("group", 0o6755, "alice", &group),
        ("cap", 0o755, &user, "staff"),
    ]);
    let (_scratch, unpacked) = unpack_as_this_user(&package);
    let bits = |name: &str| unpacked.root.stat(&path(name)).unwrap().unwrap().mode;
    assert_eq!([bits("mine"), bits("owner"), bits("group")], [0o6755, 0o4755, 0o2755].map(mode));
    assert_eq!(unpacked.not_applied.special, ["cap", "group", "owner"].map(path));
}

#[test]
fn what_is_roots_is_special_only_in_the_hands_of_root() {
    let (_scratch, unpacked) = unpack_as_this_user(&special(&[("tool", 0o6755, "root", "root")]));
    let found = unpacked.root.stat(&path("tool")).unwrap().unwrap();
    if pkgfs::is_superuser() {
        assert_eq!((found.mode, found.uid, found.gid), (mode(0o6755), 0, 0));
        assert_eq!(unpacked.not_applied, Default::default());
    } else {
        assert_eq!(found.mode, mode(0o755));
        assert_eq!(unpacked.not_applied.special, [path("tool")]);
    }
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
