//! Installs a package file into a root that trusts one who signed it: `install_signed ROOT FILE.kpkg`.
//!
//! The function is all that it takes. `cargo test` runs the test below it.

use std::error::Error;
use std::fs::File;
use std::path::Path;
use std::time::SystemTime;

use installdb::{Done, Incoming, InstallDb, Request, Source};
use pkgformat::{Limits, Reader};
use trust::{SigArchive, Store, SystemClock, Want};

fn install(root: &Path, file: &Path) -> Result<Done, Box<dyn Error>> {
    let reader = Reader::open(Source::new(File::open(file)?), Limits::default())?;
    let record = reader.package().clone();
    let signatures = SigArchive::load(SigArchive::path_beside(file))?;
    let decision = trust::evaluate(&Store::open(root)?, &Want::default(), &record, &signatures, &SystemClock);
    let package = Incoming::new(decision.into_verified(record)?, reader)?;
    let mut db = InstallDb::open(root)?;
    let mut request = Request::new(SystemTime::now().into());
    request.install.push(package.wanted());
    Ok(db.plan(request)?.check()?.stage(&mut ())?.commit()?.finish(SystemClock)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [root, file] = &arguments[..] else { return Err("ROOT FILE".into()) };
    install(root.as_ref(), file.as_ref()).map(drop)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

    use std::fs;

    use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Writer};
    use pkgtypes::{Digest, Mode, PkgPath};
    use trust::{Refusal, SecretKey, SignOptions, sign_package};

    use super::*;

    /// A package with one file.
    fn pack(file: &Path) -> PackageRecord {
        let kind = EntryKind::File { mode: Mode::from_raw(0o644), size: 2, digest: Digest::of("hi"), elf: None };
        let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice()).unwrap(), kind)]).unwrap();
        let [name, version, release, arch] = ["hello", "1", "1", "noarch"];
        let parts = (name.parse().unwrap(), version.parse().unwrap(), release.parse().unwrap(), arch.parse().unwrap());
        let record = PackageRecord::new(PackageMeta::new(parts.0, parts.1, parts.2, parts.3), manifest).unwrap();
        let mut writer = Writer::new(File::create(file).unwrap(), &record).unwrap();
        writer.blob(2, &b"hi"[..]).unwrap();
        writer.finish().unwrap();
        record
    }

    #[test]
    fn what_a_trusted_key_signed_is_installed_and_nothing_else() {
        let scratch = tempfile::tempdir().unwrap();
        let (root, file) = (scratch.path().join("root"), scratch.path().join("hello.kpkg"));
        let keys = root.join("etc/trust.d/keys/trusted");
        fs::create_dir_all(&keys).unwrap();
        let record = pack(&file);
        let refused = install(&root, &file).unwrap_err();
        assert!(refused.is::<Refusal>() && !root.join("var").exists(), "{refused}");

        let secret = SecretKey::generate("ann").unwrap();
        fs::write(keys.join("ann.pub"), format!("{}\nowner: ann\n", secret.public_line())).unwrap();
        let signed = sign_package(&record, &secret, &SignOptions::local(SystemTime::now().into())).unwrap();
        SigArchive::update(SigArchive::path_beside(&file), |archive| archive.insert(signed)).unwrap();
        install(&root, &file).unwrap();
        assert_eq!(fs::read(root.join("greeting")).unwrap(), b"hi");
    }
}
