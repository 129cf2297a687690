//! What installing, replacing and removing packages does to a root.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};

use crate::scene::{NOW, Packed, Scene, name, pack, path, run};
use installdb::{Error, ErrorKind, Finding, InstallDb, LinkProblem, Notice, OperationKind, Outcome, Unmet, Unowned};
use pkgformat::{EntryKind, Xattr};
use pkgtypes::{Digest, Mode};

fn hello(version: &str, text: &str) -> Packed {
    pack(&format!("hello {version}"))
        .file("usr/bin/hello", 0o755, text)
        .file("usr/share/hello/text", 0o644, text)
        .build()
}

#[track_caller]
fn findings(scene: &Scene, install: &[&Packed], remove: &[&str]) -> Vec<Finding> {
    drop(scene.open());
    let before = scene.tree();
    let error = scene.change(install, remove).unwrap_err();
    assert_eq!(scene.tree(), before, "nothing was changed");
    assert_eq!(error.kind(), ErrorKind::Refused, "{error}");
    let Error::Refused(findings) = error else { panic!("{error}") };
    findings
}

#[test]
fn a_package_comes_and_goes_without_a_trace() {
    let scene = Scene::new();
    drop(scene.open());
    let before = scene.tree();
    let done = scene.install(&[&hello("1-1", "one")]);
    assert_eq!(done.operations[0].kind(), OperationKind::Install);
    assert_eq!(scene.read("usr/bin/hello"), "one");
    assert_eq!(fs::metadata(scene.at("usr/bin/hello")).unwrap().mode() & 0o7777, 0o755);
    assert_eq!(fs::metadata(scene.at("usr/bin/hello")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(scene.packages(), ["hello 1-1"]);
    scene.assert_verified();
    let done = scene.remove(&["hello"]);
    assert_eq!(done.operations[0].kind(), OperationKind::Remove);
    assert_eq!(scene.tree(), before);
    assert!(scene.packages().is_empty());
    assert!(scene.installed().paths().unwrap().is_empty());
}

#[test]
fn versions_replace_each_other_in_both_directions() {
    let scene = Scene::new();
    scene.install(&[&hello("1-1", "one")]);
    let first = scene.tree();
    let two = pack("hello 2-1").file("usr/bin/hello", 0o755, "two").file("usr/lib/hello.so", 0o644, "lib").build();
    let kinds = |done: installdb::Done| done.operations.iter().map(installdb::Operation::kind).collect::<Vec<_>>();
    assert_eq!(kinds(scene.install(&[&two])), [OperationKind::Upgrade]);
    assert_eq!((scene.read("usr/bin/hello"), scene.read("usr/lib/hello.so")), ("two".into(), "lib".into()));
    assert!(!scene.at("usr/share").exists(), "what the new version lacks is gone, folders too");
    assert_eq!(kinds(scene.install(&[&two])), [OperationKind::Reinstall]);
    assert_eq!(kinds(scene.install(&[&hello("1-1", "one")])), [OperationKind::Downgrade]);
    assert_eq!(scene.tree(), first);
    scene.assert_verified();
}

#[test]
fn a_path_moves_from_one_package_to_another() {
    let scene = Scene::new();
    scene.install(&[&pack("a 1-1").file("bin/tool", 0o755, "a").file("bin/a", 0o755, "a").build()]);
    let a = pack("a 2-1").file("bin/a", 0o755, "a2").build();
    let b = pack("b 1-1").file("bin/tool", 0o755, "b").build();
    scene.install(&[&a, &b]);
    assert_eq!(scene.read("bin/tool"), "b");
    assert_eq!(scene.installed().owners(&path("bin/tool")).unwrap(), [name("b")]);
    scene.change(&[&pack("c 1-1").file("bin/tool", 0o755, "c").build()], &["b"]).unwrap();
    assert_eq!(scene.read("bin/tool"), "c");
    assert_eq!(scene.packages(), ["a 2-1", "c 1-1"]);
    scene.assert_verified();
}

#[test]
fn identical_paths_are_shared_until_the_last_owner_goes() {
    let scene = Scene::new();
    let of = |who: &str| pack(who).file("usr/share/common", 0o644, "same").symlink("usr/link", "share").build();
    scene.install(&[&of("a 1-1"), &of("b 1-1")]);
    scene.install(&[&of("c 1-1")]);
    assert_eq!(scene.installed().owners(&path("usr/share/common")).unwrap().len(), 3);
    scene.remove(&["a", "c"]);
    assert_eq!(scene.read("usr/share/common"), "same");
    scene.assert_verified();
    scene.remove(&["b"]);
    assert!(!scene.at("usr").exists());
}

#[test]
fn different_things_at_one_path_are_a_conflict() {
    let scene = Scene::new();
    let a = pack("a 1-1").file("etc/x", 0o644, "a").build();
    let others = [
        (pack("b 1-1").file("etc/x", 0o644, "b").build(), "content"),
        (pack("b 1-1").file("etc/x", 0o755, "a").build(), "mode"),
        (pack("b 1-1").symlink("etc/x", "y").build(), "type"),
        (pack("b 1-1").file("etc/x/y", 0o644, "a").build(), "type"),
        (pack("b 1-1").owned_by("12345", "0").file("etc/x", 0o644, "a").build(), "owner"),
    ];
    let expected = |difference| {
        let (path, first, second) = (path("etc/x"), name("a"), name("b"));
        Finding::Conflict { path, first, second, difference }
    };
    for (other, difference) in &others {
        assert!(findings(&scene, &[&a, other], &[]).contains(&expected(difference)), "{difference}");
    }
    scene.install(&[&a]);
    for (other, difference) in &others {
        assert!(findings(&scene, &[other], &[]).contains(&expected(difference)), "{difference}");
    }
}

#[test]
fn unowned_files_are_never_lost_by_surprise() {
    let mut scene = Scene::new();
    scene.write("usr/bin/hello", "mine");
    let package = hello("1-1", "one");
    let refused = findings(&scene, &[&package], &[]);
    assert_eq!(refused, [Finding::Unowned { path: path("usr/bin/hello"), package: name("hello") }]);
    scene.options.unowned = Unowned::Adopt;
    scene.install(&[&package]);
    assert_eq!(scene.read("usr/bin/hello"), "mine");
    assert_eq!(scene.installed().verify(&[]).unwrap().len(), 1, "what was adopted is not hidden");
    scene.remove(&["hello"]);

    scene.write("usr/bin/hello", "mine");
    scene.options.unowned = Unowned::Replace;
    let replaced = scene.install(&[&package]).notices;
    assert_eq!(replaced, [Notice::Replaced { path: path("usr/bin/hello"), kept: true }]);
    assert_eq!(scene.read("usr/bin/hello"), "one");
    scene.assert_verified();
}

#[test]
fn a_folder_in_a_files_place_is_called_what_it_is() {
    let mut scene = Scene::new();
    let link = pack("link 1-1").symlink("opt/x", "y").build();
    scene.write("opt/x/mine", "mine");
    for unowned in [Unowned::Refuse, Unowned::Adopt, Unowned::Replace] {
        scene.options.unowned = unowned;
        let refused = findings(&scene, &[&link], &[]);
        assert_eq!(refused, [Finding::UnownedFolder { path: path("opt/x"), package: name("link") }]);
    }
    // One that a package owns is no folder that nobody owns.
    scene.install(&[&pack("folder 1-1").dir("opt/x", 0o755).build()]);
    let (first, second, difference) = (name("folder"), name("link"), "type");
    let refused = findings(&scene, &[&link], &[]);
    assert_eq!(refused, [Finding::Conflict { path: path("opt/x"), first, second, difference }]);
}

#[test]
fn what_is_identical_already_is_taken_over() {
    let scene = Scene::new();
    scene.write("usr/bin/hello", "one");
    fs::set_permissions(scene.at("usr/bin/hello"), fs::Permissions::from_mode(0o755)).unwrap();
    scene.install(&[&hello("1-1", "one")]);
    scene.assert_verified();
}

#[test]
fn a_link_out_of_the_root_where_a_folder_must_be_is_not_followed() {
    let (scene, elsewhere) = (Scene::new(), Scene::new());
    symlink(elsewhere.root(), scene.at("usr")).unwrap();
    let refused = findings(&scene, &[&hello("1-1", "one")], &[]);
    let problem = LinkProblem::Dangling;
    assert_eq!(refused, [Finding::SymlinkInTheWay { path: path("usr"), package: name("hello"), problem }]);
    fs::remove_file(scene.at("usr")).unwrap();
    scene.write("usr", "a file");
    let refused = findings(&scene, &[&hello("1-1", "one")], &[]);
    assert_eq!(refused, [Finding::NotAFolder { path: path("usr"), package: name("hello") }]);
    assert!(elsewhere.tree().is_empty(), "nothing went through the link");
}

#[test]
fn removal_does_not_follow_a_link_that_took_a_folders_place() {
    let (scene, elsewhere) = (Scene::new(), Scene::new());
    scene.install(&[&hello("1-1", "one")]);
    elsewhere.write("hello/text", "precious");
    fs::remove_dir_all(scene.at("usr/share")).unwrap();
    symlink(elsewhere.root(), scene.at("usr/share")).unwrap();
    let done = scene.remove(&["hello"]);
    assert_eq!(elsewhere.read("hello/text"), "precious");
    assert_eq!(done.notices, [Notice::LeftAlone { path: path("usr/share") }]);
}

#[test]
fn types_change_with_versions() {
    let scene = Scene::new();
    let file = pack("p 1-1").file("opt/x", 0o644, "file").build();
    let folder = pack("p 2-1").file("opt/x/y/z", 0o644, "deep").build();
    let link = pack("p 3-1").symlink("opt/x", "elsewhere").build();
    for package in [&file, &folder, &file, &link, &folder, &link, &file] {
        scene.install(&[package]);
        scene.assert_verified();
    }
    scene.install(&[&folder]);
    scene.write("opt/x/y/mine", "mine");
    let kept = path("opt/x/y/mine");
    let refused = findings(&scene, &[&file], &[]);
    assert_eq!(refused, [Finding::FolderInTheWay { path: path("opt/x"), package: name("p"), kept }]);
}

#[test]
fn removal_leaves_what_it_does_not_own() {
    let scene = Scene::new();
    scene.install(&[&hello("1-1", "one")]);
    scene.write("usr/share/hello/notes", "mine");
    scene.remove(&["hello"]);
    assert_eq!(scene.read("usr/share/hello/notes"), "mine");
    assert!(!scene.at("usr/bin").exists());
}

#[test]
fn every_type_of_path_is_made() {
    let scene = Scene::new();
    let package = pack("all 1-1")
        .dir("d/closed", 0o500)
        .file("d/closed/inside", 0o400, "secret")
        .file("d/empty", 0o600, "")
        .file("d/same", 0o644, "secret")
        .hardlink("d/twin", "d/same")
        .symlink("d/link", "../anywhere")
        .entry("d/pipe", EntryKind::Fifo { mode: Mode::from_raw(0o622) })
        .entry("d/socket", EntryKind::Socket { mode: Mode::from_raw(0o600) })
        .entry("d/null", EntryKind::Char { mode: Mode::from_raw(0o666), major: 1, minor: 3 })
        .entry("d/ghost", EntryKind::Ghost)
        .file("d/tool", 0o4755, "setuid")
        .edit("d/empty", |entry| entry.xattrs.push(Xattr { name: b"user.note".to_vec(), value: b"x".to_vec() }))
        .build();
    scene.install(&[&package]);
    scene.assert_verified();
    let (same, twin) = (fs::metadata(scene.at("d/same")).unwrap(), fs::metadata(scene.at("d/twin")).unwrap());
    assert_eq!((same.ino(), same.nlink()), (twin.ino(), 2));
    assert!(fs::metadata(scene.at("d/pipe")).unwrap().file_type().is_fifo());
    assert_eq!(fs::metadata(scene.at("d/pipe")).unwrap().mode() & 0o7777, 0o622);
    assert_eq!(fs::metadata(scene.at("d/closed")).unwrap().mtime(), 1_000_000_000);
    assert_eq!(fs::metadata(scene.at("d/tool")).unwrap().mode() & 0o7777, 0o4755);
    assert!(!scene.at("d/ghost").exists());
    scene.write("d/ghost", "made by the program");
    if rustix::process::geteuid().is_root() {
        scene.remove(&["all"]);
        assert!(!scene.at("d").exists(), "a ghost goes with its package");
    }
}

/// Without the right owner a setid bit would lend the rights of the wrong one.
#[test]
fn an_ordinary_user_installs_what_he_can_and_the_rest_is_remembered() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let scene = Scene::new();
    let package = pack("system 1-1")
        .owned_by("root", "root")
        .file("bin/su", 0o4755, "su")
        .entry("dev/null", EntryKind::Char { mode: Mode::from_raw(0o666), major: 1, minor: 3 })
        .build();
    scene.install(&[&package]);
    scene.assert_verified();
    assert_eq!(fs::metadata(scene.at("bin/su")).unwrap().mode() & 0o7777, 0o755);
    assert!(!scene.at("dev/null").exists());
    scene.remove(&["system"]);
    assert!(!scene.at("bin").exists());
}

#[test]
fn owners_are_those_of_the_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let scene = Scene::new();
    scene.write("etc/passwd", "games:x:4711:1::/:/bin/sh\n");
    scene.write("etc/group", "players:x:4712:\n");
    let package = pack("game 1-1").owned_by("games", "players").file("srv/scores", 0o2755, "0").build();
    scene.install(&[&package]);
    let stat = fs::metadata(scene.at("srv/scores")).unwrap();
    assert_eq!((stat.uid(), stat.gid(), stat.mode() & 0o7777), (4711, 4712, 0o2755));
    scene.assert_verified();
    let stranger = pack("odd 1-1").owned_by("nobody-here", "players").file("srv/odd", 0o644, "").build();
    let unknown = Finding::UnknownPrincipal { what: "user", name: "nobody-here".into(), package: name("odd") };
    assert!(findings(&scene, &[&stranger], &[]).contains(&unknown));
}

