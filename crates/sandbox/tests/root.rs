//! Roots: layers, directories, mounts, and whose the files are.
#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests arrange trees of their own")]

mod harness;

use std::fmt::Write as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::{Base, dress, is_probe, mkdir, root, run, stdout, write};
use sandbox::{Access, Error, Mount, Owner, Room, Root, Upper};
use tempfile::TempDir;

/// A room on `layers`, the base below them.
fn layered(base: &Base, layers: &[PathBuf], upper: Upper, script: &str) -> Room {
    let layers = layers.iter().cloned().chain([base.path().to_owned()]).collect();
    let mut room = Room::new(Root::Overlay { layers, upper }, "/bin/sh");
    dress(&mut room, script);
    room
}

/// Two layers that have one file in common.
fn two_layers(dir: &Path) -> [PathBuf; 2] {
    let [top, low] = [mkdir(dir.join("top")), mkdir(dir.join("low"))];
    write(top.join("both"), "top");
    write(low.join("both"), "low");
    write(top.join("one"), "1");
    write(low.join("two"), "2");
    [top, low]
}

#[test]
fn the_top_layer_wins_and_nothing_can_be_changed() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layers = two_layers(dir.path());
    let script =
        "cat /both /one /two; (echo x >/both) 2>/dev/null || echo -n ' closed'; rm /one 2>/dev/null || echo -n ' kept'";
    assert_eq!(stdout(&layered(&base, &layers, Upper::None, script)), "top12 closed kept");
    assert_eq!(std::fs::read_to_string(layers[0].join("both")).unwrap(), "top");
}

#[test]
fn changes_in_memory_are_gone_with_the_room() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layers = two_layers(dir.path());
    let script = "echo new >/both; rm /two; mkdir /etc/sub; echo x >/etc/sub/y; cat /both; ls /two 2>/dev/null; stat -c %u /both /etc/sub /";
    let room = layered(&base, &layers, Upper::Tmpfs { size: 1 << 20 }, script);
    for _ in 0..2 {
        assert_eq!(stdout(&room), "new\n1000\n1000\n1000\n");
    }
    assert_eq!(std::fs::read_to_string(layers[0].join("both")).unwrap(), "top");
    assert!(!base.path().join("etc/sub").exists());
}

#[test]
fn changes_in_a_directory_belong_to_the_caller() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layers = two_layers(dir.path());
    let (upper, work) = (mkdir(dir.path().join("upper")), mkdir(dir.path().join("work")));
    let script = "echo new >/both; mkdir /made; echo x >/made/file; chmod 640 /made/file; stat -c %u /made/file";
    let room = layered(&base, &layers, Upper::Dir { upper: upper.clone(), work }, script);
    assert_eq!(stdout(&room), "1000\n");
    assert_eq!(std::fs::read_to_string(upper.join("both")).unwrap(), "new\n");
    let made = std::fs::metadata(upper.join("made/file")).unwrap();
    assert_eq!(
        (made.uid(), made.gid(), made.mode() & 0o7777),
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw(), 0o640)
    );
    assert!(!upper.join("two").exists());
}

#[test]
fn an_upper_directory_apart_from_its_work_directory_is_refused() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let upper = Upper::Dir { upper: dir.path().join("a/upper"), work: dir.path().join("b/work") };
    assert!(matches!(layered(&base, &[], upper, "true").spawn(), Err(Error::Invalid { .. })));
}

#[test]
fn sixty_layers_are_sixty_layers() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layers: Vec<_> = (0..60)
        .map(|index| {
            let layer = mkdir(dir.path().join(format!("layer{index}")));
            write(layer.join(format!("file{index}")), "x");
            write(layer.join("winner"), &index.to_string());
            layer
        })
        .collect();
    let script = "ls / | grep -c '^file'; cat /winner";
    assert_eq!(stdout(&layered(&base, &layers, Upper::None, script)), "60\n0");
    assert_eq!(stdout(&layered(&base, &layers, Upper::Tmpfs { size: 1 << 20 }, script)), "60\n0");
}

