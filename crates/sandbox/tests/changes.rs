//! What a room leaves in its upper directory: attacks on whoever collects it.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests arrange trees of their own")]

mod harness;

use std::path::{Path, PathBuf};

use harness::{Base, is_probe, mkdir, run, write};
use sandbox::{Change, Changed, Error, Outcome, Room, Root, Upper, changes};
use tempfile::TempDir;

/// Runs a script on a layer with `old`, `gone` and `folder/file`; returns the upper directory.
fn after(dir: &Path, script: &str) -> (Outcome, PathBuf) {
    let base = Base::new();
    after_room(dir, &base, base.sh(script))
}

/// The same with the program of any room of `base`.
fn after_room(dir: &Path, base: &Base, mut room: Room) -> (Outcome, PathBuf) {
    let layer = mkdir(dir.join("layer"));
    write(layer.join("old"), "old");
    write(layer.join("gone"), "gone");
    write(mkdir(layer.join("folder")).join("file"), "inside");
    let (upper, work) = (mkdir(dir.join("upper")), mkdir(dir.join("work")));
    let layers = vec![layer, base.path().to_owned()];
    room.root = Root::Overlay { layers, upper: Upper::Dir { upper: upper.clone(), work } };
    let (outcome, _, err) = run(&room);
    assert!(outcome.success(), "{outcome:?} {err}");
    (outcome, upper)
}

fn found<'a>(list: &'a [Change], path: &str) -> &'a Change {
    list.iter().find(|change| change.path == Path::new(path)).unwrap_or_else(|| panic!("{path} is not in {list:?}"))
}

#[test]
fn every_kind_of_change_is_told() {
    let dir = TempDir::new().unwrap();
    let script = "echo new >/old; rm /gone; rm -r /folder; mkdir -m 750 /folder; mkdir /made; echo x >/made/x; ln /made/x /made/y; chmod 4751 /made/x";
    let (outcome, upper) = after(dir.path(), script);
    let list = changes(&outcome, &upper).unwrap();
    let kinds: Vec<_> = list.iter().map(|change| change.path.to_str().unwrap()).collect();
    assert_eq!(kinds, ["folder", "gone", "made", "made/x", "made/y", "old"]);
    assert_eq!(found(&list, "gone").kind, Changed::Removed);
    assert_eq!((&found(&list, "folder").kind, found(&list, "folder").mode), (&Changed::Folder { opaque: true }, 0o750));
    assert_eq!(found(&list, "made").kind, Changed::Folder { opaque: false });
    let file = found(&list, "made/x");
    assert!(matches!(file.kind, Changed::File { size: 2, links: 2, .. }), "{file:?}");
    assert_eq!(file.mode, 0o4751, "case 12: told, not hidden");
    assert!(matches!(found(&list, "old").kind, Changed::File { size: 4, .. }));
}

#[test]
fn case_34_links_that_lead_out_are_told_never_followed() {
    let dir = TempDir::new().unwrap();
    let script = "mkdir /out; ln -s /etc/shadow /out/a; ln -s / /out/b; ln -s ../../../../../../etc /out/c; ln -s loop /out/loop";
    let (outcome, upper) = after(dir.path(), script);
    let list = changes(&outcome, &upper).unwrap();
    let target = |path| match &found(&list, path).kind {
        Changed::Link { target } => target.to_str().unwrap().to_owned(),
        other => panic!("{path} is {other:?}"),
    };
    let targets = ["out/a", "out/b", "out/c", "out/loop"].map(target);
    assert_eq!(targets, ["/etc/shadow", "/", "../../../../../../etc", "loop"]);
    assert_eq!(list.len(), 5);
}

#[test]
fn case_35_nothing_runs_that_could_exchange_what_is_collected() {
    let dir = TempDir::new().unwrap();
    let script = "mkdir /out; echo x >/out/x; \
        (trap '' HUP TERM INT; setsid sh -c 'i=0; while :; do mv /out/x /out/y; ln -s /etc /out/x; rm /out/x; mv /out/y /out/x; : >/out/$i; i=$((i+1)); done' &) & \
        while ! [ -e /out/3 ]; do :; done";
    let (outcome, upper) = after(dir.path(), script);
    let first = changes(&outcome, &upper).unwrap();
    for _ in 0..20 {
        assert_eq!(changes(&outcome, &upper).unwrap(), first);
    }
    // Whoever puts a link where a folder was between two looks of the collector is told as what is there.
    let inside = upper.join("out");
    std::fs::rename(&inside, dir.path().join("away")).unwrap();
    std::os::unix::fs::symlink("/etc", &inside).unwrap();
    let list = changes(&outcome, &upper).unwrap();
    assert!(matches!(found(&list, "out").kind, Changed::Link { .. }));
    assert!(list.iter().all(|change| change.path == Path::new("out") || !change.path.starts_with("out")));
}

