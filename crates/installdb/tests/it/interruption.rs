//! A kill at any moment leaves the old root or the new one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use installdb::{InstallDb, Installed, Outcome, Request, Unowned};
use pkgtypes::Digest;

use crate::scene::{Packed, Scene, Scratch, pack, request, run, scratch_in_memory, snapshot};
use crate::victim::{self, Call};

/// What stands before: a package with a bit of everything, and one whose configuration was edited.
fn before() -> [Packed; 2] {
    let tool = pack("tool 1-1")
        .file("usr/bin/tool", 0o755, "one")
        .file("usr/share/tool/old", 0o644, "dropped later")
        .file("usr/share/tool/turns", 0o644, "a file that becomes a folder")
        .file("usr/share/tool/was/deep", 0o644, "a folder that becomes a link")
        .hardlink("usr/bin/tool-twin", "usr/bin/tool")
        .config("etc/tool.conf", "one")
        .dir("srv/tool", 0o755);
    let gone = pack("gone 1-1").config("etc/gone.conf", "default").file("usr/lib/gone/x", 0o644, "x");
    [tool.build(), gone.build()]
}

/// What comes: another version, and a new package. `gone` goes.
fn after() -> [Packed; 2] {
    let tool = pack("tool 2-1")
        .file("usr/bin/tool", 0o755, "two")
        .hardlink("usr/bin/tool-twin", "usr/bin/tool")
        .file("usr/share/tool/turns/into/this", 0o644, "two")
        .symlink("usr/share/tool/was", "turns")
        .config("etc/tool.conf", "two")
        .dir("srv/tool", 0o700)
        .meta(|meta| meta.sysusers.push("u tool".to_owned()));
    let new = pack("new 1-1").file("opt/new/bin/new", 0o755, "new").file("usr/bin/new", 0o755, "new");
    // A name that is no text is tried before the decision.
    let new = new.file("usr/bin/odd", 0o755, "odd").called("usr/bin/odd", b"usr/bin/\xff");
    [tool.build(), new.build()]
}

pub(crate) fn arranged() -> Scene {
    let scene = Scene::new();
    // Two of its folders the administrator has on other disks.
    for (link, target) in [("opt", "mnt/opt"), ("usr/share/tool", "../../mnt/tool")] {
        fs::create_dir_all(scene.at("usr/share")).unwrap();
        fs::create_dir_all(scene.at("mnt").join(Path::new(target).file_name().unwrap())).unwrap();
        std::os::unix::fs::symlink(target, scene.at(link)).unwrap();
    }
    scene.install(&before().iter().collect::<Vec<_>>());
    scene.write("etc/gone.conf", "edited");
    scene.write("etc/tool.conf", "edited");
    scene.write("usr/bin/new", "the administrator's, in the way of a package's");
    scene
}

pub(crate) fn change(root: &Path) {
    run(&mut InstallDb::open(root).unwrap(), requested(&after())).unwrap();
}

fn requested(after: &[Packed; 2]) -> Request<'_> {
    let mut request = request(&after.iter().collect::<Vec<_>>(), &["gone"]);
    request.options.unowned = Unowned::Replace;
    request
}

fn install_first(root: &Path) {
    let packages = before();
    let request = request(&packages.iter().collect::<Vec<_>>(), &[]);
    run(&mut InstallDb::open(root).unwrap(), request).unwrap();
}

fn install_file(root: &Path) {
    let packed = Packed::load(&root.join("package"));
    run(&mut InstallDb::open(root).unwrap(), request(&[&packed], &[])).unwrap();
}

/// What the tests below kill: run by them, with a root to work on.
#[test]
#[ignore = "runs inside the tests of this file"]
fn victim() {
    let Some(root) = std::env::var_os("VICTIM_ROOT").map(PathBuf::from) else { return };
    let scenario = std::env::var("VICTIM_SCENARIO").unwrap();
    victim::traced(|| {
        match scenario.as_str() {
            "first" => install_first(&root),
            "change" => change(&root),
            "file" => install_file(&root),
            "config" => crate::config::take_new(&root),
            "fix" => crate::fix::bring_back(&root),
            "gc" => crate::undo::forget_all(&root),
            "scripts" => crate::scripts::change(&root),
            "triggers" => crate::triggers::change(&root),
            "undo" => crate::undo::undo_last(&root),
            "zpkg" => crate::zpkg::change(&root),
            "faults" => return crate::faults::play(&root),
            "first faults" => return crate::faults::play_first(&root),
            "recover" => drop(InstallDb::open(&root).unwrap()),
            other => panic!("{other} is no scenario"),
        }
        String::new()
    });
}

