//! What a fix brings back, and what it can not.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use installdb::{Aspect, Author, Done, Error, Fix, InstallDb, Result, Source};
use pkgformat::{EntryKind, Limits, Reader, Xattr};
use pkgtypes::Mode;

use crate::interruption::{kill_everywhere, kill_recovery};
use crate::scene::{NOW, Packed, Scene, name, pack};

fn reader(packed: &Packed) -> Reader<Source<'_>> {
    Reader::open(Source::new(&packed.bytes[..]), Limits::default()).unwrap()
}

fn carry_out(fix: Fix<'_, '_>) -> Result<Done> {
    fix.carry_out(&Author::new(NOW), &NOW, &mut ())
}

/// `path aspects`, and what is in the way.
fn told(fix: &Fix<'_, '_>) -> Vec<String> {
    let tell = |repair: installdb::Repair| {
        let names: Vec<&str> = repair.aspects.iter().map(Aspect::name).collect();
        let obstacle = repair.obstacle.map(|obstacle| format!(" {obstacle:?}")).unwrap_or_default();
        format!("{} {}{obstacle}", repair.path, names.join(","))
    };
    fix.repairs().into_iter().map(tell).collect()
}

fn fix(scene: &Scene, config: bool, offered: &[&Packed]) -> Vec<String> {
    let mut db = scene.open();
    let mut fix = db.fix(&[], config, &mut ()).unwrap();
    for packed in offered {
        fix.offer(reader(packed));
    }
    let told = told(&fix);
    carry_out(fix).unwrap();
    told
}

fn chmod(scene: &Scene, path: &str, mode: u32) {
    fs::set_permissions(scene.at(path), fs::Permissions::from_mode(mode)).unwrap();
}

/// One of each type.
fn all() -> Packed {
    let mode = Mode::from_raw(0o640);
    let marked = Xattr { name: b"user.mark".to_vec(), value: b"x".to_vec() };
    let large: Vec<u8> = (0..700_000_u32).map(|n| (n % 251) as u8).collect();
    pack("all 1-1")
        .file("bin/tool", 0o755, "tool")
        .hardlink("bin/zoo", "bin/tool")
        .symlink("bin/link", "tool")
        .entry("run/pipe", EntryKind::Fifo { mode })
        .file("lib/deep/down/large", 0o600, large)
        .file("lib/deep/marked", 0o644, "marked")
        .edit("lib/deep/marked", |entry| entry.xattrs = vec![marked.clone()])
        .dir("lib/marked", 0o750)
        .edit("lib/marked", |entry| entry.xattrs = vec![marked])
        .build()
}

/// What is killed at every moment.
pub(crate) fn bring_back(root: &Path) {
    let all = all();
    let mut db = InstallDb::open(root).unwrap();
    let mut fix = db.fix(&[], false, &mut ()).unwrap();
    fix.offer(reader(&all));
    carry_out(fix).unwrap();
}

fn damage(scene: &Scene) {
    fs::remove_file(scene.at("bin/tool")).unwrap();
    fs::write(scene.at("bin/tool"), "evil").unwrap();
    fs::remove_file(scene.at("bin/link")).unwrap();
    symlink("elsewhere", scene.at("bin/link")).unwrap();
    fs::remove_file(scene.at("run/pipe")).unwrap();
    fs::remove_dir_all(scene.at("lib/deep")).unwrap();
    chmod(scene, "lib/marked", 0o700);
    let unmarked = fs::File::open(scene.at("lib/marked")).unwrap();
    pkgfs::fd::set_xattr(&unmarked, b"user.mark", b"other").unwrap();
    chmod(scene, "share/tool", 0o777);
}

#[test]
fn a_kill_during_a_fix_leaves_all_of_it_undone_or_done() {
    let scene = Scene::new();
    scene.install(&[&all(), &pack("same 1-1").file("share/tool", 0o600, "tool").build()]);
    damage(&scene);
    kill_everywhere("fix", scene.root(), bring_back);
    kill_recovery("fix", scene.root());
}

#[test]
fn whatever_was_damaged_is_as_it_was() {
    let scene = Scene::new();
    let all = all();
    scene.install(&[&all, &pack("same 1-1").file("share/tool", 0o600, "tool").build()]);
    let before = scene.tree();
    damage(&scene);
    let told = fix(&scene, false, &[&all]);
    assert_eq!(told.len(), 10, "{told:#?}");
    scene.assert_verified();
    let mut after = scene.tree();
    // The folders' times are those of the package where they were made anew, and of the change elsewhere.
    for (path, what) in &before {
        let found = after.remove(path);
        assert_eq!(found.as_ref(), Some(what), "{}", path.display());
    }
    assert_eq!(after.len(), 0, "{after:?}");
    assert_eq!(scene.installed().history().unwrap().len(), 2, "a fix is a transaction like the others");
    let mut db = scene.open();
    assert_eq!(db.fix(&[], false, &mut ()).unwrap().repairs(), []);
}

