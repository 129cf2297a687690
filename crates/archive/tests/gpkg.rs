//! Binary packages of Gentoo.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Cursor, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use archive::{ArchiveError, EntryKind, Gpkg, GpkgMetadata, OpenPgpKeys, Options};
use blake2::Blake2b512;
use codec::Format;
use pack::{Tar, compressed};
use sha2::{Digest, Sha512};
use tar::EntryType;

mod damage;
#[expect(dead_code, reason = "other packages need more of it")]
mod pack;

/// The members of a package, without their folder.
type Members = Vec<(&'static str, Vec<u8>)>;

fn metadata() -> Vec<u8> {
    let tar = Tar::new()
        .dir("metadata/")
        .file("metadata/PF", b"hello-2.10-r1\n")
        .file("metadata/RDEPEND", b">=sys-libs/glibc-2.38\n");
    compressed(&tar.finish(), Format::Zstd)
}

fn image() -> Vec<u8> {
    let tar = Tar::new().dir("image/").dir("image/usr/").file("image/usr/a", b"hello\n");
    compressed(&tar.entry("image/usr/h", EntryType::Link, 0o644, b"", "image/usr/a").finish(), Format::Zstd)
}

fn manifest(members: &Members) -> String {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let line = |(name, bytes): &(&str, Vec<u8>)| {
        let (blake, sha) = (hex(&Blake2b512::digest(bytes)), hex(&Sha512::digest(bytes)));
        format!("DATA {name} {} BLAKE2B {blake} SHA512 {sha}\n", bytes.len())
    };
    members.iter().map(line).collect()
}

fn members() -> Members {
    vec![("gpkg-1", Vec::new()), ("metadata.tar.zst", metadata()), ("image.tar.zst", image())]
}

fn with_manifest(mut members: Members) -> Members {
    let manifest = manifest(&members);
    members.push(("Manifest", manifest.into_bytes()));
    members
}

fn package(members: &Members) -> Vec<u8> {
    let tar = members.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(&format!("hello-2.10-r1/{name}"), bytes));
    tar.finish()
}

type Seen = Vec<(String, EntryKind, Vec<u8>)>;

