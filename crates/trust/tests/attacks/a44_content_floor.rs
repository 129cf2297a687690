//! A junior's word does not do for a package that would make its signer more than that.

use pkgformat::{Entry, EntryKind, Manifest, PackageRecord, Trigger, Xattr};
use pkgtypes::{Digest, Mode, PkgPath};
use trust::{ReasonCode, Store, Tier};

use crate::a38_tampered_trust_dir::TrustDir;
use crate::fixture::*;

fn store_of(tier: Tier) -> Store {
    store([key_file(&secret(1), tier, "jun", "")])
}

fn with(path: &str, mode: u32, change: impl FnOnce(&mut Entry)) -> PackageRecord {
    let kind = EntryKind::File { mode: Mode::from_raw(mode), size: 2, digest: Digest::of("hi"), elf: None };
    let mut entry = Entry::new(PkgPath::new(path.as_bytes()).unwrap(), kind);
    change(&mut entry);
    let above = std::iter::successors(entry.path.parent(), PkgPath::parent);
    let dir = |path| Entry::new(path, EntryKind::Dir { mode: Mode::from_raw(0o755) });
    let mut entries: Vec<Entry> = above.map(dir).collect();
    entries.reverse();
    entries.push(entry);
    PackageRecord::new(record("zlib").meta().clone(), Manifest::new(entries).unwrap()).unwrap()
}

/// Where the administrator has links, their trust directory has another name.
#[test]
fn what_makes_keys_trusted_behind_a_link_needs_a_trusted_one() {
    let dir = TrustDir::new();
    dir.add(Tier::Junior, "jun.pub", &secret(1).public_line());
    std::fs::create_dir(dir.path().join("mnt")).unwrap();
    std::fs::rename(dir.path().join("etc"), dir.path().join("mnt/etc")).unwrap();
    std::os::unix::fs::symlink("way", dir.path().join("etc")).unwrap();
    std::os::unix::fs::symlink("/mnt/etc", dir.path().join("way")).unwrap();
    let store = dir.open().unwrap();
    let code = |record: &PackageRecord| judge(&store, record, &signed(record, &secret(1))).code();
    for path in ["mnt/etc/trust.d/keys/trusted/x.pub", "etc/trust.d/x", "way", "mnt"] {
        assert_eq!(code(&with(path, 0o644, |_| {})), ReasonCode::Floor, "{path}");
    }
    assert_eq!(code(&with("mnt/etc/passwd", 0o644, |_| {})), ReasonCode::Accept);
}

/// The lowest tier whose signature does.
fn needed(record: &PackageRecord) -> Tier {
    let archive = signed(record, &secret(1));
    let codes =
        [Tier::Junior, Tier::Senior, Tier::Trusted].map(|tier| (tier, judge(&store_of(tier), record, &archive)));
    for (tier, decision) in codes {
        match decision.code() {
            ReasonCode::Accept => return tier,
            code => assert_eq!(code, ReasonCode::Floor, "{tier}"),
        }
    }
    panic!("no tier does");
}

#[test]
fn what_makes_keys_trusted_needs_a_trusted_one() {
    for path in
        ["etc/trust.d/keys/trusted/x.pub", "etc/trust.d", "usr/lib/trust.d/policy.toml", "lib/trust.d/policy.toml"]
            .into_iter()
            // What is no folder there may be a link that leads elsewhere.
            .chain(["etc", "usr", "usr/lib"])
    {
        assert_eq!(needed(&with(path, 0o644, |_| {})), Tier::Trusted, "{path}");
    }
    for path in ["etc/trust.dx", "usr/bin/tool", "opt/etc/trust.d/x", "boots", "boot"] {
        assert_eq!(needed(&with(path, 0o755, |_| {})), Tier::Junior, "{path}");
    }
}

#[test]
fn what_gets_rights_needs_a_senior_one() {
    assert_eq!(needed(&with("usr/bin/su", 0o4755, |_| {})), Tier::Senior);
    assert_eq!(needed(&with("usr/bin/wall", 0o2755, |_| {})), Tier::Senior);
    assert_eq!(needed(&with("boot/vmlinuz", 0o644, |_| {})), Tier::Senior);
    let capable = |entry: &mut Entry| {
        entry.xattrs = vec![Xattr { name: (*b"security.capability").into(), value: (*b"x").into() }];
    };
    assert_eq!(needed(&with("usr/bin/ping", 0o755, capable)), Tier::Senior);
    let device = |entry: &mut Entry| {
        entry.kind = EntryKind::Block { mode: Mode::from_raw(0o600), major: 8, minor: 0 };
    };
    assert_eq!(needed(&with("dev/sda", 0o600, device)), Tier::Senior);
    let mut meta = record("zlib").meta().clone();
    meta.scripts.post_install = Some(Digest::of("rm -rf /"));
    assert_eq!(needed(&PackageRecord::new(meta, Manifest::default()).unwrap()), Tier::Senior);
    let mut meta = record("zlib").meta().clone();
    meta.triggers = vec![Trigger { glob: "usr/lib/**".to_owned(), command: "ldconfig".to_owned() }];
    assert_eq!(needed(&PackageRecord::new(meta, Manifest::default()).unwrap()), Tier::Senior);
}
