//! Configuration files three ways: the old package's, the new one's, and the administrator's.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use installdb::{Author, ConfigState, Error, ErrorKind, Finding, InstallDb, Notice};
use pkgtypes::Digest;

use crate::interruption::{kill_everywhere, kill_recovery};
use crate::scene::{NOW, Packed, Scene, name, pack, path};
use crate::undo::{reverse, undo};

fn hello(version: &str, setting: &str) -> Packed {
    pack(&format!("hello {version}")).config("etc/hello", setting).config("etc/other", "same").build()
}

/// A root where the administrator and the package both changed a file.
fn arranged() -> Scene {
    let scene = Scene::new();
    scene.install(&[&hello("1-1", "one")]);
    scene.write("etc/hello", "mine");
    scene.install(&[&hello("2-1", "two")]);
    scene
}

fn told(scene: &Scene) -> Vec<String> {
    let configs = scene.installed().configs(&[]).unwrap();
    let tell = |config: installdb::ConfigFile| {
        let new = config.new.map(|new| if new.merged { " merged" } else { " new" }).unwrap_or_default();
        let saved = if config.saved.is_some() { " saved" } else { "" };
        let gone = if config.package.is_none() { " gone" } else { "" };
        format!("{} {:?}{new}{saved}{gone}", config.path, config.state)
    };
    configs.into_iter().map(tell).collect()
}

fn accept(scene: &Scene, text: &str) -> installdb::Result<Vec<Notice>> {
    scene.open().accept_configs(&[path(text)], &Author::new(NOW), &NOW).map(|done| done.notices)
}

fn keep(scene: &Scene, text: &str) -> installdb::Result<()> {
    scene.open().keep_configs(&[path(text)], &Author::new(NOW), &NOW).map(drop)
}

#[test]
fn the_packages_version_takes_the_place_and_nothing_is_lost() {
    let scene = arranged();
    assert_eq!(told(&scene), ["etc/hello Changed new", "etc/other Unchanged"]);
    let saved = Notice::Saved { path: path("etc/hello"), saved: path("etc/hello.save") };
    assert_eq!(accept(&scene, "etc/hello").unwrap(), [saved]);
    assert_eq!((scene.read("etc/hello"), scene.read("etc/hello.save")), ("two".to_owned(), "mine".to_owned()));
    assert_eq!(told(&scene), ["etc/hello Unchanged saved", "etc/other Unchanged"]);
    scene.assert_verified();
    assert!(matches!(accept(&scene, "etc/hello"), Err(Error::NoNewVersion { .. })));
    assert_eq!(keep(&scene, "etc/other").unwrap_err().kind(), ErrorKind::Unknown);
}

#[test]
fn the_administrators_version_stays_and_the_other_goes() {
    let scene = arranged();
    keep(&scene, "etc/hello").unwrap();
    assert_eq!(told(&scene), ["etc/hello Changed", "etc/other Unchanged"]);
    assert_eq!(scene.read("etc/hello"), "mine");
}

#[test]
fn what_was_merged_by_hand_needs_no_copy() {
    let scene = arranged();
    for merged in ["etc/hello", "etc/hello.new"] {
        scene.write(merged, "both");
    }
    assert_eq!(told(&scene), ["etc/hello Changed merged", "etc/other Unchanged"]);
    assert_eq!(accept(&scene, "etc/hello").unwrap(), []);
    assert!(!scene.at("etc/hello.new").exists() && !scene.at("etc/hello.save").exists());
    assert_eq!(scene.read("etc/hello"), "both");
}

#[test]
fn a_version_that_nobody_has_to_decide_about_any_more_goes() {
    let scene = arranged();
    scene.write("etc/hello", "two");
    scene.install(&[&hello("3-1", "three")]);
    assert_eq!(scene.read("etc/hello"), "three");
    assert_eq!(told(&scene), ["etc/hello Unchanged", "etc/other Unchanged"]);
    let edited = arranged();
    edited.write("etc/hello", "two");
    edited.write("etc/hello.new", "half a merge");
    edited.install(&[&hello("3-1", "three")]);
    assert_eq!(edited.read("etc/hello.new"), "half a merge", "what the administrator wrote is his");
    let removed = arranged();
    removed.remove(&["hello"]);
    assert!(!removed.at("etc/hello.new").exists());
    assert_eq!(told(&removed), ["etc/hello Missing saved gone"]);
    fs::remove_file(removed.at("etc/hello.save")).unwrap();
    assert_eq!(told(&removed), [""; 0]);
}

