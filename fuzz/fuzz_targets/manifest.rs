//! Any bytes are refused or are a manifest that would be written just so.
#![no_main]

libfuzzer_sys::fuzz_target!(|manifest: &[u8]| {
    let bytes = fuzz::package::with_manifest(manifest);
    if let Ok(record) = pkgformat::PackageRecord::decode(&bytes, &fuzz::package::limits()) {
        assert_eq!(record.encode(), bytes);
    }
});
