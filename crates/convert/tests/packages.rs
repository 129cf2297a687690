//! Packages of every kind, made here, and what becomes of them.
#![expect(clippy::unwrap_used, reason = "a test that fails says so")]

mod made;

use std::io::Read;

use convert::{Converted, Error, Format, LossKind, Options, read};
use made::{Archive, Deb, apk, gpkg, pacman};
use pkgformat::{EntryKind, Limits, PackageMeta, PackageRecord, Reader, Use};
use pkgtypes::PkgPath;

fn convert(bytes: &[u8]) -> Result<Converted, Error> {
    read(bytes, tempfile::tempfile().unwrap(), &Options::default())
}

fn written(converted: &Converted) -> Vec<u8> {
    converted.write_to(Vec::new()).unwrap().0
}

fn path(text: &str) -> PkgPath {
    PkgPath::new(text.as_bytes()).unwrap()
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

fn foreign<'a>(meta: &'a PackageMeta, name: &str) -> Vec<&'a str> {
    let name = format!("foreign.{name}");
    meta.other.iter().filter(|(other, _)| *other == name).map(|(_, value)| str::from_utf8(value).unwrap()).collect()
}

/// The lines of `sort -u` on relations: what a package has after it was read back.
fn relations(record: &PackageRecord) -> [Vec<String>; 6] {
    let meta = record.meta();
    [
        texts(&meta.requires),
        texts(&meta.provides),
        texts(&meta.conflicts),
        texts(&meta.obsoletes),
        texts(&meta.recommends),
        texts(&meta.suggests),
    ]
}

const CONTROL: &str = "Package: sample\nVersion: 1:1.0~rc1-2+b1\nArchitecture: amd64\nMaintainer: Ann <ann@example.org>\n\
    Installed-Size: 12\nSection: libs\nHomepage: https://example.org\nEssential: yes\n\
    Pre-Depends: dpkg (>= 1.15)\nDepends: libc6 (>= 2.36), python3:any | perl (<< 6~), b:amd64 (= 1-1)\n\
    Recommends: docs\nSuggests: more (>> 2)\nProvides: virtual, old, other (= 2-1)\nConflicts: old, gone (<= 1)\n\
    Breaks: late (<< 1.0-1~)\nReplaces: old, late (<< 1.0-1~)\nEnhances: big\n\
    Description: a sample\n first line\n .\n after an empty one\n";

fn sample() -> Deb {
    let data = Archive::new()
        .dir("./", 0o755)
        .dir("./etc", 0o755)
        .file("./etc/sample.conf", 0o640, b"conf\n")
        .owner("./etc/shadowy", 0o600, "ann", "mail")
        .dir("./usr", 0o755)
        .dir("./usr/bin", 0o755)
        .file("./usr/bin/zz", 0o4755, b"program")
        .hardlink("./usr/bin/aa", "./usr/bin/zz")
        .symlink("./usr/bin/link", "zz")
        .device("./usr/bin/null", 1, 3)
        .xattr("./usr/bin/attr", b"with one", "user.colour", "red")
        .xattr("./usr/bin/label", b"with one", "security.selinux", "x")
        .file("./usr/share/doc/sample/copyright", 0o644, b"free")
        .file("./usr/share/doc/sample/README", 0o644, b"read")
        .file("./usr/lib/sysusers.d/sample.conf", 0o644, b"# users\nu sample - \"S\" /\ng others -\nm sample others\n");
    Deb::new(CONTROL, data)
        .with("conffiles", "/etc/sample.conf\n/etc/not-there\n")
        .with("postinst", "#!/bin/sh\nadduser --system --home /nonexistent daemonic\n")
        .with("md5sums", "x  y\n")
        .with("triggers", "activate-noawait ldconfig\n")
}

#[test]
fn the_users_that_debian_begins_with_are_made() {
    let data = Archive::new()
        .dir("./usr/share/base-passwd", 0o755)
        .file("./usr/share/base-passwd/passwd.master", 0o644, b"man:*:6:12:man:/var/cache/man:/usr/sbin/nologin\n")
        .file("./usr/share/base-passwd/group.master", 0o644, b"man:*:12:\nshadow:*:42:\n");
    let converted = convert(&Deb::new(CONTROL, data).build()).unwrap();
    let meta = converted.record().meta();
    assert_eq!(meta.sysusers, ["u man 6:12 \"man\" /var/cache/man /usr/sbin/nologin"]);
    assert_eq!(meta.sysgroups, ["g man 12", "g shadow 42"]);
}

