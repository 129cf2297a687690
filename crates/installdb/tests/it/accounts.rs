//! Users and groups that packages need are there before their files are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use installdb::{Done, Error, ErrorKind, Finding, Incoming, Notice};
use pkgformat::EntryKind;
use pkgtypes::Mode;

use crate::scene::{NOW, Pack, Packed, Scene, name, pack, path, run};

impl Pack {
    fn user(self, line: &str) -> Self {
        self.meta(|meta| meta.sysusers.push(line.to_owned()))
    }

    fn group(self, line: &str) -> Self {
        self.meta(|meta| meta.sysgroups.push(line.to_owned()))
    }
}

fn service() -> Packed {
    pack("service 1-1")
        .user("u bus - \"Message Bus\" /run/bus")
        .group("g plug -")
        .user("m bus plug")
        .owned_by("bus", "plug")
        .file("srv/bus/data", 0o640, "data")
        .build()
}

/// What was told, but for what an ordinary user can not give.
fn about_accounts(done: Done) -> Vec<Notice> {
    done.notices.into_iter().filter(|told| !matches!(told, Notice::NotGiven(_))).collect()
}

#[test]
fn a_file_may_belong_to_a_user_that_comes_with_it() {
    let scene = Scene::new();
    let done = scene.install(&[&service()]);
    assert_eq!(scene.read("etc/passwd"), "bus:x:998:998:Message Bus:/run/bus:/usr/sbin/nologin\n");
    assert_eq!(scene.read("etc/group"), "plug:x:999:bus\nbus:x:998:\n");
    let stat = fs::metadata(scene.at("srv/bus/data")).unwrap();
    if fs::metadata(scene.root()).unwrap().uid() == 0 {
        assert_eq!((stat.uid(), stat.gid()), (998, 999));
    }
    assert_eq!(stat.mode() & 0o7777, 0o640);
    assert_eq!(fs::metadata(scene.at("etc/passwd")).unwrap().mode() & 0o7777, 0o644);
    scene.assert_verified();
    let package = name("service");
    let made = |what, text: &str, id| Notice::AccountMade { what, name: text.into(), id, package: package.clone() };
    let member = Notice::MemberAdded { user: "bus".into(), group: "plug".into(), package: package.clone() };
    let told = [made("group", "plug", 999), made("group", "bus", 998), made("user", "bus", 998), member];
    assert_eq!(about_accounts(done), told);
}

/// As in every other new system: nobody but root may read what stands for passwords, and the group that checks them.
#[test]
fn a_new_root_keeps_passwords_apart() {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    for with_group in [false, true] {
        let scene = Scene::new();
        let base = pack("base 1-1").user("u root 0").group(if with_group { "g shadow 42" } else { "g other 42" });
        scene.install(&[&base.build(), &service()]);
        let day = NOW.seconds() / 86_400;
        assert_eq!(scene.read("etc/shadow"), format!("root:!*:{day}::::::\nbus:!*:{day}::::::\n"));
        assert!(scene.read("etc/gshadow").contains("plug:!*::bus\n"));
        assert!(scene.read("etc/passwd").lines().all(|line| line.split(':').nth(1) == Some("x")));
        for file in ["etc/shadow", "etc/gshadow"] {
            let stat = fs::metadata(scene.at(file)).unwrap();
            let group = if with_group && is_root { (0o640, 42) } else { (0o600, stat.gid()) };
            assert_eq!((stat.mode() & 0o7777, stat.gid()), group, "{file}");
        }
    }
    // One that has none goes on without.
    let scene = Scene::new();
    scene.write("etc/passwd", "root::0:0::/root:/bin/sh\n");
    scene.write("etc/group", "root:x:0:\n");
    scene.install(&[&service()]);
    assert!(scene.read("etc/passwd").contains("bus:!*:") && !scene.at("etc/shadow").exists());
    assert!(!scene.at("etc/gshadow").exists());
}

#[test]
fn users_stay_when_their_package_goes_and_are_not_made_twice() {
    let scene = Scene::new();
    scene.install(&[&service()]);
    let (passwd, group) = (scene.read("etc/passwd"), scene.read("etc/group"));
    scene.remove(&["service"]);
    assert_eq!((scene.read("etc/passwd"), scene.read("etc/group")), (passwd.clone(), group.clone()));
    let inode = fs::metadata(scene.at("etc/passwd")).unwrap().ino();
    assert_eq!(about_accounts(scene.install(&[&service()])), []);
    assert_eq!((scene.read("etc/passwd"), scene.read("etc/group")), (passwd, group));
    assert_eq!(fs::metadata(scene.at("etc/passwd")).unwrap().ino(), inode, "what does not change is not written");
}

