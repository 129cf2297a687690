//! Packages that are made to attack, and trees of unreasonable shapes.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use installdb::{Error, ErrorKind, Finding, InstallDb, Installed, Interference, Outcome};
use pkgfs::FileKind;

use crate::medium::{medium, with_medium};
use crate::scene::{Packed, Scene, name, pack, path, request, run, snapshot};

/// A change that is refused, and leaves everything as it is.
#[track_caller]
fn refused(scene: &Scene, install: &[&Packed]) -> Vec<Finding> {
    drop(scene.open());
    let before = scene.tree();
    let error = scene.change(install, &[]).unwrap_err();
    assert_eq!((scene.tree(), error.kind()), (before, ErrorKind::Refused), "{error}");
    let Error::Refused(findings) = error else { panic!("{error}") };
    findings
}

#[test]
fn a_link_of_one_package_leads_no_other_astray() {
    let outside = Scene::new();
    let target = outside.root().to_str().unwrap();
    for target in [target, "../../../../../../../../tmp", "elsewhere", "."] {
        let (scene, link) = (Scene::new(), pack("link 1-1").symlink("opt/way", target).build());
        let through = pack("through 1-1").file("opt/way/planted", 0o644, "planted").build();
        let expected = Finding::Conflict {
            path: path("opt/way"),
            first: name("link"),
            second: name("through"),
            difference: "type",
        };
        // At once, in either order, and one after the other.
        assert!(refused(&scene, &[&link, &through]).contains(&expected));
        assert!(!refused(&scene, &[&through, &link]).is_empty());
        scene.install(&[&link]);
        assert!(refused(&scene, &[&through]).contains(&expected));
    }
    assert!(outside.tree().is_empty());
}

#[test]
fn a_folder_that_a_new_version_makes_a_link_is_not_followed() {
    let (scene, outside) = (Scene::new(), Scene::new());
    outside.write("victim", "precious");
    let folder = |spec: &str| pack(spec).file("opt/way/own", 0o644, spec);
    let other = pack("other 1-1").file("opt/way/victim", 0o644, "other's").build();
    scene.install(&[&folder("turns 1-1").build(), &other]);
    let turned = pack("turns 2-1").symlink("opt/way", outside.root().to_str().unwrap()).build();
    assert!(matches!(refused(&scene, &[&turned])[0], Finding::Conflict { difference: "type", .. }));
    scene.remove(&["other"]);
    scene.install(&[&turned]);
    // What goes now went through a folder once, and must not go through the link.
    scene.install(&[&folder("turns 3-1").build()]);
    scene.remove(&["turns"]);
    assert_eq!(outside.read("victim"), "precious");
    assert_eq!(outside.tree().len(), 1);
}

#[test]
fn a_link_that_is_put_into_the_way_meanwhile_is_not_followed() {
    let (scene, outside) = (Scene::new(), Scene::new());
    outside.write("b", "precious");
    let of = |version: &str| pack(&format!("p {version}")).file("opt/a/b", 0o644, version).build();
    scene.install(&[&of("1-1")]);
    let (two, mut db) = (of("2-1"), scene.open());
    let packages = [&two];
    let checked = db.plan(request(&packages, &[])).unwrap().check().unwrap();
    fs::rename(scene.at("opt/a"), scene.at("opt/aside")).unwrap();
    symlink(outside.root(), scene.at("opt/a")).unwrap();
    let failed = checked.stage(&mut ()).unwrap_err();
    assert!(matches!(&failed, Error::Disk(error) if error.kind == pkgfs::ErrorKind::Symlink), "{failed}");
    assert_eq!((outside.read("b"), outside.tree().len()), ("precious".into(), 1));
}