#[test]
fn a_debian_package_says_the_same_in_our_words() {
    let converted = convert(&sample().build()).unwrap();
    let meta = converted.record().meta();
    assert_eq!(converted.format(), Format::Deb);
    assert_eq!(
        (meta.name.as_str(), meta.version.to_string().as_str(), meta.release.0),
        ("sample", "1:1.0~rc1^2+b1", 0)
    );
    assert_eq!((meta.arch.as_str(), meta.url.as_deref()), ("x86_64", Some("https://example.org")));
    assert_eq!(meta.description, ["a sample", "first line", "", "after an empty one"]);
    assert_eq!(meta.groups, ["libs"]);
    assert_eq!(
        relations(converted.record()),
        [
            vec!["b = 1^1", "dpkg >= 1.15", "libc6 >= 2.36", "python3 | perl < 6~"],
            vec!["old", "other = 2^1", "virtual"],
            vec!["gone <= 1", "late < 1.0^1~", "old"],
            vec!["old"],
            vec!["docs"],
            vec!["more > 2"],
        ]
    );
    assert_eq!(meta.sysusers, ["m sample others", "u daemonic - - /nonexistent", "u sample - \"S\" /"]);
    assert_eq!(meta.sysgroups, ["g others -"]);
    for (name, value) in [
        ("format", "deb"),
        ("version", "1:1.0~rc1-2+b1"),
        ("arch", "amd64"),
        ("essential", "yes"),
        ("enhances", "big"),
        ("replaces", "old, late (<< 1.0-1~)"),
        ("control.triggers", "activate-noawait ldconfig\n"),
        ("script.postinst", "#!/bin/sh\nadduser --system --home /nonexistent daemonic\n"),
    ] {
        assert_eq!(foreign(meta, name), [value], "{name}");
    }
    let losses: Vec<_> = converted.report().losses.iter().map(|loss| (loss.kind, loss.what.as_str())).collect();
    assert_eq!(losses, [(LossKind::Script, "postinst"), (LossKind::Attribute, "usr/bin/label: security.selinux"),]);
}

#[test]
fn files_are_as_they_were() {
    let converted = convert(&sample().build()).unwrap();
    let manifest = converted.record().manifest();
    let find = |name: &str| manifest.find(&path(name)).unwrap_or_else(|| panic!("{name} is missing"));
    assert_eq!(find("etc/sample.conf").uses, [Use::Config].into());
    assert_eq!(find("usr/share/doc/sample/copyright").uses, [Use::License].into());
    assert_eq!(find("usr/share/doc/sample/README").uses, [Use::Doc].into());
    assert_eq!(find("etc/shadowy").owner.as_str(), "ann");
    assert_eq!(find("etc/shadowy").group.as_str(), "mail");
    assert_eq!(find("usr/bin/attr").xattrs.len(), 1);
    assert!(find("usr/bin/label").xattrs.is_empty());
    assert_eq!(find("usr/bin/link").kind, EntryKind::Symlink { target: b"zz".to_vec() });
    assert!(matches!(find("usr/bin/null").kind, EntryKind::Char { major: 1, minor: 3, .. }));
    // The first of the names has the file, whichever came first.
    assert_eq!(find("usr/bin/aa").kind.mode().unwrap().bits(), 0o4755);
    assert_eq!(find("usr/bin/zz").kind, EntryKind::Hardlink { target: path("usr/bin/aa") });
    // A folder that nobody listed.
    assert_eq!(find("usr/share/doc").kind.mode().unwrap().bits(), 0o755);
    assert_eq!(find("etc/sample.conf").mtime.seconds(), 1_600_000_000);
}

#[test]
fn what_is_written_can_be_read_and_is_always_the_same() {
    let bytes = sample().build();
    let (first, second) = (written(&convert(&bytes).unwrap()), written(&convert(&bytes).unwrap()));
    assert!(first == second, "equal input, equal bytes");
    let mut reader = Reader::open(&*first, Limits::default()).unwrap();
    let id = reader.package().id();
    let mut contents = Vec::new();
    while let Some(mut blob) = reader.next_blob().unwrap() {
        let mut content = String::new();
        blob.read_to_string(&mut content).unwrap();
        contents.push(content);
    }
    assert_eq!(id, convert(&bytes).unwrap().record().id());
    assert!(contents.contains(&"program".to_owned()));
    assert_eq!(contents.iter().filter(|content| *content == "with one").count(), 1, "equal contents stand once");
}

