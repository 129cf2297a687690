//! Pacman packages.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use archive::{ArchiveError, EntryKind, Options, Pacman, PacmanMetadata};
use codec::Format;
use pack::{Tar, compressed};
use sha2::{Digest, Sha256};
use tar::EntryType;

mod damage;
#[expect(dead_code, reason = "other packages need more of it")]
mod pack;

const INFO: &str = "# made\npkgname = hello\npkgbase = hello\npkgver = 1:2.10-3\npkgdesc = greets\nbuilddate = 5\nsize = 12\n\
    arch = any\nlicense = MIT\nbackup = etc/hello\ndepend = glibc>=2.38\ndepend = bash\noptdepend = foo: for bar\n\
    conflict = bad<2\nprovides = greeter=2\nreplaces = old\nxdata = pkgtype=pkg\n";
const INSTALL: &str = "post_install() {\n  echo hi\n}\npre_remove() {\n  :\n}\n";

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The list as makepkg has bsdtar write it.
fn list() -> String {
    format!(
        "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.INSTALL time=1.0 size={} sha256digest={}\n./.PKGINFO sha256digest={}\n\
        ./usr time=1.0 mode=755 type=dir\n./usr/a\\040b time=1.0 size=6 md5digest=b1946ac92492d2347c6235b4d2611184 sha256digest={}\n\
        ./usr/hard time=1.0 size=6 sha256digest={}\n./usr/l type=link link=a\\040b\n",
        INSTALL.len(),
        hex(INSTALL.as_bytes()),
        hex(INFO.as_bytes()),
        hex(b"hello\n"),
        hex(b"hello\n"),
    )
}

fn head() -> Tar {
    Tar::new()
        .file(".INSTALL", INSTALL.as_bytes())
        .file(".MTREE", &compressed(list().as_bytes(), Format::Gzip))
        .file(".PKGINFO", INFO.as_bytes())
}

fn sample() -> Tar {
    head().dir("usr/").file("usr/a b", b"hello\n").entry("usr/hard", EntryType::Link, 0o644, b"", "usr/a b").entry(
        "usr/l",
        EntryType::Symlink,
        0o777,
        b"",
        "a b",
    )
}

type Seen = Vec<(String, EntryKind, Vec<u8>)>;

fn read(bytes: &[u8]) -> Result<(PacmanMetadata, Seen), ArchiveError> {
    let package = Pacman::open(bytes)?;
    let metadata = package.metadata().clone();
    let mut seen = Vec::new();
    package.read_files::<ArchiveError>(&Options::default(), |entry, data| {
        let mut content = Vec::new();
        // A broken package is told by `read_files` itself.
        let _ = data.read_to_end(&mut content);
        seen.push((entry.path.to_string(), entry.kind.clone(), content));
        Ok(())
    })?;
    Ok((metadata, seen))
}

fn message(tar: Tar) -> String {
    read(&tar.finish()).unwrap_err().to_string()
}

#[test]
fn files_and_metadata_in_every_compression() {
    for format in [Format::Plain, Format::Gzip, Format::Xz, Format::Zstd] {
        let (metadata, seen) = read(&compressed(&sample().finish(), format)).unwrap();
        assert_eq!((&*metadata.name, &*metadata.version, &*metadata.arch), ("hello", "1:2.10-3", "any"), "{format}");
        assert_eq!(
            (metadata.depends.as_slice(), metadata.installed_size),
            (&["glibc>=2.38".to_owned(), "bash".to_owned()][..], Some(12))
        );
        assert_eq!((&*metadata.backup[0], &*metadata.optional_depends[0]), ("etc/hello", "foo: for bar"));
        assert_eq!(metadata.other, [("xdata".to_owned(), "pkgtype=pkg".to_owned())]);
        assert_eq!(metadata.install_functions(), ["post_install", "pre_remove"]);
        let paths: Vec<_> = seen.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["usr", "usr/a b", "usr/hard", "usr/l"]);
        assert_eq!(seen[1].2, b"hello\n");
        assert!(matches!(&seen[2].1, EntryKind::Hardlink { target } if target.to_string() == "usr/a b"));
    }
}