#[test]
fn configuration_that_the_administrator_changed_stays_his() {
    let scene = Scene::new();
    let of = |version: &str, text: &str| pack(&format!("d {version}")).config("etc/d.conf", text).build();
    scene.install(&[&of("1-1", "one")]);
    scene.install(&[&of("2-1", "two")]);
    assert_eq!(scene.read("etc/d.conf"), "two", "unchanged by the administrator: replaced");
    scene.write("etc/d.conf", "mine");
    scene.install(&[&of("3-1", "two")]);
    assert_eq!(scene.read("etc/d.conf"), "mine", "unchanged by the package: kept");
    assert!(!scene.at("etc/d.conf.new").exists());
    let done = scene.install(&[&of("4-1", "four")]);
    assert_eq!((scene.read("etc/d.conf"), scene.read("etc/d.conf.new")), ("mine".into(), "four".into()));
    assert_eq!(done.notices, [Notice::NewBeside { path: path("etc/d.conf"), new: path("etc/d.conf.new") }]);
    let difference = &scene.installed().verify(&[]).unwrap()[0];
    assert!(difference.expected, "{difference:?}");
    scene.install(&[&of("5-1", "mine")]);
    assert_eq!(scene.read("etc/d.conf"), "mine");
    scene.assert_verified();
    scene.write("etc/d.conf", "mine again");
    let done = scene.remove(&["d"]);
    assert_eq!(scene.read("etc/d.conf.save"), "mine again");
    assert!(!scene.at("etc/d.conf").exists());
    assert_eq!(done.notices, [Notice::Saved { path: path("etc/d.conf"), saved: path("etc/d.conf.save") }]);
}