#[test]
fn relations_that_can_not_be_said_are_listed_and_kept() {
    let control =
        "Package: a\nVersion: 1\nArchitecture: amd64\nDepends: x:i386, y (= 1_2)\nProvides: z (>= 1)\nDescription: d\n";
    let converted = convert(&Deb::new(control, Archive::new()).build()).unwrap();
    let losses: Vec<_> = converted.report().losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(losses, ["Depends: x:i386", "Depends: y (= 1_2)", "Provides: z (>= 1)"]);
    assert!(converted.record().meta().requires.is_empty());
    assert_eq!(foreign(converted.record().meta(), "depends"), ["x:i386", "y (= 1_2)"]);
}

#[test]
fn a_version_without_a_counterpart_is_refused() {
    let control = "Package: a\nVersion: 1_0\nArchitecture: all\nDescription: d\n";
    assert!(matches!(convert(&Deb::new(control, Archive::new()).build()), Err(Error::Version(_))));
}

#[test]
fn libraries_in_the_linkers_folders_have_their_trigger() {
    let elf = std::fs::read_dir("/usr/lib/x86_64-linux-gnu")
        .into_iter()
        .flatten()
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with("libz.so.1"));
    let Some(library) = elf else { return };
    let content = std::fs::read(library.path()).unwrap();
    let data = Archive::new().file("./usr/lib/x86_64-linux-gnu/libz.so.1", 0o644, &content).file(
        "./usr/lib/private/libz.so.1",
        0o644,
        &content,
    );
    let converted =
        convert(&Deb::new("Package: z\nVersion: 1\nArchitecture: amd64\nDescription: d\n", data).build()).unwrap();
    let triggers: Vec<_> = converted.record().meta().triggers.iter().map(|trigger| trigger.glob.as_str()).collect();
    assert_eq!(triggers, ["usr/lib/x86_64-linux-gnu/*.so*"]);
    let entry = converted.record().manifest().find(&path("usr/lib/private/libz.so.1")).unwrap();
    let EntryKind::File { elf: Some(elf), .. } = &entry.kind else { panic!("it is a library") };
    assert_eq!(elf.soname.as_deref(), Some("libz.so.1"));
}

#[test]
fn an_alpine_package_says_the_same_in_our_words() {
    let info = "# Generated by abuild\npkgname = sample\npkgver = 1.2_rc1-r3\npkgdesc = a sample\nurl = https://example.org\narch = x86_64\n\
        license = MIT\norigin = sample\ndepend = so:libc.musl-x86_64.so.1\ndepend = pc:zlib>=1.2\ndepend = busybox~1.36\ndepend = !bad<2-r0\n\
        provides = cmd:sample=1.2_rc1-r3\nprovides = py3.11:thing=1\nreplaces = other\ninstall_if = docs sample\n";
    let bytes =
        apk(info, &[(".post-install", "#!/bin/sh\naddgroup -S x\n")], Archive::new().file("etc/a", 0o644, b"a"));
    let converted = convert(&bytes).unwrap();
    let meta = converted.record().meta();
    assert_eq!((converted.format(), meta.version.to_string().as_str()), (Format::Apk, "1.2~rc1^3"));
    assert_eq!(
        relations(converted.record())[..3],
        [
            vec!["busybox < 1.36_", "busybox >= 1.36~~", "pkgconfig:zlib >= 1.2", "so:libc.musl-x86_64.so.1"],
            vec!["apk:py3.11:thing = 1", "cmd:sample = 1.2~rc1^3"],
            vec!["bad < 2^0"],
        ]
    );
    assert_eq!(converted.record().manifest().find(&path("etc/a")).unwrap().uses, [Use::Config].into());
    let losses: Vec<_> = converted.report().losses.iter().map(|loss| loss.what.as_str()).collect();
    assert_eq!(losses, ["install-if: docs sample", "post-install"]);
}

