//! What was can come back: the same tree, the same packages, the same wishes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use installdb::{Done, Error, ErrorKind, Finding, InstallDb, Installed, Notice, Result, Retention, Reversal, Source};
use pkgformat::{Limits, Reader, Xattr};
use pkgtypes::Timestamp;

use crate::scene::{NOW, Packed, Scene, name, pack, run};

/// A version of a package with a bit of everything.
fn tool(version: &str, text: &str) -> Packed {
    let attribute = Xattr { name: b"user.kista".to_vec(), value: text.as_bytes().to_vec() };
    let mut pack = pack(&format!("tool {version}"))
        .file("usr/bin/tool", 0o755, text)
        .hardlink("usr/bin/twin", "usr/bin/tool")
        .file("usr/share/tool/same", 0o644, "the same in all versions")
        .file("usr/share/tool/secret", 0o600, format!("secret of {text}"))
        .file("usr/share/tool/empty", 0o644, "")
        .file("usr/share/tool/large", 0o644, text.repeat(500_000))
        .symlink("usr/share/tool/link", text)
        .config("etc/tool.conf", text)
        .edit("usr/bin/tool", |entry| entry.xattrs.push(attribute));
    pack = match version {
        "1-1" => pack.file("usr/share/tool/turns", 0o644, "a file that becomes a folder").dir("srv/tool", 0o750),
        _ => pack.file("usr/share/tool/turns/into/this", 0o644, text).dir("srv/tool", 0o700),
    };
    pack.build()
}

/// The tree, the packages, and what the user asked for.
pub(crate) type State = (BTreeMap<PathBuf, String>, Vec<String>, Vec<String>);

pub(crate) fn state(scene: &Scene) -> State {
    let wanted = scene.installed().wanted().unwrap().iter().map(ToString::to_string).collect();
    (scene.tree(), scene.packages(), wanted)
}

fn reverse_with<'p>(
    root: &Path,
    what: impl FnOnce(&Installed) -> Result<Reversal>,
    file: impl Fn() -> Option<&'p Packed>,
) -> Result<Done> {
    let mut db = InstallDb::open(root)?;
    let reversal = what(&db)?;
    let open = |packed: &'p Packed| Reader::open(Source::new(&packed.bytes[..]), Limits::default()).unwrap();
    let mut request = reversal.request(&db, NOW, |_, _| file().map(open))?;
    request.options.skip_scripts = true;
    run(&mut db, request)
}

pub(crate) fn reverse(scene: &Scene, what: impl FnOnce(&Installed) -> Result<Reversal>) -> Result<Done> {
    reverse_with(scene.root(), what, || None)
}

pub(crate) fn undo_last(root: &Path) {
    reverse_with(root, |db| db.reversal_of(db.last_change()?.unwrap()), || None).unwrap();
}

pub(crate) fn undo(scene: &Scene) {
    undo_last(scene.root());
    assert_no_litter(scene.root());
}

pub(crate) fn keep_one_transaction(root: &Path) {
    let mut request = crate::scene::request(&[], &[]);
    request.retention = Some(Retention { transactions: Some(1), ..Retention::default() });
    run(&mut InstallDb::open(root).unwrap(), request).unwrap();
}

/// A root of which several things can be undone.
pub(crate) fn with_a_past() -> Scene {
    let scene = Scene::new();
    scene.install(&[&tool("1-1", "one"), &version(1)]);
    for (n, text) in [(2, "two"), (3, "three")] {
        scene.install(&[&tool(&format!("{n}-1"), text), &version(n)]);
    }
    scene
}

/// What is killed at every moment.
pub(crate) fn forget_all(root: &Path) {
    let mut request = crate::scene::request(&[], &[]);
    request.forget = true;
    run(&mut InstallDb::open(root).unwrap(), request).unwrap();
}

