//! Tar archives as the world has them.

use std::io::{self, Read};

use archive::{ArchiveError, Entry, EntryKind, Limits, Options, read_tar};
use proptest::prelude::*;

type Seen = Vec<(Entry, Vec<u8>)>;

fn read(bytes: &[u8], options: &Options) -> Result<Seen, ArchiveError> {
    let mut seen = Vec::new();
    read_tar::<ArchiveError>(bytes, options, |entry, data| {
        let mut content = Vec::new();
        data.read_to_end(&mut content).map_err(|source| ArchiveError::Io { offset: 0, source })?;
        seen.push((entry.clone(), content));
        Ok(())
    })?;
    Ok(seen)
}

fn paths(seen: &Seen) -> Vec<String> {
    seen.iter().map(|(entry, _)| entry.path.to_string()).collect()
}

/// A header block by hand: `magic` decides the format, an empty one is V7.
struct Block<'a> {
    name: &'a [u8],
    kind: u8,
    size: usize,
    link: &'a [u8],
    magic: &'a [u8],
}

impl Block<'_> {
    fn v7(name: &[u8]) -> Block<'_> {
        Block { name, kind: 0, size: 0, link: b"", magic: b"" }
    }

    fn gnu(name: &[u8], kind: u8) -> Block<'_> {
        Block { name, kind, size: 0, link: b"", magic: b"ustar  \0" }
    }

    fn with_data(self, data: &[u8]) -> Vec<u8> {
        let mut bytes = Self { size: data.len(), ..self }.bytes();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn bytes(&self) -> Vec<u8> {
        let mut block = vec![0; 512];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, self.name);
        put(100, b"0000644\0");
        put(108, b"   764 \0");
        put(116, b"     12 ");
        put(124, format!("{:11o} ", self.size).as_bytes());
        put(136, b" 5466422611 ");
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.link);
        put(257, self.magic);
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:6o}\0 ").as_bytes());
        block
    }
}

fn archive(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = blocks.concat();
    bytes.extend([0; 1024]);
    bytes
}

/// GNU hello, gzip and m4 are packed like this: no magic, blank-padded numbers, folders told by their slash.
#[test]
fn v7_headers() {
    let bytes = archive(&[
        Block::v7(b"hello-2.10/").bytes(),
        Block::v7(b"hello-2.10/COPYING").with_data(b"free"),
        Block { kind: b'2', link: b"COPYING", ..Block::v7(b"hello-2.10/LICENSE") }.bytes(),
        Block { kind: b'1', link: b"hello-2.10/COPYING", ..Block::v7(b"hello-2.10/again") }.bytes(),
    ]);
    let seen = read(&bytes, &Options::default()).unwrap();
    assert_eq!(paths(&seen), ["hello-2.10", "hello-2.10/COPYING", "hello-2.10/LICENSE", "hello-2.10/again"]);
    assert_eq!(seen[0].0.kind, EntryKind::Dir);
    assert_eq!((&seen[1].0.kind, &seen[1].1[..]), (&EntryKind::File { size: 4 }, &b"free"[..]));
    assert_eq!((seen[1].0.mode.bits(), seen[1].0.uid, seen[1].0.gid), (0o644, 0o764, 0o12));
    assert_eq!(seen[1].0.mtime.seconds(), 0o5466422611);
    assert_eq!(seen[2].0.kind, EntryKind::Symlink { target: b"COPYING".to_vec() });
    assert!(matches!(&seen[3].0.kind, EntryKind::Hardlink { target } if target.to_string() == "hello-2.10/COPYING"));
}

#[test]
fn the_top_folder_is_stripped_from_names_and_hard_links() {
    let bytes = archive(&[
        Block::v7(b"top/").bytes(),
        Block::v7(b"top/a").with_data(b"1"),
        Block { kind: b'1', link: b"top/a", ..Block::v7(b"top/b") }.bytes(),
        Block { kind: b'2', link: b"top/a", ..Block::v7(b"top/c") }.bytes(),
    ]);
    let seen = read(&bytes, &Options::stripping(1)).unwrap();
    assert_eq!(paths(&seen), ["a", "b", "c"]);
    assert!(matches!(&seen[1].0.kind, EntryKind::Hardlink { target } if target.to_string() == "a"));
    assert_eq!(seen[2].0.kind, EntryKind::Symlink { target: b"top/a".to_vec() });
}

