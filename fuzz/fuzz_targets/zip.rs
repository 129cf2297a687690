//! Any bytes are a zip archive within bounds or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut taker = fuzz::foreign::Taker::default();
    let source = std::io::Cursor::new(bytes);
    let result = archive::read_zip(source, &fuzz::foreign::options(), |entry, data| taker.take(entry, data));
    taker.check(&result);
});
