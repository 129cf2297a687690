//! Rpm packages.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Command;

use archive::{ArchiveError, EntryKind, Options, Rpm, RpmMetadata, RpmScriptKind, RpmTriggerKind};
use codec::{Encoder, Format};
use pkgtypes::PkgPath;
use sha2::{Digest, Sha256};

mod damage;

/// A value of a header.
#[derive(Clone)]
enum Value {
    Null,
    Shorts(Vec<u16>),
    Words(Vec<u32>),
    Longs(Vec<u64>),
    Text(String),
    Texts(Vec<String>),
    Localised(String),
}

fn texts(values: &[&str]) -> Value {
    Value::Texts(values.iter().map(ToString::to_string).collect())
}

fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

type Tags = BTreeMap<u32, Value>;

fn header(tags: &Tags) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, value) in tags {
        let (kind, count, align) = match value {
            Value::Null => (0, 1, 1),
            Value::Shorts(values) => (3, values.len(), 2),
            Value::Words(values) => (4, values.len(), 4),
            Value::Longs(values) => (5, values.len(), 8),
            Value::Text(_) => (6, 1, 1),
            Value::Texts(values) => (8, values.len(), 1),
            Value::Localised(_) => (9, 1, 1),
        };
        data.resize(data.len().next_multiple_of(align), 0);
        index.extend([*tag, kind, data.len() as u32, count as u32].iter().flat_map(|word| word.to_be_bytes()));
        match value {
            Value::Null => {}
            Value::Shorts(values) => data.extend(values.iter().flat_map(|value| value.to_be_bytes())),
            Value::Words(values) => data.extend(values.iter().flat_map(|value| value.to_be_bytes())),
            Value::Longs(values) => data.extend(values.iter().flat_map(|value| value.to_be_bytes())),
            Value::Text(value) | Value::Localised(value) => data.extend([value.as_bytes(), b"\0"].concat()),
            Value::Texts(values) => {
                data.extend(values.iter().flat_map(|value| [value.as_bytes(), b"\0"].concat()));
            }
        }
    }
    let mut bytes = vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0];
    bytes.extend([tags.len() as u32, data.len() as u32].iter().flat_map(|word| word.to_be_bytes()));
    [bytes, index, data].concat()
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn member(name: &str, mode: u32, data: &[u8], device: (u32, u32)) -> Vec<u8> {
    let fields = [0, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, device.0, device.1, name.len() as u32 + 1, 0];
    let mut bytes = b"070701".to_vec();
    bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
    bytes.extend([name.as_bytes(), b"\0"].concat());
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The form for large files: the number of the file, nothing else.
fn numbered(index: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = format!("07070X{index:08x}\0\0").into_bytes();
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn cpio(members: &[Vec<u8>]) -> Vec<u8> {
    [members.concat(), member("TRAILER!!!", 0, b"", (0, 0))].concat()
}

fn named() -> Vec<u8> {
    cpio(&[
        member("./usr", 0o040_755, b"", (0, 0)),
        member("./usr/a", 0o100_755, b"", (0, 0)),
        member("./usr/b", 0o100_755, b"content\n", (0, 0)),
        member("./usr/l", 0o120_777, b"b", (0, 0)),
        member("./usr/n", 0o020_666, b"", (1, 300)),
    ])
}

fn tags() -> Tags {
    BTreeMap::from([
        (1000, text("hello")),
        (1001, text("1.0")),
        (1002, text("3")),
        (1003, Value::Words(vec![2])),
        (1004, Value::Localised("greets".to_owned())),
        (1014, text("MIT")),
        (1022, text("x86_64")),
        (1028, Value::Words(vec![0, 8, 8, 1, 0, 5])),
        (1030, Value::Shorts(vec![0o040_755, 0o100_755, 0o100_755, 0o120_777, 0o020_666, 0o100_600])),
        (1033, Value::Shorts(vec![0, 0, 0, 0, 0x0103, 0])),
        (1034, Value::Words(vec![1_000_000; 6])),
        (1035, texts(&["", &hex(b"content\n"), &hex(b"content\n"), "", "", ""])),
        (1036, texts(&["", "", "", "b", "", ""])),
        (1037, Value::Words(vec![0, 0, 17, 0, 0, 64])),
        (1039, texts(&["root", "root", "daemon", "root", "root", "root"])),
        (1040, texts(&["root"; 6])),
        (1044, text("hello-1.0-3.src.rpm")),
        (1048, Value::Words(vec![12, 1 << 10])),
        (1049, texts(&["libc", "/bin/sh"])),
        (1050, texts(&["2.34", ""])),
        (1024, text("echo hi")),
        (1086, text("/bin/sh")),
        (1095, Value::Words(vec![1; 6])),
        (1096, Value::Words(vec![1, 2, 2, 4, 5, 6])),
        (1116, Value::Words(vec![0, 1, 1, 1, 1, 1])),
        (1117, texts(&["usr", "a", "b", "l", "n", "ghost"])),
        (1118, texts(&["/", "/usr/"])),
        (5010, texts(&["", "cap_net_raw=ep", "cap_net_raw=ep", "", "", ""])),
        (5011, Value::Words(vec![8])),
    ])
}

fn package(mut tags: Tags, payload: &[u8], format: Format) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(payload).unwrap();
    let payload = encoder.finish().unwrap();
    tags.entry(5092).or_insert_with(|| texts(&[&hex(&payload)]));
    tags.entry(5093).or_insert(Value::Words(vec![8]));
    let header_bytes = header(&tags);
    let signature = header(&BTreeMap::from([(273, text(&hex(&header_bytes)))]));
    let mut bytes = vec![0xed, 0xab, 0xee, 0xdb, 3, 0, 0, 0];
    bytes.resize(96, 0);
    bytes.extend(signature);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    [bytes, header_bytes, payload].concat()
}

type Seen = Vec<(String, EntryKind, u32, Vec<u8>)>;

fn read(bytes: &[u8]) -> Result<(RpmMetadata, Seen), ArchiveError> {
    let rpm = Rpm::open(bytes)?;
    let metadata = rpm.metadata().clone();
    let mut seen = Vec::new();
    rpm.read_files::<ArchiveError>(&Options::default(), |entry, data| {
        let mut content = Vec::new();
        // A broken package is told by `read_files` itself.
        let _ = data.read_to_end(&mut content);
        seen.push((entry.path.to_string(), entry.kind.clone(), entry.mode.bits(), content));
        Ok(())
    })?;
    Ok((metadata, seen))
}

fn message(bytes: &[u8]) -> String {
    read(bytes).unwrap_err().to_string()
}

fn expected() -> Seen {
    let path = |path: &str| PkgPath::new(path.as_bytes()).unwrap();
    vec![
        ("usr".to_owned(), EntryKind::Dir, 0o755, Vec::new()),
        ("usr/b".to_owned(), EntryKind::File { size: 8 }, 0o755, b"content\n".to_vec()),
        ("usr/a".to_owned(), EntryKind::Hardlink { target: path("usr/b") }, 0o755, Vec::new()),
        ("usr/l".to_owned(), EntryKind::Symlink { target: b"b".to_vec() }, 0o777, Vec::new()),
        ("usr/n".to_owned(), EntryKind::Char { device: (1, 300) }, 0o666, Vec::new()),
    ]
}

#[test]
fn files_in_every_compression_that_rpm_uses() {
    for format in [Format::Plain, Format::Gzip, Format::Bzip2, Format::Xz, Format::Zstd] {
        let (metadata, seen) = read(&package(tags(), &named(), format)).unwrap();
        assert_eq!(seen, expected(), "{format}");
        assert_eq!(
            (metadata.name.as_str(), metadata.epoch, metadata.summary.as_deref()),
            ("hello", Some(2), Some("greets"))
        );
        assert!(!metadata.source);
    }
}

#[test]
fn what_the_header_says() {
    let (metadata, _) = read(&package(tags(), &named(), Format::Plain)).unwrap();
    let requires: Vec<_> =
        metadata.requires.iter().map(|one| (one.name.as_str(), one.comparison(), &*one.version)).collect();
    assert_eq!(requires, [("libc", Some(">="), "2.34"), ("/bin/sh", None, "")]);
    assert!(metadata.requires[1].is_for_install_scripts());
    assert_eq!(metadata.scripts[0].kind, RpmScriptKind::Post);
    assert_eq!(metadata.scripts[0].body.as_deref(), Some(&b"echo hi"[..]));
    let file = |path: &str| metadata.files.iter().find(|file| file.entry.path.to_string() == path).unwrap();
    assert!(file("usr/b").flags.is_config() && file("usr/b").flags.is_noreplace());
    assert!(file("usr/ghost").flags.is_ghost());
    assert_eq!(file("usr/b").entry.user.as_deref(), Some("daemon"));
    assert_eq!(file("usr/a").entry.xattrs[0].0, b"security.capability");
    assert_eq!(file("usr/a").entry.mtime.seconds(), 1_000_000);
}

/// Files of 4 GiB and more: sizes stand in the header alone, and members have numbers.
#[test]
fn the_short_form_of_cpio() {
    let mut tags = tags();
    tags.remove(&1028);
    tags.insert(5008, Value::Longs(vec![0, 8, 8, 1, 0, 5]));
    let payload =
        cpio(&[numbered(0, b""), numbered(1, b""), numbered(2, b"content\n"), numbered(3, b"b"), numbered(4, b"")]);
    let mut due = expected();
    due[4].1 = EntryKind::Char { device: (1, 3) };
    assert_eq!(read(&package(tags, &payload, Format::Zstd)).unwrap().1, due);
}

#[test]
fn a_file_that_is_not_what_the_header_says_is_told() {
    let with = |at: usize, member: Vec<u8>| {
        let mut members = vec![
            member_of("./usr", 0o040_755, b""),
            member_of("./usr/a", 0o100_755, b""),
            member_of("./usr/b", 0o100_755, b"content\n"),
            member_of("./usr/l", 0o120_777, b"b"),
            member_of("./usr/n", 0o020_666, b""),
        ];
        members[at] = member;
        message(&package(tags(), &cpio(&members), Format::Plain))
    };
    let wrong = with(2, member_of("./usr/b", 0o100_755, b"tampered"));
    assert!(wrong.starts_with("`./usr/b` at byte 236: its SHA-256 is "), "{wrong}");
    for (message, part) in [
        (with(2, member_of("./usr/b", 0o100_755, b"short")), "it has 5 bytes, the header says 8"),
        (with(3, member_of("./usr/l", 0o120_777, b"c")), "it is a link to something else than the header says"),
        (with(0, member_of("./opt", 0o040_755, b"")), "the header does not list it"),
        (with(0, member_of("./usr", 0o120_777, b"")), "it is something else than the header says"),
        (with(1, member_of("./usr/b", 0o100_755, b"content\n")), "it comes twice"),
        (with(4, member_of("./usr/ghost", 0o100_600, b"12345")), "the header says that it is not in the payload"),
        (
            with(1, member_of("./usr/a", 0o100_755, b"content\n")),
            "the content of a file with several names comes a second time",
        ),
        (with(4, Vec::new()), "the file `usr/n` is missing that the header lists"),
        (with(0, member_of("../usr", 0o040_755, b"")), "the header does not list it"),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

fn member_of(name: &str, mode: u32, data: &[u8]) -> Vec<u8> {
    member(name, mode, data, (0, 0))
}

#[test]
fn checksums_of_header_and_payload() {
    let bytes = package(tags(), &named(), Format::Gzip);
    let mut flipped = bytes.clone();
    let name = bytes.windows(6).position(|window| window == b"hello\0").unwrap();
    flipped[name] = b'H';
    assert!(message(&flipped).starts_with("`the header` at byte "), "{}", message(&flipped));
    // The time in gzip's own header is covered by nothing else.
    let mut flipped = bytes.clone();
    let payload = bytes.windows(4).position(|window| window == [0x1f, 0x8b, 8, 0]).unwrap();
    flipped[payload + 4] ^= 1;
    assert!(message(&flipped).starts_with("`the payload` at byte "), "{}", message(&flipped));
}

#[test]
fn paths_stay_in_the_folder() {
    for (folder, reason) in [("/usr/../../", "`.` and `..` are no components"), ("//usr/", "it is absolute")] {
        let mut tags = tags();
        tags.insert(1118, texts(&["/", folder]));
        let message = message(&package(tags, &named(), Format::Plain));
        assert!(message.ends_with(reason), "{message}");
    }
}

/// A small header must not become large: values over each other, counts without values, one long folder of many files.
#[test]
fn headers_that_claim_more_than_they_have() {
    let with = |change: &dyn Fn(&mut Tags)| {
        let mut tags = tags();
        change(&mut tags);
        message(&package(tags, &named(), Format::Plain))
    };
    let long = with(&|tags| {
        let folder = format!("/{}", "d/".repeat(2000));
        let names: Vec<_> = (0..3000).map(|number| number.to_string()).collect();
        tags.insert(1117, Value::Texts(names));
        tags.insert(1116, Value::Words(vec![0; 3000]));
        tags.insert(1118, Value::Texts(vec![folder]));
    });
    assert!(long.ends_with("tag 1118: all paths together are far longer than the header"), "{long}");
    let nothing = with(&|tags| drop(tags.insert(1003, Value::Null)));
    assert!(nothing.ends_with("tag 1003: it is no number"), "{nothing}");
    let mut bytes = vec![0xed, 0xab, 0xee, 0xdb, 3, 0];
    bytes.resize(96, 0);
    let signature = |entries: &[[u32; 4]], size: u32| {
        let mut bytes = [bytes.clone(), vec![0x8e, 0xad, 0xe8, 1, 0, 0, 0, 0]].concat();
        let words = [entries.len() as u32, size];
        bytes.extend(words.iter().chain(entries.iter().flatten()).flat_map(|word| word.to_be_bytes()));
        bytes.extend([0; 8]);
        message(&bytes)
    };
    for (entries, size, reason) in [
        (vec![], 0x0fff_ffff, "it ends too early"),
        (vec![], 0xffff_ffff, "a header of 0 tags and 4294967295 bytes"),
        (vec![[1, 4, 0, 3]], 8, "tag 1: its value has no room where it should be"),
        (vec![[1, 4, 9, 0]], 8, "tag 1: its value is not within the header"),
        (vec![[1, 4, 0, 2], [2, 4, 4, 1]], 8, "tag 1: its value has no room where it should be"),
        (vec![[1, 8, 0, 9]], 8, "tag 1: its value has no room where it should be"),
        (vec![[1, 0, 0, 0xffff_ffff]], 8, "tag 1: it has too many items"),
        (vec![[1, 77, 0, 1]], 8, "tag 1: its value has no room where it should be"),
    ] {
        let message = signature(&entries, size);
        assert!(message.ends_with(reason), "{message}");
    }
}

#[test]
fn limits() {
    let bytes = package(tags(), &named(), Format::Plain);
    let with = |entries, bytes_limit| {
        let mut options = Options::default();
        options.limits.entries = entries;
        options.limits.bytes = bytes_limit;
        let rpm = Rpm::open(&bytes[..]).unwrap();
        rpm.read_files::<ArchiveError>(&options, |_, _| Ok(())).map_err(|error| error.to_string())
    };
    assert_eq!(with(5, 8), Ok(()));
    assert!(with(4, 8).unwrap_err().ends_with("the archive has more than 4 entries"));
    assert!(with(5, 7).unwrap_err().ends_with("the archive has more than 7 bytes"));
}

#[test]
fn damage_is_told_or_harmless() {
    for format in [Format::Plain, Format::Gzip] {
        damage::is_harmless(&package(tags(), &named(), format), read);
    }
}

const SPEC: &str = r#"
Name: Hello-Test
Version: 1.2~rc1
Release: 3
Epoch: 2
Summary: A test package
License: MIT AND Apache-2.0
URL: https://example.org/
Requires: bash >= 4
Requires(postun): foo
Requires: (a if b)
Recommends: rec
%description
Long text
over lines.
%install
mkdir -p %{buildroot}/usr/bin %{buildroot}/etc
echo bin > %{buildroot}/usr/bin/a
ln %{buildroot}/usr/bin/a %{buildroot}/usr/bin/b
ln -s a %{buildroot}/usr/bin/l
echo conf > %{buildroot}/etc/h.conf
%post -p /sbin/ldconfig
%preun -p <lua>
print("x")
%triggerin -- foo > 1, bar
echo trig
%transfiletriggerin -P 1000 -- /usr/lib /lib
echo ft
%files
%attr(4755,root,root) /usr/bin/a
%attr(4755,root,root) /usr/bin/b
/usr/bin/l
%config(noreplace) %attr(640,root,daemon) /etc/h.conf
%ghost /var/lib/ghost
%dev(c,1,3) /dev/mynull
"#;

/// A package as rpmbuild makes it; passed over where there is no rpmbuild.
#[test]
fn a_package_of_rpmbuild() {
    let folder = tempfile::tempdir().unwrap();
    let spec = folder.path().join("hello.spec");
    std::fs::File::create(&spec).unwrap().write_all(SPEC.as_bytes()).unwrap();
    let top = format!("_topdir {}", folder.path().display());
    let name = "hello.rpm";
    let build = Command::new("rpmbuild")
        .args(["-bb", "--quiet", "--define", &top, "--define", &format!("_build_name_fmt {name}")])
        .arg(&spec)
        .env("HOME", folder.path())
        .output();
    let Ok(build) = build else {
        eprintln!("passed over: there is no rpmbuild");
        return;
    };
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
    let bytes = std::fs::read(folder.path().join("RPMS").join(name)).unwrap();
    let (metadata, seen) = read(&bytes).unwrap();
    let paths: Vec<_> = seen.iter().map(|(path, kind, mode, _)| (path.as_str(), kind.clone(), *mode)).collect();
    assert_eq!(
        paths,
        [
            ("dev/mynull", EntryKind::Char { device: (1, 3) }, 0),
            ("etc/h.conf", EntryKind::File { size: 5 }, 0o640),
            ("usr/bin/l", EntryKind::Symlink { target: b"a".to_vec() }, 0o777),
            ("usr/bin/b", EntryKind::File { size: 4 }, 0o4755),
            ("usr/bin/a", EntryKind::Hardlink { target: PkgPath::new(&b"usr/bin/b"[..]).unwrap() }, 0o4755),
        ]
    );
    assert_eq!((metadata.epoch, &*metadata.version, &*metadata.release), (Some(2), "1.2~rc1", "3"));
    assert_eq!(metadata.description.as_deref(), Some("Long text\nover lines."));
    let find = |name: &str| metadata.requires.iter().find(|one| one.name == name).unwrap();
    assert!(find("(a if b)").is_rich() && find("foo").is_for_removal_scripts());
    assert!(find("rpmlib(RichDependencies)").is_rpmlib());
    assert_eq!(metadata.recommends[0].name, "rec");
    assert_eq!(metadata.scripts[0].interpreter, ["/sbin/ldconfig"]);
    assert_eq!(metadata.scripts[0].body, None);
    assert_eq!(metadata.scripts[1].interpreter, ["<lua>"]);
    assert_eq!(metadata.triggers[0].conditions.len(), 2);
    assert_eq!(
        (metadata.triggers[1].kind, metadata.triggers[1].priority),
        (RpmTriggerKind::TransactionFile, Some(1000))
    );
}
