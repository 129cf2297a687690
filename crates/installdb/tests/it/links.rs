//! Symbolic links that the administrator put in the place of packages' folders.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};

use installdb::{Author, ConfigState, Error, Finding, LinkProblem, Notice, Source, Unowned};
use pkgformat::{Limits, Reader};
use pkgtypes::PackageName;

use crate::scene::{NOW, Pack, Packed, Scene, name, pack, path};

/// A root in which a folder was moved elsewhere, with a link where it was.
fn moved(from: &str, link: &str, to: &str) -> Scene {
    let scene = Scene::new();
    link_in(&scene, from, link, to);
    scene
}

/// `to` is the folder's real path.
fn link_in(scene: &Scene, from: &str, link: &str, to: &str) {
    fs::create_dir_all(scene.at(from).parent().unwrap()).unwrap();
    fs::create_dir_all(scene.at(to)).unwrap();
    symlink(link, scene.at(from)).unwrap();
}

fn app(version: &str) -> Packed {
    pack(&format!("app {version}"))
        .file("opt/app/bin/app", 0o755, version)
        .hardlink("opt/app/bin/twin", "opt/app/bin/app")
        .symlink("opt/app/current", "bin/app")
        .file(&format!("opt/app/share/{version}/data"), 0o644, version)
        .config("opt/app/app.conf", version)
        .dir("opt/app/empty", 0o750)
        .build()
}

#[track_caller]
fn refused(scene: &Scene, install: &[&Packed]) -> Vec<Finding> {
    drop(scene.open());
    let before = scene.tree();
    let error = scene.change(install, &[]).unwrap_err();
    assert_eq!(scene.tree(), before);
    let Error::Refused(findings) = error else { panic!("{error}") };
    findings
}

fn names(owners: &[PackageName]) -> Vec<String> {
    owners.iter().map(ToString::to_string).collect()
}

#[test]
fn packages_come_change_and_go_through_a_link() {
    for (link, real) in [("/mnt/opt", "mnt/opt"), ("mnt/../mnt/opt", "mnt/opt"), ("mnt/hop", "mnt/opt")] {
        let scene = moved("opt", link, real);
        symlink("/mnt/opt/.", scene.at("mnt/hop")).unwrap();
        fs::set_permissions(scene.at(real), fs::Permissions::from_mode(0o711)).unwrap();
        drop(scene.open());
        let outside = scene.tree();
        scene.install(&[&app("1-1")]);
        assert_eq!(scene.read("mnt/opt/app/bin/app"), "1-1");
        scene.assert_verified();
        assert_eq!(names(&scene.installed().owners(&path("opt/app/bin/app")).unwrap()), ["app"]);
        let first = scene.tree();

        scene.write("mnt/opt/app/app.conf", "edited");
        let done = scene.install(&[&app("2-1")]);
        let new = path("mnt/opt/app/app.conf.new");
        assert_eq!(done.notices, [Notice::NewBeside { path: path("mnt/opt/app/app.conf"), new }]);
        let read = |name: &str| scene.read(&format!("mnt/opt/app/{name}"));
        assert_eq!((read("bin/twin"), read("app.conf")), ("2-1".into(), "edited".into()));
        assert!(!scene.at("mnt/opt/app/share/1-1").exists());

        // The new version is taken, and the change taken back.
        let mut db = scene.open();
        db.accept_configs(&[path("opt/app/app.conf")], &Author::new(NOW), &NOW).unwrap();
        assert_eq!((read("app.conf"), read("app.conf.save")), ("2-1".into(), "edited".into()));
        drop(db);
        fs::remove_file(scene.at("mnt/opt/app/app.conf.save")).unwrap();
        scene.assert_verified();
        scene.install(&[&app("1-1")]);
        assert_eq!(scene.tree(), first);
        crate::undo::undo_last(scene.root());
        assert_eq!(scene.read("mnt/opt/app/bin/app"), "2-1");
        scene.assert_verified();

        // What nobody owns stays, so the folder above it does; the link and where it leads to stay anyhow.
        scene.remove(&["app"]);
        assert_eq!(scene.tree(), outside);
    }
}

#[test]
fn what_was_accepted_behind_a_link_goes_when_the_upgrade_does() {
    let scene = moved("opt", "mnt/opt", "mnt/opt");
    scene.install(&[&app("1-1")]);
    scene.write("mnt/opt/app/app.conf", "edited");
    scene.install(&[&app("2-1")]);
    scene.open().accept_configs(&[path("opt/app/app.conf")], &Author::new(NOW), &NOW).unwrap();
    crate::undo::reverse(&scene, |db| db.reversal_to(1)).unwrap();
    assert_eq!(scene.read("mnt/opt/app/app.conf"), "edited");
    assert!(!scene.at("mnt/opt/app/app.conf.save").exists());
}