/// Somebody who may write in a folder of the root swaps folders in it for links while packages come and go. Whatever that
/// makes of the folder, nothing outside is touched, no link holds a decision up, and everything can be put in order
/// afterwards.
#[test]
fn links_that_are_swapped_in_and_out_all_the_time_lead_nowhere() {
    let (scene, outside) = (Scene::new(), Scene::new());
    outside.write("b/c", "precious");
    outside.write("large", "precious");
    let before = outside.tree();
    let of = |version: &str| {
        let large = version.repeat(50_000);
        let p = pack(&format!("p {version}-1")).dir("home", 0o777).file("home/a/b/c", 0o644, version);
        let p = p.file("home/a/large", 0o644, large);
        p.config("home/a/conf", version).dir(&format!("home/a/only-{version}"), 0o755).build()
    };
    let versions = [of("1"), of("2")];
    scene.install(&[&versions[0]]);
    let (folder, aside) = (scene.at("home/a"), scene.at("home/aside"));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let (mut ends, mut held_up) = ([0, 0], Vec::new());
    // Before a decision a link is a reason to give up; after it there is none.
    let is_taken_back = |error: &Error| {
        matches!(error, Error::Refused(_) | Error::Disk(_))
            && Installed::open(scene.root()).is_ok_and(|db| is_settled(&db))
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                // Where the folder is away, a change may make a new one: then the old one is given up.
                if fs::rename(&folder, &aside).is_ok() && symlink(outside.root(), &folder).is_ok() {
                    std::thread::yield_now();
                    // A change that was decided moves the link aside.
                    let _ = fs::remove_file(&folder);
                }
                if aside.exists() && fs::rename(&aside, &folder).is_err() {
                    fs::remove_dir_all(&aside).unwrap();
                }
                (0..20).for_each(|_| std::thread::yield_now());
            }
        });
        for round in 0..40 {
            // Judged when the other thread is over, which waits for this one.
            let changed = InstallDb::open(scene.root())
                .and_then(|mut db| run(&mut db, request(&[&versions[(round + 1) % 2]], &[])));
            ends[usize::from(changed.is_ok())] += 1;
            held_up.extend(changed.err().filter(|error| !is_taken_back(error)));
        }
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(held_up.is_empty(), "{held_up:?}");
    assert_eq!(outside.tree(), before);
    scene.install(&[&versions[0]]);
    let is_damage = |found: &installdb::Difference| found.is_damage();
    assert_eq!(scene.installed().verify(&[]).unwrap().into_iter().filter(is_damage).collect::<Vec<_>>(), []);
    scene.remove(&["p"]);
    assert_eq!(outside.tree(), before);
    println!("{} changes failed, {} succeeded", ends[0], ends[1]);
}

/// Whether no transaction is under way.
fn is_settled(db: &Installed) -> bool {
    db.history().unwrap().iter().all(|transaction| transaction.result != "running")
}

/// A decision can not be taken back, and what keeps it from being carried out would keep the root between two states.
#[test]
fn what_is_put_into_the_way_after_the_decision_is_moved_aside() {
    let scene = Scene::new();
    let package = pack("p 1-1").dir("opt/a", 0o755).file("opt/a/b", 0o644, "new").file("opt/c", 0o644, "new").build();
    scene.write("opt/kept", "");
    decide(&scene, &package);
    for other in ["opt/a/other", "opt/c/other"] {
        fs::create_dir_all(scene.at(other).parent().unwrap()).unwrap();
        scene.write(other, "theirs");
    }
    let recovery = scene.open().recovery().unwrap().clone();
    let moved = [aside("opt/a", "opt/a.save.1"), aside("opt/c", "opt/c.save.1")];
    assert_eq!((recovery.outcome, &recovery.interferences[..]), (Outcome::Finished, &moved[..]));
    for (path, content) in
        [("opt/a/b", "new"), ("opt/c", "new"), ("opt/a.save.1/other", "theirs"), ("opt/c.save.1/other", "theirs")]
    {
        assert_eq!(scene.read(path), content, "{path}");
    }
    scene.assert_verified();
    assert_eq!(scene.installed().interferences(recovery.txn).unwrap(), moved);
    // As long as it is there.
    let told = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        let found = scene.installed().moved_aside(&names).unwrap();
        found.into_iter().map(|(_, _, path)| path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((told(&[]).len(), told(&["p"]).len(), told(&["other"]).len()), (2, 2, 0));
    fs::remove_dir_all(scene.at("opt/a.save.1")).unwrap();
    assert_eq!(told(&[]), ["opt/c.save.1"]);
}

/// Decides on the installation of a package, and leaves it so.
fn decide(scene: &Scene, package: &Packed) {
    let (packages, mut db) = ([package], scene.open());
    let checked = db.plan(request(&packages, &[])).unwrap().check().unwrap();
    drop(checked.stage(&mut ()).unwrap().commit().unwrap());
}

fn aside(before: &str, now: &str) -> Interference {
    Interference::MovedAside { path: path(before), aside: path(now) }
}

/// A root in which `home`, or only what is above it, may be changed by others; and a package with a file in a folder there
/// that is decided on. `opt/x` is another one of its files.
fn decided_in(mode: u32) -> (Scene, Packed) {
    let scene = Scene::new();
    fs::create_dir_all(scene.at("home/a/b")).unwrap();
    fs::create_dir_all(scene.at("opt")).unwrap();
    fs::set_permissions(scene.at("home"), fs::Permissions::from_mode(mode)).unwrap();
    let package = pack("p 1-1").dir("home", mode).file("home/a/b/c", 0o644, "new").file("opt/x", 0o644, "new").build();
    decide(&scene, &package);
    fs::rename(scene.at("home/a"), scene.at("home/away")).unwrap();
    (scene, package)
}

#[test]
fn what_others_put_into_a_folders_place_after_the_decision_does_not_hold_it_up() {
    let outside = Scene::new();
    outside.write("b/c", "precious");
    let before = outside.tree();
    let link = |scene: &Scene| symlink(outside.root(), scene.at("home/a")).unwrap();
    let file = |scene: &Scene| scene.write("home/a", "theirs");
    let deep_link = |scene: &Scene| {
        fs::create_dir(scene.at("home/a")).unwrap();
        symlink(outside.root().join("b"), scene.at("home/a/b")).unwrap();
    };
    let nothing = |_: &Scene| {};
    let gone = |at: &str| Interference::FolderGone { path: path(at) };
    type Case<'a> = (&'a dyn Fn(&Scene), Vec<Interference>);
    let cases: [Case<'_>; 4] = [
        (&link, vec![gone("home/a"), aside("home/a", "home/a.save.1")]),
        (&file, vec![gone("home/a"), aside("home/a", "home/a.save.1")]),
        (&deep_link, vec![gone("home/a/b"), aside("home/a/b", "home/a/b.save.1")]),
        (&nothing, vec![gone("home/a")]),
    ];
    for (meddle, expected) in cases {
        let (scene, package) = decided_in(0o777);
        meddle(&scene);
        let recovery = scene.open().recovery().unwrap().clone();
        assert_eq!((recovery.outcome, recovery.interferences), (Outcome::Finished, expected));
        assert_eq!((scene.read("opt/x"), outside.tree()), ("new".into(), before.clone()));
        // What is missing is seen, and comes back.
        let missing = scene.installed().verify(&[]).unwrap();
        assert!(missing.iter().any(|found| found.path == path("home/a/b/c") && found.is_damage()), "{missing:?}");
        scene.install(&[&package]);
        scene.assert_verified();
        assert_eq!(outside.tree(), before);
    }
}