#[test]
fn long_names_of_gnu() {
    let name = format!("{}/x", "d".repeat(200));
    let bytes = archive(&[
        Block::gnu(b"././@LongLink", b'L').with_data(name.as_bytes()),
        Block::gnu(b"ddd", b'0').with_data(b"1"),
    ]);
    assert_eq!(paths(&read(&bytes, &Options::default()).unwrap()), [name]);
}

#[test]
fn pax_attributes() {
    let record = |key: &str, value: &str| {
        let body = format!(" {key}={value}\n");
        let length = (body.len()..).find(|length| length.to_string().len() + body.len() == *length).unwrap();
        format!("{length}{body}")
    };
    let records = [
        record("path", "p\u{e9}/q"),
        record("mtime", "1000000000.25"),
        record("uname", "build"),
        record("SCHILY.xattr.user.note", "n"),
        record("comment", "ignored"),
    ];
    let bytes = archive(&[
        Block { magic: b"ustar\x0000", ..Block::gnu(b"pax_global_header", b'g') }
            .with_data(record("comment", "x").as_bytes()),
        Block { magic: b"ustar\x0000", ..Block::gnu(b"x", b'x') }.with_data(records.concat().as_bytes()),
        Block { magic: b"ustar\x0000", ..Block::gnu(b"short", b'0') }.with_data(b"1"),
    ]);
    let seen = read(&bytes, &Options::default()).unwrap();
    assert_eq!(paths(&seen), ["p\u{e9}/q"]);
    let entry = &seen[0].0;
    assert_eq!(entry.mtime.to_string(), "1000000000.25");
    assert_eq!(
        (entry.user.as_deref(), &entry.xattrs[..]),
        (Some("build"), &[(b"user.note".to_vec(), b"n".to_vec())][..])
    );
}

fn pax_record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (rest..).find(|length| length.to_string().len() + rest == *length).expect("one is");
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

fn pax(records: &[Vec<u8>]) -> Vec<u8> {
    Block { magic: b"ustar\x0000", ..Block::gnu(b"x", b'x') }.with_data(&records.concat())
}

/// Capabilities and ACLs are any bytes. What splits records at line feeds loses the path that comes after.
#[test]
fn pax_values_may_have_line_feeds() {
    let value = b"\x01\0\0\x02\n\0=\n7 a=b\n";
    let records = [pax_record("SCHILY.xattr.security.capability", value), pax_record("path", b"right")];
    let seen =
        read(&archive(&[pax(&records), Block::gnu(b"wrong", b'0').with_data(b"1")]), &Options::default()).unwrap();
    assert_eq!(paths(&seen), ["right"]);
    assert_eq!(seen[0].0.xattrs, [(b"security.capability".to_vec(), value.to_vec())]);
}

#[test]
fn pax_numbers_that_no_header_has_room_for() {
    let records = [pax_record("uid", b"9223372036854775808"), pax_record("gid", b"3000000"), pax_record("size", b"3")];
    let mut file = Block::gnu(b"a", b'0').with_data(b"abc");
    file[124..136].copy_from_slice(&[0; 12]);
    file[148..156].copy_from_slice(b"        ");
    let sum: u32 = file[..512].iter().map(|&byte| u32::from(byte)).sum();
    file[148..156].copy_from_slice(format!("{sum:6o}\0 ").as_bytes());
    let seen = read(&archive(&[pax(&records), file]), &Options::default()).unwrap();
    assert_eq!((seen[0].0.uid, seen[0].0.gid, &seen[0].1[..]), (1 << 63, 3_000_000, &b"abc"[..]));
}

