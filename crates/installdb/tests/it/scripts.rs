//! Scripts of packages may refuse before a change, and are carried out after it.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use installdb::{Error, ErrorKind, Event, Finding, InstallDb, Notice, Progress};
use pkgformat::ScriptKind;
use pkgtypes::Digest;

use crate::scene::{NOW, Pack, Packed, Scene, name, pack, request, run};
use crate::victim;

impl Pack {
    /// The package with a script of this kind.
    pub(crate) fn script(mut self, kind: ScriptKind, text: &str) -> Self {
        let content = format!("#!/bin/sh\n{text}\n").into_bytes();
        let digest = Digest::of(&content);
        self.contents.insert(digest, content);
        self.meta(|meta| {
            let scripts = &mut meta.scripts;
            *match kind {
                ScriptKind::PreInstall => &mut scripts.pre_install,
                ScriptKind::PostInstall => &mut scripts.post_install,
                ScriptKind::PreRemove => &mut scripts.pre_remove,
                ScriptKind::PostRemove => &mut scripts.post_remove,
            } = Some(digest);
        })
    }
}

/// A root with the shell of this machine, and the libraries that it needs.
pub(crate) fn scene() -> Scene {
    let scene = Scene::new();
    add_shell(scene.root());
    scene
}

pub(crate) fn add_shell(root: &Path) {
    let listed = Command::new("ldd").arg("/bin/sh").output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain(["/bin/sh"]) {
        let copy = root.join(&file[1..]);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(fs::canonicalize(file).unwrap(), &copy).unwrap();
        fs::set_permissions(copy, fs::Permissions::from_mode(0o755)).unwrap();
    }
}

/// Writes down how it was called.
const TELL: &str =
    r#"for word in "$0" "$@"; do case $word in /*) ;; *) printf '[%s]' "$word"; esac; done >>/log; echo >>/log"#;

/// A package whose four scripts, as far as they may, write down that they ran.
fn telling(spec: &str) -> Packed {
    let tell = |stage: &str| format!("printf {stage} >>/log; {TELL}");
    pack(spec)
        .file("a", 0o644, spec)
        .script(ScriptKind::PreInstall, "test ! -e /no || exit 3")
        .script(ScriptKind::PostInstall, &tell("post-install"))
        .script(ScriptKind::PreRemove, "test ! -e /no || { echo not yet; exit 4; }")
        .script(ScriptKind::PostRemove, &tell("post-remove"))
        .build()
}

#[test]
fn scripts_are_told_what_comes_and_what_was_there() {
    let scene = scene();
    scene.install(&[&telling("tool 1:1.0-2")]);
    scene.install(&[&telling("tool 2.0-1")]);
    scene.remove(&["tool"]);
    let told = "post-install[tool][1:1.0][2]\npost-install[tool][2.0][1][1:1.0][2]\npost-remove[tool][][][2.0][1]\n";
    assert_eq!(scene.read("log"), told);
    assert_eq!(scene.installed().pending_scripts().unwrap(), []);
}

#[test]
fn a_script_that_refuses_leaves_everything_as_it_was() {
    let scene = scene();
    scene.install(&[&telling("tool 1.0-1")]);
    scene.write("no", "");
    let before = scene.tree();
    for (install, remove) in [(Some(telling("tool 2.0-1")), vec![]), (None, vec!["tool"])] {
        let refused = scene.change(&install.iter().collect::<Vec<_>>(), &remove).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Refused);
        let Error::Script { package, stage, reason } = refused else { panic!("{refused}") };
        assert_eq!(package, name("tool"));
        match remove.is_empty() {
            true => assert_eq!((&*stage, &*reason), ("pre-install", "exit status 3")),
            false => assert_eq!((&*stage, &*reason), ("pre-remove", "exit status 4: not yet")),
        }
        assert_eq!(scene.tree(), before);
        assert_eq!(scene.packages(), ["tool 1.0-1"]);
    }
}