/// He may have moved a folder to another disk, or not mounted it yet.
#[test]
fn what_only_the_administrator_can_have_done_to_a_folder_is_waited_for() {
    let elsewhere = Scene::new();
    for found in [Some(FileKind::Symlink), Some(FileKind::File), None] {
        let (scene, _) = decided_in(0o755);
        match found {
            Some(FileKind::Symlink) => symlink(elsewhere.root(), scene.at("home/a")).unwrap(),
            Some(_) => scene.write("home/a", "his"),
            None => {}
        }
        for _ in 0..2 {
            let error = InstallDb::open(scene.root()).unwrap_err();
            assert!(matches!(&error, Error::Displaced { path: at, found: f } if (at, *f) == (&path("home/a"), found)));
        }
        if found.is_some() {
            fs::remove_file(scene.at("home/a")).unwrap();
        }
        fs::rename(scene.at("home/away"), scene.at("home/a")).unwrap();
        assert_eq!(scene.open().recovery().unwrap().interferences, []);
        assert_eq!(scene.read("home/a/b/c"), "new");
        scene.assert_verified();
        assert!(elsewhere.tree().is_empty());
    }
}

/// Whoever takes the names beforehand that things are moved aside to does not keep them where they are.
#[test]
fn names_that_are_taken_do_not_keep_things_in_the_way() {
    let scene = Scene::new();
    scene.write("opt/kept", "");
    decide(&scene, &pack("p 1-1").file("opt/c", 0o644, "new").build());
    (0..150).for_each(|number| scene.write(&format!("opt/c.save.{number}"), "theirs"));
    scene.write("opt/c/other", "theirs");
    let recovery = scene.open().recovery().unwrap().clone();
    let [Interference::MovedAside { aside, .. }] = &recovery.interferences[..] else { panic!("{recovery:?}") };
    assert_eq!((scene.read("opt/c"), scene.read(&format!("{aside}/other"))), ("new".into(), "theirs".into()));
}

/// To most file systems they are different names; to one to which they are the same, the second is somebody else's file.
#[test]
fn twins_in_case_or_normalisation_are_names_of_their_own() {
    let scene = Scene::new();
    let twins = ["etc/Twin", "etc/twin", "etc/\u{e9}", "etc/e\u{301}"];
    let one = twins.iter().fold(pack("one 1-1"), |one, at| one.file(at, 0o644, at));
    scene.install(&[&one.build()]);
    let another = pack("another 1-1").file("etc/TWIN", 0o644, "another").build();
    scene.install(&[&another]);
    scene.assert_verified();
    for at in twins {
        assert_eq!(scene.read(at), at);
    }
    scene.remove(&["another"]);
    scene.assert_verified();
    scene.remove(&["one"]);
    assert!(!scene.at("etc").exists());
}