/// A copy of a root, down to owners, times and names of one file. A kill leaves the same on every file system, and where
/// there is one in memory nobody waits for a disk.
pub(crate) fn copy(root: &Path) -> Scratch {
    let copy = Scratch::from(scratch_in_memory());
    let from = root.join(".");
    assert!(Command::new("cp").arg("-a").arg(&from).arg(copy.path()).status().unwrap().success());
    copy
}

/// The tree and the packages of a root, and what is kept.
type State = (BTreeMap<PathBuf, String>, Vec<String>, Vec<Digest>);

fn state(root: &Path) -> State {
    let tree = snapshot(root)
        .into_iter()
        .filter(|(path, _)| !path.starts_with("var") && !path.starts_with("mnt/var"))
        .collect();
    let packages = Installed::open(root).map_or_else(
        |_| Vec::new(),
        |installed| {
            let listed = installed.list(&[]).unwrap();
            listed.iter().map(|package| format!("{} {}-{}", package.name, package.version, package.release)).collect()
        },
    );
    let mut kept: Vec<Digest> = match fs::read_dir(root.join("var/lib/kista/kept")) {
        Ok(listed) => listed.map(|entry| Digest::of(fs::read(entry.unwrap().path()).unwrap())).collect(),
        Err(_) => Vec::new(),
    };
    kept.sort_unstable();
    (tree, packages, kept)
}

/// At most this many moments of each scenario, which is all of them at present.
const MOMENTS: usize = 300;

fn moments(calls: usize) -> impl Iterator<Item = usize> {
    (1..=calls).step_by(calls.div_ceil(MOMENTS))
}

/// Kills a scenario at many moments. After each, recovery must lead to the old state or the new one, both of tree and
/// database; to the same once more; and the change must still be possible.
pub(crate) fn kill_everywhere(scenario: &str, root: &Path, again: impl Fn(&Path)) {
    let old = state(root);
    let whole = copy(root);
    let calls = victim::run(scenario, whole.path(), None).calls.len();
    let new = state(whole.path());
    assert_ne!(old, new);
    let (mut olds, mut news) = (0, 0);
    for moment in moments(calls) {
        let root = copy(root);
        let run = victim::run(scenario, root.path(), Some(moment));
        // Two runs differ a little, since threads do.
        assert!(run.killed || moment + 8 > calls, "{moment} of {calls}");
        let recovery = InstallDb::open(root.path()).unwrap().recovery().cloned();
        let found = state(root.path());
        let place = format!("killed at {moment} of {calls}, right before {:?}: {recovery:?}", run.calls.last());
        assert!(found == old || found == new, "{place}: {found:#?}");
        match recovery.map(|recovery| recovery.outcome) {
            Some(Outcome::RolledBack) => assert!(found == old, "{place}"),
            Some(Outcome::Finished) => assert!(found == new, "{place}"),
            _ => {}
        }
        if found == old {
            olds += 1;
        } else {
            news += 1;
        }
        assert_eq!(InstallDb::open(root.path()).unwrap().recovery(), None, "{place}");
        crate::undo::assert_no_litter(root.path());
        assert_eq!(state(root.path()), found, "{place}: the second recovery changed something");
        if found == old {
            again(root.path());
        }
        assert_eq!(state(root.path()), new, "{place}: the change is not possible any more");
    }
    assert!(olds > 5 && news > 5, "{olds} moments before the decision, {news} after it");
}

#[test]
fn a_kill_during_a_change_leaves_the_old_or_the_new() {
    kill_everywhere("change", arranged().root(), change);
}

#[test]
fn a_kill_during_the_first_installation_leaves_nothing_or_all() {
    let empty = Scene::new();
    kill_everywhere("first", empty.root(), install_first);
}

#[test]
fn a_kill_during_an_undo_leaves_the_old_or_the_new() {
    let scene = arranged();
    change(scene.root());
    // So the undo forgets the very contents that it brings back.
    crate::undo::keep_one_transaction(scene.root());
    kill_everywhere("undo", scene.root(), crate::undo::undo_last);
}

#[test]
fn a_kill_while_the_past_is_forgotten_leaves_all_of_it_or_none() {
    let scene = crate::undo::with_a_past();
    kill_everywhere("gc", scene.root(), crate::undo::forget_all);
}