#[test]
fn a_script_before_the_change_sees_the_old_root_and_can_not_write() {
    let scene = scene();
    scene.install(&[&telling("tool 1.0-1")]);
    let text = "read -r line </a; echo \"$line\"; (echo x >/a) 2>/dev/null || echo closed; exit 1";
    let curious = pack("tool 2.0-1").file("a", 0o644, "two").script(ScriptKind::PreInstall, text).build();
    let Error::Script { reason, .. } = scene.change(&[&curious], &[]).unwrap_err() else { panic!() };
    assert_eq!(reason, "exit status 1: tool 1.0-1\nclosed");
}

#[test]
fn scripts_after_the_change_run_in_the_order_of_the_requirements() {
    let scene = scene();
    let package = |spec: &str, requires: &[&str]| {
        pack(spec)
            .meta(|meta| meta.requires = requires.iter().map(|text| text.parse().unwrap()).collect())
            .script(ScriptKind::PostInstall, "echo +$1 >>/log")
            .script(ScriptKind::PostRemove, "echo -$1 >>/log")
            .build()
    };
    let packages = [package("a 1-1", &["b"]), package("b 1-1", &["c"]), package("c 1-1", &[])];
    scene.install(&packages.iter().collect::<Vec<_>>());
    scene.remove(&["a", "b", "c"]);
    assert_eq!(scene.read("log"), "+c\n+b\n+a\n-a\n-b\n-c\n");
}

#[test]
fn a_script_of_a_version_that_is_there_no_more_is_not_tried_again() {
    let moody = |version: &str, text: &str| {
        pack(&format!("moody {version}")).file("a", 0o644, version).script(ScriptKind::PostInstall, text).build()
    };
    let failing = moody("1-1", "echo one >>/log; test -e /yes");
    for version in [None, Some("2-1")] {
        let scene = scene();
        scene.install(&[&failing, &pack("other 1-1").script(ScriptKind::PostInstall, "test -e /yes").build()]);
        match version {
            None => drop(scene.remove(&["moody"])),
            Some(version) => drop(scene.install(&[&moody(version, "echo two >>/log")])),
        }
        scene.write("yes", "");
        let mut db = scene.open();
        let pending = db.pending_scripts().unwrap();
        assert_eq!(pending.iter().map(|script| script.package.as_str()).collect::<Vec<_>>(), ["other"]);
        assert_eq!(db.run_pending_scripts(&mut ()).unwrap(), []);
        assert_eq!(scene.read("log"), if version.is_some() { "one\ntwo\n" } else { "one\n" });
    }
}

#[test]
fn a_script_that_fails_after_the_change_is_shown_and_tried_again_on_request() {
    let scene = scene();
    let text = "test -e /yes || { echo no yes; exit 5; }; echo ran >>/log";
    let moody = pack("moody 1-1").file("a", 0o644, "a").script(ScriptKind::PostInstall, text).build();
    let done = scene.install(&[&moody]);
    let [Notice::ScriptFailed { package, stage, failure, stays: true, .. }] = &done.notices[..] else {
        panic!("{:?}", done.notices)
    };
    assert_eq!((package.as_str(), &**stage, &**failure), ("moody", "post-install", "exit status 5: no yes"));
    assert_eq!(scene.packages(), ["moody 1-1"]);
    scene.assert_verified();

    // It does not run by itself once more.
    scene.write("yes", "");
    let mut db = scene.open();
    let [pending] = &db.pending_scripts().unwrap()[..] else { panic!() };
    assert_eq!((pending.txn, pending.failure.as_deref()), (done.txn, Some("exit status 5: no yes")));
    assert!(!scene.at("log").exists());
    assert_eq!(db.run_pending_scripts(&mut ()).unwrap(), []);
    assert_eq!(scene.read("log"), "ran\n");
    assert_eq!(db.pending_scripts().unwrap(), []);
    assert_eq!(db.run_pending_scripts(&mut ()).unwrap(), []);
}

/// The scripts that nothing would run; nothing may have been changed.
fn not_run(scene: &Scene, packages: &[&Packed], remove: &[&str]) -> Vec<String> {
    let before = scene.tree();
    let Error::Refused(findings) = scene.change(packages, remove).unwrap_err() else { panic!("it is refused") };
    assert_eq!(scene.tree(), before);
    let stage = |finding: &Finding| match finding {
        Finding::NoInterpreter { package, stage, interpreter, .. } => format!("{package} {stage} {interpreter}"),
        other => panic!("{other}"),
    };
    findings.iter().map(stage).collect()
}

