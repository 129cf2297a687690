//! Commands run once after a transaction in which paths came or went that they are about.

use std::fs;
use std::path::Path;

use installdb::{Error, Finding, InstallDb, Installed, Notice};
use pkgformat::Trigger;

use crate::scene::{Pack, Packed, Scene, name, pack, request, run};
use crate::scripts::{open_after_kill, scene};
use crate::victim;

impl Pack {
    fn trigger(self, glob: &str, command: &str) -> Self {
        self.meta(|meta| meta.triggers.push(Trigger { glob: glob.to_owned(), command: command.to_owned() }))
    }
}

/// Writes down the paths that it gets.
const TELL: &str = "{ echo run; while read -r path; do echo \"$path\"; done; } >>/log";

fn fonts() -> Packed {
    pack("fonts 1-1").trigger("usr/fonts/**", TELL).file("usr/fonts/a", 0o644, "a").build()
}

fn font(spec: &str) -> Packed {
    let (package, _) = spec.split_once(' ').unwrap();
    pack(spec).file(&format!("usr/fonts/{package}"), 0o644, spec).file("usr/other", 0o644, "same").build()
}

/// What was written down since the last time.
fn told(scene: &Scene) -> String {
    let told = fs::read_to_string(scene.at("log")).unwrap_or_default();
    let _ = fs::remove_file(scene.at("log"));
    told
}

#[test]
fn a_trigger_runs_when_paths_come_change_and_go() {
    let scene = scene();
    scene.install(&[&fonts()]);
    assert_eq!(told(&scene), "run\n/usr/fonts\n/usr/fonts/a\n");
    scene.install(&[&font("x 1-1"), &font("y 1-1")]);
    assert_eq!(told(&scene), "run\n/usr/fonts/x\n/usr/fonts/y\n", "one run for both packages");
    scene.install(&[&font("x 2-1")]);
    assert_eq!(told(&scene), "run\n/usr/fonts/x\n");
    scene.install(&[&pack("z 1-1").file("usr/fontsize", 0o644, "z").build()]);
    assert_eq!(told(&scene), "", "nothing that the pattern fits");
    scene.remove(&["y"]);
    assert_eq!(told(&scene), "run\n/usr/fonts/y\n");
    scene.remove(&["fonts"]);
    assert_eq!(told(&scene), "run\n/usr/fonts/a\n", "what goes with the trigger's own package");
    scene.install(&[&font("y 1-1")]);
    assert_eq!(told(&scene), "", "the trigger is gone");
}

#[test]
fn a_new_trigger_is_told_what_is_there_already() {
    let scene = scene();
    scene.install(&[&font("x 1-1")]);
    assert_eq!(told(&scene), "");
    scene.install(&[&fonts()]);
    assert_eq!(told(&scene), "run\n/usr/fonts\n/usr/fonts/a\n/usr/fonts/x\n");
    // The next version has the same trigger.
    scene.install(&[&pack("fonts 2-1").trigger("usr/fonts/**", TELL).file("usr/fonts/a", 0o644, "b").build()]);
    assert_eq!(told(&scene), "run\n/usr/fonts/a\n");
}

#[test]
fn the_same_command_of_several_packages_runs_once() {
    let scene = scene();
    let library = |spec: &str| {
        let (package, _) = spec.split_once(' ').unwrap();
        let path = format!("usr/lib/{package}/lib{package}.so");
        pack(spec).trigger(&format!("usr/lib/{package}/*.so"), TELL).file(&path, 0o644, spec).build()
    };
    let done = scene.install(&[&library("b 1-1"), &library("a 1-1")]);
    assert_eq!(told(&scene), "run\n/usr/lib/a/liba.so\n/usr/lib/b/libb.so\n");
    let [trigger] = &done.scripts[..] else { panic!("{:?}", done.scripts) };
    assert_eq!((trigger.stage.as_str(), trigger.command.as_deref()), ("trigger", Some(TELL)));
    scene.install(&[&library("a 2-1")]);
    assert_eq!(told(&scene), "run\n/usr/lib/a/liba.so\n");
}

#[test]
fn a_trigger_that_can_not_run_yet_waits_and_runs_once_for_all() {
    let scene = Scene::new();
    let done = scene.install(&[&fonts()]);
    let [Notice::ScriptFailed { command, failure, stays: true, .. }] = &done.notices[..] else {
        panic!("{:?}", done.notices)
    };
    assert_eq!(command.as_deref(), Some(TELL));
    assert!(failure.contains("interpreter"), "{failure}");
    scene.assert_verified();
    scene.install(&[&font("x 1-1")]);
    let mut db = scene.open();
    let [pending] = &db.pending_scripts().unwrap()[..] else { panic!("both are one") };
    assert_eq!((pending.package.as_str(), pending.stage.as_str()), ("fonts", "trigger"));
    crate::scripts::add_shell(scene.root());
    assert_eq!(db.run_pending_scripts(&mut ()).unwrap(), []);
    assert_eq!(told(&scene), "run\n/usr/fonts\n/usr/fonts/a\n/usr/fonts/x\n");
    assert_eq!(db.pending_scripts().unwrap(), []);
}