fn kept(root: &Path) -> BTreeSet<String> {
    let Ok(listed) = fs::read_dir(root.join("var/lib/kista/kept")) else { return BTreeSet::new() };
    listed.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// Every kept file has its row, and every row its file.
#[track_caller]
pub(crate) fn assert_no_litter(root: &Path) {
    let conn = rusqlite::Connection::open(root.join("var/lib/kista/install.db")).unwrap();
    let names = "SELECT made || '.' || n FROM kept
                 UNION ALL SELECT txn || '.' || n FROM displaced WHERE n IS NOT NULL";
    let mut statement = conn.prepare(names).unwrap();
    let rows: BTreeSet<String> = statement.query_map([], |row| row.get(0)).unwrap().map(|row| row.unwrap()).collect();
    assert_eq!(kept(root), rows);
    let total = "SELECT (SELECT total(size) FROM kept) + (SELECT total(size) FROM displaced WHERE n IS NOT NULL)
                 = (SELECT total(kept) FROM transactions)";
    assert!(conn.query_row(total, [], |row| row.get::<_, bool>(0)).unwrap(), "the sums are right");
}

#[test]
fn an_upgrade_can_be_undone_and_the_undo_too() {
    let scene = Scene::new();
    scene.install(&[&tool("1-1", "one")]);
    let one = state(&scene);
    scene.install(&[&tool("2-1", "two")]);
    let two = state(&scene);
    for _ in 0..2 {
        undo(&scene);
        assert_eq!(state(&scene), one);
        scene.assert_verified();
        undo(&scene);
        assert_eq!(state(&scene), two);
        scene.assert_verified();
    }
    assert_eq!(scene.installed().history().unwrap().len(), 6);
}

#[test]
fn a_removal_can_be_undone_with_all_that_was_known_of_the_package() {
    let mut scene = Scene::new();
    scene.options.skip_scripts = true;
    let script = b"#!/bin/sh\n".to_vec();
    let mut with_script = pack("scripted 1-1").file("usr/x", 0o644, "x");
    let digest = pkgtypes::Digest::of(&script);
    with_script.contents.insert(digest, script);
    let scripted = with_script.meta(|meta| meta.scripts.post_remove = Some(digest)).build();
    let tool = tool("1-1", "one");
    let mut request = scene.request(&[&scripted], &[]);
    request.install.push(tool.incoming().wanted());
    run(&mut scene.open(), request).unwrap();
    let before = state(&scene);
    scene.remove(&["tool", "scripted"]);
    assert_eq!(scene.packages(), [""; 0]);
    undo(&scene);
    assert_eq!(state(&scene), before);
    assert_eq!(scene.installed().wanted().unwrap(), [name("tool")]);
    let (bytes, _) = scene.installed().regenerate(&name("scripted"), Vec::new(), &mut ()).unwrap();
    assert_eq!(bytes, scripted.bytes, "its scripts came back");
    scene.assert_verified();
}

#[test]
fn an_installation_can_be_undone() {
    let scene = Scene::new();
    drop(scene.open());
    let nothing = state(&scene);
    scene.install(&[&tool("1-1", "one")]);
    undo(&scene);
    assert_eq!(state(&scene), nothing);
}

#[test]
fn what_the_administrator_made_of_his_files_survives_both_ways() {
    let scene = Scene::new();
    let gone = pack("gone 1-1").config("etc/gone.conf", "default").build();
    scene.install(&[&tool("1-1", "one"), &gone]);
    scene.write("etc/tool.conf", "edited");
    scene.write("etc/gone.conf", "edited");
    let before = state(&scene);
    scene.change(&[&tool("2-1", "two")], &["gone"]).unwrap();
    assert_eq!((scene.read("etc/tool.conf.new"), scene.read("etc/gone.conf.save")), ("two".into(), "edited".into()));
    let after = state(&scene);
    undo(&scene);
    assert_eq!(state(&scene), before);
    undo(&scene);
    assert_eq!(state(&scene), after);
}

#[test]
fn an_edit_after_the_upgrade_is_not_lost_by_the_undo() {
    let scene = Scene::new();
    scene.install(&[&tool("1-1", "one")]);
    scene.install(&[&tool("2-1", "two")]);
    scene.write("etc/tool.conf", "edited later");
    undo(&scene);
    assert_eq!((scene.read("etc/tool.conf"), scene.read("etc/tool.conf.new")), ("edited later".into(), "one".into()));
}

#[test]
fn a_state_of_long_ago_comes_back_in_one_step() {
    let scene = Scene::new();
    drop(scene.open());
    let mut states = vec![state(&scene)];
    let other = pack("other 1-1").file("usr/other", 0o644, "other").build();
    let mut change = |install: &[&Packed], remove: &[&str]| {
        scene.change(install, remove).unwrap();
        states.push(state(&scene));
    };
    change(&[&tool("1-1", "one"), &other], &[]);
    change(&[&tool("2-1", "two")], &[]);
    change(&[&tool("3-1", "three")], &["other"]);
    change(&[], &["tool"]);
    for txn in [1, 3, 2, 0, 4, 2] {
        reverse(&scene, |db| db.reversal_to(txn)).unwrap();
        assert_eq!(state(&scene), states[usize::try_from(txn).unwrap()], "{txn}");
        assert_no_litter(scene.root());
    }
    assert!(scene.installed().reversal_to(2).unwrap().is_empty());
    assert!(matches!(scene.installed().reversal_to(99), Err(Error::NoTransaction { txn: 99 })));
}

#[test]
fn a_transaction_that_others_built_on_is_not_undone_alone() {
    let scene = Scene::new();
    let other = pack("other 1-1").file("usr/other", 0o644, "other").build();
    scene.install(&[&tool("1-1", "one")]);
    scene.install(&[&other]);
    scene.install(&[&tool("2-1", "two")]);
    let refused = reverse(&scene, |db| db.reversal_of(1)).unwrap_err();
    assert!(matches!(&refused, Error::ChangedSince { txn: 1, later: 3, name } if name.as_str() == "tool"), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Refused);
    reverse(&scene, |db| db.reversal_of(2)).unwrap();
    assert_eq!(scene.packages(), ["tool 2-1"]);
}

/// An upgrade from 1 to 2 in which one content was kept, and the file that has it.
fn upgraded() -> (Scene, PathBuf) {
    let scene = Scene::new();
    scene.install(&[&pack("small 1-1").file("usr/small", 0o644, "one").build()]);
    scene.install(&[&pack("small 2-1").file("usr/small", 0o644, "two").build()]);
    let file = scene.at("var/lib/kista/kept").join(kept(scene.root()).first().unwrap());
    (scene, file)
}

#[track_caller]
fn assert_says_what_is_missing(scene: &Scene) {
    let before = state(scene);
    let refused = reverse(scene, |db| db.reversal_of(2)).unwrap_err();
    let Error::Refused(findings) = &refused else { panic!("{refused}") };
    let [Finding::NotKept { package, path: Some(path), more: 0, keeper: None }] = &findings[..] else {
        panic!("{refused}")
    };
    assert_eq!((package.as_str(), path.to_string().as_str()), ("small", "usr/small"));
    assert_eq!(state(scene), before);
    assert_eq!(scene.installed().history().unwrap().len(), 2);
}

#[test]
fn what_can_not_come_back_is_said_before_anything_is_changed() {
    let (scene, file) = upgraded();
    assert_eq!(fs::read_to_string(&file).unwrap(), "one");
    fs::write(&file, "ONE").unwrap();
    assert_says_what_is_missing(&scene);
    fs::remove_file(&file).unwrap();
    assert_says_what_is_missing(&scene);
}

#[test]
fn a_lost_content_is_kept_anew_when_it_goes_once_more() {
    let (scene, file) = upgraded();
    fs::remove_file(&file).unwrap();
    scene.install(&[&pack("small 1-1").file("usr/small", 0o644, "one").build()]);
    scene.install(&[&pack("small 2-1").file("usr/small", 0o644, "two").build()]);
    assert_no_litter(scene.root());
    undo(&scene);
    assert_eq!(scene.read("usr/small"), "one");
}

#[test]
fn what_was_changed_by_hand_is_not_taken_for_what_it_was() {
    let scene = Scene::new();
    scene.install(&[&pack("small 1-1").file("usr/small", 0o644, "one").file("usr/other", 0o644, "1").build()]);
    scene.write("usr/small", "ONE");
    scene.install(&[&pack("small 2-1").file("usr/small", 0o644, "two").build()]);
    assert_eq!(kept(scene.root()).len(), 1, "only of the other file");
    assert_says_what_is_missing(&scene);
}

#[test]
fn a_package_file_or_another_package_has_what_was_not_kept() {
    let (scene, file) = upgraded();
    fs::remove_file(&file).unwrap();
    let one = pack("small 1-1").file("usr/small", 0o644, "one").build();
    let other = pack("small 1-1").file("usr/small", 0o644, "another one").build();
    let wrong = reverse_with(scene.root(), |db| db.reversal_of(2), || Some(&other)).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Refused, "a package of the name is not the package");
    reverse_with(scene.root(), |db| db.reversal_of(2), || Some(&one)).unwrap();
    assert_eq!((scene.read("usr/small"), scene.packages()), ("one".into(), vec!["small 1-1".to_owned()]));

    let (scene, file) = upgraded();
    fs::remove_file(&file).unwrap();
    scene.install(&[&pack("twin 1-1").file("opt/twin", 0o600, "one").build()]);
    reverse(&scene, |db| db.reversal_of(2)).unwrap();
    assert_eq!(scene.read("usr/small"), "one");
    scene.assert_verified();
}