#[test]
fn what_is_damaged_behind_a_link_is_found_and_brought_back() {
    let scene = moved("var/lib/app", "../../srv/app", "srv/app");
    let kept = pack("kept 1-1").file("usr/same", 0o644, "whole").build();
    let damaged = pack("app 1-1").file("var/lib/app/deep/file", 0o644, "whole").dir("var/lib/app/empty", 0o755).build();
    scene.install(&[&kept, &damaged]);
    let whole = scene.tree();
    fs::remove_dir_all(scene.at("srv/app/deep")).unwrap();
    fs::set_permissions(scene.at("srv/app/empty"), fs::Permissions::from_mode(0o700)).unwrap();
    let found: Vec<String> = scene.installed().verify(&[]).unwrap().iter().map(|d| d.path.to_string()).collect();
    assert_eq!(found, ["var/lib/app/deep", "var/lib/app/deep/file", "var/lib/app/empty"]);
    let mut db = scene.open();
    db.fix(&[], false, &mut ()).unwrap().carry_out(&Author::new(NOW), &NOW, &mut ()).unwrap();
    drop(db);
    assert_eq!(scene.tree(), whole);
    // And the package is the same again as a file.
    let (bytes, _) = scene.installed().regenerate(&name("app"), Vec::new(), &mut ()).unwrap();
    assert_eq!(bytes, damaged.bytes);
}