#[test]
fn a_new_version_that_nobody_decided_about_comes_back_with_its_package() {
    let has_new = ["etc/hello Changed new", "etc/other Unchanged"];
    let base = |scene: &Scene| scene.installed().base(&path("etc/hello")).unwrap();
    let redone = arranged();
    undo(&redone);
    assert_eq!(told(&redone), ["etc/hello Changed", "etc/other Unchanged"]);
    undo(&redone);
    let returned = arranged();
    returned.remove(&["hello"]);
    undo(&returned);
    for scene in [redone, returned] {
        assert_eq!(told(&scene), has_new);
        assert_eq!((scene.read("etc/hello"), scene.read("etc/hello.new")), ("mine".to_owned(), "two".to_owned()));
        assert_eq!(base(&scene).as_deref(), Some(&b"one"[..]), "a merge knows what both were made of");
        scene.install(&[&hello("3-1", "three")]);
        assert_eq!((scene.read("etc/hello.new"), base(&scene).as_deref()), ("three".to_owned(), Some(&b"one"[..])));
    }
    // What was decided is not asked again.
    let decided = arranged();
    keep(&decided, "etc/hello").unwrap();
    decided.remove(&["hello"]);
    undo(&decided);
    assert_eq!(told(&decided), ["etc/hello Changed", "etc/other Unchanged"]);
}

#[test]
fn a_file_that_a_version_has_not_comes_back_as_the_administrator_had_it() {
    let without = pack("hello 2-1").config("etc/other", "same").build();
    let third = pack("hello 3-1").config("etc/other", "same").build();
    for packages in [&[&without][..], &[&without, &third]] {
        let scene = Scene::new();
        scene.install(&[&hello("1-1", "one")]);
        scene.write("etc/hello", "mine");
        packages.iter().for_each(|package| drop(scene.install(&[package])));
        assert_eq!(scene.read("etc/hello.save"), "mine");
        reverse(&scene, |db| db.reversal_to(1)).unwrap();
        assert_eq!(scene.read("etc/hello"), "mine");
        assert_eq!(told(&scene), ["etc/hello Changed", "etc/other Unchanged"]);
    }
}

#[test]
fn a_name_without_room_for_an_ending_is_told() {
    let long = format!("etc/{}", "n".repeat(255));
    let scene = Scene::new();
    scene.install(&[&pack("long 1-1").config(&long, "one").build()]);
    scene.write(&long, "mine");
    let error = scene.change(&[], &["long"]).unwrap_err();
    let Error::Refused(findings) = &error else { panic!("{error}") };
    assert!(matches!(&findings[..], [Finding::LongName { ending: ".save", .. }]), "{findings:?}");
    assert!(findings[0].to_string().contains("rename it first"));
    assert_eq!(scene.read(&long), "mine");
}

#[test]
fn a_link_in_the_place_of_a_file_comes_back() {
    let linked = |version: Option<&str>| {
        let scene = Scene::new();
        scene.install(&[&hello("1-1", "one")]);
        fs::remove_file(scene.at("etc/hello")).unwrap();
        std::os::unix::fs::symlink("mine", scene.at("etc/hello")).unwrap();
        assert_eq!(told(&scene), ["etc/hello Changed", "etc/other Unchanged"]);
        match version {
            Some(version) => {
                scene.install(&[&hello(version, "two")]);
                accept(&scene, "etc/hello").unwrap();
                assert_eq!(told(&scene), ["etc/hello Unchanged saved", "etc/other Unchanged"]);
            }
            None => drop(scene.remove(&["hello"])),
        }
        assert_eq!(fs::read_link(scene.at("etc/hello.save")).unwrap(), Path::new("mine"));
        scene
    };
    let removed = linked(None);
    undo(&removed);
    let accepted = linked(Some("2-1"));
    reverse(&accepted, |db| db.reversal_to(1)).unwrap();
    for scene in [removed, accepted] {
        assert_eq!(fs::read_link(scene.at("etc/hello")).unwrap(), Path::new("mine"));
        assert!(fs::symlink_metadata(scene.at("etc/hello.save")).is_err());
    }
}