#[test]
fn extended_headers_that_are_none() {
    let refused = |records: &[Vec<u8>]| {
        let error = read(&archive(&[pax(records), Block::gnu(b"a", b'0').bytes()]), &Options::default()).unwrap_err();
        error.to_string()
    };
    for record in [&b"9 a=b\n"[..], b"6 a=b", b"0 a=b\n", b"5 ab\n", b"x a=b\n", b"99999999999999999999 a=b\n", b"2 \n"]
    {
        let error = refused(&[record.to_vec()]);
        assert!(error.ends_with("entry `a`: its extended header can not be read"), "{error}");
    }
    let error = refused(&[pax_record("size", b"-1")]);
    assert!(error.ends_with("entry `a`: `size` of its extended header"), "{error}");
    let twice = [pax(&[]), pax(&[]), Block::gnu(b"a", b'0').bytes()];
    let error = read(&archive(&twice), &Options::default()).unwrap_err().to_string();
    assert!(error.ends_with("two headers say the same of one entry"), "{error}");
    let alone = read(&archive(&[pax(&[])]), &Options::default()).unwrap_err().to_string();
    assert!(alone.ends_with("it ends after a header that is about an entry"), "{alone}");
}

/// Version 1.0, which GNU tar and bsdtar write: the map stands before the data.
#[test]
fn pax_sparse_files_have_their_holes_filled() {
    let sparse = |map: &[u8], size: &[u8], data: &[u8]| {
        let records = [
            pax_record("GNU.sparse.major", b"1"),
            pax_record("GNU.sparse.minor", b"0"),
            pax_record("GNU.sparse.name", b"real/name"),
            pax_record("GNU.sparse.realsize", size),
        ];
        let mut content = map.to_vec();
        content.resize(512, 0);
        let bytes = archive(&[pax(&records), Block::gnu(b"made up", b'0').with_data(&[&content, data].concat())]);
        read(&bytes, &Options::default()).map_err(|error| error.to_string())
    };
    let seen = sparse(b"2\n3\n2\n9\n0\n", b"9", b"ab").unwrap();
    assert_eq!((paths(&seen), &seen[0].1[..]), (vec!["real/name".to_owned()], &b"\0\0\0ab\0\0\0\0"[..]));
    for (map, size) in [
        (&b"1\n3\n9\n"[..], b"9"),
        (b"1\n8\n2\n", b"9"),
        (b"1\nx\n2\n", b"9"),
        (b"9999999999999999999\n", b"9"),
        (b"1\n0\n1\n", b"9"),
    ] {
        let error = sparse(map, size, b"ab").unwrap_err();
        assert!(error.ends_with("a map of holes that is none"), "{error}");
    }
    let endless = sparse(b"999999\n", b"9", &[b'1'; 100]).unwrap_err();
    assert!(endless.ends_with("a map of holes that is none"), "{endless}");
}

#[test]
fn old_gnu_sparse_files_have_their_holes_filled() {
    // One block of data at 512, the file has 1536 bytes.
    let mut header = Block { size: 512, ..Block::gnu(b"sparse", b'S') }.bytes();
    header[386..398].copy_from_slice(b"00000001000\0");
    header[398..410].copy_from_slice(b"00000001000\0");
    header[410..422].copy_from_slice(b"00000003000\0");
    header[422..434].copy_from_slice(b"00000000000\0");
    header[483..495].copy_from_slice(b"00000003000\0");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:6o}\0 ").as_bytes());
    let seen = read(&archive(&[header, vec![b'x'; 512]]), &Options::default()).unwrap();
    assert_eq!(seen[0].0.kind, EntryKind::File { size: 1536 });
    assert_eq!(seen[0].1, [vec![0; 512], vec![b'x'; 512], vec![0; 512]].concat());
}

#[test]
fn the_label_of_an_archive_is_no_file() {
    let bytes = archive(&[Block::gnu(b"gpkg: hello-1", b'V').bytes(), Block::gnu(b"a", b'0').bytes()]);
    assert_eq!(paths(&read(&bytes, &Options::default()).unwrap()), ["a"]);
}