#[test]
fn what_runs_a_script_must_be_there() {
    let mut scene = Scene::new();
    drop(scene.open());
    let post = pack("post 1-1").script(ScriptKind::PostInstall, "true").build();
    let pre = pack("pre 1-1").script(ScriptKind::PreInstall, "true").script(ScriptKind::PreRemove, "true").build();
    assert_eq!(not_run(&scene, &[&post, &pre], &[]), ["pre pre-install bin/sh", "post post-install bin/sh"]);
    // Brought by another package, by way of links; it is not the disk's business then what it is.
    let shell =
        pack("shell 1-1").symlink("bin", "usr/bin").file("usr/sh", 0o755, "").symlink("usr/bin/sh", "../x/../sh");
    let shell = shell.dir("usr/x", 0o755).build();
    assert_eq!(not_run(&scene, &[&shell, &pre], &[]), ["pre pre-install bin/sh"]);
    let done = scene.install(&[&shell, &post]);
    assert!(
        matches!(&done.notices[..], [Notice::ScriptFailed { .. }]),
        "it is found, and can not run: {:?}",
        done.notices
    );
    assert_eq!(not_run(&scene, &[&post], &["shell"]), ["post post-install bin/sh"]);
    scene.remove(&["shell"]);
    scene.options.skip_scripts = true;
    scene.install(&[&pre]);
    scene.options.skip_scripts = false;
    assert_eq!(not_run(&scene, &[], &["pre"]), ["pre pre-remove bin/sh"]);
}

#[test]
fn what_scripts_said_is_kept() {
    let scene = scene();
    let loud = |text: &str| pack("loud 1-1").file("a", 0o644, text).script(ScriptKind::PostInstall, text).build();
    let quiet = loud("echo one; echo two >&2");
    let first = quiet.record.meta().clone();
    let refusing = pack("no 1-1").script(ScriptKind::PreInstall, "echo never; exit 9").build();
    let done = scene.install(&[&quiet]);
    assert_eq!((first.name.as_str(), done.scripts.len()), ("loud", 1));
    let told = |txn: i64| {
        let runs = scene.installed().script_runs(txn).unwrap();
        let told = runs
            .iter()
            .map(|run| (run.stage.clone(), run.failure.clone(), String::from_utf8_lossy(&run.output).into_owned()));
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(done.txn), [("post-install".into(), None, "one\ntwo\n".into())]);
    scene.change(&[&refusing], &[]).unwrap_err();
    let failure = Some("exit status 9: never".into());
    assert_eq!(told(done.txn + 1), [("pre-install".into(), failure, "never\n".into())]);
}

#[test]
fn a_script_that_does_not_end_is_ended() {
    let mut scene = scene();
    scene.options.script_limit = Some(std::time::Duration::from_millis(200));
    let done = scene.install(&[&pack("x 1-1").script(ScriptKind::PostInstall, "while :; do :; done").build()]);
    let [Notice::ScriptFailed { failure, stays: true, .. }] = &done.notices[..] else { panic!("{:?}", done.notices) };
    assert_eq!(failure, "ended by the time limit");
}

#[test]
fn a_script_whose_shell_goes_along_with_it_is_not_kept() {
    let mut scene = scene();
    let gone = pack("gone 1-1").script(ScriptKind::PostRemove, "true").build();
    let shell = scene.at("bin/sh");
    let copy = pack("shell 1-1").file("bin/sh", 0o755, fs::read(&shell).unwrap()).build();
    scene.options.unowned = installdb::Unowned::Replace;
    scene.install(&[&gone, &copy]);
    let done = scene.remove(&["gone", "shell"]);
    let [Notice::ScriptFailed { failure, stays: false, .. }] = &done.notices[..] else { panic!("{:?}", done.notices) };
    assert!(failure.contains("interpreter"), "{failure}");
    assert_eq!(scene.installed().pending_scripts().unwrap(), []);
}