#[test]
fn case_39_layer_paths_may_hold_anything() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let mut layers = Vec::new();
    for (index, name) in
        ["a:b", "a,b", "a\\b", "a\nb", " a b", "lowerdir=x", "é", &"long".repeat(60)].iter().enumerate()
    {
        let layer = mkdir(dir.path().join(name));
        write(layer.join(format!("file{index}")), "x");
        layers.push(layer);
    }
    // Longer than the 255 bytes that an option may have.
    let mut deep = dir.path().to_owned();
    for _ in 0..5 {
        deep = mkdir(deep.join("d".repeat(200)));
    }
    write(deep.join("file-deep"), "x");
    layers.push(deep);
    assert_eq!(stdout(&layered(&base, &layers, Upper::None, "ls / | grep -c '^file'")), "9\n");
}

#[test]
fn case_39_as_many_layers_as_are_allowed_are_all_there() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layers: Vec<_> = (0..997)
        .map(|index| {
            let layer = mkdir(dir.path().join(format!("layer{index}")));
            write(layer.join(format!("file{index}")), "x");
            write(layer.join("winner"), &index.to_string());
            layer
        })
        .collect();
    let script = "ls / | grep -c '^file'; cat /winner";
    // 500 are made with the 1024 open files that many systems give; each takes one.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    for (count, limit) in [(500, rustix::process::Rlimit { current: Some(1024), ..limit }), (997, raised)] {
        rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).unwrap();
        let room = layered(&base, &layers[997 - count..], Upper::Tmpfs { size: 1 << 20 }, script);
        assert_eq!(stdout(&room), format!("{count}\n{}", 997 - count));
    }
}

/// Makes a room of many layers with as little memory as is taken.
#[test]
fn frugal() {
    if !is_probe("frugal") {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layers: Vec<_> = (0..900).map(|index| mkdir(dir.path().join(index.to_string()))).collect();
    let mut room = layered(&base, &layers, Upper::None, "exit 0");
    room.limits.memory = Some(1 << 20);
    let refused = room.spawn().map(drop).unwrap_err();
    room.limits.memory = refused.to_string().split(' ').filter_map(|word| word.parse().ok()).nth(1);
    let ended = room.spawn().and_then(sandbox::Child::wait);
    println!("\nENDED {}", ended.is_ok_and(|outcome| outcome.success()));
}

#[test]
fn a_limit_on_memory_does_not_end_the_caller_with_the_set_up() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", "frugal", "--nocapture"]).env("PROBE", "frugal").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(harness::marked(&text, "ENDED "), ["true"], "{output:?}");
}

#[test]
fn case_39_too_many_layers_are_refused_not_dropped() {
    let dir = TempDir::new().unwrap();
    let room = Room::new(Root::layers(vec![dir.path(); 999]), "/bin/true");
    let error = room.spawn().unwrap_err();
    assert!(matches!(&error, Error::Invalid { what } if what.contains("998")), "{error}");
}

#[test]
fn a_layer_that_is_missing_or_no_directory_is_named() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    write(dir.path().join("file"), "");
    for (name, errno) in [("missing", libc::ENOENT), ("file", libc::ENOTDIR)] {
        let layer = dir.path().join(name);
        let error = layered(&base, std::slice::from_ref(&layer), Upper::None, "true").spawn().unwrap_err();
        assert!(error.to_string().contains(layer.to_str().unwrap()), "{error}");
        assert_eq!(error.errno(), Some(errno), "{error}");
    }
}

#[test]
fn mount_points_need_not_exist_in_the_layers() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    write(dir.path().join("file"), "content");
    let mut room = base.sh("cat /recipe/file /deep/er/file; echo -n x >/build/y; cat /build/y; ls /");
    room.bind_ro(dir.path(), "/recipe").bind_ro(dir.path().join("file"), "/deep/er/file").tmpfs("/build", 1 << 20);
    assert_eq!(
        stdout(&room),
        "contentcontentxbin\nbuild\ndeep\ndev\netc\nlib\nlib64\nopt\nproc\nrecipe\nsbin\nsys\ntmp\nusr\n"
    );
    // The layer itself was not touched.
    assert!(!base.path().join("recipe").exists());
}