#[test]
fn nothing_leaves_the_folder() {
    for (block, message) in [
        (
            Block::v7(b"/etc/passwd").bytes(),
            "entry `/etc/passwd` at byte 0: `/etc/passwd` is not a valid package path: it is absolute",
        ),
        (
            Block::v7(b"a/../../x").bytes(),
            "entry `a/../../x` at byte 0: `a/../../x` is not a valid package path: `.` and `..` are no components",
        ),
        (
            Block { kind: b'1', link: b"../x", ..Block::v7(b"a") }.bytes(),
            "entry `../x` at byte 0: `../x` is not a valid package path: `.` and `..` are no components",
        ),
    ] {
        assert_eq!(read(&archive(&[block]), &Options::default()).unwrap_err().to_string(), message);
    }
}

#[test]
fn a_broken_archive_names_the_entry_and_the_place() {
    let whole = archive(&[Block::v7(b"one").with_data(b"1"), Block::v7(b"two").with_data(&[2; 600])]);
    let cut = read(&whole[..1024 + 512 + 100], &Options::default()).unwrap_err();
    assert_eq!(cut.to_string(), "entry `two` at byte 1024: the archive ends 500 bytes before the file does");

    let mut torn = whole.clone();
    torn[1024] = b'x';
    let error = read(&torn, &Options::default()).unwrap_err();
    assert_eq!(error.to_string(), "not a valid tar archive at byte 1024: the checksum of a header is wrong");

    let text = b"-----BEGIN PGP SIGNATURE-----\n\x1b[31m".repeat(40);
    let error = read(&text, &Options::default()).unwrap_err().to_string();
    assert!(!error.chars().any(char::is_control), "{error:?}");

    let odd = archive(&[Block::gnu(b"vol", b'M').bytes()]);
    assert_eq!(
        read(&odd, &Options::default()).unwrap_err().to_string(),
        "entry `vol` at byte 0: the type 'M' is not known"
    );
}

#[test]
fn a_caller_need_not_read_the_data_but_hears_that_they_are_cut() {
    let whole = archive(&[Block::v7(b"one").with_data(&[1; 600])]);
    let unread = |bytes: &[u8]| read_tar::<ArchiveError>(bytes, &Options::default(), |_, _| Ok(()));
    assert!(unread(&whole).is_ok());
    assert!(matches!(unread(&whole[..700]), Err(ArchiveError::Truncated { missing: 412, .. })));
}

/// Cut between two entries, an archive looks whole but for the mark at its end.
#[test]
fn a_cut_archive_is_told_wherever_it_is_cut() {
    let whole = archive(&[Block::v7(b"one").with_data(&[0; 600]), Block::v7(b"two").with_data(b"2")]);
    for length in 0..=whole.len() - 1024 {
        assert!(read(&whole[..length], &Options::default()).is_err(), "{length}");
    }
    assert_eq!(
        read(&whole[..1536], &Options::default()).unwrap_err().to_string(),
        "not a valid tar archive at byte 1536: it ends without a block of zeros, so it was cut off"
    );
    assert_eq!(read(&whole[..whole.len() - 512], &Options::default()).unwrap().len(), 2, "one block is enough");
}

