//! What no package owned comes back when the transaction that it gave way to is taken back.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use installdb::{Done, InstallDb, Installed, NotBack, Notice, Retention, Unowned};

use crate::medium::{medium, with_medium};
use crate::scene::{Scene, pack, path, request, run};
use crate::undo::{assert_no_litter, forget_all, reverse, state, undo, undo_last};

fn tool(version: &str) -> crate::scene::Packed {
    pack(&format!("tool {version}"))
        .file("usr/bin/tool", 0o755, format!("the package's {version}"))
        .file("usr/bin/link", 0o755, "the package's")
        .file("usr/share/same", 0o644, "same")
        .config("etc/tool.conf", "the package's")
        .build()
}

/// A root with things of the administrator in the way of the package's, with attributes of their own.
fn occupied() -> Scene {
    let scene = Scene::new();
    drop(scene.open());
    scene.write("usr/bin/tool", "the administrator's");
    scene.write("usr/share/same", "same");
    scene.write("etc/tool.conf", "the administrator's");
    symlink("tool", scene.at("usr/bin/link")).unwrap();
    fs::set_permissions(scene.at("usr/bin/tool"), Permissions::from_mode(0o4750)).unwrap();
    let file = fs::File::open(scene.at("usr/bin/tool")).unwrap();
    pkgfs::fd::set_xattr(&file, b"user.note", b"mine").unwrap();
    pkgfs::fd::set_mtime(&file, pkgtypes::Timestamp::from_seconds(1_234_567_890)).unwrap();
    scene
}

fn with(unowned: Unowned) -> Scene {
    let mut scene = occupied();
    scene.options.unowned = unowned;
    scene
}

fn install(scene: &Scene, version: &str) -> Done {
    scene.install(&[&tool(version)])
}

fn roll_back(scene: &Scene, to: i64) -> Done {
    let done = reverse(scene, |db| db.reversal_to(to)).unwrap();
    assert_no_litter(scene.root());
    done
}

fn back(at: &str) -> Notice {
    Notice::CameBack { path: path(at) }
}

#[test]
fn what_was_replaced_comes_back_and_gives_way_again() {
    let scene = with(Unowned::Replace);
    let before = scene.tree();
    let replaced = |at: &str| Notice::Replaced { path: path(at), kept: true };
    let told = [replaced("etc/tool.conf"), replaced("usr/bin/link"), replaced("usr/bin/tool")];
    assert_eq!(install(&scene, "1-1").notices, told);
    let after = state(&scene);
    scene.assert_verified();
    for _ in 0..2 {
        undo(&scene);
        assert_eq!(scene.tree(), before);
        undo(&scene);
        assert_eq!(state(&scene), after);
        scene.assert_verified();
    }
}

#[test]
fn what_was_adopted_stays_when_the_package_goes() {
    let scene = with(Unowned::Adopt);
    let before = scene.tree();
    install(&scene, "1-1");
    undo(&scene);
    assert_eq!(scene.tree(), before);
    undo(&scene);
    // He edits it, as editors do: under another name.
    scene.write("usr/bin/tool.tmp", "edited since");
    fs::rename(scene.at("usr/bin/tool.tmp"), scene.at("usr/bin/tool")).unwrap();
    undo(&scene);
    assert_eq!((scene.read("usr/bin/tool").as_str(), scene.packages().len()), ("edited since", 0));
}

#[test]
fn what_a_later_version_wrote_over_an_adopted_file_gives_way_to_it() {
    let scene = with(Unowned::Adopt);
    let before = scene.tree();
    install(&scene, "1-1");
    install(&scene, "2-1");
    assert_eq!(scene.read("usr/bin/tool"), "the package's 2-1");
    roll_back(&scene, 0);
    assert_eq!(scene.tree(), before);
}