#[test]
fn our_own_paths_are_no_packages() {
    let scene = Scene::new();
    for at in ["var/lib/kista/install.db", "usr/.kista.1.0", ".kista.7.1/x"] {
        let evil = pack("evil 1-1").file(at, 0o644, "x").build();
        assert!(matches!(&findings(&scene, &[&evil], &[])[0], Finding::Reserved { .. }), "{at}");
    }
}

#[test]
fn requirements_must_hold_afterwards() {
    let mut scene = Scene::new();
    let lib =
        pack("lib 1.2-1").meta(|meta| meta.provides.push("so:lib.so.1".parse().unwrap())).file("l", 0o644, "l").build();
    let app = pack("app 1-1").meta(|meta| {
        meta.requires = ["lib >= 1.1", "so:lib.so.1", "none | file:/l"].map(|text| text.parse().unwrap()).into();
    });
    let app = app.build();
    let error = scene.change(&[&app], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSolution);
    let Error::Unmet(unmet) = error else { panic!("{error}") };
    assert_eq!(unmet.len(), 3, "{unmet:?}");
    scene.install(&[&app, &lib]);
    let Err(Error::Unmet(unmet)) = scene.change(&[], &["lib"]) else { panic!("the app still needs it") };
    assert_eq!(unmet.len(), 3, "{unmet:?}");
    let older = pack("lib 1.0-1").file("l", 0o644, "l").build();
    let Err(Error::Unmet(unmet)) = scene.change(&[&older], &[]) else { panic!("too old for the app") };
    assert_eq!(unmet.len(), 2, "{unmet:?}");
    scene.options.ignore_relations = true;
    scene.install(&[&older]);
}