/// A package that was Debian's, whose scripts write down how they were called.
fn converted(version: &str) -> Packed {
    let script = format!(
        "#!/bin/sh\necho \"{version} $DPKG_MAINTSCRIPT_PACKAGE $DPKG_MAINTSCRIPT_NAME$(printf ' [%s]' \"$@\")\" >>/log\ntest ! -e /no\n"
    );
    let packed = pack(&format!("tool {version}-0")).file("a", 0o644, version).meta(|meta| {
        let mut add = |name: &str, value: &str| meta.other.push((format!("foreign.{name}"), value.into()));
        add("format", "deb");
        add("version", version);
        ["preinst", "postinst", "prerm", "postrm"].iter().for_each(|name| add(&format!("script.{name}"), &script));
    });
    packed.build()
}

#[test]
fn foreign_scripts_run_on_request_alone_and_by_their_own_convention() {
    let mut scene = scene();
    scene.install(&[&converted("0")]);
    scene.remove(&["tool"]);
    assert!(!scene.at("log").exists());
    scene.options.foreign_scripts = true;
    scene.install(&[&converted("1")]);
    scene.install(&[&converted("2")]);
    scene.remove(&["tool"]);
    let told = "1 tool preinst [install]\n1 tool postinst [configure] []\n\
                1 tool prerm [upgrade] [2]\n2 tool preinst [upgrade] [1] [2]\n\
                1 tool postrm [upgrade] [2]\n2 tool postinst [configure] [1]\n\
                2 tool prerm [remove]\n2 tool postrm [remove]\n";
    assert_eq!(scene.read("log"), told);
    // One that refuses is heard; what it wrote stays.
    scene.write("no", "");
    let Error::Script { stage, .. } = scene.change(&[&converted("3")], &[]).unwrap_err() else { panic!() };
    assert_eq!((stage.as_str(), scene.packages().len()), ("foreign preinst", 0));
    assert!(scene.read("log").ends_with("3 tool preinst [install]\n"));
}

#[test]
fn scripts_are_left_out_on_request() {
    let mut scene = scene();
    scene.write("no", "");
    scene.options.skip_scripts = true;
    scene.install(&[&telling("tool 1-1")]);
    scene.remove(&["tool"]);
    assert!(!scene.at("log").exists());
}

/// What is killed below, run by `interruption::victim`.
pub(crate) fn change(root: &Path) {
    run(&mut InstallDb::open(root).unwrap(), request(&[&telling("tool 2-1")], &["gone"])).unwrap();
}

/// Opens the database as soon as all that is left of the killed process is gone: its room holds the lock until then.
pub(crate) fn open_after_kill(root: &Path) {
    while matches!(InstallDb::open(root), Err(Error::Busy { .. })) {
        std::thread::yield_now();
    }
}

#[test]
fn a_kill_at_any_moment_runs_the_scripts_of_what_was_decided_and_no_others() {
    let arranged = || {
        let scene = scene();
        let gone = pack("gone 1-1").script(ScriptKind::PostRemove, "echo gone >>/log").build();
        scene.install(&[&telling("tool 1-1"), &gone]);
        fs::remove_file(scene.at("log")).unwrap();
        scene
    };
    let arranged = arranged();
    let counted = arranged.copied();
    let calls = victim::run("scripts", counted.root(), None).calls.len();
    let new = ["gone\n", "post-install[tool][2][1][1][1]\n"];
    assert_eq!(counted.read("log"), new.concat());
    let mut ends = [0, 0];
    for kill_at in (1..=calls).step_by(calls.div_ceil(25)).chain(calls - 5..=calls) {
        let scene = arranged.copied();
        victim::run("scripts", scene.root(), Some(kill_at));
        open_after_kill(scene.root());
        let log = fs::read_to_string(scene.at("log")).unwrap_or_default();
        match &*scene.packages().concat() {
            "gone 1-1tool 1-1" => {
                assert_eq!(log, "", "killed at call {kill_at} of {calls}");
                ends[0] += 1;
            }
            "tool 2-1" => {
                assert!(new.iter().all(|line| log.contains(line)), "killed at call {kill_at} of {calls}: {log}");
                ends[1] += 1;
            }
            other => panic!("{other}"),
        }
        assert_eq!(scene.installed().pending_scripts().unwrap(), []);
        scene.assert_verified();
    }
    assert!(ends[0] > 0 && ends[1] > 0, "{ends:?}");
}