/// With merged folders one folder has two names, under which packages know it.
#[test]
fn merged_folders_take_packages_with_either_name() {
    let scene = moved("lib", "usr/lib", "usr/lib");
    let old = |spec: &str| pack(spec).file("lib/arch/a.so", 0o644, "a").file("usr/lib/arch/b.so", 0o644, "b");
    scene.install(&[&old("one 1-1").build()]);
    let other = pack("two 1-1").file("usr/lib/arch/c.so", 0o644, "c").dir("lib/arch", 0o755).build();
    scene.install(&[&other]);
    scene.assert_verified();
    let names: Vec<_> =
        fs::read_dir(scene.at("usr/lib/arch")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    // The new version has the file under its other name: it is the same file, and not one that goes.
    scene.install(&[&pack("one 2-1").file("usr/lib/arch/a.so", 0o644, "a2").build()]);
    assert_eq!((scene.read("lib/arch/a.so"), scene.at("usr/lib/arch/b.so").exists()), ("a2".into(), false));
    scene.assert_verified();
    scene.remove(&["one", "two"]);
    assert!(scene.at("lib").is_symlink() && scene.at("usr/lib").is_dir() && !scene.at("usr/lib/arch").exists());
}

#[test]
fn an_owner_is_found_by_every_way_that_leads_there() {
    let scene = moved("lib", "usr/lib", "usr/lib");
    link_in(&scene, "opt", "/mnt/opt", "mnt/opt");
    scene
        .install(&[&app("1-1"), &pack("so 1-1").file("usr/lib/x.so", 0o644, "x").symlink("srv/way", "../lib").build()]);
    let told = |at: &str| {
        let owners = scene.installed().owners_at(&path(at)).unwrap();
        owners.iter().map(|(path, name)| format!("{name} {path}")).collect::<Vec<_>>()
    };
    for way in ["usr/lib/x.so", "lib/x.so", "srv/way/x.so"] {
        assert_eq!(told(way), ["so usr/lib/x.so"], "{way}");
    }
    for way in ["mnt/opt/app/bin/app", "opt/app/bin/app"] {
        assert_eq!(told(way), ["app opt/app/bin/app"], "{way}");
    }
    for nobodys in ["lib/y", "nowhere/x.so", "x.so", "usr/lib/x.so/y"] {
        assert_eq!(told(nobodys), [""; 0], "{nobodys}");
    }
}

#[test]
fn what_is_owned_behind_a_link_is_not_unowned() {
    let scene = moved("lib", "usr/lib", "usr/lib");
    scene.install(&[&pack("so 1-1").file("lib/arch/x.so", 0o644, "x").file("usr/bin/x", 0o755, "x").build()]);
    scene.write("usr/lib/arch/stray", "mine");
    scene.write("usr/bin/stray", "mine");
    let unowned = scene.installed().unowned(&[], &mut ()).unwrap();
    assert_eq!(unowned.paths, [path("usr/bin/stray"), path("usr/lib/arch/stray")]);
}

/// A package's own folders are those that its links lead to, and no others on the way there.
#[test]
fn what_lies_behind_a_packages_links_is_found_by_its_name() {
    let scene = moved("lib", "usr/lib", "usr/lib");
    link_in(&scene, "etc/app", "/usr/conf", "usr/conf");
    let so = pack("so 1-1").file("lib/arch/x.so", 0o644, "x").config("etc/app/conf", "1").build();
    scene.install(&[&so, &pack("other 1-1").file("usr/bin/x", 0o755, "x").build()]);
    for stray in ["usr/stray", "usr/lib/stray", "usr/lib/arch/stray", "usr/conf/stray", "usr/bin/stray"] {
        scene.write(stray, "mine");
    }
    scene.write("usr/conf/conf.save", "mine");
    let unowned = |names: &[&str]| {
        let names: Vec<_> = names.iter().map(|text| name(text)).collect();
        let found = scene.installed().unowned(&names, &mut ()).unwrap();
        found.paths.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(unowned(&["so"]), ["usr/conf/stray", "usr/lib/arch/stray", "usr/lib/stray"]);
    assert_eq!(unowned(&["other"]), ["usr/bin/stray", "usr/stray"]);
    assert_eq!(unowned(&[]).len(), 5);
}

/// Both came to places of their own, which the administrator then made one.
#[test]
fn a_link_made_later_takes_nothing_from_another_package() {
    for (from, link) in [("lib", "usr/lib"), ("srv/deep/lib", "../../usr/lib")] {
        // The one is what the other put there, or another file.
        for (content, is_twin) in [("same", true), ("other", false)] {
            let scene = Scene::new();
            let real =
                |spec: &str| pack(spec).file("usr/lib/x", 0o644, "same").file("usr/lib/own", 0o644, spec).build();
            let named = pack("b 1-1").file(&format!("{from}/x"), 0o644, content).build();
            scene.install(&[&real("a 1-1"), &named]);
            fs::rename(scene.at(from).join("x"), scene.at("usr/lib/x")).unwrap();
            fs::remove_dir(scene.at(from)).unwrap();
            symlink(link, scene.at(from)).unwrap();
            // A file like the other in size and time is known only where the link is at the top. What goes is kept.
            if is_twin && from != "lib" {
                scene.write("usr/lib/stray", "so that the folder stays");
                scene.remove(&["a"]);
                assert!(!scene.at("usr/lib/x").exists());
                let mut db = scene.open();
                db.fix(&[], false, &mut ()).unwrap().carry_out(&Author::new(NOW), &NOW, &mut ()).unwrap();
                drop(db);
                assert_eq!(scene.read("usr/lib/x"), content);
                scene.assert_verified();
                continue;
            }
            if !is_twin {
                let place = Finding::SamePlace {
                    path: path(&format!("{from}/x")),
                    package: name("b"),
                    other_path: path("usr/lib/x"),
                    other: name("a"),
                };
                assert_eq!(refused(&scene, &[&real("a 2-1")]), [place]);
            }
            let done = scene.remove(&["a"]);
            let other_path = path(&format!("{from}/x"));
            assert_eq!(done.notices, [Notice::Others { path: path("usr/lib/x"), other_path, other: name("b") }]);
            assert_eq!((scene.read("usr/lib/x"), scene.at("usr/lib/own").exists()), (content.to_owned(), false));
            scene.assert_verified();
            scene.remove(&["b"]);
            assert!(!scene.at("usr/lib/x").exists());
        }
    }
}

/// The other way round: what goes is reached by the link.
#[test]
fn a_link_made_later_takes_nothing_from_the_package_that_has_the_place() {
    for (from, link) in [("lib", "usr/lib"), ("srv/deep/lib", "../../usr/lib")] {
        for content in ["same", "other"] {
            let scene = Scene::new();
            let real = pack("a 1-1").file("usr/lib/x", 0o644, "same").build();
            scene.install(&[&real, &pack("b 1-1").file(&format!("{from}/x"), 0o644, content).build()]);
            fs::remove_dir_all(scene.at(from)).unwrap();
            symlink(link, scene.at(from)).unwrap();
            scene.remove(&["b"]);
            assert_eq!(scene.read("usr/lib/x"), "same", "{from}");
            scene.assert_verified();
        }
    }
}

#[test]
fn one_place_is_not_two_files() {
    let mut scene = moved("lib", "usr/lib", "usr/lib");
    let a = |spec: &str| pack(spec).file("lib/x", 0o644, "x").build();
    let b = |spec: &str| pack(spec).file("usr/lib/x", 0o644, "x").build();
    let place = |package: &str, other: &str| Finding::SamePlace {
        path: path("lib/x"),
        package: name(package),
        other_path: path("usr/lib/x"),
        other: name(other),
    };
    assert_eq!(refused(&scene, &[&a("a 1-1"), &b("b 1-1")]), [place("a", "b")]);
    let both = pack("both 1-1").file("lib/x", 0o644, "x").symlink("usr/lib/x", "../../lib/x").build();
    assert_eq!(refused(&scene, &[&both]), [place("both", "both")]);
    // Not even if only the other package goes through the link.
    scene.install(&[&a("a 1-1")]);
    for unowned in [Unowned::Refuse, Unowned::Adopt, Unowned::Replace] {
        scene.options.unowned = unowned;
        assert_eq!(refused(&scene, &[&b("b 1-1")]), [place("a", "b")]);
    }
    scene.change(&[&b("b 1-1")], &["a"]).unwrap();
    assert_eq!(scene.read("usr/lib/x"), "x");
    scene.remove(&["b"]);
    scene.install(&[&b("b 1-1")]);
    let turned =
        Finding::SamePlace { path: path("usr/lib/x"), package: name("b"), other_path: path("lib/x"), other: name("a") };
    assert_eq!(refused(&scene, &[&a("a 1-1")]), [turned]);
}

fn problem(scene: &Scene, package: Pack) -> LinkProblem {
    match &refused(scene, &[&package.build()])[..] {
        [Finding::SymlinkInTheWay { problem, .. }] => problem.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_that_leads_nowhere_good_is_refused_with_the_reason() {
    let cases = [
        ("/nowhere", LinkProblem::Dangling),
        ("../elsewhere", LinkProblem::Outside),
        ("mnt/../../opt", LinkProblem::Outside),
        ("opt", LinkProblem::Loop),
        ("mnt/circle", LinkProblem::Loop),
        ("/", LinkProblem::Loop),
        ("etc/file", LinkProblem::NotAFolder),
        ("var/lib/kista", LinkProblem::Ours),
    ];
    for (target, expected) in cases {
        let scene = Scene::new();
        drop(scene.open());
        scene.write("etc/file", "a file");
        fs::create_dir(scene.at("mnt")).unwrap();
        symlink("/opt", scene.at("mnt/circle")).unwrap();
        symlink(target, scene.at("opt")).unwrap();
        assert_eq!(problem(&scene, pack("app 1-1").file("opt/app", 0o644, "x")), expected, "{target}");
    }
}

/// Who may write in a folder could otherwise lead root astray from it.
#[test]
fn a_link_of_another_user_is_not_followed() {
    let scene = moved("srv/www", "../etc", "etc");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    lchown(scene.at("srv/www"), Some(4711), None).unwrap();
    let package = || pack("www 1-1").file("srv/www/passwd", 0o644, "mine");
    assert_eq!(problem(&scene, package()), LinkProblem::Stranger { uid: 4711 });
    lchown(scene.at("srv/www"), Some(0), None).unwrap();
    scene.install(&[&package().build()]);
}

/// Not even where the link has another name in the package that brought it.
#[test]
fn a_link_that_came_with_a_package_is_not_followed_under_whichever_name() {
    let scene = moved("opt", "mnt/opt", "mnt/opt");
    fs::create_dir(scene.at("etc")).unwrap();
    let evil = pack("evil 1-1").symlink("opt/way", "/etc").build();
    let other = || pack("other 1-1").file("mnt/opt/way/passwd", 0o644, "mine");
    assert!(matches!(refused(&scene, &[&evil, &other().build()])[..], [Finding::SamePlace { .. }]));
    scene.install(&[&evil]);
    assert_eq!(problem(&scene, other()), LinkProblem::Brought { package: name("evil") });
    // Once it is gone, the administrator may make one.
    scene.remove(&["evil"]);
    symlink("/etc", scene.at("opt/way")).unwrap();
    scene.install(&[&other().build()]);
    assert_eq!(scene.read("etc/passwd"), "mine");
}

/// Who signed the package was asked for less than one needs who makes keys trusted.
#[test]
fn no_link_leads_a_package_to_where_the_root_says_whom_it_trusts() {
    let scene = moved("usr/local/etc", "/etc", "etc");
    let evil = || pack("evil 1-1").file("usr/local/etc/trust.d/keys/trusted/evil.pub", 0o644, "mine");
    let found = |place: &str| {
        let findings = refused(&scene, &[&evil().build()]);
        let at = |base: &str, name: &str| path(&format!("{base}/trust.d{name}"));
        let below = ["", "/keys", "/keys/trusted", "/keys/trusted/evil.pub"];
        let expected = below.map(|below| Finding::TrustByDetour {
            path: at("usr/local/etc", below),
            package: name("evil"),
            place: at(place, below),
        });
        assert_eq!(findings, expected);
    };
    found("etc");
    fs::create_dir(scene.at("mnt")).unwrap();
    fs::rename(scene.at("etc"), scene.at("mnt/etc")).unwrap();
    symlink("/mnt/etc", scene.at("etc")).unwrap();
    found("mnt/etc");
    // Who names the place was asked for enough.
    scene.install(&[&pack("keys 1-1").file("etc/trust.d/keys/trusted/ann.pub", 0o644, "key").build()]);
    scene.install(&[&pack("other 1-1").file("usr/local/etc/other", 0o644, "x").build()]);
    assert_eq!(scene.read("mnt/etc/trust.d/keys/trusted/ann.pub"), "key");
}

/// What was a folder behind the link is none any more: the link is still nobody's but the administrator's.
#[test]
fn a_version_without_the_folder_does_not_take_the_link_away() {
    let mut scene = moved("opt", "mnt/opt", "mnt/opt");
    scene.install(&[&app("1-1")]);
    let turned = pack("app 2-1").symlink("opt", "usr").dir("usr", 0o755).build();
    assert_eq!(refused(&scene, &[&turned]), [Finding::Unowned { path: path("opt"), package: name("app") }]);
    scene.options.unowned = Unowned::Replace;
    scene.install(&[&turned]);
    assert_eq!(fs::read_link(scene.at("opt")).unwrap().to_str(), Some("usr"));
    assert_eq!(fs::read_dir(scene.at("mnt/opt")).unwrap().count(), 0);
    scene.assert_verified();
}

/// The paths of a transaction are settled when it begins, so a later look at the link changes nothing.
#[test]
fn a_link_that_turns_meanwhile_turns_nothing() {
    let scene = moved("opt", "mnt/opt", "mnt/opt");
    fs::create_dir(scene.at("elsewhere")).unwrap();
    let (one, mut db) = (app("1-1"), scene.open());
    let mut request = installdb::Request::new(NOW);
    request.install = vec![one.incoming()];
    let checked = db.plan(request).unwrap().check().unwrap();
    fs::remove_file(scene.at("opt")).unwrap();
    symlink("elsewhere", scene.at("opt")).unwrap();
    checked.stage(&mut ()).unwrap().commit().unwrap().finish(NOW).unwrap();
    assert_eq!(scene.read("mnt/opt/app/bin/app"), "1-1");
    assert_eq!(fs::read_dir(scene.at("elsewhere")).unwrap().count(), 0);
}

#[test]
fn configuration_behind_a_link_is_listed_by_the_packages_names() {
    let scene = moved("etc/app", "/srv/conf", "srv/conf");
    scene.install(&[&pack("app 1-1").config("etc/app/a", "1").config("etc/app/b", "1").build()]);
    scene.write("srv/conf/a", "edited");
    scene.install(&[&pack("app 2-1").config("etc/app/a", "2").config("etc/app/b", "1").build()]);
    let configs = scene.installed().configs(&[]).unwrap();
    let told: Vec<_> = configs.iter().map(|config| (config.path.to_string(), config.state)).collect();
    assert_eq!(told, [("etc/app/a".into(), ConfigState::Changed), ("etc/app/b".into(), ConfigState::Unchanged)]);
    assert_eq!(configs[0].new.as_ref().map(|new| new.path.clone()), Some(path("etc/app/a.new")));
    let mut db = scene.open();
    db.keep_configs(&[path("etc/app/a")], &Author::new(NOW), &NOW).unwrap();
    assert!(!scene.at("srv/conf/a.new").exists());
    drop(db);
    // The file of the package that goes is kept beside where it stands.
    let packed = pack("app 2-1").config("etc/app/a", "2").config("etc/app/b", "1").build();
    let offered = Reader::open(Source::new(&packed.bytes[..]), Limits::default()).unwrap();
    let mut db = scene.open();
    let mut fix = db.fix(&[], true, &mut ()).unwrap();
    fix.offer(offered);
    fix.carry_out(&Author::new(NOW), &NOW, &mut ()).unwrap();
    drop(db);
    assert_eq!(scene.read("srv/conf/a"), "2");
    scene.write("srv/conf/a", "edited again");
    scene.remove(&["app"]);
    assert_eq!(scene.read("srv/conf/a.save"), "edited again");
}