fn read_files(package: Gpkg<Cursor<&[u8]>>) -> Result<(GpkgMetadata, Seen), ArchiveError> {
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

fn read(bytes: &[u8]) -> Result<(GpkgMetadata, Seen), ArchiveError> {
    read_files(Gpkg::open(Cursor::new(bytes))?)
}

fn message(members: &Members) -> String {
    read(&package(members)).unwrap_err().to_string()
}

#[test]
fn metadata_and_files_in_any_order() {
    let mut members = with_manifest(members());
    for _ in 0..members.len() {
        members.rotate_left(1);
        let (metadata, seen) = read(&package(&members)).unwrap();
        assert_eq!((&*metadata.name, metadata.is_signed), ("hello-2.10-r1", false));
        assert_eq!(
            (metadata.text("PF"), metadata.text("RDEPEND")),
            (Some("hello-2.10-r1"), Some(">=sys-libs/glibc-2.38"))
        );
        let paths: Vec<_> = seen.iter().map(|(path, ..)| path.as_str()).collect();
        assert_eq!(paths, ["usr", "usr/a", "usr/h"]);
        assert_eq!(seen[1].2, b"hello\n");
        assert!(matches!(&seen[2].1, EntryKind::Hardlink { target } if target.to_string() == "usr/a"));
    }
}

/// The form that was proposed in 2018: a label, no folder, no Manifest, and the files at the top of their archive.
#[test]
fn the_draft() {
    let metadata = compressed(&Tar::new().file("PF", b"hello-1").finish(), Format::Gzip);
    let contents = compressed(&Tar::new().file("usr", b"x").finish(), Format::Xz);
    let tar = Tar::new().entry("gpkg: hello-1", EntryType::new(b'V'), 0, b"", "");
    let bytes = tar.file("metadata.tar.gz", &metadata).file("contents.tar.xz", &contents).finish();
    let (metadata, seen) = read(&bytes).unwrap();
    assert_eq!((metadata.text("PF"), &*metadata.name), (Some("hello-1"), ""));
    assert_eq!(seen, [("usr".to_owned(), EntryKind::File { size: 1 }, b"x".to_vec())]);
}

#[test]
fn members_are_held_to_the_manifest_before_anything_is_given_out() {
    let with = |change: &dyn Fn(&mut Members)| {
        let mut members = with_manifest(members());
        change(&mut members);
        Gpkg::open(Cursor::new(package(&members))).map(|_| ()).unwrap_err().to_string()
    };
    let other = compressed(&Tar::new().file("image/x", b"evil").finish(), Format::Zstd);
    let swapped = with(&|members| members[2].1.clone_from(&other));
    assert!(swapped.contains("the member has another size"), "{swapped}");
    let flipped = with(&|members| *members[2].1.last_mut().unwrap() ^= 1);
    assert!(flipped.starts_with("`image.tar.zst` at byte 2048: its BLAKE2b is "), "{flipped}");
    for (message, part) in [
        (with(&|members| members.push(("image.tar.zst.sig", b"?".to_vec()))), "the `Manifest` does not list it"),
        (with(&|members| drop(members.remove(2))), "there is no such member"),
        (with(&|members| drop(members.pop())), "it has no member `Manifest`"),
        (with(&|members| members[3].0 = "Manifest.gz"), "it has no member `Manifest`"),
        (with(&|members| members[3].1 = b"DATA gpkg-1 0 MD5 0".to_vec()), "it has neither BLAKE2B nor SHA512"),
        (with(&|members| members[3].1 = b"EBUILD x".to_vec()), "`DATA`, a name and a size are expected"),
        (with(&|members| members.push(("gpkg-1", Vec::new()))), "it comes twice"),
    ] {
        assert!(message.contains(part), "{message}");
    }
}

/// The checksum of such a member is of other bytes than stand in the file, where the image is read from again.
#[test]
fn a_member_with_holes_is_refused() {
    let mut image = image();
    image.splice(0..0, vec![0; 512]);
    let all =
        with_manifest(vec![("gpkg-1", Vec::new()), ("metadata.tar.zst", metadata()), ("image.tar.zst", image.clone())]);
    let folder = |name: &str| format!("hello-2.10-r1/{name}");
    let tar = all.iter().fold(Tar::new(), |tar, (name, bytes)| match *name {
        "image.tar.zst" => tar.sparse(&folder(name), image.len() as u64, &image[512..]),
        _ => tar.file(&folder(name), bytes),
    });
    let refusal = Gpkg::open(Cursor::new(&*tar.finish())).map(|_| ()).unwrap_err().to_string();
    assert!(refusal.ends_with("a member with holes"), "{refusal}");
}

#[test]
fn members_that_are_missing_or_too_many() {
    let none = |names: &[&str]| {
        let mut members = members();
        members.retain(|(name, _)| !names.contains(name));
        message(&with_manifest(members))
    };
    assert!(none(&["image.tar.zst"]).ends_with("it has no member `image.tar`"));
    assert!(none(&["metadata.tar.zst"]).ends_with("it has no member `metadata.tar`"));
    let mut twice = members();
    twice.push(("image.tar.gz", image()));
    assert!(message(&with_manifest(twice)).ends_with("it has two members `image.tar`"));
    let two_folders = Tar::new().file("a/gpkg-1", b"").file("b/Manifest", b"").finish();
    assert!(read(&two_folders).unwrap_err().to_string().ends_with("the members do not stand in one folder"));
    let outside = compressed(&Tar::new().file("usr/a", b"").finish(), Format::Zstd);
    let mut members = members();
    members[2].1 = outside;
    assert!(message(&with_manifest(members)).ends_with("it is not in the folder `image`"));
}

#[test]
fn damage_is_told_or_harmless() {
    damage::is_harmless(&package(&with_manifest(members())), read);
}

/// A key ring in a folder of its own.
struct Gpg<'f>(&'f Path);

impl Gpg<'_> {
    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .args(["--homedir", self.0.to_str().unwrap(), "--batch", "--quiet", "--no-tty", "--passphrase", ""])
            .args(["--pinentry-mode", "loopback"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn fingerprint(&self, user: &str) -> String {
        let listed = self.run(&["--with-colons", "--list-keys", user], b"");
        let listed = String::from_utf8(listed).unwrap();
        listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap().trim_end_matches(':').to_owned()
    }

    fn keys(&self, user: &str) -> OpenPgpKeys {
        OpenPgpKeys::parse(&self.run(&["--export", user], b"")).unwrap()
    }

    fn sign(&self, user: &str, mut members: Members) -> Members {
        let sign = |bytes: &[u8]| self.run(&["-u", user, "--detach-sign"], bytes);
        let (metadata, image) = (sign(&members[1].1), sign(&members[2].1));
        members.extend([("metadata.tar.zst.sig", metadata), ("image.tar.zst.sig", image)]);
        let manifest = self.run(&["-u", user, "--clear-sign"], manifest(&members).as_bytes());
        members.push(("Manifest", manifest));
        members
    }
}

impl Drop for Gpg<'_> {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").args(["--homedir", self.0.to_str().unwrap_or("."), "--kill", "all"]).output();
    }
}

fn open(members: &Members, keys: &OpenPgpKeys) -> Result<(), ArchiveError> {
    Gpkg::open_signed(Cursor::new(package(members)), keys).map(|_| ())
}

#[expect(clippy::print_stderr, reason = "a test that is passed over says so")]
fn has_gpg() -> bool {
    let has = Command::new("gpg").arg("--version").output().is_ok();
    if !has {
        eprintln!("passed over: there is no gpg");
    }
    has
}

