//! A root of an ordinary user in which things are somebody else's. Only root can arrange that.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use installdb::{Done, Error, Finding, InstallDb, Installed, NotGiven, Notice, Request, Result};
use pkgformat::{EntryKind, Xattr};
use pkgtypes::Mode;

use crate::scene::{NOW, Packed, Scene, pack, path, request, run};

const ANN: u32 = 1000;
const BEN: u32 = 1001;

/// A root of Ann's; `None` where this user can not give it to her.
fn scene() -> Option<Scene> {
    let scene = rustix::process::geteuid().is_root().then(Scene::new)?;
    chown(scene.root(), Some(ANN), Some(ANN)).unwrap();
    Some(scene)
}

/// Acts as Ann: the rights of root are this thread's own, and given up by it alone.
fn as_ann<T: Send>(act: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let acting = scope.spawn(|| {
            rustix::thread::set_thread_gid(rustix::process::Gid::from_raw(ANN)).unwrap();
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(ANN)).unwrap();
            act()
        });
        acting.join().unwrap()
    })
}

fn change(root: &Path, install: &[&Packed], remove: &[&str]) -> Result<Done> {
    run(&mut InstallDb::open(root)?, request(install, remove))
}

fn note(version: &str) -> Packed {
    let ann = ANN.to_string();
    pack(&format!("p {version}")).owned_by(&ann, &ann).file("srv/drop/note", 0o644, version).build()
}