#[test]
fn a_file_that_a_package_has_is_no_new_version() {
    let scene = Scene::new();
    scene.install(&[&pack("odd 1-1").config("etc/odd", "x").file("etc/odd.new", 0o644, "y").build()]);
    assert!(matches!(accept(&scene, "etc/odd"), Err(Error::NoNewVersion { .. })));
    let config = &scene.installed().configs(&[name("odd")]).unwrap()[0];
    assert_eq!((config.state, &config.new), (ConfigState::Unchanged, &None));
}

#[test]
fn what_has_the_name_of_the_copy_is_not_overwritten() {
    let scene = arranged();
    scene.write("etc/hello.save/mine", "x");
    assert_eq!(accept(&scene, "etc/hello").unwrap_err().kind(), ErrorKind::Refused);
    assert_eq!((scene.read("etc/hello"), scene.read("etc/hello.new")), ("mine".to_owned(), "two".to_owned()));
}

/// A rename of one name of a file to another does nothing, and says that it did.
#[test]
fn a_copy_that_is_another_name_of_the_file_leaves_nothing_behind() {
    let saved = arranged();
    fs::hard_link(saved.at("etc/hello"), saved.at("etc/hello.save")).unwrap();
    accept(&saved, "etc/hello").unwrap();
    assert_eq!((saved.read("etc/hello"), saved.read("etc/hello.save")), ("two".to_owned(), "mine".to_owned()));
    let merged = arranged();
    fs::remove_file(merged.at("etc/hello.new")).unwrap();
    fs::hard_link(merged.at("etc/hello"), merged.at("etc/hello.new")).unwrap();
    accept(&merged, "etc/hello").unwrap();
    let removed = arranged();
    fs::hard_link(removed.at("etc/hello"), removed.at("etc/hello.save")).unwrap();
    removed.remove(&["hello"]);
    assert_eq!(removed.read("etc/hello.save"), "mine");
    for scene in [saved, merged, removed] {
        assert_eq!(scene.tree().keys().find(|path| path.to_string_lossy().contains(".kista.")), None);
    }
}

#[test]
fn an_upgrade_whose_version_was_accepted_can_be_taken_back() {
    for rolls_back in [false, true] {
        let scene = arranged();
        accept(&scene, "etc/hello").unwrap();
        reverse(&scene, |db| if rolls_back { db.reversal_to(1) } else { db.reversal_of(2) }).unwrap();
        assert_eq!((scene.read("etc/hello").as_str(), scene.packages()), ("mine", vec!["hello 1-1".to_owned()]));
        assert_eq!(told(&scene), ["etc/hello Changed", "etc/other Unchanged"]);
        undo(&scene);
        assert_eq!((scene.read("etc/hello").as_str(), scene.read("etc/hello.new").as_str()), ("mine", "two"));
    }
}

#[test]
fn what_was_changed_after_it_was_accepted_stays_when_the_upgrade_is_taken_back() {
    let scene = arranged();
    accept(&scene, "etc/hello").unwrap();
    scene.write("etc/hello", "mine again");
    reverse(&scene, |db| db.reversal_of(2)).unwrap();
    assert_eq!(["etc/hello", "etc/hello.save"].map(|path| scene.read(path)), ["mine again", "mine"]);
    assert!(!scene.at("etc/hello.new").exists(), "it was changed before the upgrade, too");
}

/// Also where another `.save` was put there since, which is not what stood there then.
#[test]
fn a_version_that_is_nowhere_any_more_is_the_packages() {
    let scene = arranged();
    accept(&scene, "etc/hello").unwrap();
    fs::remove_file(scene.at("etc/hello.save")).unwrap();
    reverse(&scene, |db| db.reversal_of(2)).unwrap();
    assert_eq!(scene.read("etc/hello"), "one");
    scene.assert_verified();
}

#[test]
fn what_packages_brought_is_known_as_long_as_they_can_come_back() {
    let scene = arranged();
    let known = || ["one", "two", "same"].map(|text| scene.installed().original(&Digest::of(text)).unwrap());
    let some = |text: &str| Some(text.as_bytes().to_vec());
    assert_eq!(known(), [some("one"), some("two"), some("same")]);
    crate::undo::forget_all(scene.root());
    assert_eq!(known(), [None, some("two"), some("same")]);
    scene.remove(&["hello"]);
    assert_eq!(known(), [None, some("two"), some("same")]);
    crate::undo::forget_all(scene.root());
    assert_eq!(known(), [None, None, None]);
}