#[test]
fn folders_and_links_can_be_named_as_mounts_are() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let link = |target: &str, to: &str| Mount::Link { target: target.into(), to: to.into() };
    let add = |room: &mut Room| {
        room.mounts.push(Mount::Folder { target: "/var/empty".into(), mode: 0o755 });
        room.mounts.push(link("/var/tmp", "../tmp"));
        room.mounts.push(Mount::Tmpfs { target: "/run".into(), size: 1 << 16, mode: 0o755 });
        room.mounts.push(Mount::Folder { target: "/run/user/1000".into(), mode: 0o755 });
        room.mounts.push(link("/run/more/lock", "/tmp"));
        room.bind_ro(dir.path(), "/var/empty/in");
    };
    let script = "readlink /var/tmp /run/more/lock; ls /var /var/empty /run/user; stat -c %u /var/tmp /run/user /var/empty; \
        echo x >/var/tmp/x && cat /tmp/x";
    let seen = "../tmp\n/tmp\n/run/user:\n1000\n\n/var:\nempty\ntmp\n\n/var/empty:\nin\n1000\n1000\n1000\nx\n";
    let mut layered = base.sh(script);
    add(&mut layered);
    assert_eq!(stdout(&layered), seen);
    let mut on_dir = Room::new(Root::dir(base.path(), Access::Ro), "/bin/sh");
    dress(&mut on_dir, script);
    add(&mut on_dir);
    assert_eq!(stdout(&on_dir), seen);
    assert!(!base.path().join("var").exists() && !base.path().join("run").exists());
    let mut empty = empty(script);
    add(&mut empty);
    assert_eq!(stdout(&empty), seen);
    // The same link again is fine; another thing in its place is not.
    for (target, to, works) in [("/bin", "usr/bin", true), ("/bin", "/elsewhere", false), ("/etc", "usr", false)] {
        let mut room = base.sh("exit 0");
        room.mounts.push(link(target, to));
        let result = room.spawn().map(|child| child.wait().unwrap());
        assert_eq!(result.is_ok(), works, "{target}");
        if let Err(error) = result {
            assert_eq!(
                (error.step(), error.errno()),
                (Some(&*format!("making the link {target}")), Some(libc::EEXIST))
            );
        }
    }
}

fn file(target: &str, contents: &str, mode: u32) -> Mount {
    Mount::File { target: target.into(), contents: contents.into(), mode }
}

fn data(target: &str, contents: &str, access: Access) -> Mount {
    Mount::Data { target: target.into(), contents: contents.into(), mode: 0o640, access }
}

/// An empty root with the links of a merged `/usr`.
fn empty(script: &str) -> Room {
    let mut room = Room::new(Root::Empty, "/bin/sh");
    dress(&mut room, script);
    let merged = ["bin", "lib", "lib64"].iter().filter(|name| Path::new("/usr").join(name).exists());
    room.mounts
        .extend(merged.map(|name| Mount::Link { target: Path::new("/").join(name), to: Path::new("usr").join(name) }));
    room
}

#[test]
fn files_can_be_given_by_their_contents() {
    let dir = TempDir::new().unwrap();
    rustix::fs::chmod(dir.path(), 0o777.into()).unwrap();
    write(dir.path().join("old"), "longer than what comes");
    let script = "cat /etc/made /run/a/b /out/new /out/old; stat -c '%a %u' /etc/made /run/a/b; \
        mv /run/a/b /run/a/c && (>>/etc/made) 2>/dev/null || echo closed";
    let mut room = empty(script);
    room.mounts.push(file("/etc/made", "1", 0o604));
    room.tmpfs("/run", 1 << 16).bind_rw(dir.path(), "/out");
    room.mounts.extend([file("/run/a/b", "2", 0o666), file("/out/new", "3", 0o600), file("/out/old", "4\n", 0o600)]);
    assert_eq!(stdout(&room), "1234\n604 1000\n666 1000\nclosed\n");
    let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().mode() & 0o777;
    assert_eq!((mode("new"), mode("old") & 0o400), (0o600, 0o400));
    assert!(mode("old") != 0o600 && std::fs::read(dir.path().join("old")).unwrap() == b"4\n");
    // Neither a pipe nor a link in its place makes it wait or leads elsewhere.
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    std::os::unix::fs::symlink("old", dir.path().join("link")).unwrap();
    for (name, errno) in [("/out/pipe", libc::ENXIO), ("/out/link", libc::ELOOP)] {
        let mut room = empty("true");
        room.bind_rw(dir.path(), "/out").mounts.push(file(name, "x", 0o600));
        assert_eq!(room.spawn().unwrap_err().errno(), Some(errno), "{name}");
    }
    let mut large = empty("wc -c </large");
    large.mounts.push(file("/large", &"x".repeat(3 << 20), 0o644));
    assert_eq!(stdout(&large), "3145728\n", "the root has room for what is put into it");
}