#[test]
fn a_pacman_package_says_the_same_in_our_words() {
    let info = "# Generated by makepkg 6\npkgname = Sample\npkgver = 1:1.0rc1-2\npkgdesc = a sample\narch = any\nlicense = MIT\nlicense = GPL\n\
        group = base\ndepend = glibc>=2.38\ndepend = libz.so=1-64\ndepend = exact=1.0\noptdepend = perl: for scripts\nprovides = libs.so=2-64\n\
        provides = v=3\nconflict = old<1\nconflict = range=2\nreplaces = old\nbackup = etc/a\n";
    let bytes = pacman(info, &[(".INSTALL", "post_install() { :; }\n")], Archive::new().file("etc/a", 0o644, b"a"));
    let converted = convert(&bytes).unwrap();
    let meta = converted.record().meta();
    assert_eq!(
        (meta.name.as_str(), meta.version.to_string().as_str(), meta.arch.as_str()),
        ("sample", "1:1.0~rc1^2", "noarch")
    );
    assert_eq!(
        relations(converted.record()),
        [
            vec!["exact < 1.0^^", "exact >= 1.0", "glibc >= 2.38", "so:libz.so.1(64bit)"],
            vec!["pacman:Sample = 1:1.0~rc1^2", "so:libs.so.2(64bit)", "v = 3"],
            vec!["old < 1"],
            vec!["old"],
            vec![],
            vec!["perl"],
        ]
    );
    assert_eq!(meta.licenses, ["GPL", "MIT"]);
    assert_eq!(converted.record().manifest().find(&path("etc/a")).unwrap().uses, [Use::Config].into());
    let losses: Vec<_> = converted.report().losses.iter().map(|loss| (loss.kind, loss.what.as_str())).collect();
    assert_eq!(losses, [(LossKind::Name, "Sample"), (LossKind::Relation, "range=2"), (LossKind::Script, "install"),]);
}

#[test]
fn a_gentoo_package_says_the_same_in_our_words() {
    let metadata = [
        ("CATEGORY", "dev-libs"),
        ("PF", "Sample-1.0_rc1-r2"),
        ("SLOT", "0/3"),
        ("CHOST", "x86_64-pc-linux-gnu"),
        ("DESCRIPTION", "a sample"),
        ("HOMEPAGE", "https://example.org https://example.net"),
        ("LICENSE", "MIT"),
        ("USE", "ssl -x"),
        ("DEFINED_PHASES", "compile postinst"),
        ("RDEPEND", ">=dev-libs/a-1.2:0/3=[ssl] || ( x/b x/c ) !x/d f? ( x/e )"),
    ];
    let bytes = gpkg(&metadata, Archive::new().file("etc/a", 0o644, b"a").file("usr/b", 0o644, b"a"));
    let converted = convert(&bytes).unwrap();
    let meta = converted.record().meta();
    assert_eq!(
        (meta.name.as_str(), meta.version.to_string().as_str(), meta.arch.as_str()),
        ("sample", "1.0~rc1^2", "x86_64")
    );
    assert_eq!(
        relations(converted.record())[..3],
        [
            vec!["gentoo:dev-libs/a:0/3 >= 1.2", "gentoo:x/b | gentoo:x/c"],
            vec![
                "gentoo:dev-libs/Sample = 1.0~rc1^2",
                "gentoo:dev-libs/Sample:0 = 1.0~rc1^2",
                "gentoo:dev-libs/Sample:0/3 = 1.0~rc1^2",
                "gpkg:Sample = 1.0~rc1^2",
            ],
            vec!["gentoo:x/d"],
        ]
    );
    assert_eq!(meta.url.as_deref(), Some("https://example.org"));
    assert_eq!(foreign(meta, "use"), ["ssl -x"]);
    assert_eq!(converted.record().manifest().find(&path("etc/a")).unwrap().uses, [Use::Config].into());
    let losses: Vec<_> = converted.report().losses.iter().map(|loss| (loss.kind, loss.what.as_str())).collect();
    assert_eq!(
        losses,
        [
            (LossKind::Name, "Sample"),
            (LossKind::Relation, "RDEPEND: >=dev-libs/a-1.2:0/3=[ssl]"),
            (LossKind::Relation, "RDEPEND: f? ( x/e )"),
            (LossKind::Script, "pkg_postinst"),
        ]
    );
    // The whole package lay in the scratch file too, and harmed no content.
    Reader::open(&*written(&converted), Limits::default()).unwrap().finish().unwrap();
}

