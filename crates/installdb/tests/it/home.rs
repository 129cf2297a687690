//! The database's own folder may be on another disk, behind links that the administrator put there.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use installdb::{Error, ErrorKind, Finding, InstallDb, Installed, LinkProblem, Unowned};

use crate::interruption::{arranged, change, kill_everywhere, kill_recovery};
use crate::scene::{Scene, pack, path, request};
use crate::undo::{assert_no_litter, forget_all, state, undo_last};

/// Where the database is after [`moved`] moved `var`.
pub(crate) const ELSEWHERE: &str = "mnt/var/lib/kista/";

/// Moves a folder of a root to where a link in its place leads.
fn moved(root: &Path, folder: &str, target: &str) {
    let to = Path::new(target.trim_start_matches('/').trim_start_matches("../"));
    fs::create_dir_all(root.join(to).parent().unwrap()).unwrap();
    fs::create_dir_all(root.join(folder)).unwrap();
    fs::rename(root.join(folder), root.join(to)).unwrap();
    symlink(target, root.join(folder)).unwrap();
}

fn app(version: &str) -> crate::scene::Packed {
    pack(&format!("app {version}"))
        .file("usr/bin/app", 0o755, version)
        .file("var/lib/app/data", 0o644, version)
        .config("etc/app.conf", version)
        .build()
}

#[test]
fn everything_works_behind_a_link() {
    for (folder, target) in
        [("var", "mnt/var"), ("var", "/mnt/var"), ("var/lib", "../mnt/lib"), ("var/lib/kista", "/mnt/ours")]
    {
        let mut scene = Scene::new();
        scene.options.unowned = Unowned::Replace;
        scene.write("usr/bin/app", "the administrator's");
        moved(scene.root(), folder, target);
        scene.install(&[&app("1-1")]);
        scene.write("etc/app.conf", "edited");
        let first = (state(&scene).1, scene.read("usr/bin/app"));
        scene.install(&[&app("2-1")]);
        undo_last(scene.root());
        assert_eq!((state(&scene).1, scene.read("usr/bin/app")), first, "{folder}");
        undo_last(scene.root());
        scene.remove(&["app"]);
        assert_eq!(scene.packages(), [""; 0]);
        crate::undo::reverse(&scene, |db| db.reversal_to(0)).unwrap();
        assert_eq!(scene.read("usr/bin/app"), "the administrator's", "{folder}");
        forget_all(scene.root());
        if !target.starts_with('/') {
            // To this test, which looks from outside of the root, another one leads elsewhere.
            assert_no_litter(scene.root());
        }
        assert_eq!(fs::read_link(scene.at(folder)).unwrap(), Path::new(target), "the link stays");
        assert!(!scene.at("mnt/var/lib/app").exists() && !scene.at("mnt/lib/app").exists());
    }
}

#[test]
fn a_database_may_be_moved_between_two_changes_and_between_a_decision_and_its_end() {
    let scene = Scene::new();
    scene.install(&[&app("1-1")]);
    moved(scene.root(), "var", "mnt/var");
    assert_eq!(scene.packages(), ["app 1-1"]);
    scene.assert_verified();
    let package = app("2-1");
    let mut db = scene.open();
    let staged = db.plan(request(&[&package], &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    drop(staged.commit().unwrap());
    drop(db);
    fs::rename(scene.at("mnt/var/lib/kista"), scene.at("mnt/ours")).unwrap();
    symlink("/mnt/ours", scene.at("mnt/var/lib/kista")).unwrap();
    assert!(scene.open().recovery().is_some());
    assert_eq!(scene.packages(), ["app 2-1"]);
    scene.assert_verified();
    undo_last(scene.root());
    assert_eq!(scene.packages(), ["app 1-1"]);
}

/// Users are those of the root whose files are behind the link.
#[test]
fn users_and_configuration_may_be_behind_a_link() {
    let scene = Scene::new();
    let with_user = |version: &str, user: &str| {
        let line = format!("u {user} - \"of the package\"");
        pack(&format!("app {version}")).config("etc/app.conf", version).meta(|meta| meta.sysusers.push(line)).build()
    };
    scene.install(&[&with_user("1-1", "first")]);
    moved(scene.root(), "etc", "/mnt/etc");
    scene.assert_verified();
    scene.install(&[&with_user("2-1", "second")]);
    let passwd = scene.read("mnt/etc/passwd");
    assert!(passwd.contains("first:") && passwd.contains("second:"), "{passwd}");
    scene.assert_verified();
    undo_last(scene.root());
    assert_eq!(scene.read("mnt/etc/app.conf"), "1-1");
    scene.remove(&["app"]);
    assert!(!scene.at("mnt/etc/app.conf").exists());
    assert_eq!(fs::read_link(scene.at("etc")).unwrap(), Path::new("/mnt/etc"));
}

#[test]
fn a_link_that_is_not_followed_is_named() {
    let cases = [
        ("/nowhere", LinkProblem::Dangling),
        ("../../outside", LinkProblem::Outside),
        ("var", LinkProblem::Loop),
        ("file", LinkProblem::NotAFolder),
    ];
    for (target, expected) in cases {
        let scene = Scene::new();
        scene.write("file", "");
        symlink(target, scene.at("var")).unwrap();
        let questions = Installed::open(scene.root()).map(drop).unwrap_err();
        for error in [questions, InstallDb::open(scene.root()).map(drop).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Refused);
            let Error::Misplaced { path: link, problem } = error else { panic!("{error}") };
            assert_eq!((link, problem), (path("var"), expected.clone()), "{target}");
        }
    }
}

#[test]
fn a_link_to_the_database_is_never_a_packages() {
    let scene = Scene::new();
    moved(scene.root(), "var", "mnt/var");
    let package = pack("links 1-1").symlink("var", "mnt/var").build();
    let Error::Refused(findings) = scene.change(&[&package], &[]).unwrap_err() else { panic!("it is refused") };
    assert!(findings.iter().any(|found| matches!(found, Finding::Reserved { .. })), "{findings:?}");
    let package = pack("ours 1-1").file("mnt/var/lib/kista/x", 0o644, "x").build();
    let Error::Refused(findings) = scene.change(&[&package], &[]).unwrap_err() else { panic!("it is refused") };
    assert!(findings.iter().any(|found| matches!(found, Finding::Reserved { .. })), "{findings:?}");
}

#[test]
fn a_kill_behind_a_link_leaves_the_old_or_the_new() {
    let scene = arranged();
    moved(scene.root(), "var", "mnt/var");
    kill_everywhere("change", scene.root(), change);
    kill_recovery("change", scene.root());
}
