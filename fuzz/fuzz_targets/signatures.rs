//! Any bytes are refused, or are a signature archive, a row of one, a statement, a signature that would be written just so.
#![no_main]

use std::path::Path;

use trust::{KeyFile, PACKAGE_NAMESPACE, SigArchive, SshSig, Statement, Tier};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let row = fuzz::signatures::archive(bytes);
    for archive in [bytes, &row] {
        if let Ok(read) = SigArchive::read(archive, "it") {
            let written = read.write(Vec::new()).expect("a vector takes all bytes");
            assert_eq!(SigArchive::read(&*written, "it").expect("it was written"), read);
            assert!(!archive.starts_with(&pkgformat::record::MAGIC) || written == archive);
        }
    }
    if let Ok(statement) = Statement::parse(bytes) {
        assert_eq!(statement.to_string().as_bytes(), bytes);
    }
    if let Ok(signature) = SshSig::from_blob(bytes, PACKAGE_NAMESPACE) {
        assert_eq!(signature.to_blob(), bytes);
    }
    let _ = SshSig::from_armored(&String::from_utf8_lossy(bytes), PACKAGE_NAMESPACE);
    let _ = KeyFile::parse(bytes, Path::new("it.pub"), Tier::Junior);
});