/// Kills a scenario at some moments, and then recovery at some of its own. The next recovery must come to where an
/// undisturbed one comes.
pub(crate) fn kill_recovery(scenario: &str, root: &Path) {
    let old = state(root);
    let whole = copy(root);
    let calls = victim::run(scenario, whole.path(), None).calls.len();
    let new = state(whole.path());
    let mut killed = 0;
    for moment in (1..calls).step_by(calls.div_ceil(10)) {
        let root = copy(root);
        victim::run(scenario, root.path(), Some(moment));
        let rest = copy(root.path());
        let calls = victim::run("recover", rest.path(), None).calls.len();
        let expected = state(rest.path());
        assert!(expected == old || expected == new, "{moment}");
        for second in (1..=calls).step_by(calls.div_ceil(5).max(1)) {
            let root = copy(root.path());
            killed += usize::from(victim::run("recover", root.path(), Some(second)).killed);
            drop(InstallDb::open(root.path()).unwrap());
            assert_eq!(state(root.path()), expected, "killed at {moment}, recovery at {second}");
            crate::undo::assert_no_litter(root.path());
            assert_eq!(InstallDb::open(root.path()).unwrap().recovery(), None, "killed at {moment}, then at {second}");
            assert_eq!(
                state(root.path()),
                expected,
                "killed at {moment}, recovery at {second}: another one changes it"
            );
        }
    }
    assert!(killed > 10, "{killed}");
}

#[test]
fn a_kill_during_recovery_is_recovered_from() {
    kill_recovery("change", arranged().root());
}

#[test]
fn a_kill_during_the_recovery_of_the_first_installation_is_recovered_from() {
    kill_recovery("first", Scene::new().root());
}

#[test]
fn a_kill_during_the_recovery_of_an_undo_is_recovered_from() {
    let scene = arranged();
    change(scene.root());
    kill_recovery("undo", scene.root());
}

#[test]
fn a_kill_during_the_recovery_of_what_is_forgotten_is_recovered_from() {
    kill_recovery("gc", crate::undo::with_a_past().root());
}

/// What makes a power cut harmless: nothing is named before it is on the disk, nothing renamed before the decision is,
/// and the journal stays until the renames are.
#[test]
fn the_disk_has_everything_in_order() {
    let scene = arranged();
    let calls = victim::run("change", scene.root(), None).calls;
    let first = |call: Call| calls.iter().position(|known| *known == call).unwrap();
    let last = |call: Call| calls.iter().rposition(|known| *known == call).unwrap();
    let sync_in = |range: std::ops::Range<usize>, call: Call| calls[range].contains(&call);
    assert!(sync_in(0..first(Call::Create), Call::SyncFile), "the journal is on the disk before anything is staged");
    let synced = last(Call::Create) + first_in(&calls[last(Call::Create)..], Call::SyncAll);
    assert!(synced < first(Call::Rename), "staged files are on the disk before the decision");
    assert!(sync_in(synced..first(Call::Rename), Call::SyncFile), "the decision is on the disk before a rename");
    let done = last(Call::Rename).max(last(Call::Remove));
    let settled = done + first_in(&calls[done..], Call::SyncAll);
    assert!(sync_in(settled..calls.len(), Call::SyncFile), "the journal is cleared after the renames are on the disk");
}

/// A decision that was interrupted before its own sync is made durable before anything follows from it.
#[test]
fn recovery_brings_the_decision_to_the_disk_before_a_rename() {
    let scene = arranged();
    let after = after();
    let mut db = scene.open();
    let plan = db.plan(requested(&after)).unwrap();
    drop(plan.check().unwrap().stage(&mut ()).unwrap().commit().unwrap());
    drop(db);
    let calls = victim::run("recover", scene.root(), None).calls;
    let renamed = first_in(&calls, Call::Rename).min(first_in(&calls, Call::Remove));
    assert!(first_in(&calls, Call::SyncFile) < renamed, "{calls:?}");
}

fn first_in(calls: &[Call], call: Call) -> usize {
    calls.iter().position(|known| *known == call).unwrap()
}

#[test]
fn syncs_are_as_many_for_a_thousand_files_as_for_one() {
    let syncs = |files: usize| {
        let scene = Scene::new();
        drop(scene.open());
        let mut package = pack("many 1-1");
        for number in 0..files {
            package = package.file(&format!("usr/{}/{number}", number / 50), 0o644, number.to_string());
        }
        fs::write(scene.at("package"), package.build().bytes).unwrap();
        let calls = victim::run("file", scene.root(), None).calls;
        assert_eq!(scene.packages(), ["many 1-1"]);
        calls.iter().filter(|call| matches!(call, Call::SyncAll | Call::SyncFile)).count()
    };
    let one = syncs(1);
    assert_eq!(one, syncs(1000));
    assert!(one <= 8, "{one}: one of the journal, two of file systems, the rest of the database's own");
}