fn give(scene: &Scene, at: &str, owner: u32, mode: u32) {
    chown(scene.at(at), Some(owner), Some(owner)).unwrap();
    fs::set_permissions(scene.at(at), fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn what_a_sticky_folder_keeps_for_another_user_is_found_beforehand() {
    let Some(scene) = scene() else { return };
    as_ann(|| change(scene.root(), &[&note("1-1")], &[])).unwrap();
    let try_upgrade = |version: &str| as_ann(|| change(scene.root(), &[&note(version)], &[]));
    give(&scene, "srv/drop", BEN, 0o1777);
    give(&scene, "srv/drop/note", BEN, 0o644);
    let before = scene.tree();
    for attempt in [try_upgrade("2-1"), as_ann(|| change(scene.root(), &[], &["p"]))] {
        let Error::Refused(findings) = attempt.unwrap_err() else { panic!("it is refused") };
        assert_eq!(findings, [Finding::Denied { path: Some(path("srv/drop/note")) }]);
        assert_eq!(scene.tree(), before);
    }
    // Her own file there is hers to replace, and in a folder of her own any file is.
    for (folder, file, version) in [(BEN, ANN, "2-1"), (ANN, BEN, "3-1")] {
        give(&scene, "srv/drop", folder, 0o1777);
        give(&scene, "srv/drop/note", file, 0o644);
        try_upgrade(version).unwrap();
        assert_eq!(scene.read("srv/drop/note"), version);
    }
}

#[test]
fn what_goes_and_is_another_users_is_kept_as_far_as_it_can_be_read() {
    for (mode, is_kept) in [(0o644, true), (0o600, false)] {
        let Some(scene) = scene() else { return };
        as_ann(|| change(scene.root(), &[&note("1-1")], &[])).unwrap();
        give(&scene, "srv/drop/note", BEN, mode);
        as_ann(|| change(scene.root(), &[], &["p"])).unwrap();
        crate::undo::assert_no_litter(scene.root());
        assert_eq!(scene.installed().kept().unwrap(), if is_kept { (1, 3) } else { (0, 0) }, "{mode:o}");
        if is_kept {
            as_ann(|| crate::undo::undo_last(scene.root()));
            assert_eq!(scene.read("srv/drop/note"), "1-1");
        }
    }
}

/// Where root helped out once, what is kept is root's.
#[test]
fn what_another_user_keeps_is_in_nobodys_way() {
    let Some(scene) = scene() else { return };
    as_ann(|| change(scene.root(), &[&note("1-1")], &[])).unwrap();
    scene.install(&[&note("2-1")]);
    // What went first is kept already.
    for (version, notices) in [("1-1", vec![Notice::NotKept { bytes: 3 }]), ("2-1", vec![])] {
        let done = as_ann(|| change(scene.root(), &[&note(version)], &[])).unwrap();
        assert_eq!((done.notices, scene.read("srv/drop/note")), (notices, version.to_owned()));
        crate::undo::assert_no_litter(scene.root());
    }
}

/// What root keeps in her root is neither hers to read nor to throw away.
#[test]
fn what_another_user_keeps_is_named_as_his_and_stays_when_it_is_too_old() {
    let Some(scene) = scene() else { return };
    as_ann(|| change(scene.root(), &[&note("1-1")], &[])).unwrap();
    scene.install(&[&note("2-1")]);
    let refused = as_ann(|| {
        let reversal = Installed::open(scene.root())?.reversal_of(2)?;
        let mut db = InstallDb::open(scene.root())?;
        let request = reversal.request(&db, NOW, |_, _| None)?;
        run(&mut db, request)
    });
    let error = refused.unwrap_err();
    assert!(error.to_string().ends_with("/srv/drop/note is kept by user 0, and you may not read it"), "{error}");
    // A year later she can change something all the same.
    let later = NOW.saturating_add_seconds(366 * 24 * 3600);
    let a_year_later = |more: fn(&mut Request<'_>)| {
        as_ann(|| {
            let third = note("3-1");
            let mut asked = Request { time: later, ..request(&[&third], &[]) };
            more(&mut asked);
            run(&mut InstallDb::open(scene.root())?, asked)
        })
    };
    let asked_for = a_year_later(|asked| asked.forget = true).unwrap_err();
    assert!(
        matches!(&asked_for, Error::Refused(found) if matches!(found[..], [Finding::Denied { .. }])),
        "{asked_for}"
    );
    a_year_later(|_| ()).unwrap();
    assert_eq!((scene.read("srv/drop/note"), scene.installed().kept().unwrap()), ("3-1".to_owned(), (1, 3)));
    crate::undo::assert_no_litter(scene.root());
    // Root's own changes forget it.
    let fourth = note("4-1");
    run(&mut scene.open(), Request { time: later, ..request(&[&fourth], &[]) }).unwrap();
    assert_eq!(scene.installed().kept().unwrap(), (1, 3));
    assert!(scene.installed().horizon().unwrap() >= 2);
    crate::undo::assert_no_litter(scene.root());
}

/// Who holds the lock keeps everybody from changing the root, so nobody else may open it; questions do without.
#[test]
fn nobody_else_can_hold_a_roots_lock() {
    let Some(theirs) = scene() else { return };
    let lock = "var/lib/kista/lock";
    let mode = |scene: &Scene| fs::metadata(scene.at(lock)).unwrap().permissions().mode() & 0o777;
    let scene = Scene::new();
    scene.install(&[&note("1-1")]);
    // One that an earlier version left.
    fs::set_permissions(scene.at(lock), fs::Permissions::from_mode(0o644)).unwrap();
    drop(scene.open());
    assert_eq!(mode(&scene), 0o600);
    as_ann(|| {
        assert!(fs::File::open(scene.at(lock)).is_err());
        assert_eq!(Installed::open(scene.root()).unwrap().list(&[]).unwrap().len(), 1);
    });
    // Also where the files that readers share are missing.
    for name in ["install.db-wal", "install.db-shm"] {
        fs::remove_file(scene.at("var/lib/kista").join(name)).unwrap();
    }
    as_ann(|| assert_eq!(Installed::open(scene.root()).unwrap().list(&[]).unwrap().len(), 1));
    // In a folder of hers the lock stays one that she can take, whoever makes it.
    as_ann(|| change(theirs.root(), &[&note("1-1")], &[])).unwrap();
    assert_eq!(mode(&theirs), 0o600);
    fs::remove_file(theirs.at(lock)).unwrap();
    drop(theirs.open());
    as_ann(|| change(theirs.root(), &[&note("2-1")], &[])).unwrap();
}

/// Packages of all kinds come into roots of ordinary users; what they lose on the way is not lost from sight.
#[test]
fn what_an_ordinary_user_can_not_give_is_told_and_no_difference() {
    let Some(scene) = scene() else { return };
    let capability = Xattr { name: b"security.capability".to_vec(), value: CAP_NET_RAW.to_vec() };
    let null = EntryKind::Char { mode: Mode::from_raw(0o666), major: 1, minor: 3 };
    let packed = pack("p 1-1").owned_by("root", "root");
    let packed = packed.file("bin/su", 0o4755, "su").file("bin/ping", 0o755, "ping").entry("dev/null", null);
    let packed = packed.edit("bin/ping", |entry| entry.xattrs = vec![capability]).build();
    let done = as_ann(|| change(scene.root(), &[&packed], &[])).unwrap();
    let [Notice::NotGiven(told)] = &done.notices[..] else { panic!("{:?}", done.notices) };
    let words = |one: &NotGiven| format!("{} {}", one.path, one.what.words().collect::<Vec<_>>().join(","));
    assert_eq!(
        told.iter().map(words).collect::<Vec<_>>(),
        ["bin owner", "bin/ping owner,xattrs", "bin/su owner,setid", "dev owner", "dev/null device"]
    );
    assert_eq!(scene.installed().not_given(&[]).unwrap(), *told);
    assert_eq!(scene.installed().not_given(&[crate::scene::name("p")]).unwrap(), *told);
    assert_eq!(fs::metadata(scene.at("bin/su")).unwrap().permissions().mode() & 0o7777, 0o755);
    assert_eq!(as_ann(|| Installed::open(scene.root())?.verify(&[])).unwrap(), []);
    // What is hers is hers in full.
    as_ann(|| change(scene.root(), &[], &["p"])).unwrap();
    let done = as_ann(|| change(scene.root(), &[&note("1-1")], &[])).unwrap();
    assert!(!done.notices.iter().any(|notice| matches!(notice, Notice::NotGiven(_))), "{:?}", done.notices);
}

/// cap_net_raw, permitted and effective, as a file's attribute has it.
const CAP_NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