#[test]
fn a_file_cannot_be_put_where_nothing_can_be_written() {
    let base = Base::new();
    let mut room = base.sh("true");
    room.mounts.push(file("/etc/made", "x", 0o644));
    let error = room.spawn().unwrap_err();
    assert_eq!((error.step(), error.errno()), (Some("writing /etc/made"), Some(libc::EROFS)), "{error}");
    assert!(error.to_string().contains("mount the data"), "{error}");
    room.root = Root::Overlay { layers: vec![base.path().to_owned()], upper: Upper::Tmpfs { size: 1 << 20 } };
    room.args = vec!["-c".into(), "cat /etc/made".into()];
    assert_eq!(stdout(&room), "x");
}

#[test]
fn data_is_mounted_in_every_kind_of_root() {
    let base = Base::new();
    let script = "cat /etc/passwd /tmp/new; stat -c '%a %u' /tmp/new; (echo x >>/etc/passwd) 2>/dev/null || echo closed; \
        echo more >>/tmp/new && tail -n1 /tmp/new; ls -A /proc/fs >/dev/null && echo proc";
    let seen = "by data\nnew\n640 1000\nclosed\nmore\nproc\n";
    let mut host = Room::new(Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host }, "/bin/sh");
    dress(&mut host, script);
    for mut room in [base.sh(script), empty(script), host] {
        room.mounts.extend([data("/etc/passwd", "by data\n", Access::Ro), data("/tmp/new", "new\n", Access::Rw)]);
        assert_eq!(stdout(&room), seen, "{:?}", room.root);
        room.proc = false;
        assert!(matches!(room.spawn(), Err(Error::Invalid { .. })));
    }
    assert!(!std::fs::read_to_string("/etc/passwd").unwrap().contains("by data"));
}

#[test]
fn mounts_are_done_and_changed_in_the_order_they_are_named() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    write(dir.path().join("file"), "content");
    let script = "ls /x /y; stat -c %a /x/open /x/shut /z; (>/x/new) 2>/dev/null || echo closed; >/x/in/new; echo done";
    let mut room = base.sh(script);
    // Under the next one; over the one before.
    room.bind_ro(dir.path(), "/y/below").tmpfs("/y", 1 << 16).tmpfs("/x", 1 << 16).tmpfs("/x/in", 1 << 16);
    room.mounts.push(Mount::Folder { target: "/x/open".into(), mode: 0o1777 });
    room.mounts.push(Mount::Folder { target: "/x/shut".into(), mode: 0o755 });
    room.mounts.push(Mount::Folder { target: "/z".into(), mode: 0o700 });
    room.mounts.push(Mount::Mode { target: "/x/shut".into(), mode: 0o500 });
    room.mounts.push(Mount::ReadOnly { target: "/x".into() });
    assert_eq!(stdout(&room), "/x:\nin\nopen\nshut\n\n/y:\n1777\n500\n700\nclosed\ndone\n");
    // What is no mount cannot be made read-only by itself.
    room.mounts.push(Mount::ReadOnly { target: "/x/open".into() });
    let error = room.spawn().unwrap_err();
    assert_eq!((error.step(), error.errno()), (Some("making read-only /x/open"), Some(libc::EINVAL)), "{error}");
    assert!(error.to_string().contains("nothing is mounted"), "{error}");
}