#[test]
fn who_is_there_is_taken_as_he_is_and_all_else_is_kept() {
    let scene = Scene::new();
    scene.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nbus:x:77:78:mine:/home:/bin/sh");
    scene.write("etc/group", "root:x:0:\n# mine\nplug:x:5:ann\n+:::\n");
    scene.write("etc/shadow", "root:*:1::::::\n");
    scene.write("etc/gshadow", "plug:!::ann\n");
    fs::set_permissions(scene.at("etc/shadow"), fs::Permissions::from_mode(0o600)).unwrap();
    let more = pack("more 1-1").user("u! door 8 - /var/door /bin/door").user("u guest 500:plug").build();
    scene.install(&[&service(), &more]);
    let bus = "root:x:0:0::/root:/bin/sh\nbus:x:77:78:mine:/home:/bin/sh\n";
    let day = NOW.seconds() / 86_400;
    let new = "door:x:8:8::/var/door:/bin/door\nguest:x:500:5::/:/usr/sbin/nologin\n";
    assert_eq!(scene.read("etc/passwd"), format!("{bus}{new}"));
    assert_eq!(scene.read("etc/group"), "root:x:0:\n# mine\nplug:x:5:ann,bus\ndoor:x:8:\n+:::\n");
    let shadow = format!("root:*:1::::::\ndoor:!*:{day}:::::1:\nguest:!*:{day}::::::\n");
    assert_eq!(scene.read("etc/shadow"), shadow);
    assert_eq!(scene.read("etc/gshadow"), "plug:!::ann,bus\ndoor:!*::\n");
    assert_eq!(fs::metadata(scene.at("etc/shadow")).unwrap().mode() & 0o7777, 0o600);
}

#[test]
fn the_same_packages_make_the_same_users_in_whatever_order() {
    let a = pack("a 1-1").user("u zoe").user("u fixed 998").group("g own -").user("u late -:own").build();
    let b = pack("b 1-1").user("u amy").user("m zoe amy").user("u zoe - \"Zoe\"").build();
    let texts = [[&a, &b], [&b, &a]].map(|packages| {
        let scene = Scene::new();
        scene.install(&packages);
        scene.read("etc/passwd") + &scene.read("etc/group")
    });
    assert_eq!(texts[0], texts[1]);
    let passwd = "fixed:x:998:998::/:/usr/sbin/nologin\namy:x:999:999::/:/usr/sbin/nologin\nlate:x:996:997::/:/usr/sbin/nologin\nzoe:x:995:995:Zoe:/:/usr/sbin/nologin\n";
    let group = "fixed:x:998:\namy:x:999:zoe\nown:x:997:\nzoe:x:995:\n";
    assert!(texts[0].starts_with(passwd), "{}", texts[0]);
    assert_eq!(&texts[0][passwd.len()..], group);
}

/// What speaks against a change; nothing may have been changed.
fn refused(scene: &Scene, packages: &[&Packed], remove: &[&str]) -> Vec<Finding> {
    drop(scene.open());
    let before = scene.tree();
    let Error::Refused(findings) = scene.change(packages, remove).unwrap_err() else { panic!("it is refused") };
    assert_eq!(scene.tree(), before);
    findings
}

#[test]
fn a_clash_is_found_beforehand() {
    let scene = Scene::new();
    scene.write("etc/passwd", "ann:x:8:8::/:/bin/sh\n");
    scene.write("etc/group", "staff:x:9:\n");
    let with = |spec: &str, line: &str| pack(spec).user(line).build();
    let a = name("a");
    let bad = refused(&scene, &[&with("a 1-1", "u ../x")], &[]);
    assert!(matches!(&bad[..], [Finding::BadAccount { package, .. }] if *package == a));
    let taken = |what, id, other: &str| Finding::IdTaken {
        what,
        name: "bob".into(),
        id,
        other: other.into(),
        package: a.clone(),
    };
    assert_eq!(refused(&scene, &[&with("a 1-1", "u bob 8")], &[]), [taken("user", 8, "ann")]);
    assert_eq!(refused(&scene, &[&with("a 1-1", "g bob 9")], &[]), [taken("group", 9, "staff")]);
    let two = [&with("a 1-1", "u bob 20"), &with("b 1-1", "u bob 21")];
    let clash = Finding::AccountClash { what: "user", name: "bob".into(), first: a, second: name("b") };
    assert_eq!(refused(&scene, &two, &[]), [clash]);
    let unknown = pack("a 1-1").user("u bob").owned_by("eve", "bob").file("f", 0o644, "f").build();
    if fs::metadata(scene.root()).unwrap().uid() == 0 {
        let findings = refused(&scene, &[&unknown], &[]);
        assert!(matches!(&findings[..], [Finding::UnknownPrincipal { name, .. }] if name == "eve"), "{findings:?}");
    }
}