#[test]
fn a_content_comes_from_another_name_of_it_or_from_a_package_that_is_offered() {
    let scene = Scene::new();
    let hello =
        pack("hello 1-1").file("bin/a", 0o755, "one").file("bin/b", 0o755, "two").hardlink("bin/c", "bin/b").build();
    scene.install(&[&hello]);
    for damaged in ["bin/a", "bin/b"] {
        fs::remove_file(scene.at(damaged)).unwrap();
    }
    let other = pack("other 1-1").file("x", 0o644, "else").build();
    let older = pack("older 1-1").file("x", 0o644, "one").build();
    let mut db = scene.open();
    let mut fix = db.fix(&[], false, &mut ()).unwrap();
    assert_eq!(told(&fix), ["bin/a missing NoContent", "bin/b missing", "bin/c link"]);
    assert_eq!(fix.lacking(), [(name("hello"), hello.record.id())]);
    fix.offer(reader(&other));
    fix.offer(reader(&older));
    assert_eq!(fix.lacking(), []);
    carry_out(fix).unwrap();
    drop(db);
    scene.assert_verified();
}

#[test]
fn a_package_that_does_not_hold_what_it_promises_changes_nothing() {
    let scene = Scene::new();
    let hello = pack("hello 1-1").file("bin/a", 0o755, "one").file("bin/b", 0o755, "two").build();
    scene.install(&[&hello]);
    for damaged in ["bin/a", "bin/b"] {
        scene.write(damaged, "evil");
    }
    let before = scene.tree();
    let mut bytes = hello.bytes.clone();
    let place = bytes.windows(3).rposition(|window| window == b"two").unwrap();
    bytes[place] ^= 1;
    let broken = Packed { record: hello.record.clone(), bytes };
    let mut db = scene.open();
    let mut fix = db.fix(&[], false, &mut ()).unwrap();
    fix.offer(reader(&broken));
    carry_out(fix).unwrap_err();
    assert_eq!(scene.tree(), before);
}

#[test]
fn configuration_is_brought_back_only_on_request() {
    let scene = Scene::new();
    let hello = pack("hello 1-1").config("etc/hello", "setting").build();
    scene.install(&[&hello]);
    scene.write("etc/hello", "mine");
    assert_eq!(fix(&scene, false, &[&hello]), [""; 0]);
    assert_eq!(scene.read("etc/hello"), "mine");
    assert_eq!(fix(&scene, true, &[&hello]), ["etc/hello content"]);
    scene.assert_verified();
}

#[test]
fn what_would_be_lost_stays() {
    let scene = Scene::new();
    let hello = pack("hello 1-1").file("lib/a", 0o644, "a").file("share/hello/b", 0o644, "b").build();
    scene.install(&[&hello]);
    fs::remove_file(scene.at("lib/a")).unwrap();
    scene.write("lib/a/mine", "mine");
    fs::rename(scene.at("share/hello"), scene.at("moved")).unwrap();
    symlink("../nowhere", scene.at("share/hello")).unwrap();
    let before = scene.tree();
    let told = fix(&scene, false, &[&hello]);
    assert_eq!(told, ["lib/a type InTheWay", "share/hello type InTheWay", "share/hello/b type NoFolder"]);
    assert_eq!(scene.tree(), before);
}

#[test]
fn what_is_not_this_users_to_change_is_said_beforehand() {
    let scene = Scene::new();
    let hello = pack("hello 1-1").file("lib/a", 0o644, "a").file("lib/b", 0o644, "b").build();
    scene.install(&[&hello]);
    if fs::metadata("/proc/self").map(|own| std::os::unix::fs::MetadataExt::uid(&own)).unwrap() == 0 {
        return;
    }
    fs::remove_file(scene.at("lib/a")).unwrap();
    chmod(&scene, "lib", 0o555);
    let mut db = scene.open();
    let mut fix = db.fix(&[], false, &mut ()).unwrap();
    fix.offer(reader(&hello));
    assert!(matches!(fix.rehearse(), Err(Error::Refused(_))));
    let refused = carry_out(fix).unwrap_err();
    assert_eq!(refused.kind(), installdb::ErrorKind::Refused, "{refused}");
    chmod(&scene, "lib", 0o755);
}

#[test]
fn a_fix_changed_no_package_and_is_not_undone() {
    let scene = Scene::new();
    let hello = pack("hello 1-1").file("lib/a", 0o644, "a").build();
    scene.install(&[&hello]);
    fs::remove_file(scene.at("lib/a")).unwrap();
    fix(&scene, false, &[&hello]);
    let undone = scene.installed().reversal_of(2).unwrap_err();
    assert!(matches!(undone, Error::NoPackages { txn: 2 }), "{undone}");
    let mut db = scene.open();
    let mut fix = db.fix(&[], false, &mut ()).unwrap();
    assert!(!fix.offer(reader(&hello)), "nothing is needed any more");
}