#[test]
fn memory_without_a_bound_is_refused() {
    let base = Base::new();
    let [mut tmpfs, mut tmp] = [base.sh("true"), base.sh("true")];
    tmpfs.tmpfs("/x", 0);
    tmp.tmp = Some(0);
    let upper = layered(&base, &[], Upper::Tmpfs { size: 0 }, "true");
    for room in [tmpfs, tmp, upper] {
        let error = room.spawn().unwrap_err();
        assert!(matches!(&error, Error::Invalid { what } if what.contains("0 bytes")), "{error}");
    }
}

#[test]
fn message_queues_are_the_rooms_own() {
    let base = Base::new();
    let mut room = base.sh("ls /queues; >/queues/q; ls /queues; stat -f -c %T /queues");
    room.mounts.push(Mount::Queues { target: "/queues".into() });
    assert_eq!(stdout(&room), "q\nmqueue\n");
}

#[test]
fn devices_work_where_they_are_named() {
    let base = Base::new();
    let bind =
        |target: &str, access| Mount::Bind { source: "/dev".into(), target: target.into(), access, owner: Owner::Host };
    let mut room = base.sh("head -c2 /given/zero | wc -c; (: </in/zero) 2>/dev/null || echo nothing");
    room.mounts.extend([bind("/given", Access::Devices), bind("/in", Access::Rw)]);
    assert_eq!(stdout(&room), "2\nnothing\n");
    let mut whole = base.sh("[ $(ls /dev | wc -l) = $(ls -U /dev | wc -l) ] && head -c2 /dev/zero | wc -c");
    whole.mounts.push(bind("/dev", Access::Devices));
    assert_eq!(stdout(&whole), "2\n");
    let mut suid = base.sh("grep ' /in ' /proc/self/mountinfo | grep -c nosuid");
    suid.mounts.push(bind("/in", Access::Devices));
    assert_eq!(stdout(&suid), "1\n", "nothing else is let through");
}

#[test]
fn more_can_be_put_into_dev() {
    let base = Base::new();
    let host = Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
    for root in [Root::layers([base.path()]), host] {
        let script = "ls /dev | tr '\\n' ' '; head -c1 /dev/more/one | wc -c; (>/dev/x) 2>/dev/null || echo closed";
        let mut room = base.sh(script);
        room.root = root;
        let (source, target, access) = ("/dev/zero".into(), "/dev/more/one".into(), Access::Devices);
        room.mounts.push(Mount::Bind { source, target, access, owner: Owner::Host });
        room.mounts.push(Mount::Queues { target: "/dev/mqueue".into() });
        room.mounts.push(Mount::Link { target: "/dev/core".into(), to: "/proc/kcore".into() });
        let usual = "fd full more mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ";
        assert_eq!(stdout(&room), format!("core {usual}1\nclosed\n"));
    }
}

#[test]
fn a_mount_can_lie_in_an_earlier_one() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    write(dir.path().join("file"), "content");
    let mut room = base.sh("cat /tmp/a/b/file /tmp/single; (>/tmp/a/b/new) 2>/dev/null || echo ' closed'");
    room.bind_ro(dir.path(), "/tmp/a/b").bind_ro(dir.path().join("file"), "/tmp/single");
    assert_eq!(stdout(&room), "contentcontent closed\n");
}

#[test]
fn an_empty_root_holds_only_mount_points() {
    let mut room = Room::new(Root::Empty, "/usr/bin/sh");
    dress(&mut room, "ls /; (>/x) 2>/dev/null || echo closed");
    if Path::new("/usr/lib64").exists() {
        room.mounts.push(Mount::Bind {
            source: "/usr/lib64".into(),
            target: "/lib64".into(),
            access: Access::Ro,
            owner: Owner::Host,
        });
    }
    if Path::new("/usr/lib").exists() {
        room.mounts.push(Mount::Bind {
            source: "/usr/lib".into(),
            target: "/lib".into(),
            access: Access::Ro,
            owner: Owner::Host,
        });
    }
    let out = stdout(&room);
    assert!(out.ends_with("closed\n") && out.contains("proc\n") && !out.contains("home"), "{out}");
}

