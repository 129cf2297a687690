//! Trees to pack, and short ways to do so.
use std::io::{Seek as _, Write as _};
use std::num::NonZeroUsize;

use pkgformat::{Limits, PackageMeta, Reader};
use pkgfs::{FileKind, Root, TempDir, fd};
use pkgtree::{Error, PackOptions, Packer, Result, UnpackOptions, Unpacked, Unpacker};
use pkgtypes::{Mode, PkgPath, Timestamp};

/// A folder that is removed with all that is in it, closed folders too.
pub(crate) fn scratch() -> TempDir {
    let parent = Root::open(std::env::temp_dir()).unwrap();
    TempDir::new_in(&parent, None).unwrap()
}

pub(crate) fn path(bytes: impl AsRef<[u8]>) -> PkgPath {
    PkgPath::new(bytes.as_ref()).unwrap()
}

pub(crate) fn mode(bits: u32) -> Mode {
    Mode::from_raw(bits)
}

pub(crate) fn dir(root: &Root, name: &str) -> Root {
    root.create_dirs(&path(name), mode(0o755)).unwrap();
    root.sub(&path(name)).unwrap()
}

pub(crate) fn meta() -> PackageMeta {
    let [name, version, release, arch] = ["sample", "1.0", "1", "any"];
    PackageMeta::new(name.parse().unwrap(), version.parse().unwrap(), release.parse().unwrap(), arch.parse().unwrap())
}

pub(crate) fn packer(tree: &Root) -> Packer<'_> {
    Packer::new(tree, meta(), PackOptions::default())
}

pub(crate) fn pack(tree: &Root) -> Vec<u8> {
    let mut package = Vec::new();
    packer(tree).write_to(&mut package).unwrap();
    package
}

/// Packs through a file, reading everything once.
pub(crate) fn pack_once(packer: Packer<'_>) -> Vec<u8> {
    let file = tempfile::tempfile().unwrap();
    packer.write_to_file(&file).unwrap();
    let mut package = vec![0; file.metadata().unwrap().len() as usize];
    std::os::unix::fs::FileExt::read_exact_at(&file, &mut package, 0).unwrap();
    package
}

/// Unpacks as a stream on all processors, after it was found out that every other way to unpack does the same.
pub(crate) fn unpack(package: &[u8], parent: &Root, name: &str) -> Result<Unpacked> {
    let reader = Reader::open(package, Limits::default())?;
    let unpacked = Unpacker::new(reader, UnpackOptions::default()).create(parent, &path(name));
    // What is in the way here is not in the way elsewhere.
    if matches!(unpacked, Ok(_) | Err(Error::Format(_))) {
        for (threads, is_placed) in [(1, false), (3, false), (1, true), (3, true)] {
            let scratch = scratch();
            let other = unpack_with(package, scratch.root(), threads, is_placed);
            let error = other.as_ref().err().map(ToString::to_string);
            let how = format!("{threads} threads, from a file: {is_placed}, {error:?}");
            assert_eq!(other.is_ok(), unpacked.is_ok(), "{how}");
            assert_eq!(scratch.root().read_dir(None).unwrap().len(), usize::from(other.is_ok()), "{how}");
            assert!(content(&other) == content(&unpacked), "{how}");
        }
    }
    unpacked
}

/// What is in a tree, as far as this user may read it.
fn content(unpacked: &Result<Unpacked>) -> Option<Vec<u8>> {
    let mut package = Vec::new();
    packer(&unpacked.as_ref().ok()?.root).write_to(&mut package).ok().map(|_| package)
}