#[test]
fn the_version_that_the_administrator_began_with_is_known_until_he_decided() {
    let scene = arranged();
    let base =
        || scene.installed().base(&path("etc/hello")).unwrap().map(|content| String::from_utf8(content).unwrap());
    assert_eq!(base().as_deref(), Some("one"));
    // He has not decided yet, so his is still made from the first one, however long that is forgotten.
    scene.install(&[&hello("3-1", "three")]);
    crate::undo::forget_all(scene.root());
    assert_eq!((scene.read("etc/hello.new").as_str(), base().as_deref()), ("three", Some("one")));
    keep(&scene, "etc/hello").unwrap();
    scene.install(&[&hello("4-1", "four")]);
    assert_eq!(base().as_deref(), Some("three"), "what he kept his in spite of");
    scene.remove(&["hello"]);
    assert_eq!(base().as_deref(), Some("three"), "both can come back");
    crate::undo::forget_all(scene.root());
    assert_eq!(base(), None);
}

#[test]
fn what_was_merged_takes_the_place_with_the_attributes_of_the_file() {
    let scene = arranged();
    fs::set_permissions(scene.at("etc/hello"), fs::Permissions::from_mode(0o640)).unwrap();
    let merged = [(path("etc/hello"), b"mine and two".to_vec())];
    let done = scene.open().merge_configs(&merged, &Author::new(NOW), &NOW).unwrap();
    let saved = Notice::Saved { path: path("etc/hello"), saved: path("etc/hello.save") };
    assert_eq!(done.notices, [saved]);
    assert_eq!(["etc/hello", "etc/hello.save"].map(|path| scene.read(path)), ["mine and two", "mine"]);
    assert!(!scene.at("etc/hello.new").exists());
    assert_eq!(fs::metadata(scene.at("etc/hello")).unwrap().permissions().mode() & 0o7777, 0o640);
    let again = scene.open().merge_configs(&merged, &Author::new(NOW), &NOW);
    assert!(matches!(again, Err(Error::NoNewVersion { .. })));
}

/// Neither an edited `.new` nor an earlier `.save` is lost.
#[test]
fn what_lay_beside_a_file_gives_way_and_comes_back() {
    let scene = arranged();
    scene.install(&[&hello("3-1", "three")]);
    undo(&scene);
    assert_eq!(scene.read("etc/hello.new"), "two", "it waits for a decision again");
    scene.write("etc/hello.new", "two, edited");
    let gives_way = |at: &str| Notice::Replaced { path: path(at), kept: true };
    let done = scene.install(&[&hello("3-1", "three")]);
    assert!(done.notices.contains(&gives_way("etc/hello.new")), "{:?}", done.notices);
    undo(&scene);
    assert_eq!(scene.read("etc/hello.new"), "two, edited");
    scene.write("etc/hello.save", "of old");
    let done = scene.remove(&["hello"]);
    assert!(done.notices.contains(&gives_way("etc/hello.save")), "{:?}", done.notices);
    assert_eq!(scene.read("etc/hello.save"), "mine");
    undo(&scene);
    assert_eq!(["etc/hello", "etc/hello.save"].map(|path| scene.read(path)), ["mine", "of old"]);
}

#[test]
fn a_version_that_is_accepted_keeps_all_earlier_ones() {
    let scene = arranged();
    scene.write("etc/hello.save", "of old");
    let saved = Notice::Saved { path: path("etc/hello"), saved: path("etc/hello.save.1") };
    assert_eq!(accept(&scene, "etc/hello").unwrap(), [saved]);
    assert_eq!(
        ["etc/hello", "etc/hello.save", "etc/hello.save.1"].map(|path| scene.read(path)),
        ["two", "of old", "mine"]
    );
    reverse(&scene, |db| db.reversal_of(2)).unwrap();
    assert_eq!((scene.read("etc/hello").as_str(), scene.at("etc/hello.save.1").exists()), ("mine", false));
}

/// What is killed at every moment.
pub(crate) fn take_new(root: &Path) {
    let mut db = InstallDb::open(root).unwrap();
    db.accept_configs(&[path("etc/hello")], &Author::new(NOW), &NOW).unwrap();
}

#[test]
fn a_kill_while_a_version_is_accepted_loses_neither() {
    kill_everywhere("config", arranged().root(), take_new);
    kill_recovery("config", arranged().root());
}