#[test]
fn case_36_odd_things_are_told_without_being_opened() {
    let dir = TempDir::new().unwrap();
    let script = "mkdir /out; mkfifo /out/fifo; : >/out/..foo; : >\"/out/new\nline\"; : >\"/out/$(printf '\\377\\376')\"; \
        : >/out/old-time; touch -d @-1 /out/old-time; touch -d @1099511627776 /out/new-time; mkdir -m 0000 /out/closed; \
        : >/out/linked; i=0; while [ $i -lt 500 ]; do ln /out/linked /out/linked-$i; i=$((i+1)); done; \
        truncate -s 1T /out/sparse";
    let (outcome, upper) = after(dir.path(), script);
    let list = changes(&outcome, &upper);
    if !harness::root() {
        // A folder that its owner has closed is an error that names it.
        let error = list.unwrap_err();
        assert!(matches!(&error, Error::Changes { path, .. } if path.ends_with("out/closed")), "{error}");
        rustix::fs::chmod(upper.join("out/closed"), 0o700.into()).unwrap();
    }
    let list = changes(&outcome, &upper).unwrap();
    assert_eq!(found(&list, "out/fifo").kind, Changed::Special);
    for name in ["out/..foo", "out/new\nline", "out/old-time", "out/new-time"] {
        assert!(matches!(found(&list, name).kind, Changed::File { size: 0, .. }), "{name}");
    }
    assert!(matches!(found(&list, "out/linked-499").kind, Changed::File { links: 501, .. }));
    assert!(
        matches!(found(&list, "out/sparse").kind, Changed::File { size, stored, .. } if size == 1 << 40 && stored < 1 << 20)
    );
    assert!(list.iter().any(|change| change.path.to_str().is_none()), "the name that is not UTF-8");
}

/// Makes what a shell cannot, or not in good time.
#[test]
fn oddities() {
    if !is_probe("oddities") {
        return;
    }
    std::fs::create_dir_all("/out/deep").unwrap();
    if std::env::var_os("DEEP").is_some() {
        std::env::set_current_dir("/out/deep").unwrap();
        for _ in 0..40 {
            let name = "d".repeat(200);
            std::fs::create_dir(&name).unwrap();
            std::env::set_current_dir(&name).unwrap();
        }
        return;
    }
    std::fs::write("/out/linked", "x").unwrap();
    let mut links = 1;
    while links < 65_000 && std::fs::hard_link("/out/linked", format!("/out/l{links}")).is_ok() {
        links += 1;
    }
    println!("\nLINKS {links}");
    drop(std::os::unix::net::UnixListener::bind("/out/socket").unwrap());
    // A hard link to what a layer has makes a copy, not a name of the layer's own file.
    std::fs::hard_link("/old", "/out/of-a-layer").unwrap();
}

#[test]
fn case_36_sixty_five_thousand_names_a_socket_and_a_link_into_a_layer_are_told() {
    let (dir, base) = (TempDir::new().unwrap(), Base::new());
    let (outcome, upper) = after_room(dir.path(), &base, base.probe("oddities"));
    let list = changes(&outcome, &upper).unwrap();
    let links = match found(&list, "out/linked").kind {
        Changed::File { links, .. } => links,
        ref other => panic!("{other:?}"),
    };
    // As many as the file system allows: ext4 has room for 65,000.
    let names =
        list.iter().filter(|change| matches!(change.kind, Changed::File { links: all, .. } if all == links)).count();
    assert_eq!(names as u64, links);
    assert!(links == 65_000 || links > 10_000, "{links}");
    assert_eq!(found(&list, "out/socket").kind, Changed::Special);
    assert!(matches!(found(&list, "out/of-a-layer").kind, Changed::File { size: 3, .. }));
    let layer = std::fs::metadata(dir.path().join("layer/old")).unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::nlink(&layer), 1);
}

#[test]
fn case_36_a_path_longer_than_can_be_named_is_a_defined_error() {
    let (dir, base) = (TempDir::new().unwrap(), Base::new());
    let mut room = base.probe("oddities");
    room.env("DEEP", "1");
    let (outcome, upper) = after_room(dir.path(), &base, room);
    // 8,040 bytes of folders in folders.
    assert_eq!(changes(&outcome, &upper).unwrap_err().errno(), Some(libc::ENAMETOOLONG));
}

#[test]
fn case_36_a_tree_deeper_than_can_be_named_is_a_defined_error() {
    let dir = TempDir::new().unwrap();
    let script = "i=0; while [ $i -lt 250 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done";
    let (outcome, upper) = after(dir.path(), script);
    assert_eq!(changes(&outcome, &upper).unwrap_err().errno(), Some(libc::ENAMETOOLONG));
}

/// Case 35: exchanges a folder and a link to the outside as fast as it can, until it is told to stop.
fn exchange(folder: &Path, link: &Path, stop: &std::sync::atomic::AtomicBool) -> u32 {
    let mut turns = 0;
    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
        let flags = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(rustix::fs::CWD, folder, rustix::fs::CWD, link, flags).unwrap();
        turns += 1;
    }
    turns
}