fn unpack_with(package: &[u8], parent: &Root, threads: usize, is_placed: bool) -> Result<Unpacked> {
    let mut options = UnpackOptions::default();
    options.threads = NonZeroUsize::new(threads).unwrap();
    let name = path("tree");
    if !is_placed {
        return Unpacker::new(Reader::open(package, Limits::default())?, options).create(parent, &name);
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(package).unwrap();
    file.rewind().unwrap();
    let reader = Reader::open(file.try_clone().unwrap(), Limits::default())?;
    Unpacker::of_file(reader, file, options).create(parent, &name)
}

/// Bytes that look like nothing, the same each time.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// One thing in a tree.
#[derive(Debug, Clone)]
pub(crate) enum Thing {
    File { content: Vec<u8>, mode: u32 },
    Dir { mode: u32 },
    Link(Vec<u8>),
    Hard(Vec<u8>),
    Fifo,
    Socket,
}

pub(crate) fn file(content: impl Into<Vec<u8>>, mode: u32) -> Thing {
    Thing::File { content: content.into(), mode }
}

/// A thing of every type, and contents of every sort.
pub(crate) fn everything() -> Vec<(Vec<u8>, Thing)> {
    let large = noise(700_000, 1);
    let mut sparse = vec![0; 1 << 20];
    sparse[300_000..300_100].copy_from_slice(&noise(100, 2));
    let deep = vec!["d".repeat(200); 15].join("/").into_bytes();
    let things = [
        (b"bin/tool".to_vec(), file("#!/bin/sh\n", 0o4755)),
        (b"bin/tool-1".to_vec(), Thing::Hard(b"bin/tool".to_vec())),
        (b"bin/group".to_vec(), file("group", 0o2711)),
        (b"bin/link".to_vec(), Thing::Link(b"../../../etc/passwd".to_vec())),
        (b"closed".to_vec(), Thing::Dir { mode: 0o500 }),
        (b"closed/file".to_vec(), file("secret", 0o400)),
        (b"empty".to_vec(), file("", 0o644)),
        (b"empty-too".to_vec(), file("", 0o600)),
        (b"empty-dir".to_vec(), Thing::Dir { mode: 0o1777 }),
        (b"large-1".to_vec(), file(large.clone(), 0o644)),
        (b"large-2".to_vec(), file(large, 0o640)),
        (b"large-3".to_vec(), file(noise(600_000, 3), 0o644)),
        (b"lib/libx.so.1".to_vec(), file(elf("libx.so.1"), 0o644)),
        (b"lib/plain-name".to_vec(), file(elf("liby.so"), 0o644)),
        (b"odd/\xff\xfe\n".to_vec(), file("odd", 0o644)),
        (b"odd/.kista".to_vec(), file("dot", 0o644)),
        (b"pipe".to_vec(), Thing::Fifo),
        (b"same/a".to_vec(), file("same", 0o644)),
        (b"same/b".to_vec(), file("same", 0o755)),
        (b"same-".to_vec(), file("other", 0o644)),
        (b"same.".to_vec(), Thing::Link(b"\xff".to_vec())),
        (b"socket".to_vec(), Thing::Socket),
        (b"sparse".to_vec(), file(sparse, 0o644)),
        (b"zeros".to_vec(), file(vec![0; 100_001], 0o644)),
        (b"zeros-only".to_vec(), file(vec![0; 128 << 10], 0o644)),
        (b"zeros-at-the-end".to_vec(), file([noise(5000, 4), vec![0; 77_000]].concat(), 0o644)),
        ([&deep[..], b"/file"].concat(), file("deep", 0o644)),
    ];
    things.into()
}

/// Makes the things in this order, with times that do not depend on it.
pub(crate) fn make(root: &Root, things: &[(Vec<u8>, Thing)]) {
    let (links, others): (Vec<_>, Vec<_>) = things.iter().partition(|(_, thing)| matches!(thing, Thing::Hard(_)));
    for (name, thing) in others.into_iter().chain(links) {
        make_one(root, &path(name), thing);
    }
    let mut paths: Vec<_> = pkgfs::Walk::new(root).unwrap().map(|entry| entry.unwrap()).collect();
    paths.reverse();
    for entry in paths {
        let bytes = entry.path.as_bytes();
        let seconds = bytes.iter().fold(-1000, |sum, byte| sum + i64::from(*byte) * 1001);
        let nanos = 100 * (bytes.len() as u32);
        root.set_mtime(&entry.path, Timestamp::new(seconds, nanos).unwrap()).unwrap();
        let modes = things.iter().find(|(name, _)| name == bytes);
        match modes {
            Some((_, Thing::Dir { mode })) => root.set_mode(&entry.path, Mode::from_raw(*mode)).unwrap(),
            None if entry.stat.kind == FileKind::Dir => root.set_mode(&entry.path, mode(0o755)).unwrap(),
            _ => {}
        }
    }
}

fn make_one(root: &Root, at: &PkgPath, thing: &Thing) {
    if let Some(parent) = at.parent() {
        root.create_dirs(&parent, mode(0o755)).unwrap();
    }
    match thing {
        Thing::File { content, mode: bits } => {
            let file = root.create_file(at, mode(0o600)).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, content, 0).unwrap();
            fd::set_mode(&file, mode(*bits)).unwrap();
        }
        Thing::Dir { .. } => {
            root.create_dirs(at, mode(0o755)).unwrap();
        }
        Thing::Link(target) => root.symlink(at, target).unwrap(),
        Thing::Hard(first) => root.hard_link(&path(first), at).unwrap(),
        Thing::Fifo => {
            root.create_node(at, FileKind::Fifo, mode(0o600), (0, 0)).unwrap();
            root.set_mode(at, mode(0o622)).unwrap();
        }
        Thing::Socket => {
            root.create_node(at, FileKind::Socket, mode(0o600), (0, 0)).unwrap();
        }
    }
}