#[test]
fn it_comes_back_after_the_package_went_and_what_comes_after_is_not_touched() {
    let scene = with(Unowned::Replace);
    let before = scene.tree();
    install(&scene, "1-1");
    scene.remove(&["tool"]);
    let there: Vec<String> = scene.tree().into_keys().map(|path| path.display().to_string()).collect();
    assert_eq!(there, ["var", "var/lib", "var/lib/kista"], "the folders were taken away with the package");
    scene.write("usr/bin/tool", "put there since");
    let not_back = Notice::NotBack { path: path("usr/bin/tool"), why: NotBack::Occupied };
    assert_eq!(roll_back(&scene, 0).notices, [back("etc/tool.conf"), back("usr/bin/link"), not_back]);
    assert_eq!(scene.read("usr/bin/tool"), "put there since");
    fs::remove_file(scene.at("usr/bin/tool")).unwrap();
    assert_eq!(roll_back(&scene, 0).notices, [back("usr/bin/tool")]);
    let modes = |tree: std::collections::BTreeMap<_, String>| {
        tree.into_iter().filter(|(_, what)| !what.starts_with('4')).collect::<Vec<_>>()
    };
    assert_eq!(modes(scene.tree()), modes(before), "folders have usual modes");
}

#[test]
fn another_package_keeps_what_it_shares() {
    let scene = with(Unowned::Replace);
    install(&scene, "1-1");
    scene.install(&[&pack("other 1-1").file("usr/bin/link", 0o755, "the package's").build()]);
    let done = reverse(&scene, |db| db.reversal_of(1)).unwrap();
    let not_back = Notice::NotBack { path: path("usr/bin/link"), why: NotBack::Owned };
    assert_eq!(done.notices, [back("etc/tool.conf"), not_back, back("usr/bin/tool")]);
    assert_eq!(scene.read("usr/bin/link"), "the package's");
    scene.assert_verified();
    assert_no_litter(scene.root());
}

#[test]
fn what_is_not_kept_is_said_before_and_after() {
    let scene = with(Unowned::Replace);
    let mut request = request(&[], &[]);
    request.retention = Some(Retention { transactions: Some(0), ..Retention::default() });
    run(&mut scene.open(), request).unwrap();
    let db = &mut InstallDb::preview(scene.root()).unwrap();
    let package = tool("1-1");
    let checked = db.plan(scene.request(&[&package], &[])).unwrap().check().unwrap();
    let lost = |at: &str| Notice::Replaced { path: path(at), kept: false };
    assert_eq!(checked.notices(), [lost("etc/tool.conf"), lost("usr/bin/link"), lost("usr/bin/tool")]);
    install(&scene, "1-1");
    assert_no_litter(scene.root());
    let lost = |at: &str| Notice::NotBack { path: path(at), why: NotBack::Lost };
    assert_eq!(roll_back(&scene, 1).notices, [lost("etc/tool.conf"), lost("usr/bin/link"), lost("usr/bin/tool")]);
    assert!(Installed::open(scene.root()).unwrap().reversal_to(1).unwrap().is_empty());
}

#[test]
fn what_is_forgotten_is_said() {
    let scene = with(Unowned::Replace);
    install(&scene, "1-1");
    assert_eq!(scene.installed().kept().unwrap().0, 4);
    forget_all(scene.root());
    assert_no_litter(scene.root());
    assert_eq!(scene.installed().kept().unwrap().0, 0);
    let lost = |at: &str| Notice::NotBack { path: path(at), why: NotBack::Lost };
    let done = reverse(&scene, |db| db.reversal_of(1)).unwrap();
    assert_eq!(done.notices, [lost("etc/tool.conf"), lost("usr/bin/link"), lost("usr/bin/tool")]);
}

#[test]
fn it_is_copied_with_all_attributes_to_a_database_on_another_disk() {
    with_medium("displaced::database_elsewhere", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn database_elsewhere() {
    let Some(medium) = medium() else { return };
    let scene = with(Unowned::Replace);
    let ours = scene.at("var/lib/kista");
    fs::create_dir_all(&ours).unwrap();
    let mount = |arguments: &[&Path]| {
        let done = std::process::Command::new("mount").arg("--bind").args(arguments).status();
        assert!(done.unwrap().success());
    };
    mount(&[&medium, &ours]);
    rustix::fs::mknodat(rustix::fs::CWD, scene.at("etc/pipe"), rustix::fs::FileType::Fifo, 0o640.into(), 0).unwrap();
    let before = scene.tree();
    scene.install(&[&tool("1-1"), &pack("pipe 1-1").file("etc/pipe", 0o644, "no pipe").build()]);
    undo_last(scene.root());
    assert_no_litter(scene.root());
    assert_eq!(scene.tree(), before);
    assert!(std::process::Command::new("umount").arg(&ours).status().unwrap().success());
}