#[test]
fn case_35_an_accomplice_outside_does_not_lead_the_collector_out() {
    let dir = TempDir::new().unwrap();
    let (outcome, upper) = after(dir.path(), "mkdir -p /out/a/deep; echo x >/out/a/deep/own");
    let outside = mkdir(dir.path().join("outside"));
    write(mkdir(outside.join("deep")).join("canary"), "not the room's");
    let (folder, link) = (upper.join("out/a"), upper.join("out/b"));
    std::os::unix::fs::symlink(&outside, &link).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    // A panic beside a thread that is waited for would never end.
    let seen = std::thread::scope(|scope| {
        let accomplice = scope.spawn(|| exchange(&folder, &link, &stop));
        let seen: Vec<_> = (0..1000).map(|_| changes(&outcome, &upper)).collect();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(accomplice.join().unwrap() > 0);
        seen
    });
    for list in seen.iter().flatten() {
        assert!(list.iter().all(|change| !change.path.ends_with("canary")), "{list:?}");
    }
    assert!(seen.iter().any(Result::is_ok));
    assert!(seen.iter().filter_map(|list| list.as_ref().err()).all(|error| matches!(error, Error::Changes { .. })));
}

/// Puts overlayfs' own marks on what the room may write, by every call there is; says which calls succeeded.
#[test]
fn forger() {
    if !is_probe("forger") {
        return;
    }
    let call = |nr: libc::c_long, args: [usize; 6]| {
        // SAFETY: paths, names and values are NUL-terminated and live; lengths are those of the values.
        unsafe { libc::syscall(nr, args[0], args[1], args[2], args[3], args[4], args[5]) == 0 }
    };
    let at = libc::AT_FDCWD as usize;
    let tell = |what: &str, done: bool| println!("\nFORGED {} {what}", u8::from(done));
    std::fs::create_dir("/out").unwrap();
    write("/out/.wh.name", "");
    write("/out/.wh..wh..opq", "");
    write("/folder/.wh.file", "");
    for path in ["/out/whiteout", "/gone"] {
        let _ = std::fs::remove_file(path);
        let name = std::ffi::CString::new(path).unwrap();
        tell("mknod", call(libc::SYS_mknodat, [at, name.as_ptr() as usize, libc::S_IFCHR as usize, 0, 0, 0]));
        write(path, "");
    }
    let names = [c"/old".as_ptr() as usize, c"/out/moved".as_ptr() as usize];
    tell("RENAME_WHITEOUT", call(libc::SYS_renameat2, [at, names[0], at, names[1], libc::RENAME_WHITEOUT as usize, 0]));
    let marks = ["opaque", "whiteout", "redirect", "metacopy", "origin", "impure", "nlink", "upper"];
    for target in [c"/folder", c"/out", c"/out/.wh.name", c"/old"] {
        let file = std::fs::File::open(target.to_str().unwrap()).unwrap();
        let (path, fd) = (target.as_ptr() as usize, std::os::fd::AsRawFd::as_raw_fd(&file) as usize);
        for (space, mark) in ["user", "trusted"].into_iter().flat_map(|space| marks.map(|mark| (space, mark))) {
            let name = std::ffi::CString::new(format!("{space}.overlay.{mark}")).unwrap();
            let name = name.as_ptr() as usize;
            let value: &[u8] = if mark == "redirect" { b"/etc\0" } else { b"y\0" };
            let (bytes, length) = (value.as_ptr() as usize, value.len() - 1);
            let how = [bytes as u64, length as u64];
            tell("setxattr", call(libc::SYS_setxattr, [path, name, bytes, length, 0, 0]));
            tell("fsetxattr", call(libc::SYS_fsetxattr, [fd, name, bytes, length, 0, 0]));
            tell("setxattrat", call(463, [at, path, 0, name, how.as_ptr() as usize, 16]));
        }
    }
}

#[test]
fn case_38_marks_of_overlayfs_cannot_be_forged() {
    let (dir, base) = (TempDir::new().unwrap(), Base::new());
    let (outcome, upper) = after_room(dir.path(), &base, base.probe("forger"));
    let list = changes(&outcome, &upper).unwrap();
    assert!(list.iter().all(|change| change.kind != Changed::Removed), "{list:?}");
    assert!(list.iter().all(|change| change.kind != Changed::Folder { opaque: true }), "{list:?}");
    for name in ["out/.wh.name", "out/.wh..wh..opq", "folder/.wh.file", "out/whiteout", "gone"] {
        assert!(matches!(found(&list, name).kind, Changed::File { .. }), "{name}");
    }
    // Nor does a later room that has it as a layer take them for marks.
    let script = "cat /folder/file /old; ls -A /out; ls /folder /etc";
    let mut room = base.sh(script);
    room.root = Root::layers([upper, dir.path().join("layer"), base.path().to_owned()]);
    let seen = harness::stdout(&room);
    assert_eq!(seen, "insideold.wh..wh..opq\n.wh.name\nwhiteout\n/etc:\npasswd\n\n/folder:\nfile\n");
}

#[test]
fn an_upper_directory_that_is_missing_or_a_link_is_an_error() {
    let dir = TempDir::new().unwrap();
    let (outcome, _) = after(dir.path(), "true");
    std::os::unix::fs::symlink("/etc", dir.path().join("link")).unwrap();
    for name in ["missing", "link"] {
        assert!(matches!(changes(&outcome, &dir.path().join(name)), Err(Error::Changes { .. })), "{name}");
    }
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