#[test]
fn packages_that_exclude_each_other_are_not_together() {
    let scene = Scene::new();
    let a = pack("a 1-1").meta(|meta| meta.provides.push("cmd:mta".parse().unwrap())).build();
    let b = pack("b 1-1").meta(|meta| meta.conflicts.push("cmd:mta".parse().unwrap())).build();
    let c = pack("c 1-1").meta(|meta| meta.obsoletes.push("a".parse().unwrap())).build();
    for order in [[&a, &b], [&b, &a]] {
        let scene = Scene::new();
        scene.install(&[order[0]]);
        let Err(Error::Unmet(unmet)) = scene.change(&[order[1]], &[]) else { panic!("they exclude each other") };
        assert!(matches!(&unmet[..], [Unmet::Conflict { .. }]), "{unmet:?}");
    }
    scene.install(&[&a]);
    assert!(matches!(scene.change(&[&c], &[]), Err(Error::Unmet(unmet)) if matches!(unmet[0], Unmet::Obsolete { .. })));
    scene.change(&[&c], &["a"]).unwrap();
    assert_eq!(scene.packages(), ["c 1-1"]);
}

#[test]
fn a_damaged_package_leaves_the_root_as_it_was() {
    let scene = Scene::new();
    let large: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7) as u8).collect();
    let package = pack("big 1-1").file("usr/a", 0o644, "small").file("usr/big", 0o644, &large).build();
    scene.install(&[&hello("1-1", "one")]);
    let before = scene.tree();
    let start = package.record.encoded_len() as usize;
    for at in [start + 60, package.bytes.len() / 2, package.bytes.len() - 100] {
        let mut flipped = package.bytes.clone();
        flipped[at] ^= 1;
        for bytes in [&flipped[..], &package.bytes[..at]] {
            let mut db = scene.open();
            let mut request = scene.request(&[], &[]);
            request.install.push(package.incoming_from(bytes));
            let error = run(&mut db, request).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Malformed, "{error}");
            assert_eq!(scene.tree(), before);
        }
    }
    assert_eq!(scene.packages(), ["hello 1-1"]);
    assert_eq!(scene.open().recovery(), None);
    scene.install(&[&package]);
    assert_eq!(fs::read(scene.at("usr/big")).unwrap(), large);
    scene.assert_verified();
}

