//! There is one way to write a package: every other spelling is refused, each with an error of its own.

mod samples;

use pkgformat::{Error, ManifestError, MetaError, Problem};
use pkgtypes::Digest;
use samples::{Forged, list, seal, size, summary_of};

const META: [&str; 5] = ["record=package", "arch=x86_64", "name=sample", "release=1", "version=1.0"];

/// The metadata with more entries, sorted as they must be.
fn with(more: &[&str]) -> Vec<u8> {
    let mut entries = [&META[1..], more].concat();
    entries.sort();
    list(&[&META[..1], &entries].concat())
}

fn refused(package: &[u8]) -> String {
    match samples::read(package) {
        Err(error @ Error::Read { .. }) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

/// The refusal of a package with this metadata list and nothing else.
fn meta(list: &[u8]) -> String {
    refused(&seal(&[Forged::new(list, b"")], 0))
}

fn metadata(more: &[&str]) -> String {
    meta(&with(more))
}

/// The refusal of a package with these manifest entries, the blobs of `contents` and the right summary.
fn manifest(entries: &[&[&str]], contents: &[&str]) -> String {
    let bytes: Vec<u8> = entries.iter().flat_map(|entry| list(entry)).collect();
    refused(&forged(&bytes, entries.len(), contents))
}

fn forged(manifest: &[u8], files: usize, contents: &[&str]) -> Vec<u8> {
    let mut records = vec![Forged::new(&list(&META), manifest)];
    records.extend(contents.iter().map(|content| Forged::blob(content.as_bytes())));
    seal(&records, files)
}

fn digest(content: &str) -> String {
    format!("digest={}", Digest::of(content))
}

#[test]
fn the_forger_makes_what_the_writer_makes() {
    let (record, contents) = samples::small();
    let entries = [
        list(&["mode=0755", "path=etc", "type=dir"]),
        list(&[&digest("hi"), "mode=0644", "path=etc/hi", "size=2", "type=file"]),
    ];
    assert_eq!(forged(&entries.concat(), 2, &["hi"]), samples::write(&record, &contents));
    assert!(samples::read(&forged(b"", 0, &[])).is_ok());
}

macro_rules! refusals {
    ($($name:ident: $refusal:expr => $text:expr;)*) => { $(
        #[test]
        fn $name() {
            let refusal = $refusal;
            assert!(refusal.contains($text), "{refusal}");
        }
    )* };
}

refusals! {
    // records
    wrong_magic: refused(b"\xABKPL\x01") => "record 1, byte 0: the bytes AB 4B 50 4C stand where a record's magic";
    wrong_version: refused(b"\xABKPK\x02") => "record 1, byte 4: record format version 2";
    empty_file: refused(b"") => "record 1, byte 0: the file ends where a record is expected";
    leading_zero_in_size: meta(&[&b"\x02\0\x0e"[..], &list(&META)[2..]].concat()) => "byte 5: the length of a meta entry: the size has a leading zero byte";
    overlong_size: meta(&[9]) => "a size of 9 bytes is claimed";
    leading_zero_in_data_size: refused(&Forged { head: [b"\xABKPK\x01", &*list(&META), &[1, 0]].concat(), data: vec![] }.bytes())
        => "the size of a record's data: the size has a leading zero byte";
    changed_head: { let mut bytes = forged(b"", 0, &[]); bytes[8] ^= 1; refused(&bytes) } => "head does not have its checksum";
    first_record_of_another_kind: refused(&seal(&[Forged::blob(b"")], 0)) => "a record of kind `blob` stands where a package record is expected";
    a_record_of_a_kind_that_no_package_has: refused(&seal(&[Forged::new(&list(&META), b""), Forged::new(&list(&["record=note"]), b"")], 0))
        => "a record of kind `note`";
    two_package_records: refused(&seal(&[Forged::new(&list(&META), b""), Forged::new(&list(&META), b"")], 0)) => "record 2";

    // meta lists
    no_kind: meta(&list(&META[1..])) => "the first entry is `arch`, `record=KIND` is expected";
    kind_twice: meta(&list(&["record=package", "arch=x", "name=a", "record=package"])) => "`record` stands again";
    empty_list: meta(b"\0") => "`record` is missing";
    entry_without_equals: metadata(&["foreign"]) => "the entry `foreign` has no `=`";
    wrong_name: metadata(&["Name=a"]) => "`Name` is no name";
    unsorted_names: meta(&list(&["record=package", "name=a", "arch=x"])) => "`arch` stands after `name`: names must be sorted";
    unsorted_values: meta(&list(&["record=package", "arch=x", "group=b", "group=a", "name=a", "release=1", "version=1"]))
        => "the values of `group` are not sorted";
    repeated_list_value: metadata(&["group=a", "group=a"]) => "`group` has the same value twice";
    repeated_unknown_value: metadata(&["zzz=a", "zzz=a"]) => "`zzz` has the same value twice";

    // metadata
    repeated_single_name: metadata(&["url=a", "url=b"]) => "`url` stands more than once";
    repeated_identity: metadata(&["name=z"]) => "`name` stands more than once";
    repeated_script: metadata(&[&format!("script.pre-install={}", Digest::of("a")), &format!("script.pre-install={}", Digest::of("b"))])
        => "`script.pre-install` stands more than once";
    missing_name: meta(&list(&["record=package", "arch=x", "release=1", "version=1"])) => "`name` is missing";
    missing_version: meta(&list(&["record=package", "arch=x", "name=a", "release=1"])) => "`version` is missing";
    wrong_package_name: meta(&list(&["record=package", "arch=x", "name=A", "release=1", "version=1"])) => "is not a valid package name";
    empty_package_name: meta(&list(&["record=package", "arch=x", "name=", "release=1", "version=1"])) => "is not a valid package name";
    epoch_in_the_version: meta(&list(&["record=package", "arch=x", "name=a", "release=1", "version=1:1"])) => "is not a valid version";
    default_epoch: metadata(&["epoch=0"]) => "`epoch` has its default value";
    leading_zero_in_decimal: metadata(&["installed-size=01"]) => "`installed-size`: `01` is not a valid number: it has a leading zero";
    sign_in_decimal: metadata(&["installed-size=+1"]) => "`installed-size`: `+1` is not a valid number";
    decimal_beyond_64_bits: metadata(&["installed-size=18446744073709551616"]) => "it is too large";
    needless_fraction: metadata(&["build-date=1.50"]) => "`build-date`: `1.50` is not a valid time";
    upper_case_hex: metadata(&[&format!("recipe-hash={}", Digest::of("a").to_string().to_uppercase())]) => "64 lower case hex digits";
    relation_with_two_blanks: metadata(&["provides=a  = 1"]) => "is not a valid relation";
    requirement_with_a_lone_bar: metadata(&["requires=a |b"]) => "`requires`: ";
    tied_without_a_version: metadata(&["tied=a"]) => "an exact version is expected";
    control_character: metadata(&["url=a\x07"]) => "a control character stands in it";
    trigger_without_nul: metadata(&["trigger=a"]) => "a pattern, NUL and a command are expected";
    trigger_without_command: metadata(&["trigger=a\0"]) => "must be text, not empty";
    trigger_with_two_nuls: metadata(&["trigger=a\0b\0c"]) => "a control character";
    license_file_that_is_no_blob: metadata(&[&format!("license-file={}", Digest::of("a"))]) => "which is no blob of the package";

    // manifest
    record_entry_in_the_manifest: manifest(&[&["record=a"]], &[]) => "manifest entry 1: `record` has no place here";
    unknown_name_in_an_entry: manifest(&[&["mode=0755", "path=a", "type=dir", "x=y"]], &[]) => "`x` has no place here";
    unknown_entry_type: manifest(&[&["path=a", "type=door"]], &[]) => "`door` is not a valid entry type";
    missing_type: manifest(&[&["path=a"]], &[]) => "`type` is missing";
    missing_path: manifest(&[&["type=ghost"]], &[]) => "`path` is missing";
    missing_mode: manifest(&[&["path=a", "type=dir"]], &[]) => "`mode` is missing";
    missing_target: manifest(&[&["path=a", "type=symlink"]], &[]) => "`target` is missing";
    missing_device: manifest(&[&["mode=0600", "path=a", "type=char"]], &[]) => "`device` is missing";
    empty_entry: refused(&forged(&[0], 1, &[])) => "manifest entry 1: `type` is missing";
    cut_off_entry: refused(&forged(&list(&["path=a", "type=ghost"])[..8], 1, &[])) => "manifest entry 1: the list is cut off";
    leading_zero_in_an_entry: refused(&forged(&[2, 0, 6], 1, &[])) => "manifest entry 1: the length of an entry: the size has a leading zero byte";
    unsorted_entry: manifest(&[&["path=a", "mode=0755", "type=dir"]], &[]) => "`mode` stands after `path`";
    repeated_mode: manifest(&[&["mode=0644", "mode=0755", "path=a", "type=dir"]], &[]) => "`mode` stands more than once";
    written_mtime: manifest(&[&["mode=0755", "mtime=0", "path=a", "type=dir"]], &[]) => "`mtime` has its default value";
    written_owner: manifest(&[&["mode=0755", "owner=root", "path=a", "type=dir"]], &[]) => "`owner` has its default value";
    written_group: manifest(&[&["group=root", "mode=0755", "path=a", "type=dir"]], &[]) => "`group` has its default value";
    leading_zero_in_id: manifest(&[&["mode=0755", "owner=010", "path=a", "type=dir"]], &[]) => "an id is a 32-bit number without leading zeros";
    minus_zero_time: manifest(&[&["mode=0755", "mtime=-0", "path=a", "type=dir"]], &[]) => "`mtime`: `-0` is not a valid time";
    short_mode: manifest(&[&["mode=755", "path=a", "type=dir"]], &[]) => "four octal digits are expected";
    leading_zero_in_device: manifest(&[&["device=01:3", "mode=0600", "path=a", "type=char"]], &[]) => "it has a leading zero";
    device_beyond_32_bits: manifest(&[&["device=1:4294967296", "mode=0600", "path=a", "type=block"]], &[]) => "it is too large";
    unknown_use: manifest(&[&["mode=0755", "path=a", "type=dir", "use=fun"]], &[]) => "`fun` is not a valid use";
    unsorted_uses: manifest(&[&["mode=0755", "path=a", "type=dir", "use=doc", "use=config"]], &[]) => "the values of `use` are not sorted";
    xattr_without_nul: manifest(&[&["mode=0755", "path=a", "type=dir", "xattr=user.a"]], &[]) => "a name, NUL and a value are expected";
    xattr_twice: manifest(&[&["mode=0755", "path=a", "type=dir", "xattr=user.a\x001", "xattr=user.a\x002"]], &[]) => "`a`, `xattr`: a name stands twice";
    xattr_without_name: manifest(&[&["mode=0755", "path=a", "type=dir", "xattr=\x001"]], &[]) => "a name has 1 to 255 bytes";
    upper_case_digest: manifest(&[&[&format!("digest={}", Digest::of("a").to_string().to_uppercase()), "mode=0644", "path=a", "size=1", "type=file"]], &["a"])
        => "64 lower case hex digits";
    upper_case_build_id: manifest(&[&["build-id=AB", &digest("a"), "mode=0644", "path=a", "size=1", "type=file"]], &["a"]) => "lower case hex digits";
    odd_build_id: manifest(&[&["build-id=abc", &digest("a"), "mode=0644", "path=a", "size=1", "type=file"]], &["a"]) => "lower case hex digits";
    path_that_climbs: manifest(&[&["path=..", "type=ghost"]], &[]) => "`.` and `..` are no components";
    absolute_path: manifest(&[&["path=/a", "type=ghost"]], &[]) => "it is absolute";
    empty_target: manifest(&[&["path=a", "target=", "type=symlink"]], &[]) => "one or more bytes without NUL";
    mode_of_a_symlink: manifest(&[&["mode=0777", "path=a", "target=b", "type=symlink"]], &[]) => "`mode` has no place here";
    size_of_a_dir: manifest(&[&["mode=0755", "path=a", "size=0", "type=dir"]], &[]) => "`size` has no place here";
    soname_of_a_dir: manifest(&[&["mode=0755", "path=a", "soname=a", "type=dir"]], &[]) => "`soname` has no place here";
    owner_of_a_ghost: manifest(&[&["owner=a", "path=a", "type=ghost"]], &[]) => "`a` is a ghost and can have no `owner`";
    mtime_of_a_hardlink: manifest(&[&[&digest("a"), "mode=0644", "path=a", "size=1", "type=file"], &["mtime=1", "path=b", "target=a", "type=hardlink"]], &["a"])
        => "`b` is a hardlink and can have no `mtime`";
    xattr_of_a_symlink: manifest(&[&["path=a", "target=b", "type=symlink", "xattr=user.a\x00"]], &[]) => "`a` is a symlink and can have no `xattr`";
    use_of_a_fifo: manifest(&[&["mode=0600", "path=a", "type=fifo", "use=doc"]], &[]) => "`a` is a fifo and can have no `use`";
    unsorted_paths: manifest(&[&["path=b", "type=ghost"], &["path=a", "type=ghost"]], &[]) => "`a` stands after `b`";
    paths_sorted_with_the_slash_as_itself: manifest(
        &[&["mode=0755", "path=a", "type=dir"], &["path=a-b", "type=ghost"], &["path=a/b", "type=ghost"]], &[]
    ) => "`a/b` stands after `a-b`";
    repeated_path: manifest(&[&["path=a", "type=ghost"], &["path=a", "type=ghost"]], &[]) => "`a` is listed twice";
    missing_parent: manifest(&[&["path=a/b", "type=ghost"]], &[]) => "`a/b` is listed, but `a` is not";
    missing_parent_between: manifest(&[&["mode=0755", "path=a", "type=dir"], &["path=a/b/c", "type=ghost"]], &[]) => "`a/b/c` is listed, but `a/b` is not";
    parent_that_is_no_dir: manifest(&[&["path=a", "type=ghost"], &["path=a/b", "type=ghost"]], &[]) => "`a/b` is listed, but `a` is no dir";
    hardlink_to_nothing: manifest(&[&["path=a", "target=b", "type=hardlink"]], &[]) => "its target must be listed before it";
    hardlink_to_itself: manifest(&[&["path=a", "target=a", "type=hardlink"]], &[]) => "its target must be listed before it";
    hardlink_to_a_dir: manifest(&[&["mode=0755", "path=a", "type=dir"], &["path=b", "target=a", "type=hardlink"]], &[]) => "its target must be a file entry";
    hardlink_before_its_file: manifest(&[&["path=a", "target=b", "type=hardlink"], &[&digest("a"), "mode=0644", "path=b", "size=1", "type=file"]], &["a"])
        => "its target must be listed before it";
    one_digest_with_two_sizes: manifest(&[
        &[&digest("a"), "mode=0644", "path=a", "size=1", "type=file"],
        &[&digest("a"), "mode=0644", "path=b", "size=2", "type=file"],
    ], &["a"]) => "`b` has the digest of `a` but another size";
    more_bytes_than_can_be_counted: manifest(&[
        &[&digest("a"), "mode=0644", "path=a", "size=18446744073709551615", "type=file"],
        &[&digest("b"), "mode=0644", "path=b", "size=1", "type=file"],
    ], &[]) => "the files together have more than 2^64 - 1 bytes";

    // blobs
    unreferenced_blob: refused(&forged(&two_files(), 2, &["x", "b"])) => "is not referenced";
    repeated_blob: refused(&forged(&two_files(), 2, &["a", "a"])) => "stands here again";
    blobs_out_of_order: refused(&forged(&two_files(), 2, &["b", "a"])) => "is out of order";
    blob_of_another_size: refused(&forged(&two_files(), 2, &["aa", "b"])) => "a blob of 2 bytes stands where blob";
    missing_blob: refused(&forged(&two_files(), 2, &["a"])) => "is missing";
    one_blob_too_many: refused(&forged(&two_files(), 2, &["a", "b", "c"])) => "all 2 blobs of the package have come";
    blob_with_an_entry: refused(&seal(&[
        Forged::new(&list(&META), &one_file()),
        Forged::new(&list(&["record=blob", "note=a"]), b"a"),
    ], 1)) => "`note` has no place here";

    // summary
    no_summary: refused(&Forged::new(&list(&META), b"").bytes()) => "record 2, byte 137: the file ends where a record is expected";
    trailing_byte: refused(&[forged(b"", 0, &[]), vec![0]].concat()) => "bytes follow where the end of the file is expected";
    wrong_count_of_blobs: summary(0, "blobs=1") => "the summary says blobs=1, but it is 0";
    wrong_count_of_bytes: summary(1, "bytes=7") => "the summary says bytes=7, but it is 0";
    leading_zero_in_a_count: summary(1, "bytes=00") => "the summary says bytes=00, but it is 0";
    wrong_checksum: summary(2, &format!("checksum={}", Digest::of("x"))) => "the summary says checksum=";
    wrong_count_of_files: summary(3, "files=1") => "the summary says files=1, but it is 0";
    wrong_count_of_records: summary(4, "records=1") => "the summary says records=1, but it is 2";
    missing_count: summary(4, "recordz=2") => "`records` is missing";
    entry_too_many_at_the_end: summary(4, "records=2|z=1") => "`z` has no place here";
    entry_too_many_between: summary(2, "bytez=1") => "`bytez` has no place here";
    data_in_the_summary: refused(&summary_with_data()) => "the summary has 1 bytes of data";
}

fn one_file() -> Vec<u8> {
    list(&[&digest("a"), "mode=0644", "path=a", "size=1", "type=file"])
}

fn two_files() -> Vec<u8> {
    [one_file(), list(&[&digest("b"), "mode=0644", "path=b", "size=1", "type=file"])].concat()
}

/// The refusal of an empty package with another entry in its summary; `|` parts two.
fn summary(index: usize, entry: &str) -> String {
    let package = Forged::new(&list(&META), b"");
    let mut values = summary_of(std::slice::from_ref(&package), 0);
    values.splice(index..=index, entry.split('|').map(str::to_owned));
    refused(&[package.bytes(), Forged::summary(&values).bytes()].concat())
}

fn summary_with_data() -> Vec<u8> {
    let package = Forged::new(&list(&META), b"");
    let mut summary = Forged::summary(&summary_of(std::slice::from_ref(&package), 0));
    summary.head.pop();
    summary.head.extend(size(1));
    summary.data = vec![0];
    [package.bytes(), summary.bytes()].concat()
}

#[test]
fn unknown_metadata_is_kept() {
    let package = seal(&[Forged::new(&with(&["foreign.a=1", "x=", "x=\0\x7f"]), b"")], 0);
    let (record, _) = samples::read(&package).unwrap();
    let other = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
    assert_eq!(record.meta().other, [other("foreign.a", b"1"), other("x", b""), other("x", b"\0\x7f")]);
    assert_eq!(samples::write(&record, &[]), package);
}

#[test]
fn an_empty_value_is_not_an_absent_one() {
    let (record, _) = samples::read(&seal(&[Forged::new(&with(&["url="]), b"")], 0)).unwrap();
    assert_eq!(record.meta().url.as_deref(), Some(""));
}

#[test]
fn what_a_writer_would_write_is_normalised_first() {
    let mut meta = samples::meta();
    meta.groups = vec!["b".into(), "a".into(), "b".into()];
    let record = pkgformat::PackageRecord::new(meta, Default::default()).unwrap();
    assert_eq!(record.meta().groups, ["a", "b"]);
    let read = pkgformat::PackageRecord::decode(&record.encode(), &Default::default()).unwrap();
    assert_eq!(read, record);
}

#[test]
fn what_can_not_be_written_is_refused() {
    let refusal = |change: fn(&mut pkgformat::PackageMeta)| {
        let mut meta = samples::meta();
        change(&mut meta);
        match pkgformat::PackageRecord::new(meta, Default::default()) {
            Err(Error::Meta(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert!(matches!(refusal(|meta| meta.url = Some("\n".into())), MetaError::Value { .. }));
    assert!(matches!(refusal(|meta| meta.description = vec!["a\nb".into()]), MetaError::Value { .. }));
    assert!(matches!(refusal(|meta| meta.tied = Some("a >= 1".parse().unwrap())), MetaError::Value { .. }));
    assert_eq!(refusal(|meta| meta.other = vec![("url".into(), vec![])]), MetaError::Unknown("url".into()));
    assert_eq!(refusal(|meta| meta.other = vec![("record".into(), vec![])]), MetaError::Unknown("record".into()));
    assert_eq!(refusal(|meta| meta.other = vec![("Upper".into(), vec![])]), MetaError::Name("Upper".into()));
}

#[test]
fn errors_say_where() {
    let entries = [list(&["path=a", "type=ghost"]), list(&["path=b", "type=door"])].concat();
    let package = forged(&entries, 2, &[]);
    let at = package.windows(6).position(|window| window == b"path=b").unwrap() as u64 - 2;
    match samples::read(&package) {
        Err(Error::Read { record: 1, offset, problem: Problem::Manifest(ManifestError::Entry { number: 2, .. }) }) => {
            assert_eq!(offset, at);
        }
        other => panic!("{other:?}"),
    }
}
