//! Any bytes are OpenPGP keys or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = archive::OpenPgpKeys::parse(bytes);
});