/// A library of 64 bits with name, needs, interpreter and build id, and nothing to run.
pub(crate) fn elf(soname: &str) -> Vec<u8> {
    let mut strings = vec![0];
    let mut string = |text: &str| {
        let at = strings.len() as u64;
        strings.extend_from_slice(text.as_bytes());
        strings.push(0);
        at
    };
    let dynamic = [(1, string("libz.so.1")), (1, string("liba.so")), (14, string(soname))];
    let interpreter = b"/lib/ld.so\0";
    let note = [&[4, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0", &[0xde, 0xad, 0xbe, 0xef]].concat();
    let base: u64 = 64 + 4 * 56;
    let strings_at = base;
    let interpreter_at = strings_at + strings.len() as u64;
    let note_at = (interpreter_at + interpreter.len() as u64).next_multiple_of(8);
    let dynamic_at = (note_at + note.len() as u64).next_multiple_of(8);
    let table = dynamic.into_iter().chain([(5, strings_at + 0x1000), (10, strings.len() as u64), (0, 0)]);
    let table: Vec<u8> =
        table.flat_map(|(tag, value): (u64, u64)| [tag.to_le_bytes(), value.to_le_bytes()].concat()).collect();
    let end = dynamic_at + table.len() as u64;

    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    for (value, width) in
        [(3, 2), (62, 2), (1, 4), (0, 8), (64, 8), (0, 8), (0, 4), (64, 2), (56, 2), (4, 2), (64, 2), (0, 2), (0, 2)]
    {
        bytes.extend_from_slice(&u64::to_le_bytes(value)[..width]);
    }
    let segments = [
        (1, 0, end),
        (3, interpreter_at, interpreter.len() as u64),
        (4, note_at, note.len() as u64),
        (2, dynamic_at, table.len() as u64),
    ];
    for (kind, at, length) in segments {
        bytes.extend_from_slice(&u32::to_le_bytes(kind));
        bytes.extend_from_slice(&4u32.to_le_bytes());
        for value in [at, at + 0x1000, at + 0x1000, length, length, 4] {
            bytes.extend_from_slice(&u64::to_le_bytes(value));
        }
    }
    bytes.extend_from_slice(&strings);
    bytes.extend_from_slice(interpreter);
    bytes.resize(note_at as usize, 0);
    bytes.extend_from_slice(&note);
    bytes.resize(dynamic_at as usize, 0);
    bytes.extend_from_slice(&table);
    bytes
}
