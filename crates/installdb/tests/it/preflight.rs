//! What a step would fail on after the decision is found before it.

use std::fs;
use std::path::Path;
use std::process::Command;

use installdb::{Author, Error, Finding, InstallDb, Installed};
use pkgfs::Hold;

use crate::medium::{medium, with_medium};
use crate::scene::{NOW, Packed, Scene, pack, path, request, run, snapshot};

fn program(name: &str, arguments: &[&str], at: &Path) -> bool {
    let mut command = Command::new(name);
    command.args(arguments).arg(at).stderr(std::process::Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn change(root: &Path, install: &[&Packed], remove: &[&str]) -> installdb::Result<installdb::Done> {
    run(&mut InstallDb::open(root)?, request(install, remove))
}

#[track_caller]
fn refused(root: &Path, install: &[&Packed], remove: &[&str]) -> Vec<Finding> {
    let before = snapshot(root);
    let error = change(root, install, remove).unwrap_err();
    assert_eq!(snapshot(root), before);
    let Error::Refused(findings) = error else { panic!("{error}") };
    findings
}

fn tool(version: &str) -> Packed {
    pack(&format!("tool {version}")).file("etc/hosts", 0o644, version).file("usr/bin/tool", 0o755, version).build()
}

fn held(at: &str, hold: Hold) -> Finding {
    Finding::Held { path: path(at), hold }
}

#[test]
fn what_something_is_mounted_on_is_not_replaced() {
    with_medium("preflight::mounted_on", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn mounted_on() {
    let Some(root) = medium() else { return };
    change(&root, &[&tool("1-1")], &[]).unwrap();
    fs::write(root.join("other"), "of the container").unwrap();
    let hosts = root.join("etc/hosts");
    assert!(program("mount", &["--bind", root.join("other").to_str().unwrap()], &hosts));
    assert_eq!(refused(&root, &[&tool("2-1")], &[]), [held("etc/hosts", Hold::MountPoint)]);
    assert_eq!(refused(&root, &[], &["tool"]), [held("etc/hosts", Hold::MountPoint)]);
    assert!(program("umount", &[], &hosts));
    change(&root, &[&tool("2-1")], &[]).unwrap();
    assert_eq!(Installed::open(&root).unwrap().verify(&[]).unwrap(), []);
}

#[test]
fn folders_on_file_systems_of_their_own_are_installed_into_and_stay() {
    with_medium("preflight::mounted_folder", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn mounted_folder() {
    let Some(root) = medium() else { return };
    let usr = root.join("usr");
    fs::create_dir(&usr).unwrap();
    assert!(program("mount", &["-t", "tmpfs", "-o", "size=2m,mode=755", "none"], &usr));
    for version in ["1-1", "2-1"] {
        change(&root, &[&tool(version)], &[]).unwrap();
        assert_eq!(Installed::open(&root).unwrap().verify(&[]).unwrap(), []);
    }
    change(&root, &[], &["tool"]).unwrap();
    assert!(usr.is_dir() && fs::read_dir(&usr).unwrap().count() == 0);
    assert_eq!(InstallDb::open(&root).unwrap().recovery(), None, "nothing is left to do");
}

#[test]
fn a_folder_on_a_file_system_that_can_only_be_read_keeps_its_attributes() {
    with_medium("preflight::read_only_folder", "size=8m");
}

#[test]
#[ignore = "runs inside the test above"]
fn read_only_folder() {
    let Some(root) = medium() else { return };
    let of = |version: &str, mode| pack(&format!("p {version}")).dir("usr", mode).build();
    change(&root, &[&of("1-1", 0o755)], &[]).unwrap();
    let usr = root.join("usr");
    assert!(program("mount", &["-t", "tmpfs", "-o", "ro,mode=755", "none"], &usr));
    let found = [Finding::ReadOnly { path: Some(path("usr")) }];
    assert_eq!(refused(&root, &[&of("2-1", 0o700)], &[]), found);
    change(&root, &[&of("2-1", 0o755)], &[]).unwrap();
}

#[test]
fn what_is_immutable_is_not_replaced() {
    let scene = Scene::new();
    scene.install(&[&tool("1-1")]);
    let file = scene.at("usr/bin/tool");
    // Only the first user of the machine, on some file systems.
    if !program("chattr", &["+i"], &file) {
        return;
    }
    let found = [refused(scene.root(), &[&tool("2-1")], &[]), refused(scene.root(), &[], &["tool"])];
    assert!(program("chattr", &["-i"], &file));
    assert_eq!(found, [[held("usr/bin/tool", Hold::Immutable)], [held("usr/bin/tool", Hold::Immutable)]]);
    scene.install(&[&tool("2-1")]);
    scene.assert_verified();
}

type Decision<'a> = dyn Fn(&mut InstallDb) -> installdb::Result<installdb::Done> + 'a;

/// As administrators do with `/etc/resolv.conf`.
#[test]
fn a_configuration_file_that_is_immutable_is_not_decided_about() {
    let scene = Scene::new();
    let conf = |version: &str| pack(&format!("p {version}")).config("etc/conf", version).build();
    scene.install(&[&conf("1-1")]);
    scene.write("etc/conf", "mine");
    scene.install(&[&conf("2-1")]);
    let (author, paths) = (Author::new(NOW), [path("etc/conf")]);
    let decide: [(&str, &Decision<'_>); 3] = [
        ("etc/conf.new", &|db| db.keep_configs(&paths, &author, &NOW)),
        ("etc/conf", &|db| db.merge_configs(&[(path("etc/conf"), b"both".to_vec())], &author, &NOW)),
        ("etc/conf", &|db| db.accept_configs(&paths, &author, &NOW)),
    ];
    for (at, decide) in decide {
        let file = scene.at(at);
        if !program("chattr", &["+i"], &file) {
            return;
        }
        let answer = decide(&mut scene.open());
        assert!(program("chattr", &["-i"], &file));
        let Err(Error::Refused(found)) = answer else { panic!("{at}: {answer:?}") };
        assert_eq!(found, [held(at, Hold::Immutable)]);
        assert_eq!(scene.open().recovery(), None);
    }
    decide[2].1(&mut scene.open()).unwrap();
    assert_eq!((scene.read("etc/conf"), scene.read("etc/conf.save")), ("2-1".to_owned(), "mine".to_owned()));
}

/// What can only be added to a folder would be staged there, and neither placed nor taken away.
#[test]
fn a_folder_in_which_nothing_can_be_replaced_is_found_beforehand() {
    let scene = Scene::new();
    scene.install(&[&tool("1-1")]);
    let try_both = |at: &str, attribute: &str| {
        let set = |sign: &str| program("chattr", &[&format!("{sign}{attribute}")], &scene.at(at));
        let found = set("+").then(|| {
            [scene.change(&[&tool("2-1")], &[]), scene.change(&[], &["tool"])].map(|answer| match answer.unwrap_err() {
                Error::Refused(findings) => findings,
                error => panic!("{at} {attribute}: {error}"),
            })
        });
        set("-");
        found
    };
    for attribute in ["a", "i"] {
        let Some(found) = try_both("usr/bin", attribute) else { return };
        for found in found {
            assert_eq!(found, [held("usr/bin", Hold::Immutable)], "{attribute}");
        }
        for ours in ["var/lib/kista/install.db", "var/lib/kista"] {
            let found = try_both(ours, attribute).unwrap();
            assert!(found.iter().all(|found| matches!(found[..], [Finding::Held { .. } | Finding::Denied { .. }])));
        }
    }
    scene.install(&[&tool("2-1")]);
    scene.assert_verified();
}