#[test]
fn a_content_that_the_new_version_has_is_not_kept_twice() {
    let scene = Scene::new();
    scene.install(&[&pack("p 1-1").file("a", 0o644, "same").file("b", 0o644, "one").build()]);
    scene.install(&[&pack("p 2-1").file("c", 0o644, "same").file("b", 0o644, "two").build()]);
    assert_eq!(kept(scene.root()).len(), 1);
    undo(&scene);
    assert_eq!((scene.read("a"), scene.at("c").exists()), ("same".into(), false));
}

#[test]
fn nobody_else_looks_into_what_is_kept() {
    let (scene, _) = upgraded();
    assert_eq!(fs::metadata(scene.at("var/lib/kista/kept")).unwrap().permissions().mode() & 0o7777, 0o700);
}

fn limited(scene: &Scene, limits: Retention, install: &[&Packed], time: Timestamp) -> Done {
    let mut request = scene.request(install, &[]);
    (request.retention, request.time) = (Some(limits), time);
    let done = run(&mut scene.open(), request).unwrap();
    assert_no_litter(scene.root());
    done
}

const BOUNDLESS: Retention = Retention { transactions: None, seconds: None, bytes: None };

fn version(n: u32) -> Packed {
    pack(&format!("p {n}-1")).file("usr/p", 0o644, format!("version {n}")).build()
}