/// Several are read at the same time.
#[test]
fn one_damaged_package_among_many_is_named_and_none_is_installed() {
    let scene = Scene::new();
    let packages: Vec<Packed> = (0..20)
        .map(|n| {
            pack(&format!("p{n} 1-1")).file(&format!("opt/{n}"), 0o644, format!("content {n}").repeat(9999)).build()
        })
        .collect();
    let mut flipped = packages[13].bytes.clone();
    let at = flipped.len() / 2;
    flipped[at] ^= 1;
    drop(scene.open());
    let before = scene.tree();
    let mut request = scene.request(&packages.iter().collect::<Vec<_>>(), &[]);
    request.install[13] = packages[13].incoming_from(&flipped[..]);
    let error = run(&mut scene.open(), request).unwrap_err();
    assert!(matches!(&error, Error::Package { package, .. } if package.as_str() == "p13"), "{error}");
    assert_eq!((scene.tree(), scene.packages()), (before, vec![]));
    scene.install(&packages.iter().collect::<Vec<_>>());
    scene.assert_verified();
}

#[test]
fn a_large_file_of_zeros_takes_no_space() {
    let scene = Scene::new();
    let mut content = vec![0; 4 << 20];
    content[0] = 1;
    let package = pack("holes 1-1").file("a", 0o644, &content).file("b", 0o600, &content).build();
    scene.install(&[&package]);
    scene.assert_verified();
    assert!(fs::metadata(scene.at("a")).unwrap().blocks() * 512 < 1 << 20);
}