/// As deep as a path can be.
#[test]
fn a_tree_as_deep_as_a_path_can_be_comes_and_goes() {
    let scene = Scene::new();
    drop(scene.open());
    let before = scene.tree();
    let deepest = vec!["d"; 2030].join("/");
    let mut deep = pack("deep 1-1");
    for length in (1..deepest.len()).step_by(2) {
        deep = deep.only_dir(&deepest[..length]);
    }
    let deep = deep.build();
    scene.install(&[&deep]);
    scene.assert_verified();
    let packages = [&deep];
    let mut db = scene.open();
    drop(db.plan(request(&packages, &[])).unwrap().check().unwrap().stage(&mut ()).unwrap());
    drop(db);
    scene.remove(&["deep"]);
    assert_eq!(scene.tree(), before);
    let mut db = scene.open();
    drop(db.plan(request(&packages, &[])).unwrap().check().unwrap().stage(&mut ()).unwrap());
    assert_eq!(scene.tree(), before, "a stage that is given up leaves nothing");
}

/// A staged name can be longer than the name that it gets.
#[test]
fn a_path_too_long_to_be_staged_is_found_beforehand() {
    let scene = Scene::new();
    let folder = vec!["d".repeat(200); 20].join("/");
    let at = |length: usize| format!("{folder}/{}", "f".repeat(length));
    let of = |version: &str, length| pack(&format!("long {version}")).file(&at(length), 0o644, version).build();
    // The folders are there, so that the file is staged by itself, at the end of the longest possible path.
    scene.install(&[&pack("other 1-1").dir(&folder, 0o755).build()]);
    assert!(at(75).len() <= 4095);
    scene.install(&[&of("1-1", 75)]);
    scene.install(&[&of("2-1", 75)]);
    scene.assert_verified();
    let deep = format!("{}/{}", folder, "g".repeat(60));
    scene.install(&[&pack("deeper 1-1").dir(&deep, 0o755).build()]);
    let short = pack("short 1-1").file(&format!("{deep}/f"), 0o644, "x").build();
    let Err(Error::Refused(findings)) = scene.change(&[&short], &[]) else { panic!("its staged name has no room") };
    assert!(matches!(findings[0], Finding::TooLarge { what: "length of a path", .. }));
}

/// In memory, because some disks take long for each of them.
#[test]
fn a_hundred_thousand_folders_in_one_come_and_go() {
    with_medium("bad_input::a_hundred_thousand_folders", "size=1g,nr_inodes=0");
}

#[test]
#[ignore = "runs inside the test above"]
fn a_hundred_thousand_folders() {
    let Some(root) = medium() else { return };
    // In a folder that somebody else has already, so that each is staged by itself; and all in one that is new.
    let other = pack("other 1-1").dir("there", 0o755).build();
    run(&mut InstallDb::open(&root).unwrap(), request(&[&other], &[])).unwrap();
    let before = snapshot(&root);
    let mut wide = pack("wide 1-1").dir("new", 0o755).dir("there", 0o755);
    for n in 0..50_000 {
        wide = wide.only_dir(&format!("new/{n}")).only_dir(&format!("there/{n}"));
    }
    run(&mut InstallDb::open(&root).unwrap(), request(&[&wide.build()], &[])).unwrap();
    for folder in ["new", "there"] {
        assert_eq!(fs::read_dir(root.join(folder)).unwrap().count(), 50_000);
    }
    run(&mut InstallDb::open(&root).unwrap(), request(&[], &["wide"])).unwrap();
    assert_eq!(snapshot(&root), before);
}

/// A package may bring what it wants for itself; names that are ours alone are refused by whatever way they come.
#[test]
fn our_own_names_are_reached_by_no_way() {
    let scene = Scene::new();
    let cases = [
        pack("evil 1-1").symlink("var/lib/kista", "/tmp"),
        pack("evil 1-1").file("var/lib/kista", 0o644, "x"),
        pack("evil 1-1").symlink("var", "/tmp"),
        pack("evil 1-1").file("var/lib/kista/kept/1.0", 0o644, "x"),
        pack("evil 1-1").file("var/lib/kista/install.db", 0o644, "x").hardlink("zz/twin", "var/lib/kista/install.db"),
    ];
    for evil in cases {
        assert!(!refused(&scene, &[&evil.build()]).is_empty());
    }
    run(&mut InstallDb::open(scene.root()).unwrap(), request(&[&pack("good 1-1").dir("var/lib", 0o755).build()], &[]))
        .unwrap();
}
