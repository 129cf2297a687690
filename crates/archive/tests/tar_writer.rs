//! Tar archives of our own.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::Write;
use std::process::{Command, Stdio};

use archive::{ArchiveError, Entry, EntryKind, Options, TarWriter, read_tar};
use pkgtypes::{Mode, PkgPath, Timestamp};
use proptest::prelude::*;

type Content = Vec<(Entry, Vec<u8>)>;

fn path(path: &[u8]) -> PkgPath {
    PkgPath::new(path).unwrap()
}

fn entry(name: &[u8], kind: EntryKind) -> Entry {
    Entry {
        path: path(name),
        kind,
        mode: Mode::from_raw(0o755),
        mtime: Timestamp::from_seconds(1_000_000_000),
        uid: 0,
        gid: 0,
        user: Some("root".to_owned()),
        group: Some("root".to_owned()),
        xattrs: Vec::new(),
    }
}

fn write(content: &Content) -> Result<Vec<u8>, ArchiveError> {
    let mut writer = TarWriter::new(Vec::new());
    for (entry, data) in content {
        writer.append(entry, &mut data.as_slice())?;
    }
    writer.finish()
}

fn read(bytes: &[u8]) -> Result<Content, ArchiveError> {
    let mut seen = Vec::new();
    read_tar::<ArchiveError>(bytes, &Options::default(), |entry, data| {
        let mut content = Vec::new();
        data.read_to_end(&mut content).map_err(|source| ArchiveError::Io { offset: 0, source })?;
        seen.push((entry.clone(), content));
        Ok(())
    })?;
    Ok(seen)
}

/// One of everything, with what a plain header has no room for.
fn everything() -> Content {
    let long = [b"long/".repeat(60), b"x".repeat(120)].concat();
    let file = |name: &[u8], data: &[u8]| (entry(name, EntryKind::File { size: data.len() as u64 }), data.to_vec());
    let other = |name: &[u8], kind| (entry(name, kind), Vec::new());
    let mut odd = file(b"odd", b"123");
    odd.0.mtime = Timestamp::new(-2, 250_000_000).unwrap();
    odd.0.mode = Mode::from_raw(0o6755);
    (odd.0.uid, odd.0.gid) = (3_000_000, 4_000_000);
    odd.0.user = Some("u".repeat(40));
    odd.0.group = None;
    odd.0.xattrs =
        vec![(b"security.capability".to_vec(), vec![1, 0, 0, 2, b'\n', 0]), (b"user.note".to_vec(), b"n".to_vec())];
    vec![
        other(b"d", EntryKind::Dir),
        file(b"d/empty", b""),
        file(b"d/full", &[7; 512]),
        file(&long, b"deep"),
        file(b"not utf-8 \xff", b"raw"),
        file(&[b"r".repeat(150), b"\xff".to_vec()].concat(), b"raw and long"),
        other(b"hard", EntryKind::Hardlink { target: path(&long) }),
        other(b"soft", EntryKind::Symlink { target: b"../".repeat(50) }),
        other(b"null", EntryKind::Char { device: (1, 3) }),
        other(b"disk", EntryKind::Block { device: (259, 70_000) }),
        other(b"pipe", EntryKind::Fifo),
        odd,
    ]
}

#[test]
fn what_is_written_is_read_again() {
    let content = everything();
    assert_eq!(read(&write(&content).unwrap()).unwrap(), content);
}

/// A size of 8 GiB and more has no room in a plain header. The data are not made: the writer fails before their end.
#[test]
fn large_files() {
    let large = entry(b"large", EntryKind::File { size: 9 << 30 });
    let mut bytes = Vec::new();
    let error = TarWriter::new(&mut bytes).append(&large, &mut &b"short"[..]).unwrap_err();
    assert_eq!(error.to_string(), "entry `large`: its data are not the 9663676416 bytes that were announced");
    assert!(bytes.windows(16).any(|window| window == b"size=9663676416\n"));
    let error = read(&bytes).unwrap_err().to_string();
    assert_eq!(error, "entry `large` at byte 1024: the archive ends 9663676411 bytes before the file does");
}

