//! What would be done is said without anything being done.

use std::fs;

use installdb::{Error, ErrorKind, Finding, InstallDb, Result};
use pkgformat::ScriptKind;

use crate::scene::{Packed, Scene, name, pack, path};

fn preview(scene: &Scene, install: &[&Packed], remove: &[&str]) -> Result<Vec<String>> {
    let mut db = InstallDb::preview(scene.root())?;
    let checked = db.plan(scene.request(install, remove))?.check()?;
    let told = checked.operations().iter().map(|operation| format!("{:?} {}", operation.kind(), operation.name));
    let told = told.collect();
    checked.rehearse(&mut ())?;
    Ok(told)
}

fn hello(version: &str) -> Packed {
    pack(&format!("hello {version}")).file("usr/bin/hello", 0o755, version).build()
}

#[test]
fn a_look_at_a_root_without_packages_leaves_no_trace() {
    let scene = Scene::new();
    assert_eq!(preview(&scene, &[&hello("1-1")], &[]).unwrap(), ["Install hello"]);
    assert!(matches!(preview(&scene, &[], &["hello"]), Err(Error::NotInstalled { .. })));
    scene.write("usr/bin/hello", "mine");
    assert!(matches!(&preview(&scene, &[&hello("1-1")], &[]), Err(Error::Refused(found)) if found.len() == 1));
    assert!(!scene.at("var").exists());
}

#[test]
fn a_look_at_a_change_writes_nothing() {
    let scene = Scene::new();
    scene.install(&[&hello("1-1")]);
    let before = (scene.tree(), fs::read(scene.at("var/lib/kista/install.db")).unwrap());
    assert_eq!(preview(&scene, &[&hello("2-1")], &[]).unwrap(), ["Upgrade hello"]);
    assert_eq!(preview(&scene, &[], &["hello"]).unwrap(), ["Remove hello"]);
    // Not even while somebody else changes something.
    let writer = scene.open();
    assert_eq!(preview(&scene, &[], &["hello"]).unwrap(), ["Remove hello"]);
    drop(writer);
    assert_eq!((scene.tree(), fs::read(scene.at("var/lib/kista/install.db")).unwrap()), before);
}

#[test]
fn what_was_only_looked_at_can_not_be_carried_out() {
    for scene in [Scene::new(), {
        let scene = Scene::new();
        scene.install(&[&pack("other 1-1").dir("other", 0o755).build()]);
        scene
    }] {
        let (hello, before) = (hello("1-1"), scene.tree());
        let mut db = InstallDb::preview(scene.root()).unwrap();
        let checked = db.plan(scene.request(&[&hello], &[])).unwrap().check().unwrap();
        assert!(matches!(checked.stage(&mut ()), Err(Error::OnlyLooking)));
        assert_eq!(scene.tree(), before);
    }
}

#[test]
fn a_look_finds_what_only_the_content_tells() {
    let scene = Scene::new();
    let scripted = pack("scripted 1-1").file("a", 0o644, "a").script(ScriptKind::PostInstall, "true").build();
    let Err(Error::Refused(found)) = preview(&scene, &[&scripted], &[]) else { panic!("nothing was found") };
    let (stage, interpreter) = ("post-install".to_owned(), path("bin/sh"));
    assert_eq!(found, [Finding::NoInterpreter { package: name("scripted"), stage, interpreter, moment: "after" }]);
    let mut skipping = Scene::new();
    skipping.options.skip_scripts = true;
    preview(&skipping, &[&scripted], &[]).unwrap();

    let mut broken = hello("1-1");
    let last = broken.bytes.iter().rposition(|&byte| byte == b'1').unwrap();
    broken.bytes[last] ^= 1;
    let found = preview(&scene, &[&broken], &[]).unwrap_err();
    assert_eq!(found.kind(), ErrorKind::Malformed, "{found}");
}

/// Taking it back, or finishing it, would change something.
#[test]
fn an_interrupted_change_is_left_alone_and_told() {
    let scene = Scene::new();
    scene.install(&[&hello("1-1")]);
    let hello = hello("2-1");
    let mut db = scene.open();
    let staged = db.plan(scene.request(&[&hello], &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    assert!(matches!(preview(&scene, &[], &["hello"]), Err(Error::Busy { .. })));
    // What a kill leaves: the lock is free, and nothing was cleaned up.
    let committed = staged.commit().unwrap();
    drop(committed);
    drop(db);
    let before = scene.tree();
    let told = preview(&scene, &[], &["hello"]).unwrap_err();
    assert!(matches!(told, Error::Unrecovered { txn: 2 }), "{told}");
    assert_eq!(scene.tree(), before);
    drop(scene.open());
    assert_eq!(preview(&scene, &[], &["hello"]).unwrap(), ["Remove hello"]);
}