#[test]
fn as_many_transactions_can_be_undone_as_are_kept() {
    let scene = Scene::new();
    let limits = Retention { transactions: Some(2), ..BOUNDLESS };
    (1..=5).for_each(|n| drop(limited(&scene, limits, &[&version(n)], NOW)));
    assert_eq!((kept(scene.root()).len(), scene.installed().horizon().unwrap()), (2, 3));
    let refused = reverse(&scene, |db| db.reversal_to(2)).unwrap_err();
    assert!(matches!(&refused, Error::Refused(found) if matches!(found[..], [Finding::NotKept { path: None, .. }])));
    reverse(&scene, |db| db.reversal_to(3)).unwrap();
    assert_eq!(scene.read("usr/p"), "version 3");
}

#[test]
fn what_is_too_old_or_too_large_is_forgotten() {
    let scene = Scene::new();
    let later = |seconds| NOW.saturating_add_seconds(seconds);
    let limits = Retention { seconds: Some(100), ..BOUNDLESS };
    for (n, time) in [(1, 0), (2, 10), (3, 90), (4, 150)] {
        limited(&scene, limits, &[&version(n)], later(time));
    }
    assert_eq!(kept(scene.root()).len(), 2, "of 3 and of 4");
    let size = "version 1".len() as u64;
    limited(&scene, Retention { bytes: Some(size), ..BOUNDLESS }, &[&version(5)], NOW);
    assert_eq!(kept(scene.root()).len(), 1);
    let done = limited(&scene, Retention { bytes: Some(size - 1), ..BOUNDLESS }, &[&version(6)], NOW);
    assert_eq!(done.notices, [Notice::NotKept { bytes: size }]);
    assert_eq!((kept(scene.root()).len(), scene.installed().horizon().unwrap()), (0, 6));
    limited(&scene, Retention::NOTHING, &[&version(7)], NOW);
    assert_eq!(kept(scene.root()).len(), 0);
}

#[test]
fn what_goes_once_more_is_kept_for_the_last_time() {
    let scene = Scene::new();
    let limits = Retention { transactions: Some(2), ..BOUNDLESS };
    // The content of 1 goes in the second transaction, comes back, and goes again.
    for n in [1, 2, 1, 2] {
        limited(&scene, limits, &[&version(n)], NOW);
    }
    assert_eq!(kept(scene.root()).len(), 2);
    reverse(&scene, |db| db.reversal_to(3)).unwrap();
    assert_eq!(scene.read("usr/p"), "version 1");
}

#[test]
fn the_bounds_are_kept_with_the_database_and_forgetting_is_a_change_like_others() {
    let (scene, _) = upgraded();
    assert_eq!(scene.installed().retention().unwrap(), Retention::default());
    let before = state(&scene);
    let limits = Retention { transactions: Some(0), ..Retention::default() };
    let mut db = scene.open();
    let mut request = scene.request(&[], &[]);
    request.retention = Some(limits);
    let checked = db.plan(request).unwrap().check().unwrap();
    assert_eq!((checked.forgotten().contents, checked.forgotten().bytes), (1, 3));
    checked.stage(&mut ()).unwrap().commit().unwrap().finish(NOW).unwrap();
    drop(db);
    assert_eq!(scene.installed().retention().unwrap(), limits);
    assert_eq!((state(&scene), kept(scene.root()).len()), (before, 0));
    assert_no_litter(scene.root());
}