#[test]
fn a_trigger_that_fails_takes_nothing_back() {
    let scene = scene();
    let broken = pack("broken 1-1").trigger("a", "echo out of order; exit 3").file("a", 0o644, "a").build();
    let done = scene.install(&[&broken]);
    let [Notice::ScriptFailed { package, failure, .. }] = &done.notices[..] else { panic!("{:?}", done.notices) };
    assert_eq!((package, failure.as_str()), (&name("broken"), "exit status 3: out of order"));
    assert_eq!(scene.packages(), ["broken 1-1"]);
    // Its own package took it along.
    let gone = pack("gone 1-1").trigger("g", "no-such-program").file("g", 0o644, "g").build();
    scene.install(&[&gone]);
    assert_eq!(scene.installed().pending_scripts().unwrap().len(), 2);
    scene.remove(&["gone"]);
    assert_eq!(scene.installed().pending_scripts().unwrap().len(), 1);
}

#[test]
fn a_trigger_that_never_succeeds_is_given_up_until_somebody_asks_for_it() {
    let scene = scene();
    let moody = pack("moody 1-1").trigger("usr/fonts/*", "test -e /yes").file("a", 0o644, "a").build();
    assert_eq!(scene.install(&[&moody, &font("x 1-1")]).notices.len(), 1);
    let given_up = |db: &Installed| db.pending_scripts().unwrap().iter().map(|known| known.is_given_up).collect();
    let is_given_up: Vec<bool> = given_up(&scene.installed());
    assert_eq!(is_given_up, [false], "it is repeated once");
    let mut db = scene.open();
    assert_eq!(db.run_pending_scripts(&mut ()).unwrap().len(), 1);
    assert_eq!(db.run_pending_scripts(&mut ()).unwrap(), []);
    let is_given_up: Vec<bool> = given_up(&db);
    assert_eq!(is_given_up, [true]);
    assert_eq!(db.script_runs(1).unwrap().len(), 2, "what it said is in the history");
    assert!(db.retry_scripts(&mut ()).unwrap()[0].is_given_up);
    drop(db);
    // A change that it belongs to asks for it, with the paths of all.
    scene.write("yes", "");
    assert_eq!(scene.install(&[&font("y 1-1")]).notices, []);
    let is_given_up: Vec<bool> = given_up(&scene.installed());
    assert_eq!(is_given_up, [false; 0]);
}

#[test]
fn what_is_no_pattern_is_found_beforehand() {
    let mut scene = scene();
    let bad = pack("bad 1-1").trigger("/usr", "true").file("a", 0o644, "a").build();
    let Error::Refused(findings) = scene.change(&[&bad], &[]).unwrap_err() else { panic!("it is refused") };
    assert!(matches!(&findings[..], [Finding::BadTrigger { glob, .. }] if glob == "/usr"), "{findings:?}");
    scene.options.skip_scripts = true;
    scene.install(&[&bad, &fonts()]);
    assert_eq!(told(&scene), "", "triggers are left out on request");
    scene.options.skip_scripts = false;
    scene.install(&[&font("x 1-1")]);
    assert_eq!(told(&scene), "run\n/usr/fonts/x\n");
}

/// What is killed below, run by `interruption::victim`.
pub(crate) fn change(root: &Path) {
    run(&mut InstallDb::open(root).unwrap(), request(&[&font("x 2-1")], &["y"])).unwrap();
}

#[test]
fn a_kill_at_any_moment_runs_the_triggers_of_what_was_decided() {
    let arranged = || {
        let scene = scene();
        scene.install(&[&fonts(), &font("x 1-1"), &font("y 1-1")]);
        told(&scene);
        scene
    };
    let arranged = arranged();
    let counted = arranged.copied();
    let calls = victim::run("triggers", counted.root(), None).calls.len();
    let whole = "run\n/usr/fonts/x\n/usr/fonts/y\n";
    assert_eq!(told(&counted), whole);
    let mut ends = [0, 0];
    for kill_at in (1..=calls).step_by(calls.div_ceil(20)).chain(calls - 5..=calls) {
        let scene = arranged.copied();
        victim::run("triggers", scene.root(), Some(kill_at));
        open_after_kill(scene.root());
        let is_new = scene.packages() == ["fonts 1-1", "x 2-1"];
        // It may have been killed in the middle of a run, which then runs again.
        let log = told(&scene);
        assert!(if is_new { log.ends_with(whole) } else { log.is_empty() }, "killed at {kill_at} of {calls}: {log}");
        assert_eq!(scene.installed().pending_scripts().unwrap(), []);
        scene.assert_verified();
        ends[usize::from(is_new)] += 1;
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
}