#[test]
fn a_directory_as_the_root_can_be_written_and_keeps_no_mount_points() {
    let base = Base::new();
    let mut room = Room::new(Root::dir(base.path(), Access::Rw), "/bin/sh");
    dress(&mut room, "echo hello >/etc/new; mkdir /opt/made; ls /");
    assert!(stdout(&room).contains("proc\n"));
    assert_eq!(std::fs::read_to_string(base.path().join("etc/new")).unwrap(), "hello\n");
    assert_eq!(std::fs::metadata(base.path().join("opt/made")).unwrap().uid(), rustix::process::geteuid().as_raw());
    for name in ["proc", "dev", "sys", "tmp"] {
        assert!(!base.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_directory_as_a_read_only_root_is_not_touched() {
    let base = Base::new();
    for complete in [false, true] {
        if complete {
            for name in ["proc", "dev", "sys", "tmp"] {
                mkdir(base.path().join(name));
            }
        }
        let before = std::fs::metadata(base.path()).unwrap().mtime_nsec();
        let mut room = Room::new(Root::dir(base.path(), Access::Ro), "/bin/sh");
        dress(
            &mut room,
            "(>/etc/new) 2>/dev/null || echo closed; cat /etc/passwd | wc -l; echo x >/tmp/y && cat /tmp/y",
        );
        assert_eq!(stdout(&room), "closed\n1\nx\n");
        assert_eq!(std::fs::metadata(base.path()).unwrap().mtime_nsec(), before);
    }
}

#[test]
fn a_root_with_mounts_in_it_keeps_them_where_it_lacks_mount_points() {
    let host = || Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
    let look = "test -d /sys/kernel && test -e /etc/passwd && test -d /absent/place && \
        test -d /usr/absent && (>/usr/absent/x) && ! (>/absent/x) 2>/dev/null && ! (>/y) 2>/dev/null && ls /usr/bin/env";
    let mut room = Room::new(host(), "/bin/sh");
    // The host's, another file system on its root.
    room.sys = None;
    room.args(["-c", look]).env("PATH", "/usr/bin:/bin").tmpfs("/absent/place", 1 << 20).tmpfs("/usr/absent", 1 << 20);
    room.mounts.push(Mount::Link { target: "/absent/link".into(), to: "place".into() });
    let (outcome, out, err) = run(&room);
    assert!(outcome.success() && out == "/usr/bin/env\n", "{outcome:?} {out} {err}");
}

#[test]
fn what_is_written_into_a_bind_belongs_to_the_caller() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    write(dir.path().join("old"), "old");
    let mut room = base.sh("stat -c %u /dest /dest/old; echo new >/dest/new; echo changed >/dest/old; mkdir -p /dest/usr/bin; ln -s /etc/shadow /dest/link; mv /dest/new /dest/usr/bin/");
    room.bind_rw(dir.path(), "/dest");
    assert_eq!(stdout(&room), "1000\n1000\n");
    assert_eq!(std::fs::read_to_string(dir.path().join("old")).unwrap(), "changed\n");
    for name in ["old", "usr", "usr/bin", "usr/bin/new", "link"] {
        let meta = std::fs::symlink_metadata(dir.path().join(name)).unwrap();
        assert_eq!(
            (meta.uid(), meta.gid()),
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
            "{name}"
        );
    }
}

#[test]
fn case_37_inputs_cannot_be_linked_into_outputs() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let (input, output) = (mkdir(dir.path().join("in")), mkdir(dir.path().join("out")));
    write(input.join("file"), "x");
    let mut room =
        base.sh("ln /in/file /out/x 2>/dev/null || echo refused; ln /in/file /in/y 2>/dev/null || echo refused");
    room.bind_ro(&input, "/in").bind_rw(&output, "/out");
    assert_eq!(stdout(&room), "refused\nrefused\n");
    assert_eq!(std::fs::metadata(input.join("file")).unwrap().nlink(), 1);
}

#[test]
fn case_40_a_link_in_the_root_does_not_lead_a_mount_out_of_it() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let outside = mkdir(dir.path().join("outside"));
    let layer = mkdir(dir.path().join("layer"));
    let to_outside = Path::new("/").join(outside.strip_prefix("/").unwrap());
    std::os::unix::fs::symlink(&to_outside, layer.join("out")).unwrap();
    std::os::unix::fs::symlink("../../../../../../../etc", layer.join("up")).unwrap();
    write(dir.path().join("file"), "content");
    let mut room = layered(&base, std::slice::from_ref(&layer), Upper::None, "cat /etc/file");
    room.bind_ro(dir.path(), "/up");
    assert_eq!(stdout(&room), "content", "a link is followed inside the root");
    let mut room = layered(&base, &[layer], Upper::None, "true");
    room.bind_ro(dir.path(), "/out/sub");
    assert!(room.spawn().is_err());
    assert_eq!(std::fs::read_dir(outside).unwrap().count(), 0);
}

