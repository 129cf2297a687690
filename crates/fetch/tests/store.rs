//! What a source store promises, also to several processes at once.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests arrange trees of their own, and fail at once"
)]

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Barrier;

use fetch::{Error, FetchOptions, Fetcher, SourceStore, Wanted};
use pkgtypes::Digest;
use tempfile::TempDir;

fn put(dir: &Path, name: &str, content: &str) -> std::path::PathBuf {
    let path = dir.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    path
}

/// What lies in the store's top.
fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_adopted_file_is_found_by_its_digest_and_name() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    let file = put(dir.path(), "x", "content");
    let (digest, path) = store.adopt(&file, "foo-1.0.tar.gz").unwrap();
    assert_eq!(digest, Digest::of("content"));
    assert_eq!(path, store.path().join(digest.to_string()).join("foo-1.0.tar.gz"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o644);
    assert_eq!(store.find(digest), Some(path.clone()));
    assert_eq!(store.ask(digest, "foo-1.0.tar.gz").unwrap(), Some(path));
    assert_eq!(store.find(Digest::of("other")), None);
    assert_eq!(store.ask(Digest::of("other"), "other").unwrap(), None);
    let mut text = String::new();
    store.open_verified(digest).unwrap().unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "content");
    assert!(file.exists(), "the file itself stays");
}

#[test]
fn a_store_is_the_same_when_it_is_opened_again() {
    let dir = TempDir::new().unwrap();
    let file = put(dir.path(), "x", "content");
    let (digest, path) = SourceStore::open(dir.path().join("store")).unwrap().adopt(&file, "foo").unwrap();
    assert_eq!(SourceStore::open(dir.path().join("store")).unwrap().find(digest), Some(path));
}

#[test]
fn a_digest_that_a_new_version_kept_is_refused() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    let file = put(dir.path(), "x", "content");
    let (digest, _) = store.adopt(&file, "foo-1.0.tar.gz").unwrap();
    let error = store.ask(digest, "foo-1.1.tar.gz").unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::StaleDigest { .. }));
    assert!(text.contains("foo-1.0.tar.gz") && text.contains("foo-1.1.tar.gz"), "{text}");

    let url = format!("file://{}", file.display());
    let fetcher = Fetcher::new(store, None, FetchOptions::default()).unwrap();
    let wanted = Wanted { name: "foo-1.1.tar.gz".into(), digest, urls: vec![url], limit: 100 };
    assert!(matches!(fetcher.obtain(&wanted, &mut ()), Err(Error::StaleDigest { .. })));
}

#[test]
fn every_name_that_was_asked_for_is_remembered() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    let (digest, _) = store.adopt(&put(dir.path(), "x", "content"), "download").unwrap();
    let path = store.ask(digest, "foo-1.0.tar.gz").unwrap().unwrap();
    assert_eq!(path.file_name().unwrap(), "foo-1.0.tar.gz");
    store.ask(digest, "foo_1.0.orig.tar.gz").unwrap().unwrap();
    assert_eq!(store.names(digest).unwrap(), ["download", "foo-1.0.tar.gz", "foo_1.0.orig.tar.gz"]);
    assert!(matches!(store.ask(digest, "foo-1.1.tar.gz"), Err(Error::StaleDigest { .. })));
}

#[test]
fn a_folder_gives_what_is_wanted_whatever_it_is_called() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    let from = dir.path().join("from");
    put(&from, "deep/er/a (1).gz", "a");
    put(&from, "b", "b");
    put(&from, "again/b", "b");
    put(&from, "unwanted", "c");
    put(dir.path(), "outside", "outside");
    std::os::unix::fs::symlink("../outside", from.join("link")).unwrap();
    let wanted = ["a", "b", "outside", "nowhere"].map(Digest::of);
    let mut adopted: Vec<Digest> =
        store.adopt_dir(&from, &wanted).unwrap().into_iter().map(|(digest, _)| digest).collect();
    adopted.sort();
    let mut expected = vec![Digest::of("a"), Digest::of("b")];
    expected.sort();
    assert_eq!(adopted, expected);
    assert!(store.find(Digest::of("c")).is_none() && store.find(Digest::of("outside")).is_none());
    assert!(store.ask(Digest::of("a"), "a-1.0.tar.gz").unwrap().is_some());
    assert!(store.adopt_dir(&from, &wanted).unwrap().is_empty(), "nothing new the second time");
}

