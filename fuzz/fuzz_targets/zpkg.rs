//! Any bytes are refused, or are a package in sqlite that comes out as the package it says it is.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = installdb::zpkg::Zpkg::from_bytes(bytes) else { return };
    let _ = (file.check(), file.blobs(), file.loose_paths());
    for id in file.package_ids().unwrap_or_default() {
        if let Ok((package, _)) = file.write_package(&id, Vec::new()) {
            assert_eq!(fuzz::package::id(&package), id);
        }
    }
});