#[test]
fn a_tar_archive_needs_to_be_told_what_it_is() {
    let bytes = Archive::new().file("a/b", 0o644, b"c").build();
    assert!(matches!(convert(&bytes), Err(Error::Missing { .. })));
    let meta =
        PackageMeta::new("x".parse().unwrap(), "1".parse().unwrap(), "1".parse().unwrap(), "noarch".parse().unwrap());
    let options = Options { meta: Some(meta), ..Options::default() };
    let converted = read(&*bytes, tempfile::tempfile().unwrap(), &options).unwrap();
    assert_eq!(converted.record().manifest().entries().len(), 2);
}

/// However much of a file it takes to decompress its first bytes.
#[test]
fn a_large_frame_is_told_by_its_content() {
    let mut state = 1u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    })
    .take(300_000)
    .collect();
    let bytes = pacman("pkgname = a\npkgver = 1-1\narch = any\n", &[], Archive::new().file("a", 0o644, &noise));
    assert!(bytes.len() > 200_000, "it must not fit into what is read at once");
    let converted = convert(&bytes).unwrap();
    assert_eq!((converted.format(), converted.record().meta().installed_size), (Format::Pacman, Some(300_000)));
}

#[test]
fn other_files_are_refused() {
    for bytes in [&b""[..], b"hello", b"\xABKPK\x01", &[0; 4096]] {
        assert!(matches!(convert(bytes), Err(Error::Unknown)));
    }
}

#[test]
fn a_path_stands_once_and_links_have_a_file() {
    let control = "Package: a\nVersion: 1\nArchitecture: all\nDescription: d\n";
    let twice = Archive::new().file("./a", 0o644, b"1").file("./a", 0o644, b"2");
    assert!(matches!(convert(&Deb::new(control, twice).build()), Err(Error::Repeated { .. })));
    let nowhere = Archive::new().hardlink("./a", "./b");
    assert!(matches!(convert(&Deb::new(control, nowhere).build()), Err(Error::Hardlink { .. })));
    let outside = Archive::new().file("a/../../b", 0o644, b"1");
    assert!(matches!(convert(&Deb::new(control, outside).build()), Err(Error::Archive(_))));
}

/// Fields that grow with the square of their length, were they handled one against another.
#[test]
fn long_fields_take_no_longer_than_they_should() {
    let many = |item: &str, parting: &str| vec![item; 20_000].join(parting);
    let numbered: Vec<String> = (0..10_000).map(|number| format!("a{number}")).collect();
    let fields = [
        format!("Depends: {}", many("a", "|")),
        format!("Conflicts: {}\nReplaces: {}\nProvides: x", numbered.join(","), numbered.join(",")),
        format!("Depends: {}", many("a:other", ",")),
        (0..10_000).map(|number| format!("X-{number}: y\n")).collect::<String>(),
    ];
    for fields in fields {
        let control = format!("Package: a\nVersion: 1\nArchitecture: all\nDescription: d\n{}\n", fields.trim_end());
        // Whether it fits is not the question here.
        let _ = convert(&Deb::new(&control, Archive::new()).build());
    }
    let users = "adduser --system a\n".repeat(20_000);
    let control = "Package: a\nVersion: 1\nArchitecture: all\nDescription: d\n";
    assert!(convert(&Deb::new(control, Archive::new()).with("postinst", &users).build()).is_ok());
}

/// Damage is an error, or the package is one that can be written and read nonetheless.
#[test]
fn damaged_packages_do_no_harm() {
    let whole = sample().build();
    for length in (0..whole.len()).step_by(97) {
        assert!(convert(&whole[..length]).is_err(), "cut off after {length} bytes");
    }
    let apk = apk("pkgname = a\npkgver = 1-r0\narch = x86_64\n", &[], Archive::new().file("a", 0o644, b"a"));
    let pacman = pacman("pkgname = a\npkgver = 1-1\narch = any\n", &[], Archive::new().file("a", 0o644, b"a"));
    for whole in [whole, apk, pacman] {
        for at in (0..whole.len()).step_by(31) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            if let Ok(converted) = convert(&bytes) {
                Reader::open(&*written(&converted), Limits::default()).unwrap().finish().unwrap();
            }
        }
    }
}