#[test]
fn two_rooms_do_not_write_into_the_same_upper_folder() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let [upper, work, other] = ["upper", "work", "other"].map(|name| mkdir(dir.path().join(name)));
    let room = |upper: &Path, work: &Path, script: &str| {
        layered(&base, &[], Upper::Dir { upper: upper.to_owned(), work: work.to_owned() }, script)
    };
    let child = room(&upper, &work, "sleep 1000").spawn().unwrap();
    for (upper, work, named) in [(&upper, &other, &upper), (&other, &work, &work), (&work, &upper, &work)] {
        let error = room(upper, work, "true").spawn().unwrap_err();
        assert_eq!(error.errno(), Some(libc::EWOULDBLOCK), "{error}");
        let text = error.to_string();
        assert!(text.contains(&format!("locking {}", named.display())) && text.contains("another room"), "{text}");
    }
    if root() {
        // Who is not root may not look.
        let held = [4, 5].map(|number| std::fs::read_link(format!("/proc/{}/fd/{number}", child.id())).unwrap());
        assert_eq!(held, [upper.clone(), work.clone()], "as long as anything is inside");
    }
    drop(child);
    assert!(room(&upper, &work, "touch /x").spawn().unwrap().wait().unwrap().success());
    // A room that was kept still has its folders.
    let (child, kept) = room(&upper, &work, "ls /x").spawn_keeping().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(room(&upper, &work, "true").spawn().unwrap_err().errno(), Some(libc::EWOULDBLOCK));
    let again = kept.enter(&room(&upper, &work, "test -e /x")).unwrap();
    drop(kept);
    assert_eq!(room(&upper, &work, "true").spawn().unwrap_err().errno(), Some(libc::EWOULDBLOCK));
    assert!(again.wait().unwrap().success());
    assert!(room(&upper, &work, "true").spawn().unwrap().wait().unwrap().success());
    assert!(matches!(room(&upper, &upper, "true").spawn(), Err(Error::Invalid { .. })));
}

#[test]
fn what_others_rename_meanwhile_does_not_matter() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    let layer = mkdir(dir.path().join("layer"));
    std::os::unix::fs::symlink("../../../../../../../../etc", layer.join("up")).unwrap();
    for number in 0..10 {
        std::fs::create_dir_all(layer.join(format!("etc/{number}"))).unwrap();
    }
    let mut room = layered(&base, &[layer], Upper::None, "true");
    for number in 0..10 {
        room.bind_ro(dir.path(), format!("/up/{number}"));
    }
    let ended = std::sync::atomic::AtomicBool::new(false);
    let names = [dir.path().join("a"), dir.path().join("b")];
    write(&names[0], "");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ended.load(std::sync::atomic::Ordering::SeqCst) {
                std::fs::rename(&names[0], &names[1]).unwrap();
                std::fs::rename(&names[1], &names[0]).unwrap();
            }
        });
        let started: Vec<_> = (0..8).map(|_| room.spawn().and_then(sandbox::Child::wait)).collect();
        ended.store(true, std::sync::atomic::Ordering::SeqCst);
        for result in started {
            assert!(result.unwrap().success());
        }
    });
}