#[test]
fn a_passwd_file_that_comes_or_goes_is_a_change_by_itself() {
    let scene = Scene::new();
    let base =
        pack("base 1-1").config("etc/passwd", "root:x:0:0::/:/bin/sh\n").config("etc/group", "root:x:0:\n").build();
    let of = |file: &str| Finding::AccountFile { path: path(file), package: name("base") };
    assert_eq!(refused(&scene, &[&base, &service()], &[]), [of("etc/passwd"), of("etc/group")]);
    scene.install(&[&base]);
    assert_eq!(refused(&scene, &[&service()], &["base"]), [of("etc/passwd"), of("etc/group")]);
    scene.install(&[&service()]);
    assert!(scene.read("etc/passwd").starts_with("root:x:0:0::/:/bin/sh\nbus:!*:998:"));
    let differences = scene.installed().verify(&[]).unwrap();
    assert!(differences.iter().all(|difference| difference.expected), "{differences:?}");
}

#[test]
fn files_with_users_are_made_in_a_new_etc() {
    let scene = Scene::new();
    let conf = pack("conf 1-1").file("etc/conf", 0o644, "conf").user("u bus").build();
    scene.install(&[&conf]);
    assert_eq!((scene.read("etc/conf"), scene.read("etc/group")), ("conf".into(), "bus:x:999:\n".into()));
    scene.remove(&["conf"]);
    assert!(scene.at("etc/passwd").exists() && !scene.at("etc/conf").exists());
}

#[test]
fn who_may_not_read_passwords_installs_what_needs_no_users() {
    let scene = Scene::new();
    scene.write("etc/shadow", "root:*:1::::::\n");
    fs::set_permissions(scene.at("etc/shadow"), fs::Permissions::from_mode(0o000)).unwrap();
    scene.install(&[&pack("plain 1-1").file("a", 0o644, "a").build()]);
    if fs::metadata(scene.root()).unwrap().uid() != 0 {
        let error = scene.change(&[&service()], &[]).unwrap_err();
        assert!(error.to_string().contains("etc/shadow"), "{error}");
        assert_eq!(scene.packages(), ["plain 1-1"]);
    }
}

#[test]
fn an_edit_by_somebody_else_is_not_lost() {
    let scene = Scene::new();
    scene.write("etc/passwd", "");
    let (mut db, service) = (scene.open(), service());
    let staged = db.plan(scene.request(&[&service], &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    scene.write("etc/passwd", "ann:x:8:8::/:/bin/sh\n");
    let error = staged.commit().unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("/etc/passwd")), (ErrorKind::Busy, true));
    drop(db);
    assert_eq!(scene.read("etc/passwd"), "ann:x:8:8::/:/bin/sh\n");
    assert_eq!(scene.packages(), [""; 0]);
    scene.install(&[&service]);
    assert!(scene.read("etc/passwd").starts_with("ann:x:8:8::/:/bin/sh\nbus:"));
}

