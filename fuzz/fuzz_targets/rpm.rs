//! Any bytes are an rpm package within bounds or refused: as they are, and as header and payload of one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (header, payload) = fuzz::foreign::halves(bytes);
    for rpm in [bytes, &fuzz::foreign::sealed_rpm(header, payload)] {
        let Ok(rpm) = archive::Rpm::open(rpm) else { continue };
        let mut taker = fuzz::foreign::Taker::default();
        let result = rpm.read_files(&fuzz::foreign::options(), |entry, data| taker.take(entry, data));
        taker.check(&result);
    }
});