#[test]
fn case_20_a_shell_finds_no_way_out_of_the_root() {
    let base = Base::new();
    let script = "ls /proc/1/root/ >/dev/null 2>&1 && echo ENTERED; ls /proc/1/cwd/ >/dev/null 2>&1 && echo ENTERED; \
                  cd /; for i in 1 2 3 4 5 6 7 8 9; do cd ..; done; ls -d home root var 2>/dev/null; ls /proc/self/root | head -1; cut -d' ' -f2 /proc/mounts | sort | head -2";
    let (_, out, err) = run(&base.sh(script));
    assert_eq!(out, "bin\n/\n/dev\n", "{err}");
}

/// What `stat` says of everything in a room, in a form to compare.
fn listing(base: &Base, extra: &Path) -> String {
    let find = "find / -xdev -printf '%p %y %m %U %G %l\\n'; find /build /recipe /dest /dev /tmp /sys -printf '%p %y %m %U %G\\n'";
    let mut room = base.sh(&format!("({find}) | sort"));
    room.tmpfs("/build", 1 << 20).bind_ro(extra, "/recipe").bind_rw(extra, "/dest");
    room.mounts.retain(|mount| mount.target() != Path::new("/usr"));
    room.mounts.push(Mount::Bind {
        source: "/usr".into(),
        target: "/usr".into(),
        access: Access::Ro,
        owner: Owner::Host,
    });
    stdout(&room)
}

/// The same tree for any caller.
fn sample(dir: &Path) {
    for (name, mode) in [("script", 0o755), ("data", 0o644), ("secret", 0o600)] {
        write(dir.join(name), name);
        rustix::fs::chmod(dir.join(name), mode.into()).unwrap();
    }
    std::os::unix::fs::symlink("data", dir.join("link")).unwrap();
    rustix::fs::chmod(mkdir(dir.join("sub")), 0o700.into()).unwrap();
}

/// The ordinary user's half of the next test.
#[test]
fn list_as_a_user() {
    if !is_probe("list_as_a_user") {
        return;
    }
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    sample(dir.path());
    let mut text = String::new();
    for line in listing(&base, dir.path()).lines() {
        let _ = writeln!(text, "\nLISTED {line}");
    }
    print!("{text}");
}

/// Its file system maps no owners, and what it has is everybody's.
#[test]
fn a_device_of_the_host_keeps_its_owner_when_it_is_bound_writable() {
    let owner = || std::fs::metadata("/dev/null").map(|found| (found.uid(), found.gid())).unwrap();
    let (base, before) = (Base::new(), owner());
    let mut room = base.sh("true");
    let (source, target) = ("/dev/null".into(), "/etc/passwd".into());
    room.mounts.push(Mount::Bind { source, target, access: Access::Rw, owner: Owner::Caller });
    assert!(run(&room).0.success());
    assert_eq!(owner(), before);
}

#[test]
fn root_and_an_ordinary_user_see_the_same_numbers() {
    let (base, dir) = (Base::new(), TempDir::new().unwrap());
    sample(dir.path());
    let own = listing(&base, dir.path());
    for line in [
        "/ d 755 1000 1000",
        "/etc/passwd f 644 1000 1000",
        "/recipe/secret f 600 1000 1000",
        "/build d 755 1000 1000",
        "/tmp d 1777 1000 1000",
    ] {
        assert!(own.lines().any(|found| found.trim() == line), "{line}\n{own}");
    }
    if !root() {
        return;
    }
    // A copy, since an ordinary user may not be able to reach the build directory.
    let shared = tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir_in("/tmp")
        .unwrap();
    let copy = shared.path().join("tested");
    // By another process: a writer's descriptor that a fork of this one held would make the copy busy.
    assert!(Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap().success());
    rustix::fs::chmod(&copy, 0o755.into()).unwrap();
    let mut command = Command::new(&copy);
    command
        .args(["--exact", "list_as_a_user", "--nocapture"])
        .env_clear()
        .env("PROBE", "list_as_a_user")
        .current_dir("/");
    std::os::unix::process::CommandExt::gid(&mut command, 12345);
    std::os::unix::process::CommandExt::uid(&mut command, 12345);
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let theirs = harness::marked(&text, "LISTED ").join("\n");
    assert_eq!(
        own.lines().map(str::trim).collect::<Vec<_>>().join("\n"),
        theirs,
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_same_holds_for_an_ordinary_user() {
    harness::again_as_a_user();
}