/// The script was not asked, so it did not refuse.
#[test]
fn a_room_that_can_not_be_made_is_no_refusal() {
    let scene = scene();
    scene.write("proc", "no folder to mount anything on");
    drop(scene.open());
    let before = scene.tree();
    let asking = pack("asking 1-1").file("a", 0o644, "a").script(ScriptKind::PreInstall, "true").build();
    let error = scene.change(&[&asking], &[]).unwrap_err();
    assert!(matches!(&error, Error::NoRoom { stage, .. } if stage == "pre-install"), "{error}");
    assert_eq!((error.kind(), scene.tree()), (ErrorKind::NoRoom, before));
}

/// Asks to stop as soon as a script has said that it runs.
struct StopOnceBegun<'a>(&'a Scene);

impl Progress for StopOnceBegun<'_> {
    fn report(&mut self, _: Event<'_>) -> ControlFlow<()> {
        let has_begun = fs::read_to_string(self.0.at("log")).is_ok_and(|log| log.contains("begun"));
        if has_begun { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// Runs until somebody asks it to end; the second time at once to its end.
const PATIENT: &str = "if [ -e /log ]; then echo again >>/log; exit 0; fi
    trap 'echo asked >>/log; exit 3' TERM; echo begun >>/log; while :; do :; done";

#[test]
fn a_script_after_the_change_ends_when_it_is_asked_to_and_can_be_run_again() {
    let scene = scene();
    let one = pack("one 1-1").file("a", 0o644, "a").script(ScriptKind::PostInstall, PATIENT).build();
    let two = pack("two 1-1").file("b", 0o644, "b").script(ScriptKind::PostInstall, "echo two >>/log").build();
    let (packages, mut db) = ([&one, &two], scene.open());
    let staged = db.plan(request(&packages, &[])).unwrap().check().unwrap().stage(&mut ()).unwrap();
    let done = staged.commit().unwrap().finish_with(NOW, &mut StopOnceBegun(&scene)).unwrap();
    assert_eq!(scene.read("log"), "begun\nasked\n");
    let [Notice::ScriptFailed { failure, stays: true, .. }, Notice::ScriptsLeft { count: 1 }] = &done.notices[..]
    else {
        panic!("{:?}", done.notices)
    };
    assert!(failure.contains("a request to stop"), "{failure}");
    assert_eq!(done.scripts.len(), 1, "the other one did not begin");
    drop(db);
    scene.assert_verified();
    // Whoever comes next and asks to stop, too, leaves it where it is.
    drop(InstallDb::open_with(scene.root(), &mut StopOnceBegun(&scene)).unwrap());
    assert_eq!(scene.read("log"), "begun\nasked\n");
    let mut db = scene.open();
    assert_eq!(scene.read("log"), "begun\nasked\ntwo\n");
    assert!(matches!(db.run_pending_scripts(&mut StopOnceBegun(&scene)), Err(Error::Stopped)));
    assert_eq!(db.run_pending_scripts(&mut ()).unwrap(), []);
    assert_eq!(scene.read("log"), "begun\nasked\ntwo\nagain\n");
}

#[test]
fn a_script_before_the_change_ends_when_it_is_asked_to_and_nothing_was_changed() {
    let scene = scene();
    // It may write nothing, so it is asked at once.
    let one = pack("one 1-1").file("a", 0o644, "a").script(ScriptKind::PreInstall, "while :; do :; done").build();
    let (packages, mut db) = ([&one], scene.open());
    let before = scene.tree();
    let asked = std::cell::Cell::new(0);
    struct Second<'a>(&'a std::cell::Cell<usize>);
    impl Progress for Second<'_> {
        fn report(&mut self, event: Event<'_>) -> ControlFlow<()> {
            self.0.set(self.0.get() + usize::from(matches!(event, Event::Script { .. })));
            if self.0.get() > 1 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let stopped = db.plan(request(&packages, &[])).unwrap().check().unwrap().stage(&mut Second(&asked));
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert_eq!((asked.get(), scene.tree()), (2, before));
    assert_eq!(scene.packages(), [""; 0]);
}