/// A few bytes that stand for 8 GiB of zeros are as bad as a compression bomb.
#[test]
fn holes_are_bounded() {
    let with_data = |offset: &[u8; 12], stored: usize, size: &[u8; 12]| {
        let mut header = Block { size: stored, ..Block::gnu(b"sparse", b'S') }.bytes();
        header[386..398].copy_from_slice(offset);
        header[398..410].copy_from_slice(format!("{stored:011o}\0").as_bytes());
        header[483..495].copy_from_slice(size);
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:6o}\0 ").as_bytes());
        header
    };
    let sparse = |size| with_data(size, 0, size);
    let unread = |bytes: &[u8]| read_tar::<ArchiveError>(bytes, &Options::default(), |_, _| Ok(()));
    assert!(unread(&archive(&[sparse(b"00400000000\0")])).is_ok(), "64 MiB are nothing");
    assert_eq!(
        unread(&archive(&[sparse(b"77777777777\0")])).unwrap_err().to_string(),
        "entry `sparse` at byte 0: the archive has more than 67108864 bytes of holes"
    );
    // Data that are not there allow no more: the zeros before them would come first.
    let claimed = unread(&archive(&[with_data(b"70000000000\0", 64 << 20, b"70400000000\0")])).unwrap_err().to_string();
    assert!(claimed.ends_with("more than 67108864 bytes of holes"), "{claimed}");
    let several = vec![sparse(b"00200000000\0"); 3];
    assert!(unread(&archive(&several[..2])).is_ok());
    assert!(unread(&archive(&several)).is_err());
}

/// Found by the fuzzer: a folder in the old spelling, whose header says that data follow.
#[test]
fn only_files_have_data() {
    let bytes = archive(&[Block::v7(b"folder/").with_data(&[1; 600]), Block::v7(b"file").with_data(b"2")]);
    let seen = read(&bytes, &Options::default()).unwrap();
    let lengths: Vec<(bool, usize)> =
        seen.iter().map(|(entry, data)| (entry.kind == EntryKind::Dir, data.len())).collect();
    assert_eq!(lengths, [(true, 0), (false, 1)]);
}

/// Bytes without end: a header that claims a name of 8 GiB must not be believed.
#[test]
fn a_name_without_end_ends_at_the_limit() {
    let mut header = Block::gnu(b"././@LongLink", b'L').bytes();
    header[124..136].copy_from_slice(b"77777777777\0");
    header[148..156].copy_from_slice(b"        ");
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:6o}\0 ").as_bytes());
    let endless = io::Cursor::new(header).chain(io::repeat(b'a'));
    let error = read_tar::<ArchiveError>(endless, &Options::default(), |_, _| Ok(())).unwrap_err();
    let message = "not a valid tar archive at byte 512: the headers of one entry have more than 1048576 bytes";
    assert_eq!(error.to_string(), message);
}

#[test]
fn limits() {
    let bytes = archive(&[Block::v7(b"one").with_data(&[1; 600]), Block::v7(b"two").with_data(&[2; 600])]);
    let with = |limits| read(&bytes, &Options { strip: 0, limits }).map_err(|error| error.to_string());
    assert_eq!(
        with(Limits { entries: 1, ..Limits::default() }).unwrap_err(),
        "entry `two` at byte 1536: the archive has more than 1 entries"
    );
    assert_eq!(
        with(Limits { bytes: 1000, ..Limits::default() }).unwrap_err(),
        "entry `two` at byte 1536: the archive has more than 1000 bytes"
    );
    assert!(with(Limits { entries: 2, bytes: 1200, ..Limits::default() }).is_ok());
}

proptest! {
    /// What is packed comes back, however long the name.
    #[test]
    fn files_survive(files in proptest::collection::btree_map("[a-z]{1,40}(/[a-z]{1,40}){0,5}x", proptest::collection::vec(any::<u8>(), 0..2000), 1..6)) {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in &files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o755);
            builder.append_data(&mut header, name, &content[..]).unwrap();
        }
        let seen = read(&builder.into_inner().unwrap(), &Options::default()).unwrap();
        let back: std::collections::BTreeMap<_, _> = seen.into_iter().map(|(entry, data)| (entry.path.to_string(), data)).collect();
        prop_assert_eq!(back, files);
    }

    #[test]
    fn no_bytes_make_it_panic(flips in proptest::collection::vec((0usize..3000, any::<u8>()), 0..20)) {
        let mut bytes = archive(&[Block::gnu(b"././@LongLink", b'L').with_data(b"long"), Block::gnu(b"a", b'0').with_data(&[7; 700])]);
        for (at, byte) in flips {
            let length = bytes.len();
            bytes[at % length] = byte;
        }
        let _ = read(&bytes, &Options::default());
    }
}