#[test]
fn what_can_not_be_written() {
    let refused = |entry: Entry, data: &[u8]| write(&vec![(entry, data.to_vec())]).unwrap_err().to_string();
    let long = entry(b"a", EntryKind::File { size: 1 });
    assert_eq!(refused(long, b"12"), "entry `a`: its data are not the 1 bytes that were announced");
    let device = entry(b"a", EntryKind::Char { device: (u32::MAX, 0) });
    assert_eq!(refused(device, b""), "entry `a` at byte 0: a device whose number is too large");
    let mut named = entry(b"a", EntryKind::Fifo);
    named.xattrs = vec![(b"user.a=b".to_vec(), Vec::new())];
    assert_eq!(refused(named, b""), "entry `a` at byte 0: an extended attribute whose name has an `=` or is none");
}

/// What other programs list of the archive; passed over where they are missing.
#[test]
fn other_programs_read_it() {
    let bytes = write(&everything()).unwrap();
    for program in [&["tar", "-tf", "-"][..], &["bsdtar", "-tf", "-"]] {
        let child = Command::new(program[0])
            .args(&program[1..])
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            eprintln!("passed over: there is no {}", program[0]);
            continue;
        };
        child.stdin.take().unwrap().write_all(&bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}: {}", program[0], String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.stdout.split(|&byte| byte == b'\n').count(), everything().len() + 1, "{}", program[0]);
    }
}

fn names() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec("[a-z\u{e9}]{1,60}", 1..6).prop_map(|parts| parts.join("/").into_bytes())
}

fn kinds() -> impl Strategy<Value = (EntryKind, Vec<u8>)> {
    let file = proptest::collection::vec(any::<u8>(), 0..1500);
    prop_oneof![
        file.prop_map(|data| (EntryKind::File { size: data.len() as u64 }, data)),
        Just((EntryKind::Dir, Vec::new())),
        Just((EntryKind::Fifo, Vec::new())),
        names().prop_map(|target| (EntryKind::Hardlink { target: path(&target) }, Vec::new())),
        proptest::collection::vec(1u8.., 1..300).prop_map(|target| (EntryKind::Symlink { target }, Vec::new())),
        (0u32..0o7_777_777, 0u32..0o7_777_777).prop_map(|device| (EntryKind::Char { device }, Vec::new())),
    ]
}

fn entries() -> impl Strategy<Value = (Entry, Vec<u8>)> {
    let time = (any::<i64>(), 0u32..1_000_000_000).prop_map(|(seconds, nanos)| Timestamp::new(seconds, nanos).unwrap());
    let xattrs =
        proptest::collection::btree_map("user\\.[a-z]{1,20}", proptest::collection::vec(any::<u8>(), 0..80), 0..3);
    let owner = || (any::<u64>(), proptest::option::of("[a-z][a-z0-9]{0,40}"));
    (names(), kinds(), 0u32..0o10_000, time, owner(), owner(), xattrs).prop_map(
        |(name, (kind, data), mode, mtime, (uid, user), (gid, group), xattrs)| {
            let xattrs = xattrs.into_iter().map(|(name, value)| (name.into_bytes(), value)).collect();
            (Entry { mode: Mode::from_raw(mode), mtime, uid, gid, user, group, xattrs, ..entry(&name, kind) }, data)
        },
    )
}

proptest! {
    #[test]
    fn any_entries_survive(content in proptest::collection::vec(entries(), 0..5)) {
        let bytes = write(&content).unwrap();
        prop_assert_eq!(bytes.len() % 512, 0);
        prop_assert_eq!(&bytes, &write(&content).unwrap());
        prop_assert_eq!(read(&bytes).unwrap(), content);
    }
}
