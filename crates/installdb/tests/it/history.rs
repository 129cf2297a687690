//! What was done, and what was installed when.

use std::time::Duration;

use installdb::{Error, InstallDb, OperationKind, User, Wish};
use pkgtypes::Timestamp;

use crate::scene::{NOW, Packed, Scene, name, pack, run};

fn hello(version: &str) -> Packed {
    pack(&format!("hello {version}")).file("usr/bin/hello", 0o755, version).build()
}

/// Installs `hello 1-1` and a package `other`, upgrades the one, removes the other.
fn arranged() -> Scene {
    let scene = Scene::new();
    let (one, two, other) = (hello("1-1"), hello("2-1"), pack("other 1-1").file("other", 0o644, "x").build());
    let mut request = scene.request(&[&other], &[]);
    request.install.push(one.incoming().wanted());
    request.user = Some(User { uid: 1234, name: Some("ann".to_owned()) });
    run(&mut scene.open(), request).unwrap();
    scene.install(&[&two]);
    scene.remove(&["other", "hello"]);
    scene
}

#[test]
fn a_transaction_says_who_asked_for_what_and_what_came_of_it() {
    let scene = arranged();
    let first = scene.installed().transaction(1).unwrap();
    assert_eq!(first.user, Some(User { uid: 1234, name: Some("ann".to_owned()) }));
    assert_eq!(first.argv, [b"pkg".to_vec(), b"install".to_vec()]);
    assert_eq!((first.started, first.result.as_str(), first.reason), (NOW, "done", None));
    assert_eq!(first.wishes, [Wish { name: name("hello"), wanted: true }]);
    assert_eq!(first.changes.len(), 2);
    let history = scene.installed().history().unwrap();
    assert_eq!(history[1].changes[0].kind(), OperationKind::Upgrade);
    assert_eq!(history[1].wishes, []);
    assert_eq!(history[2].wishes, [Wish { name: name("hello"), wanted: false }]);
    assert!(matches!(scene.installed().transaction(4), Err(Error::NoTransaction { txn: 4 })));
}

#[test]
fn a_transaction_lasts_until_everything_is_in_its_place() {
    let scene = Scene::new();
    let packed = hello("1-1");
    let mut db = scene.open();
    let plan = db.plan(scene.request(&[&packed], &[])).unwrap();
    let end = Timestamp::new(NOW.seconds() + 2, 500_000_000).unwrap();
    plan.check().unwrap().stage(&mut ()).unwrap().commit().unwrap().finish(end).unwrap();
    let transaction = db.transaction(1).unwrap();
    assert_eq!(transaction.duration, Some(Duration::from_millis(2500)));
    assert_eq!(transaction.finished, Some(Timestamp::from_seconds(end.seconds())));
}

#[test]
fn what_was_installed_can_be_asked_for_any_moment() {
    let scene = arranged();
    let db = scene.installed();
    let at = |txn: i64| -> Vec<String> {
        let packages = db.packages_at(txn, &[]).unwrap();
        packages.iter().map(|past| format!("{} {} {} {}", past.name, past.version, past.wanted, past.txn)).collect()
    };
    assert!(at(0).is_empty());
    assert_eq!(at(1), ["hello 1 true 1", "other 1 false 1"]);
    assert_eq!(at(2), ["hello 2 true 2", "other 1 false 1"]);
    assert!(at(3).is_empty());
    assert!(matches!(db.packages_at(4, &[]), Err(Error::NoTransaction { txn: 4 })));
    assert_eq!(db.packages_at(2, &["o*"]).unwrap().len(), 1);
    let changes = |from, to| -> Vec<_> {
        db.changes_between(from, to).unwrap().iter().map(|change| (change.name.to_string(), change.kind())).collect()
    };
    assert_eq!(changes(1, 2), [("hello".to_owned(), OperationKind::Upgrade)]);
    assert_eq!(changes(2, 1), [("hello".to_owned(), OperationKind::Downgrade)]);
    assert_eq!(changes(0, 3), []);
}

#[test]
fn a_transaction_that_failed_says_why() {
    let scene = Scene::new();
    let packed = hello("1-1");
    let mut request = scene.request(&[], &[]);
    request.install.push(packed.incoming_from(&packed.bytes[..packed.bytes.len() - 80]));
    let error = run(&mut scene.open(), request).unwrap_err();
    let failed = scene.installed().transaction(1).unwrap();
    assert_eq!((failed.result.as_str(), failed.changes.len()), ("failed", 0));
    assert_eq!(failed.reason, Some(error.to_string()));
    drop(InstallDb::open(scene.root()).unwrap());
    assert_eq!(scene.installed().transaction(1).unwrap().result, "failed");
}