#[test]
fn files_are_held_to_the_list() {
    let rest = |tar: Tar| {
        tar.entry("usr/hard", EntryType::Link, 0o644, b"", "usr/a b").entry(
            "usr/l",
            EntryType::Symlink,
            0o777,
            b"",
            "a b",
        )
    };
    let tampered = message(rest(head().dir("usr/").file("usr/a b", b"jello\n")));
    assert!(tampered.starts_with("`usr/a b` at byte 0: its SHA-256 is "), "{tampered}");
    for (message, part) in [
        (
            message(rest(head().dir("usr/").file("usr/a b", b"long hello\n"))),
            "its size or target is another one than in `.MTREE`",
        ),
        (message(sample().file("usr/extra", b"")), "`.MTREE` does not list it, or it comes twice"),
        (message(sample().dir("usr/")), "`.MTREE` does not list it, or it comes twice"),
        (message(rest(head().dir("usr/"))), "the file `usr/a b` is missing that `.MTREE` lists"),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn a_package_without_list_is_read_too() {
    let bytes = Tar::new().file(".PKGINFO", INFO.as_bytes()).file("usr", b"x").finish();
    assert_eq!(read(&bytes).unwrap().1[0].2, b"x");
}

#[test]
fn what_is_no_package() {
    for (message, part) in [
        (
            message(Tar::new().file("usr", b"x").file(".PKGINFO", INFO.as_bytes())),
            "it does not begin with a file `.PKGINFO`",
        ),
        (message(Tar::new()), "it does not begin with a file `.PKGINFO`"),
        (message(Tar::new().file(".PKGINFO", b"pkgname = a\nodd\n")), "line 2 of `.PKGINFO` is no field"),
        (message(Tar::new().file(".PKGINFO", b"pkgname = a\narch = any\n")), "`.PKGINFO` has no `pkgver`"),
        (
            message(Tar::new().file(".MTREE", b"usr").file(".PKGINFO", INFO.as_bytes())),
            "line 1 of `.MTREE` can not be read",
        ),
        (message(Tar::new().file(".PKGINFO", INFO.as_bytes()).file("../x", b"")), "`.` and `..` are no components"),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

/// The list is small as it is packed; unpacked it is bounded.
#[test]
fn a_list_that_is_a_bomb() {
    let bomb = compressed(&vec![b'\n'; 8 << 20], Format::Gzip);
    let message = message(Tar::new().file(".MTREE", &bomb).file(".PKGINFO", INFO.as_bytes()));
    assert!(message.contains("this is made to fill memory or disk"), "{message}");
}

/// A package as small as it can be, because every byte of it is tried.
#[test]
fn damage_is_told_or_harmless() {
    let info = b"pkgname = a\npkgver = 1-1\narch = any\n";
    let list = format!("./.PKGINFO sha256digest={}\n./a size=1 sha256digest={}\n", hex(info), hex(b"x"));
    let list = compressed(list.as_bytes(), Format::Gzip);
    let tar = Tar::new().file(".MTREE", &list).file(".PKGINFO", info).file("a", b"x").finish();
    damage::is_harmless(&tar, read);
    damage::is_harmless(&compressed(&tar, Format::Zstd), read);
}

/// Holes make large what is small, so a file of metadata counts with all its bytes.
#[test]
fn metadata_of_holes_take_no_memory() {
    let tar = Tar::new().sparse(".INSTALL", (8 << 30) - 1, b"x").file(".PKGINFO", INFO.as_bytes());
    for bytes in [tar.finish(), Tar::new().sparse(".INSTALL", 17 << 20, b"x").finish()] {
        let refusal = Pacman::open(&*bytes).map(|_| ()).unwrap_err().to_string();
        assert!(
            refusal.contains("its metadata have more than 16777216 bytes") || refusal.contains("bytes of holes"),
            "{refusal}"
        );
    }
}
