//! Packages as sqlite files hold what they were given, change only whole, and survive whatever is done to them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use installdb::zpkg::{LoosePath, PathType, Zpkg, ZpkgEdit, ZpkgProblem, from_kpkg, is_zpkg, to_kpkg};
use installdb::{Error, ErrorKind};
use pkgformat::{ElfFacts, Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Reader, Use, Writer, Xattr};
use pkgfs::{Durability, Root};
use pkgtypes::{Digest, Mode, PackageId, PkgPath, Timestamp};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::{option, sample};
use rusqlite::Connection;

use crate::scene::{Packed, pack, path};
use crate::victim;

const MIB: usize = 1 << 20;

/// A folder for files of packages.
struct Shelf {
    scratch: tempfile::TempDir,
    root: Root,
}

impl Shelf {
    fn new() -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let root = Root::open(scratch.path()).unwrap();
        Self { scratch, root }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn names(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.scratch.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Makes a file of a package.
    fn convert(&self, packed: &Packed, name: &str) -> PackageId {
        let reader = Reader::open(&packed.bytes[..], Limits::default()).unwrap();
        from_kpkg(reader, &self.root, &path(name), Durability::Atomic).unwrap()
    }

    fn create(&self, name: &str) -> ZpkgEdit {
        ZpkgEdit::create(&self.root, &path(name), 0).unwrap()
    }

    fn edit(&self, name: &str) -> ZpkgEdit {
        ZpkgEdit::open(&self.root, &path(name)).unwrap()
    }

    fn open(&self, name: &str) -> Zpkg {
        Zpkg::open(self.at(name)).unwrap()
    }
}

fn back(zpkg: &Zpkg, id: &PackageId) -> Vec<u8> {
    zpkg.write_package(id, Vec::new()).unwrap().0
}

#[track_caller]
fn problem<T: std::fmt::Debug>(answer: installdb::Result<T>) -> ZpkgProblem {
    match answer.unwrap_err() {
        Error::Zpkg { problem, .. } => problem,
        error => panic!("{error}"),
    }
}

/// Something of everything that a package can have.
fn rich() -> Packed {
    let facts = ElfFacts {
        soname: Some("liba.so.1".into()),
        needed: vec!["libz.so.1".into(), "libc.so.6".into(), "libz.so.1".into()],
        interpreter: Some("/lib/ld.so".into()),
        build_id: Some("00ff".into()),
    };
    let mode = Mode::from_raw(0o600);
    pack("rich 1:2.0~rc1-3")
        .owned_by("root", "daemon")
        .file("usr/lib/liba.so.1", 0o4755, "ELF")
        .edit("usr/lib/liba.so.1", |entry| {
            let EntryKind::File { elf, .. } = &mut entry.kind else { return };
            *elf = facts.boxed();
            entry.xattrs = vec![Xattr { name: b"user.a".to_vec(), value: vec![0, 255] }];
            entry.mtime = Timestamp::new(-2, 500_000_000).unwrap();
        })
        .hardlink("usr/lib/other", "usr/lib/liba.so.1")
        .symlink("usr/lib/liba.so", "liba.so.1")
        .config("etc/a.conf", "one")
        .file("usr/share/empty", 0o644, "")
        .file("usr/share/same", 0o644, "one")
        .file("usr/share/large", 0o644, vec![7; 2 * MIB + 5])
        .file("usr/share/script", 0o755, "#!/bin/sh\n")
        .entry("dev/block", EntryKind::Block { mode, major: 8, minor: 0 })
        .entry("dev/char", EntryKind::Char { mode, major: u32::MAX, minor: 3 })
        .entry("dev/fifo", EntryKind::Fifo { mode })
        .entry("dev/socket", EntryKind::Socket { mode })
        .entry("var/log", EntryKind::Ghost)
        .meta(|meta| {
            meta.description = vec!["A bit of everything".into(), String::new(), "with lines".into()];
            meta.url = Some("https://example.org".into());
            meta.licenses = vec!["MIT".into(), "Apache-2.0".into()];
            meta.groups = vec!["base".into(), "devel".into()];
            meta.subpackage = Some("libs".into());
            meta.requires = ["so:libc.so.6(64bit)", "one | two >= 2"].map(|text| text.parse().unwrap()).into();
            meta.provides = vec!["cmd:rich = 2".parse().unwrap()];
            meta.conflicts = vec!["poor < 2".parse().unwrap()];
            meta.scripts.post_install = Some(Digest::of("#!/bin/sh\n"));
            meta.other = vec![("foreign.control".into(), vec![0, 10, 255])];
        })
        .build()
}

/// One folder and two files.
fn small() -> Packed {
    pack("small 1.0-1").owned_by("root", "root").file("bin/hi", 0o755, "hi\n").config("etc/hi.conf", "polite\n").build()
}

#[test]
fn a_package_with_everything_comes_back_byte_for_byte() {
    let (shelf, packed) = (Shelf::new(), rich());
    let id = shelf.convert(&packed, "rich.zpkg");
    assert_eq!(id, packed.record.id());
    let zpkg = shelf.open("rich.zpkg");
    assert_eq!(zpkg.package_ids().unwrap(), [id]);
    assert_eq!(zpkg.package(&id).unwrap(), packed.record);
    assert_eq!(back(&zpkg, &id), packed.bytes);
    let contents = zpkg.check().unwrap();
    assert_eq!((contents.packages, contents.blobs, contents.loose_paths), (1, packed.record.blobs().len() as u64, 0));
    let mut bytes = Vec::new();
    assert_eq!(to_kpkg(shelf.at("rich.zpkg"), &mut bytes).unwrap().0, id);
    assert_eq!(bytes, packed.bytes);
}

#[test]
fn equal_packages_give_equal_files() {
    let (one, two, packed) = (Shelf::new(), Shelf::new(), rich());
    one.convert(&packed, "a.zpkg");
    two.convert(&packed, "another-name.zpkg");
    assert!(fs::read(one.at("a.zpkg")).unwrap() == fs::read(two.at("another-name.zpkg")).unwrap());
}

#[test]
fn a_file_is_known_by_its_first_bytes() {
    let shelf = Shelf::new();
    shelf.convert(&small(), "small.zpkg");
    assert!(is_zpkg(&fs::read(shelf.at("small.zpkg")).unwrap()[..installdb::zpkg::ZPKG_MAGIC_LEN]));
    assert!(!is_zpkg(&small().bytes));
    Connection::open(shelf.at("other.db")).unwrap().execute_batch("CREATE TABLE x (y)").unwrap();
    assert!(!is_zpkg(&fs::read(shelf.at("other.db")).unwrap()));
}

const SPECIFICATION: &str = include_str!("../../../../docs/format/zpkg.md");

/// What stands in the specification between a fence and the next one.
fn example(language: &str) -> &'static str {
    let (_, rest) = SPECIFICATION.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The package of the example in package.md.
fn hi() -> Packed {
    let kind = EntryKind::File { mode: Mode::from_raw(0o755), size: 3, digest: Digest::of("hi\n"), elf: None };
    let dir = Entry::new(path("bin"), EntryKind::Dir { mode: Mode::from_raw(0o755) });
    let manifest = Manifest::new(vec![dir, Entry::new(path("bin/hi"), kind)]).unwrap();
    let mut meta = pack("hi 1.0-1").meta;
    meta.description = vec!["A greeting".into()];
    let record = PackageRecord::new(meta, manifest).unwrap();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    writer.blob(3, &b"hi\n"[..]).unwrap();
    let (bytes, _) = writer.finish().unwrap();
    Packed { record, bytes }
}

#[test]
fn the_header_in_the_specification_is_what_is_written() {
    let (shelf, packed) = (Shelf::new(), hi());
    let id = shelf.convert(&packed, "hi.zpkg");
    let file = fs::read(shelf.at("hi.zpkg")).unwrap();
    let digits = example("hex").lines().flat_map(|line| line.split(';').next().unwrap().split_whitespace());
    let digits: Vec<&str> = digits.collect();
    assert_eq!(digits.len(), 100);
    for (at, digits) in digits.into_iter().enumerate() {
        assert!(digits == ".." || u8::from_str_radix(digits, 16).unwrap() == file[at], "byte {at} is {:02X}", file[at]);
    }
    assert!(SPECIFICATION.contains(&format!("`{id}`")));
    assert!(SPECIFICATION.contains(&format!("has {} pages of 1,024 bytes", file.len() / 1024)));
}

#[test]
fn the_tables_in_the_specification_are_those_of_a_file() {
    let shelf = Shelf::new();
    shelf.convert(&hi(), "hi.zpkg");
    let tables = |conn: &Connection| -> Vec<(String, Option<String>)> {
        let mut statement = conn.prepare("SELECT name, sql FROM sqlite_schema ORDER BY name").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    };
    let written = Connection::open_in_memory().unwrap();
    written.execute_batch(example("sql")).unwrap();
    assert_eq!(tables(&written), tables(&Connection::open(shelf.at("hi.zpkg")).unwrap()));
}

#[test]
fn others_can_ask_in_sql() {
    let shelf = Shelf::new();
    let id = shelf.convert(&rich(), "rich.zpkg");
    let conn = Connection::open(shelf.at("rich.zpkg")).unwrap();
    let one = |query: &str| conn.query_row(query, [], |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(one("SELECT lower(hex(package_id)) FROM packages"), id.to_string());
    assert_eq!(one("SELECT mode FROM paths WHERE path = CAST('usr/lib/liba.so.1' AS BLOB)"), "4755");
    assert_eq!(one("SELECT mtime FROM paths WHERE path = CAST('usr/lib/liba.so.1' AS BLOB)"), "-2.5");
    assert_eq!(one("SELECT CAST(content AS TEXT) FROM paths JOIN blobs USING (hash) WHERE filetype = 'config'"), "one");
    assert_eq!(one("SELECT soname FROM libraries"), "liba.so.1");
    assert_eq!(one("SELECT requires FROM packagedeps WHERE requires = 'two'"), "two");
    assert_eq!(one("SELECT stage FROM scripts JOIN blobs USING (hash)"), "post-install");
    assert_eq!(one(r#"SELECT group_concat("group") FROM packagegroups"#), "base,devel");
}

/// What stands at a path; content for files, so that few contents serve many files.
#[derive(Debug, Clone)]
enum Thing {
    File(u8, Option<String>),
    Dir,
    Link(Vec<u8>),
    LinkTo(sample::Index),
    Fifo,
    Device(u32, u32),
    Ghost,
}

fn thing() -> impl Strategy<Value = Thing> {
    prop_oneof![
        6 => (0u8..6, option::of("[a-z.]{1,8}")).prop_map(|(content, soname)| Thing::File(content, soname)),
        3 => Just(Thing::Dir),
        1 => vec(1u8.., 1..20).prop_map(Thing::Link),
        1 => any::<sample::Index>().prop_map(Thing::LinkTo),
        1 => Just(Thing::Fifo),
        1 => (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Thing::Device(major, minor)),
        1 => Just(Thing::Ghost),
    ]
}

/// The contents that files can have: about the length of a row, and of none.
fn content(number: u8) -> Vec<u8> {
    let length = [0, 1, 300, MIB - 1, MIB, MIB + 1][usize::from(number)];
    (0..length).map(|index| (index % 251) as u8).collect()
}

type Looks = (u32, String, i64, Vec<Use>, Option<Vec<u8>>);

fn looks() -> impl Strategy<Value = Looks> {
    let uses = sample::subsequence(&Use::ALL[..], 0..=4);
    (any::<u32>(), "[a-z]{1,5}|[1-9][0-9]{0,3}", any::<i64>(), uses, option::of(vec(any::<u8>(), 0..9)))
}

fn tree_path() -> impl Strategy<Value = Vec<u8>> {
    let odd = vec(1u8.., 1..5).prop_filter("a name", |name| !name.contains(&b'/') && name != b"." && name != b"..");
    let name = prop_oneof![4 => "[ab][-.a]?".prop_map(String::into_bytes), 1 => odd];
    vec(name, 1..4).prop_map(|names| names.join(&b'/'))
}

fn package() -> impl Strategy<Value = Packed> {
    let things = btree_map(tree_path(), (thing(), looks()), 0..14);
    let meta =
        ("[ -~å😀]{0,20}", option::of("[ -~]{0,9}"), vec("[a-z]{1,5}( [<>=] [0-9])?", 0..3), vec(any::<u8>(), 0..9));
    (things, meta).prop_map(|(things, (line, url, relations, other))| {
        let mut entries: Vec<Entry> = Vec::new();
        for (at, (thing, (mode, owner, mtime, uses, xattr))) in things {
            let at = PkgPath::new(at).unwrap();
            let mode = Mode::from_raw(mode);
            let missing: Vec<PkgPath> =
                at.ancestors().filter(|above| entries.iter().all(|entry| entry.path != *above)).collect();
            let blocked = at
                .ancestors()
                .any(|above| entries.iter().any(|e| e.path == above && !matches!(e.kind, EntryKind::Dir { .. })));
            if blocked || entries.iter().any(|entry| entry.path == at) {
                continue;
            }
            entries.extend(missing.into_iter().map(|above| Entry::new(above, EntryKind::Dir { mode })));
            let files: Vec<&Entry> =
                entries.iter().filter(|e| e.path < at && matches!(e.kind, EntryKind::File { .. })).collect();
            let kind = match thing {
                Thing::File(number, soname) => {
                    let content = content(number);
                    let elf = ElfFacts { needed: soname.iter().cloned().collect(), soname, ..Default::default() };
                    let (size, digest) = (content.len() as u64, Digest::of(&content));
                    EntryKind::File { mode, size, digest, elf: elf.boxed() }
                }
                Thing::Link(target) => EntryKind::Symlink { target },
                Thing::LinkTo(index) if !files.is_empty() => {
                    EntryKind::Hardlink { target: index.get(&files).path.clone() }
                }
                Thing::Dir | Thing::LinkTo(_) => EntryKind::Dir { mode },
                Thing::Fifo => EntryKind::Fifo { mode },
                Thing::Device(major, minor) => EntryKind::Char { mode, major, minor },
                Thing::Ghost => EntryKind::Ghost,
            };
            let mut entry = Entry::new(at, kind);
            if !matches!(entry.kind, EntryKind::Hardlink { .. } | EntryKind::Ghost) {
                entry.owner = owner.parse().unwrap();
                entry.mtime = Timestamp::from_seconds(mtime);
            }
            if matches!(entry.kind, EntryKind::File { .. } | EntryKind::Dir { .. }) {
                entry.uses = uses.into_iter().collect();
                entry.xattrs = xattr.map(|value| Xattr { name: b"user.x".to_vec(), value }).into_iter().collect();
            }
            entries.push(entry);
        }
        let [name, version, release, arch] = ["generated", "1", "1", "noarch"];
        let mut meta = PackageMeta::new(
            name.parse().unwrap(),
            version.parse().unwrap(),
            release.parse().unwrap(),
            arch.parse().unwrap(),
        );
        meta.description = vec![line];
        meta.url = url;
        meta.provides = relations.iter().map(|text| text.parse().unwrap()).collect();
        meta.requires = relations.iter().map(|text| format!("{text} | so:x").parse().unwrap()).collect();
        meta.other = vec![("foreign.x".into(), other)];
        let record = PackageRecord::new(meta, Manifest::new(entries).unwrap()).unwrap();
        let mut writer = Writer::new(Vec::new(), &record).unwrap();
        while let Some(due) = writer.due() {
            let content = (0..6).map(content).find(|content| Digest::of(content) == due.digest).unwrap();
            writer.blob(content.len() as u64, &content[..]).unwrap();
        }
        let (bytes, _) = writer.finish().unwrap();
        Packed { record, bytes }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_package_comes_back_byte_for_byte(packed in package(), level in 1u32..5) {
        let shelf = Shelf::new();
        let id = shelf.convert(&packed, "x.zpkg");
        let zpkg = shelf.open("x.zpkg");
        zpkg.check().unwrap();
        prop_assert!(back(&zpkg, &id) == packed.bytes);

        let mut edit = shelf.edit("x.zpkg");
        for blob in zpkg.blobs().unwrap() {
            edit.compress(&blob.digest, level).unwrap();
        }
        edit.commit(Durability::Atomic).unwrap();
        let compressed = shelf.open("x.zpkg");
        compressed.check().unwrap();
        prop_assert!(back(&compressed, &id) == packed.bytes);
        prop_assert!(back(&Zpkg::from_bytes(&fs::read(shelf.at("x.zpkg")).unwrap()).unwrap(), &id) == packed.bytes);
    }
}

/// The same package as [`small`], step by step, each a change of its own.
fn build_small(shelf: &Shelf) -> PackageId {
    shelf.create("step.zpkg").commit(Durability::Atomic).unwrap();
    let step = |change: &mut dyn FnMut(&mut ZpkgEdit)| {
        let mut edit = shelf.edit("step.zpkg");
        change(&mut edit);
        edit.commit(Durability::Atomic).unwrap();
        shelf.open("step.zpkg").check().unwrap();
    };
    let mut id = small().record.id();
    step(&mut |edit| id = edit.create_package(small().record.meta().clone()).unwrap());
    for (at, mode) in [("bin", 0o755), ("etc", 0o755)] {
        let mut dir = LoosePath::new(path(at), PathType::Dir);
        (dir.mode, dir.mtime) = (Some(Mode::from_raw(mode)), Timestamp::from_seconds(1_000_000_000));
        step(&mut |edit| edit.add_path(&dir).unwrap());
    }
    for (at, mode) in [("bin/hi", 0o755), ("etc/hi.conf", 0o644)] {
        let mut file = LoosePath::new(path(at), PathType::File);
        (file.mode, file.mtime) = (Some(Mode::from_raw(mode)), Timestamp::from_seconds(1_000_000_000));
        file.uses.extend((at == "etc/hi.conf").then_some(Use::Config));
        step(&mut |edit| edit.add_path(&file).unwrap());
    }
    let blob = |content: &'static str| {
        let mut digest = Digest::of("");
        step(&mut |edit| digest = edit.add_blob(content.as_bytes()).unwrap().digest);
        digest
    };
    let (hi, wrong, polite) = (blob("hi\n"), blob("wrong\n"), blob("polite\n"));
    step(&mut |edit| edit.set_content(&path("bin/hi"), &wrong).unwrap());
    step(&mut |edit| edit.set_content(&path("etc/hi.conf"), &polite).unwrap());
    step(&mut |edit| id = edit.associate(&id, &[path("etc/hi.conf"), path("etc"), path("bin")]).unwrap());
    step(&mut |edit| id = edit.associate(&id, &[path("bin/hi")]).unwrap());
    step(&mut |edit| id = edit.set_package_content(&id, &path("bin/hi"), &hi).unwrap());
    id
}

#[test]
fn the_primitive_steps_make_the_same_package() {
    let shelf = Shelf::new();
    let id = build_small(&shelf);
    assert_eq!(id, small().record.id());
    assert_eq!(back(&shelf.open("step.zpkg"), &id), small().bytes);
    assert_eq!(shelf.open("step.zpkg").loose_paths().unwrap(), []);
}

#[test]
fn a_repository_file_holds_many_packages_and_each_content_once() {
    let shelf = Shelf::new();
    let packages = [small(), rich(), pack("small 2.0-1").file("bin/hi", 0o755, "hi\n").build()];
    let mut edit = shelf.create("repo.zpkg");
    for packed in &packages {
        edit.add_package(Reader::open(&packed.bytes[..], Limits::default()).unwrap()).unwrap();
    }
    let again = edit.add_package(Reader::open(&packages[0].bytes[..], Limits::default()).unwrap());
    assert!(matches!(problem(again), ZpkgProblem::PackageExists(id) if id == packages[0].record.id()));
    edit.commit(Durability::Atomic).unwrap();

    let repo = shelf.open("repo.zpkg");
    let contents = repo.check().unwrap();
    let distinct: BTreeSet<Digest> = packages.iter().flat_map(|p| p.record.blobs()).map(|blob| blob.digest).collect();
    assert_eq!((contents.packages, contents.blobs), (3, distinct.len() as u64));
    for packed in &packages {
        assert_eq!(back(&repo, &packed.record.id()), packed.bytes);
    }
    let several = to_kpkg(shelf.at("repo.zpkg"), Vec::new());
    assert!(matches!(problem(several), ZpkgProblem::NotOne { packages: 3 }));
}

#[test]
fn a_blob_is_compressed_and_uncompressed_and_stays_the_same() {
    let shelf = Shelf::new();
    let large = vec![7; 3 * MIB + 1];
    let noise: Vec<u8> = (0..5000u32).flat_map(|n| *Digest::of(n.to_be_bytes()).as_bytes()).collect();
    let mut edit = shelf.create("x.zpkg");
    let [large_blob, noise_blob] = [&large, &noise].map(|content| edit.add_blob(&content[..]).unwrap());
    edit.commit(Durability::Atomic).unwrap();
    let plain = fs::metadata(shelf.at("x.zpkg")).unwrap().len();

    let mut edit = shelf.edit("x.zpkg");
    let packed = edit.compress(&large_blob.digest, 3).unwrap();
    assert!(packed.compressed && packed.size == large_blob.size && packed.stored < 1000);
    assert!(!edit.compress(&noise_blob.digest, 3).unwrap().compressed, "what would grow stays as it is");
    edit.commit(Durability::Atomic).unwrap();
    assert!(
        fs::metadata(shelf.at("x.zpkg")).unwrap().len() < plain - large_blob.size + 10_000,
        "the room is given back"
    );

    let zpkg = shelf.open("x.zpkg");
    zpkg.check().unwrap();
    for (digest, content) in [(large_blob.digest, &large), (noise_blob.digest, &noise)] {
        let mut read = Vec::new();
        zpkg.write_content(&digest, &mut read).unwrap();
        assert!(read == *content);
    }
    let mut edit = shelf.edit("x.zpkg");
    assert_eq!(edit.uncompress(&large_blob.digest).unwrap(), large_blob);
    edit.commit(Durability::Atomic).unwrap();
    shelf.open("x.zpkg").check().unwrap();
    assert!(problem(shelf.edit("x.zpkg").compress(&large_blob.digest, 99)).to_string().contains("level"));
}

#[test]
fn a_blob_is_extracted_and_compared() {
    let (shelf, packed) = (Shelf::new(), small());
    shelf.convert(&packed, "small.zpkg");
    let zpkg = shelf.open("small.zpkg");
    let digest = Digest::of("hi\n");
    zpkg.extract(&digest, &shelf.root, &path("out"), Mode::from_raw(0o640)).unwrap();
    assert_eq!(fs::read(shelf.at("out")).unwrap(), b"hi\n");
    let file = || fs::File::open(shelf.at("out")).unwrap();
    assert!(zpkg.compare(&digest, file()).unwrap());
    fs::write(shelf.at("out"), "ho\n").unwrap();
    assert!(!zpkg.compare(&digest, file()).unwrap());
    let unknown = Digest::of("never seen");
    assert!(matches!(problem(zpkg.compare(&unknown, file())), ZpkgProblem::NoBlob(digest) if digest == unknown));
    let missing = zpkg.extract(&unknown, &shelf.root, &path("new"), Mode::from_raw(0o640)).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Unknown);
    assert_eq!(shelf.names(), ["out", "small.zpkg"].map(String::from).into());
}

#[test]
fn elf_facts_are_recorded_and_change_the_id() {
    let shelf = Shelf::new();
    let program = fs::read(std::env::current_exe().unwrap()).unwrap();
    let packed = pack("program 1-1").file("bin/program", 0o755, &program).file("bin/script", 0o755, "#!").build();
    let id = shelf.convert(&packed, "x.zpkg");
    let mut edit = shelf.edit("x.zpkg");
    let (same, none) = edit.record_elf(&id, &path("bin/script")).unwrap();
    assert_eq!((same, none), (id, None));
    let (new, facts) = edit.record_elf(&id, &path("bin/program")).unwrap();
    let facts = facts.unwrap();
    assert!(facts.needed.iter().any(|name| name.starts_with("libc.")));
    assert_ne!(new, id);
    edit.commit(Durability::Atomic).unwrap();
    let zpkg = shelf.open("x.zpkg");
    zpkg.check().unwrap();
    let record = zpkg.package(&new).unwrap();
    let EntryKind::File { elf, .. } = &record.manifest().find(&path("bin/program")).unwrap().kind else { panic!() };
    assert_eq!(elf.as_deref(), Some(&facts));
    let conn = Connection::open(shelf.at("x.zpkg")).unwrap();
    let needs: i64 = conn.query_row("SELECT count(*) FROM librarydeps", [], |row| row.get(0)).unwrap();
    assert_eq!(needs, facts.needed.iter().collect::<BTreeSet<_>>().len() as i64);
}

#[test]
fn what_can_not_be_done_is_refused_and_changes_nothing() {
    let (shelf, packed) = (Shelf::new(), small());
    let id = shelf.convert(&packed, "x.zpkg");
    let before = fs::read(shelf.at("x.zpkg")).unwrap();
    let mut edit = shelf.edit("x.zpkg");
    let unknown = Digest::of("never seen");
    let mut file = LoosePath::new(path("lib/x"), PathType::File);
    assert!(matches!(problem(edit.set_content(&path("lib/x"), &Digest::of("hi\n"))), ZpkgProblem::NoPath { .. }));
    file.content = Some(unknown);
    assert!(matches!(problem(edit.add_path(&file)), ZpkgProblem::NoBlob(_)));
    file.content = None;
    edit.add_path(&file).unwrap();
    assert!(matches!(problem(edit.add_path(&file)), ZpkgProblem::PathExists { package: None, .. }));
    let reason = |answer| problem::<PackageId>(answer).to_string();
    assert!(reason(edit.associate(&id, &[path("lib/x")])).contains("no blob is its content"));
    assert!(matches!(problem(edit.set_content(&path("lib/x"), &unknown)), ZpkgProblem::NoBlob(_)));
    assert!(matches!(problem(edit.associate(&PackageId::new(unknown), &[])), ZpkgProblem::NoPackage(_)));
    drop(edit);

    let mut edit = shelf.edit("x.zpkg");
    (file.mode, file.content) = (Some(Mode::from_raw(0o644)), Some(Digest::of("hi\n")));
    edit.add_path(&file).unwrap();
    assert!(matches!(problem(edit.associate(&id, &[path("lib/x")])), ZpkgProblem::Manifest(_)), "no folder lib");
    drop(edit);
    let mut edit = shelf.edit("x.zpkg");
    edit.add_path(&LoosePath { path: path("bin/hi"), ..file }).unwrap();
    assert!(matches!(
        problem(edit.associate(&id, &[path("bin/hi")])),
        ZpkgProblem::PathExists { package: Some(_), .. }
    ));
    drop(edit);
    assert!(fs::read(shelf.at("x.zpkg")).unwrap() == before);
    assert_eq!(shelf.names(), ["x.zpkg".to_owned()].into());
}

#[test]
fn one_process_at_a_time_changes_a_file() {
    let shelf = Shelf::new();
    shelf.convert(&small(), "x.zpkg");
    let first = shelf.edit("x.zpkg");
    let second = ZpkgEdit::open(&shelf.root, &path("x.zpkg"));
    assert_eq!(second.unwrap_err().kind(), ErrorKind::Busy);
    shelf.open("x.zpkg").check().unwrap();
    first.commit(Durability::Atomic).unwrap();
    shelf.edit("x.zpkg").commit(Durability::Atomic).unwrap();
}

/// What is killed below, run by `interruption::victim`.
pub(crate) fn change(root: &Path) {
    let root = Root::open(root).unwrap();
    let mut edit = ZpkgEdit::open(&root, &path("x.zpkg")).unwrap();
    edit.add_blob(&vec![1; 2 * MIB][..]).unwrap();
    edit.compress(&Digest::of("polite\n"), 3).unwrap();
    edit.commit(Durability::Synced).unwrap();
}

#[test]
fn a_kill_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let arranged = || {
        let shelf = Shelf::new();
        shelf.convert(&small(), "x.zpkg");
        shelf
    };
    let shelf = arranged();
    let before = fs::read(shelf.at("x.zpkg")).unwrap();
    let calls = victim::run("zpkg", shelf.scratch.path(), None).calls.len();
    let after = fs::read(shelf.at("x.zpkg")).unwrap();
    assert!(before != after && calls > 10);
    let mut seen = [0, 0];
    for kill_at in (1..=calls).step_by(calls.div_ceil(30)).chain([calls - 3, calls - 2, calls - 1, calls]) {
        let shelf = arranged();
        victim::run("zpkg", shelf.scratch.path(), Some(kill_at));
        let now = fs::read(shelf.at("x.zpkg")).unwrap();
        assert!(now == before || now == after, "killed at call {kill_at} of {calls}");
        seen[usize::from(now == after)] += 1;
        shelf.open("x.zpkg").check().unwrap();
    }
    assert!(seen[0] > 0 && seen[1] > 0, "{seen:?}");
}

/// A file of 20 pages, and the package in it.
static SMALL: LazyLock<(Vec<u8>, PackageId, Vec<u8>)> = LazyLock::new(|| {
    let (shelf, packed) = (Shelf::new(), small());
    let id = shelf.convert(&packed, "x.zpkg");
    (fs::read(shelf.at("x.zpkg")).unwrap(), id, packed.bytes)
});

/// Everything that a reader can ask; what is answered about the package is right.
fn read_everything(bytes: &[u8]) -> Result<(), Error> {
    let (_, id, packed) = &*SMALL;
    let zpkg = Zpkg::from_bytes(bytes)?;
    if let Ok((written, _)) = zpkg.write_package(id, Vec::new()) {
        assert!(written == *packed);
    }
    for id in zpkg.package_ids()? {
        assert_eq!(zpkg.package(&id)?.id(), id);
    }
    for blob in zpkg.blobs()? {
        let mut content = Vec::new();
        zpkg.write_content(&blob.digest, &mut content)?;
        assert_eq!(Digest::of(content), blob.digest);
    }
    zpkg.loose_paths()?;
    zpkg.check().map(drop)
}

#[test]
fn every_truncation_is_refused() {
    let (file, ..) = &*SMALL;
    read_everything(file).unwrap();
    for length in (0..200).chain((200..file.len()).step_by(97)).chain([file.len() - 1]) {
        assert!(read_everything(&file[..length]).is_err(), "{length} bytes");
    }
    let longer = [&file[..], &[0]].concat();
    assert!(read_everything(&longer).is_err());
}

#[test]
fn every_flip_is_refused_or_changes_no_answer() {
    let (file, ..) = &*SMALL;
    let mut refused = 0;
    let positions = (0..100).chain((100..file.len()).step_by(97));
    for position in positions {
        for bit in [0, 7] {
            let mut forged = file.clone();
            forged[position] ^= 1 << bit;
            refused += u32::from(read_everything(&forged).is_err());
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Damages a file through sqlite itself.
#[track_caller]
fn forged(sql: &str) -> Error {
    let shelf = Shelf::new();
    fs::write(shelf.at("x.zpkg"), &SMALL.0).unwrap();
    let conn = Connection::open(shelf.at("x.zpkg")).unwrap();
    conn.execute_batch(&format!("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; {sql}")).unwrap();
    drop(conn);
    read_everything(&fs::read(shelf.at("x.zpkg")).unwrap()).unwrap_err()
}

#[test]
fn what_a_forger_writes_with_sqlite_is_found() {
    for (sql, word) in [
        ("CREATE TRIGGER evil AFTER INSERT ON blobs BEGIN DELETE FROM packages; END", "evil"),
        ("CREATE TABLE more (x)", "more"),
        ("CREATE VIEW evil AS SELECT load_extension('x')", "evil"),
        ("DROP VIEW packagefiles; CREATE VIEW packagefiles AS SELECT 1", "packagefiles"),
        ("DROP VIEW packagedeps", "packagedeps"),
        ("DROP INDEX packages_by_name; CREATE INDEX packages_by_name ON packages (upper(name))", "packages_by_name"),
        ("ALTER TABLE paths ADD COLUMN more TEXT", "paths"),
        ("ANALYZE", "sqlite_stat"),
        ("PRAGMA user_version = 2", "version 2"),
        ("PRAGMA user_version = 0", "no version"),
        ("PRAGMA application_id = 7", "application id"),
        ("PRAGMA journal_mode = wal", "settings"),
        ("PRAGMA auto_vacuum = full; VACUUM", "settings"),
        ("UPDATE packages SET package_id = zeroblob(32)", "stands as package"),
        ("UPDATE packages SET name = 'other'", "\"packages\""),
        ("UPDATE packages SET id = -id; UPDATE records SET package = -package", "wrong row"),
        ("UPDATE paths SET mode = '4755' WHERE type = 'file'", "\"paths\""),
        ("DELETE FROM paths", "\"paths\""),
        ("INSERT INTO provides VALUES (1, 'sudo', 'sudo')", "\"provides\""),
        ("INSERT INTO paths (path, package, unset, type) VALUES (x'2e2e2f78', 0, 0, 'file')", "value"),
        ("INSERT INTO paths (path, package, unset, type) VALUES (x'78', 0, 0, 'door')", "door"),
        ("INSERT INTO records VALUES (7, x'00')", "belong to no package"),
        ("UPDATE records SET record = zeroblob(100)", "magic"),
        ("UPDATE blobs SET content = x'6869210a' WHERE size = 3", "rows"),
        ("UPDATE blobs SET content = x'686f0a' WHERE size = 3", "has the digest"),
        ("UPDATE blobs SET compression = 'zstd' WHERE size = 3", "not compressed with zstd"),
        ("UPDATE blobs SET size = 4 WHERE size = 3", "rows"),
        ("UPDATE blobs SET size = -1 WHERE size = 3", "range"),
        ("UPDATE blobs SET hash = x'00' WHERE size = 3", "blob"),
        ("DELETE FROM blobs WHERE size = 3", "no blob"),
        ("INSERT INTO blobparts VALUES (1, 1, x'00')", "rows"),
        ("INSERT INTO blobparts VALUES (99, 1, x'00')", "belong to no blob"),
    ] {
        let told = forged(sql).to_string();
        assert!(told.contains(word), "{sql}: {told}");
    }
}

#[test]
fn a_compressed_blob_that_unpacks_to_far_too_much_is_refused() {
    let shelf = Shelf::new();
    fs::write(shelf.at("x.zpkg"), &SMALL.0).unwrap();
    let mut bomb = codec::Encoder::new(Vec::new(), codec::Format::Zstd).unwrap();
    std::io::copy(&mut std::io::Read::take(std::io::repeat(0), 200 << 20), &mut bomb).unwrap();
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let conn = Connection::open(shelf.at("x.zpkg")).unwrap();
    let query = "UPDATE blobs SET compression = 'zstd', content = ?, size = ? WHERE size = 3";
    conn.execute(query, (&bomb, 1i64 << 40)).unwrap();
    drop(conn);
    let zpkg = Zpkg::open(shelf.at("x.zpkg")).unwrap();
    let told = zpkg.write_content(&Digest::of("hi\n"), &mut std::io::sink()).unwrap_err();
    assert!(format!("{told}").contains("times as many"), "{told}");
}

#[test]
fn a_journal_of_somebody_else_is_left_alone() {
    let shelf = Shelf::new();
    shelf.convert(&small(), "x.zpkg");
    for ending in ["-journal", "-wal"] {
        let beside = shelf.at(&format!("x.zpkg{ending}"));
        fs::write(&beside, "what a forger wants sqlite to do").unwrap();
        assert!(matches!(problem(Zpkg::open(shelf.at("x.zpkg"))), ZpkgProblem::Unsettled(_)));
        assert!(matches!(problem(ZpkgEdit::open(&shelf.root, &path("x.zpkg"))), ZpkgProblem::Unsettled(_)));
        fs::remove_file(beside).unwrap();
    }
    std::os::unix::fs::symlink("x.zpkg", shelf.at("link")).unwrap();
    fs::write(shelf.at("x.zpkg-wal"), "beside the file, not the link").unwrap();
    assert!(matches!(problem(Zpkg::open(shelf.at("link"))), ZpkgProblem::Unsettled(_)));
}

/// Puts a chain of inner pages over the rows of `packages`, each with 100 times the next one as its children: a scan of
/// the table would take ten thousand million rows.
fn bottomless() -> Vec<u8> {
    const PAGE: usize = 1024;
    let mut file = SMALL.0.clone();
    let shelf = Shelf::new();
    fs::write(shelf.at("x.zpkg"), &file).unwrap();
    let conn = Connection::open(shelf.at("x.zpkg")).unwrap();
    // Those of other tables, which nobody asks here.
    let query = "SELECT rootpage FROM sqlite_schema WHERE rootpage > 0 ORDER BY name != 'packages' LIMIT 6";
    let mut statement = conn.prepare(query).unwrap();
    let chain: Vec<usize> = statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap();
    let (root, last) = (chain[0], chain[5]);
    let rows = file[(root - 1) * PAGE..root * PAGE].to_vec();
    for (page, child) in chain.iter().zip(&chain[1..]) {
        let page = &mut file[(page - 1) * PAGE..page * PAGE];
        let child = u8::try_from(*child).unwrap();
        page[..12].copy_from_slice(&[5, 0, 0, 0, 100, 3, 251, 0, 0, 0, 0, child]);
        for cell in 0..100 {
            page[12 + cell * 2..14 + cell * 2].copy_from_slice(&[3, 251]);
        }
        page[PAGE - 5..].copy_from_slice(&[0, 0, 0, child, 1]);
    }
    file[(last - 1) * PAGE..last * PAGE].copy_from_slice(&rows);
    file
}

#[test]
fn a_table_without_end_is_given_up() {
    let file = bottomless();
    let zpkg = Zpkg::from_bytes(&file).unwrap();
    assert!(matches!(problem(zpkg.package_ids()), ZpkgProblem::TooMuchWork));
    assert!(read_everything(&file).is_err());
}