#[test]
fn a_stage_that_is_given_up_is_taken_away() {
    let scene = Scene::new();
    scene.install(&[&hello("1-1", "one")]);
    let before = scene.tree();
    let mut db = scene.open();
    let two = hello("2-1", "two");
    let packages = [&two];
    let staged = db.plan(scene.request(&packages, &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    assert_ne!(scene.tree(), before, "the files stand beside their targets");
    drop(staged);
    assert_eq!(scene.tree(), before);
    drop(db);
    assert_eq!(scene.open().recovery(), None);
    assert_eq!(scene.installed().history().unwrap().last().unwrap().result, "rolled back");
}

#[test]
fn a_decided_transaction_is_finished_by_the_next_process() {
    let scene = Scene::new();
    scene.install(&[&hello("1-1", "one")]);
    let two = hello("2-1", "two");
    let packages = [&two];
    let mut db = scene.open();
    let plan = db.plan(scene.request(&packages, &[])).unwrap();
    drop(plan.check().unwrap().stage(&mut ()).unwrap().commit().unwrap());
    drop(db);
    assert_eq!(scene.read("usr/bin/hello"), "one");
    let db = scene.open();
    assert_eq!(db.recovery().map(|recovery| recovery.outcome), Some(Outcome::Finished));
    drop(db);
    assert_eq!(scene.read("usr/bin/hello"), "two");
    scene.assert_verified();
    assert_eq!(scene.open().recovery(), None);
}

#[test]
fn stopping_leaves_the_root_as_it_was() {
    struct Stop;
    impl installdb::Progress for Stop {
        fn report(&mut self, _: installdb::Event<'_>) -> std::ops::ControlFlow<()> {
            std::ops::ControlFlow::Break(())
        }
    }
    let scene = Scene::new();
    let package = hello("1-1", "one");
    let packages = [&package];
    let mut db = scene.open();
    let before = scene.tree();
    let checked = db.plan(scene.request(&packages, &[])).unwrap().check().unwrap();
    assert!(matches!(checked.stage(&mut Stop), Err(Error::Stopped)));
    assert_eq!(scene.tree(), before);
}

#[test]
fn a_folder_that_may_not_be_changed_is_found_beforehand() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let scene = Scene::new();
    drop(scene.open());
    fs::create_dir(scene.at("usr")).unwrap();
    fs::set_permissions(scene.at("usr"), fs::Permissions::from_mode(0o555)).unwrap();
    let refused = findings(&scene, &[&hello("1-1", "one")], &[]);
    assert!(refused.contains(&Finding::Denied { path: Some(path("usr")) }), "{refused:?}");
}

/// As the folders of Fedora's packages are. Root needs no permission.
#[test]
fn a_folder_that_its_package_wants_shut_is_opened_for_a_change() {
    let scene = Scene::new();
    let of = |version: &str, shut: u32, file: &str| {
        let package = pack(&format!("tool {version}")).dir("usr", 0o555).dir("usr/lib", shut);
        package.file(&format!("usr/lib/{file}"), 0o644, version).config("usr/lib/conf", version).build()
    };
    let mode = |at: &str| fs::metadata(scene.at(at)).unwrap().mode() & 0o7777;
    scene.install(&[&of("1-1", 0o555, "one")]);
    fs::write(scene.at("usr/lib/conf"), "edited").unwrap();
    scene.install(&[&of("2-1", 0o555, "two")]);
    assert_eq!((mode("usr"), mode("usr/lib")), (0o555, 0o555));
    assert!(scene.at("usr/lib/two").exists() && !scene.at("usr/lib/one").exists());
    scene.install(&[&of("3-1", 0o550, "three")]);
    assert_eq!((mode("usr"), mode("usr/lib")), (0o555, 0o550));
    assert!(!scene.installed().verify(&[]).unwrap().iter().any(installdb::Difference::is_damage));

    // What is taken back leaves them as they were.
    let before = scene.tree();
    let package = of("4-1", 0o555, "four");
    let mut db = scene.open();
    let staged = db.plan(scene.request(&[&package], &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    drop(staged);
    assert_eq!(scene.tree(), before);
    drop(db);

    // One that the administrator shut stays shut.
    if !rustix::process::geteuid().is_root() {
        fs::set_permissions(scene.at("usr/lib"), fs::Permissions::from_mode(0o500)).unwrap();
        let refused = findings(&scene, &[&package], &[]);
        assert!(refused.contains(&Finding::Denied { path: Some(path("usr/lib")) }), "{refused:?}");
        fs::set_permissions(scene.at("usr/lib"), fs::Permissions::from_mode(0o550)).unwrap();
    }
    scene.remove(&["tool"]);
    assert!(!scene.at("usr/lib/three").exists());
    assert_eq!(mode("usr/lib"), 0o550, "the administrator's version of a file is in it");
}

#[test]
fn a_root_that_may_not_be_changed_is_refused_at_once() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let scene = Scene::new();
    fs::set_permissions(scene.root(), fs::Permissions::from_mode(0o555)).unwrap();
    let refused = InstallDb::open(scene.root()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
}

#[test]
fn history_and_wishes_are_kept() {
    let scene = Scene::new();
    let one = hello("1-1", "one");
    let mut request = scene.request(&[], &[]);
    request.install.push(one.incoming().wanted());
    run(&mut scene.open(), request).unwrap();
    assert_eq!(scene.installed().wanted().unwrap(), [name("hello")]);
    assert!(scene.installed().package(&name("hello")).unwrap().unwrap().wanted);
    scene.remove(&["hello"]);
    assert!(scene.installed().wanted().unwrap().is_empty());
    let history = scene.installed().history().unwrap();
    assert_eq!(history.len(), 2);
    assert_eq!((history[0].started, history[0].finished), (NOW, Some(NOW)));
    assert_eq!(history[0].argv, [b"pkg".to_vec(), b"install".to_vec()]);
    assert_eq!(history[0].changes[0].new.as_ref().unwrap().id, one.record.id());
    assert_eq!(history[1].changes[0].new, None);
}

#[test]
fn a_package_comes_back_byte_for_byte_while_its_contents_are_somewhere() {
    let script = b"#!/bin/sh\n".to_vec();
    let digest = Digest::of(&script);
    let mut packed = pack("hello 1-1").file("bin/hello", 0o755, "hej").file("share/text", 0o644, "text");
    packed = packed.symlink("bin/hi", "hello").hardlink("bin/hey", "bin/hello").config("etc/hello", "setting");
    packed.contents.insert(digest, script);
    let packed = packed.meta(|meta| meta.scripts.pre_remove = Some(digest)).build();
    let mut scene = Scene::new();
    scene.options.skip_scripts = true;
    scene.install(&[&packed, &pack("other 1-1").file("share/same", 0o644, "text").build()]);
    let regenerate = || scene.installed().regenerate(&name("hello"), Vec::new(), &mut ()).map(|(bytes, _)| bytes);
    assert_eq!(regenerate().unwrap(), packed.bytes);
    scene.write("share/text", "TEXT");
    fs::remove_file(scene.at("bin/hi")).unwrap();
    assert_eq!(regenerate().unwrap(), packed.bytes, "another package has the same content");
    scene.write("etc/hello", "mine");
    scene.write("share/same", "x");
    match regenerate() {
        Err(Error::Changed { paths, .. }) => assert_eq!(paths, [path("etc/hello"), path("share/text")]),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_record_comes_back_byte_for_byte() {
    let scene = Scene::new();
    let one = hello("1-1", "one");
    scene.install(&[&one]);
    let record = scene.installed().record(&name("hello")).unwrap();
    assert_eq!((record.id(), record.encode()), (one.record.id(), one.record.encode()));
}

#[test]
fn names_that_are_not_there_and_names_twice() {
    let scene = Scene::new();
    assert!(matches!(scene.change(&[], &["nothing"]), Err(Error::NotInstalled { .. })));
    let one = hello("1-1", "one");
    assert!(matches!(scene.change(&[&one, &one], &[]), Err(Error::Twice { .. })));
    let other = pack("other 1-1").build();
    let reader =
        pkgformat::Reader::open(installdb::Source::new(&other.bytes[..]), pkgformat::Limits::default()).unwrap();
    assert!(matches!(installdb::Incoming::new(one.verified(), reader), Err(Error::OtherPackage { .. })));
    drop(InstallDb::open(scene.root()).unwrap());
}

#[test]
fn a_package_for_another_machine_is_refused() {
    let foreign = pack("foreign 1-1").meta(|meta| meta.arch = "riscv1024".parse().unwrap()).dir("opt", 0o755).build();
    let mut scene = Scene::new();
    let arch = "riscv1024".parse().unwrap();
    assert_eq!(findings(&scene, &[&foreign], &[]), [Finding::ForeignArch { package: name("foreign"), arch }]);
    scene.options.foreign_arch = true;
    scene.install(&[&foreign]);
    // What is there may go without being asked for its machine.
    scene.options.foreign_arch = false;
    scene.remove(&["foreign"]);
    let own = pack("own 1-1").meta(|meta| meta.arch = pkgtypes::Arch::host()).dir("opt", 0o755).build();
    scene.install(&[&own]);
}

#[test]
fn folders_are_brought_back_by_another_installation() {
    let spoil = |scene: &Scene, path: &str| {
        fs::set_permissions(scene.at(path), fs::Permissions::from_mode(0o700)).unwrap();
        if rustix::process::geteuid().is_root() {
            // A root in a namespace of its own may know no other user.
            let _ = std::os::unix::fs::chown(scene.at(path), Some(5), Some(5));
        }
    };
    let a = |version: &str| pack(&format!("a {version}")).file("opt/a/file", 0o644, "a").build();
    let b = pack("b 1-1").file("opt/b/file", 0o644, "b").build();
    let c = pack("c 1-1").file("opt/c/file", 0o644, "c").build();
    let scene = Scene::new();
    scene.install(&[&a("1-1"), &b]);
    let whole = scene.tree();
    for version in ["1-1", "2-1"] {
        // The one is a's alone, the other also belongs to b.
        spoil(&scene, "opt/a");
        spoil(&scene, "opt");
        scene.install(&[&a(version)]);
        scene.assert_verified();
        assert_eq!(scene.tree(), whole);
    }
    spoil(&scene, "opt");
    let mode = || fs::metadata(scene.at("opt")).unwrap().mode() & 0o7777;
    scene.install(&[&c]);
    assert_eq!(mode(), 0o700, "a new package leaves alone what others have there already");
    scene.install(&[&b]);
    assert_eq!(mode(), 0o755);
    scene.assert_verified();
}

#[test]
fn a_folder_of_nobodys_is_not_opened_without_a_word() {
    let scene = Scene::new();
    fs::create_dir_all(scene.at("opt/b")).unwrap();
    fs::set_permissions(scene.at("opt"), fs::Permissions::from_mode(0o700)).unwrap();
    fs::set_permissions(scene.at("opt/b"), fs::Permissions::from_mode(0o755)).unwrap();
    let before = fs::metadata(scene.at("opt")).unwrap();
    let done = scene.install(&[&pack("b 1-1").file("opt/b/file", 0o644, "b").build()]);
    let (mode, owner) = (Mode::from_raw(0o700), (before.uid(), before.gid()));
    let taken = Notice::FolderTaken { path: path("opt"), package: name("b"), mode, owner };
    let told = done.notices.iter().filter(|notice| matches!(notice, Notice::FolderTaken { .. }));
    assert_eq!(told.collect::<Vec<_>>(), [&taken]);
}

#[test]
fn why_a_package_is_there_and_where_a_word_stands() {
    let scene = Scene::new();
    let package = |spec: &str, provides: &[&str], requires: &[&str]| {
        let built = pack(spec).meta(|meta| {
            meta.provides = provides.iter().map(|text| text.parse().unwrap()).collect();
            meta.requires = requires.iter().map(|text| text.parse().unwrap()).collect();
            meta.description = vec![format!("The {} of it all", spec.to_uppercase())];
        });
        built.file(&format!("usr/bin/{}", spec.split(' ').next().unwrap()), 0o755, spec).build()
    };
    let app = package("app 1-1", &[], &["shell | other", "so:libx.so.1"]);
    let others = [
        package("shell 1-1", &["cmd:sh"], &["file:/usr/bin/core"]),
        package("libx 1-1", &["so:libx.so.1"], &["cmd:sh"]),
        package("core 1-1", &[], &[]),
        package("alone 1-1", &[], &["core"]),
    ];
    let mut request = scene.request(&others.iter().collect::<Vec<_>>(), &[]);
    request.install.push(app.incoming().wanted());
    run(&mut scene.open(), request).unwrap();

    let db = scene.installed();
    let why = |text: &str| db.why(&name(text)).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(why("app"), ["app"]);
    assert_eq!(why("libx"), ["app", "libx"]);
    assert_eq!(why("core"), ["app", "shell", "core"]);
    assert_eq!(why("alone"), [""; 0]);
    assert_eq!(db.why(&name("missing")).unwrap_err().kind(), ErrorKind::Unknown);

    let found = |words: &[&str]| db.search(words).unwrap().iter().map(|p| p.name.to_string()).collect::<Vec<_>>();
    assert_eq!(found(&["of it ALL", "shell"]), ["shell"]);
    assert_eq!(found(&["LIBX"]), ["libx"]);
    assert_eq!(found(&["50%"]), [""; 0]);
    assert_eq!(found(&[]).len(), 5);
}
