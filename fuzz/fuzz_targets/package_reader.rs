//! Any bytes are refused or are a package that would be written just so.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok((record, contents)) = fuzz::package::read(bytes) {
        assert_eq!(fuzz::package::write(&record, &contents), bytes);
    }
});