/// As `useradd` and its like hold it. A lock of this kind is in the way of our own process, too.
#[test]
fn who_edits_users_is_not_disturbed() {
    let mut scene = Scene::new();
    scene.options.lock_limit = Some(std::time::Duration::ZERO);
    scene.write("etc/.pwd.lock", "");
    scene.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
    drop(scene.open());
    let before = scene.tree();
    let held = fs::File::options().write(true).open(scene.at("etc/.pwd.lock")).unwrap();
    let whole =
        libc::flock { l_type: i16::try_from(libc::F_WRLCK).unwrap(), l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    nix::fcntl::fcntl(&held, nix::fcntl::FcntlArg::F_OFD_SETLK(&whole)).unwrap();
    let error = scene.change(&[&service()], &[]).unwrap_err();
    assert!(matches!(error, Error::AccountsBusy { .. }), "{error}");
    assert_eq!((error.kind(), scene.tree()), (ErrorKind::Busy, before));
    // Whoever needs no new user need not wait.
    scene.install(&[&pack("other 1-1").file("etc/other", 0o644, "x").build()]);
    drop(held);
    scene.install(&[&service()]);
    assert!(scene.read("etc/passwd").contains("bus:"));
}

/// The packages, with what has to be known of them before they are read.
fn install_knowing(scene: &Scene, packages: &[&Packed]) -> installdb::Result<Done> {
    let mut request = scene.request(&[], &[]);
    for packed in packages {
        let known = packed.contents(&packed.incoming().needed_first());
        request.install.push(known.into_iter().fold(packed.incoming(), Incoming::knowing));
    }
    run(&mut scene.open(), request)
}

/// A package that brings the first users, and one that adds to them, in one change.
#[test]
fn users_are_added_to_files_that_come_with_a_package() {
    let base = pack("base 1-1")
        .config("etc/passwd", "root:x:0:0::/root:/bin/sh\nmail:x:8:12::/:/bin/sh\n")
        .config("etc/group", "root:x:0:\nmail:x:12:\n")
        .edit("etc/group", |entry| entry.kind = with_mode(&entry.kind, 0o640))
        .build();
    let mail = pack("mail 1-1").user("m bus mail").owned_by("mail", "mail").file("mail/box", 0o600, "m").build();
    let packages = [&base, &service(), &mail];
    let scene = Scene::new();
    let Error::Refused(found) = scene.change(&packages, &[]).unwrap_err() else { panic!("it is refused") };
    assert!(
        found.iter().any(|found| matches!(found, Finding::AccountFile { .. })),
        "who can not look is told: {found:?}"
    );
    install_knowing(&scene, &packages).unwrap();
    let passwd =
        "root:x:0:0::/root:/bin/sh\nmail:x:8:12::/:/bin/sh\nbus:!*:998:998:Message Bus:/run/bus:/usr/sbin/nologin\n";
    assert_eq!(scene.read("etc/passwd"), passwd);
    assert_eq!(scene.read("etc/group"), "root:x:0:\nmail:x:12:bus\nplug:x:999:bus\nbus:x:998:\n");
    assert_eq!(fs::metadata(scene.at("etc/group")).unwrap().mode() & 0o7777, 0o640);
    if fs::metadata(scene.root()).unwrap().uid() == 0 {
        assert_eq!(fs::metadata(scene.at("mail/box")).unwrap().uid(), 8);
    }
    assert_eq!(scene.installed().verify(&[]).unwrap().iter().filter(|found| !found.expected).count(), 0);
    // What was added counts as the administrator's from then on.
    let newer = pack("base 2-1").config("etc/passwd", "root:x:0:0::/root:/bin/sh\n").config("etc/group", "root:x:0:\n");
    install_knowing(&scene, &[&newer.build(), &pack("more 1-1").user("u more").build()]).unwrap();
    assert!(scene.read("etc/passwd").starts_with(passwd) && scene.read("etc/passwd").contains("more:"));
    assert_eq!(scene.read("etc/passwd.new"), "root:x:0:0::/root:/bin/sh\n");
}

/// Packages that went come back with the users that they brought.
#[test]
fn users_that_came_with_a_package_come_back_with_it() {
    let base = pack("base 1-1").config("etc/passwd", "mail:x:8:12::/:/bin/sh\n").config("etc/group", "mail:x:12:\n");
    let mail = pack("mail 1-1").user("u more 70").owned_by("mail", "mail").file("mail/box", 0o600, "m");
    let scene = Scene::new();
    scene.install(&[&base.build()]);
    scene.remove(&["base"]);
    assert!(!scene.at("etc").exists());
    let mail = mail.build();
    let mut request = scene.request(&[], &[]);
    request.install = vec![mail.incoming(), scene.installed().past_package(first_id(&scene)).unwrap().unwrap()];
    run(&mut scene.open(), request).unwrap();
    assert!(scene.read("etc/passwd").starts_with("mail:x:8:12::/:/bin/sh\nmore:"));
}

fn first_id(scene: &Scene) -> pkgtypes::PackageId {
    scene.installed().transaction(1).unwrap().changes[0].new.as_ref().unwrap().id
}

fn with_mode(kind: &EntryKind, mode: u32) -> EntryKind {
    match kind {
        EntryKind::File { size, digest, elf, .. } => {
            EntryKind::File { mode: Mode::from_raw(mode), size: *size, digest: *digest, elf: elf.clone() }
        }
        other => other.clone(),
    }
}