/// Signatures as Portage has gpg make them; passed over where there is no gpg.
#[test]
fn signatures_of_gpg() {
    if !has_gpg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gpg = Gpg(folder.path());
    for (user, algorithm) in [("ed", "ed25519"), ("rsa", "rsa2048"), ("other", "ed25519")] {
        gpg.run(&["--quick-generate-key", user, algorithm, "sign", "never"], b"");
    }
    let keys = OpenPgpKeys::parse(&gpg.run(&["--export", "ed", "rsa"], b"")).unwrap();
    let armored = OpenPgpKeys::parse(&gpg.run(&["--export", "--armor", "ed"], b"")).unwrap();

    for user in ["ed", "rsa"] {
        let members = gpg.sign(user, members());
        open(&members, &keys).unwrap();
        let (metadata, seen) = read(&package(&members)).unwrap();
        assert!(metadata.is_signed);
        assert_eq!(seen.len(), 3, "and without keys");
    }
    let signed = gpg.sign("ed", members());
    open(&signed, &armored).unwrap();
    let refused = |members: &Members| open(members, &keys).unwrap_err().to_string();

    let foreign = gpg.sign("other", members());
    assert_eq!(refused(&foreign), "the signature of `Manifest` is not good: none of the keys made it");
    assert_eq!(refused(&with_manifest(members())), "`Manifest` is not signed, but a signature is expected");

    // A Manifest that is signed, and a member that is not.
    let mut bare = members();
    let text = gpg.run(&["-u", "ed", "--clear-sign"], manifest(&bare).as_bytes());
    bare.push(("Manifest", text));
    assert_eq!(refused(&bare), "`metadata.tar.zst` is not signed, but a signature is expected");

    // A good signature of something else.
    let mut swapped = members();
    let other = gpg.run(&["-u", "ed", "--detach-sign"], b"something else");
    let good = gpg.run(&["-u", "ed", "--detach-sign"], &swapped[1].1);
    swapped.extend([("metadata.tar.zst.sig", good), ("image.tar.zst.sig", other)]);
    let text = gpg.run(&["-u", "ed", "--clear-sign"], manifest(&swapped).as_bytes());
    swapped.push(("Manifest", text));
    assert!(refused(&swapped).starts_with("the signature of `image.tar.zst` is not good: "), "{}", refused(&swapped));

    // A Manifest that was changed after it was signed.
    let mut changed = signed.clone();
    let manifest = changed.last_mut().unwrap();
    manifest.1 = String::from_utf8(manifest.1.clone()).unwrap().replace("DATA gpkg-1 0", "DATA  gpkg-1 0").into_bytes();
    assert!(refused(&changed).starts_with("the signature of `Manifest` is not good: "), "{}", refused(&changed));
}

/// Subkeys, and keys that lapsed or were revoked; passed over where there is no gpg.
#[test]
fn keys_that_may_not_sign() {
    if !has_gpg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let gpg = Gpg(folder.path());
    let refused = |user: &str, members: &Members| open(members, &gpg.keys(user)).unwrap_err().to_string();

    gpg.run(&["--quick-generate-key", "parted", "ed25519", "cert", "never"], b"");
    gpg.run(&["--quick-add-key", &gpg.fingerprint("parted"), "ed25519", "sign", "never"], b"");
    open(&gpg.sign("parted", members()), &gpg.keys("parted")).unwrap();

    let year = ["--faked-system-time", "20200101T000000"];
    gpg.run(&[&year[..], &["--quick-generate-key", "lapsed", "ed25519", "sign", "never"]].concat(), b"");
    let signed = gpg.sign("lapsed", members());
    open(&signed, &gpg.keys("lapsed")).unwrap();
    let later = ["--faked-system-time", "20200601T000000", "--quick-set-expire", &gpg.fingerprint("lapsed"), "1y"];
    gpg.run(&later, b"");
    let reason = "the signature of `Manifest` is not good: it was not made while its key was valid";
    assert_eq!(refused("lapsed", &signed), reason);

    gpg.run(&["--quick-generate-key", "revoked", "ed25519", "sign", "never"], b"");
    let signed = gpg.sign("revoked", members());
    open(&signed, &gpg.keys("revoked")).unwrap();
    let revocation = folder.path().join(format!("openpgp-revocs.d/{}.rev", gpg.fingerprint("revoked")));
    // gpg puts a colon there so that nobody imports it by mistake.
    gpg.run(&["--import"], std::fs::read_to_string(revocation).unwrap().replace(":-----", "-----").as_bytes());
    assert_eq!(refused("revoked", &signed), "the signature of `Manifest` is not good: its key is revoked");
}

#[test]
fn what_are_no_keys() {
    for bytes in [&b""[..], b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", b"\x99\x01", &[0; 100]] {
        assert!(matches!(OpenPgpKeys::parse(bytes), Err(ArchiveError::Keys { .. })), "{bytes:?}");
    }
}