#[test]
fn a_damaged_file_is_not_handed_out_but_fetched_again() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    let file = put(dir.path(), "x", "content");
    let (digest, path) = store.adopt(&file, "foo").unwrap();
    fs::write(&path, "damaged").unwrap();
    assert!(store.open_verified(digest).unwrap().is_none());
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, "damaged").unwrap();
    let fetcher = Fetcher::new(store, None, FetchOptions::default()).unwrap();
    let urls = vec![format!("file://{}", file.display())];
    let path = fetcher.obtain(&Wanted { name: "foo".into(), digest, urls, limit: 100 }, &mut ()).unwrap();
    assert_eq!(fs::read(path).unwrap(), b"content");
}

#[test]
fn many_at_once_leave_one_whole_file() {
    let dir = TempDir::new().unwrap();
    let content = "content ".repeat(100_000);
    let file = put(dir.path(), "x", &content);
    let digest = Digest::of(&content);
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for n in 0..8 {
            let (dir, file, barrier) = (dir.path(), &file, &barrier);
            scope.spawn(move || {
                // Each with a store of its own, as another process has it.
                let store = SourceStore::open(dir.join("store")).unwrap();
                barrier.wait();
                if n % 2 == 0 {
                    store.adopt(file, "foo").unwrap();
                } else {
                    let fetcher = Fetcher::new(store, None, FetchOptions::default()).unwrap();
                    let urls = vec![format!("file://{}", file.display())];
                    fetcher.obtain(&Wanted { name: "foo".into(), digest, urls, limit: 1 << 20 }, &mut ()).unwrap();
                }
            });
        }
    });
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    assert!(store.open_verified(digest).unwrap().is_some());
    let mut left = names(store.path());
    // Made by the first who had to fetch it, if anybody had to.
    left.retain(|name| name != "part" || !names(&store.path().join("part")).is_empty());
    assert_eq!(left, [digest.to_string().as_str(), "lock"]);
}

#[test]
fn rubbish_of_dead_processes_goes_but_not_while_another_one_works() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("store");
    let digest = Digest::of("content");
    let rubbish = |path: &Path| {
        put(path, ".kista.0123456789abcdef/file", "half a fi");
        put(path, "part/.kista.0123456789abcdef", "half a fi");
        put(path, &format!("part/{digest}.lock"), "1\n");
        put(path, &format!("part/{digest}"), "half a transfer");
    };
    let working = SourceStore::open(&path).unwrap();
    rubbish(&path);
    let before = (names(&path), names(&path.join("part")));
    drop(SourceStore::open(&path).unwrap());
    assert_eq!((names(&path), names(&path.join("part"))), before);
    drop(working);

    let alone = SourceStore::open(&path).unwrap();
    assert_eq!(names(&path), ["lock", "part"]);
    assert_eq!(names(&path.join("part")), [digest.to_string()], "a transfer can go on");
    alone.adopt(&put(dir.path(), "x", "content"), "foo").unwrap();
    drop(alone);
    SourceStore::open(&path).unwrap();
    assert!(names(&path.join("part")).is_empty(), "until the file is here");
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    let file = put(dir.path(), "x", "content");
    for name in ["", ".", "..", "a/b", "/a", "../a", ".kista.1", "a\0b", &"x".repeat(300)] {
        assert!(matches!(store.adopt(&file, name), Err(Error::Name { .. })), "{name:?}");
        let urls = vec![format!("file://{}", file.display())];
        let fetcher = Fetcher::new(SourceStore::open(store.path()).unwrap(), None, FetchOptions::default()).unwrap();
        let wanted = Wanted { name: name.to_owned(), digest: Digest::of("content"), urls, limit: 100 };
        assert!(matches!(fetcher.obtain(&wanted, &mut ()), Err(Error::Name { .. })), "{name:?}");
    }
    assert_eq!(names(store.path()), ["lock"]);
}

#[test]
fn what_is_no_regular_file_is_not_adopted() {
    let dir = TempDir::new().unwrap();
    let store = SourceStore::open(dir.path().join("store")).unwrap();
    assert!(matches!(store.adopt(dir.path(), "foo"), Err(Error::Read { .. })));
    assert!(matches!(store.adopt(Path::new("/dev/zero"), "foo"), Err(Error::Read { .. })));
}
