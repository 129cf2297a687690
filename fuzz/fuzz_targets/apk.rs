//! Any bytes are an apk package within bounds or refused: as they are, and as the archives in one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (control, data) = fuzz::foreign::halves(bytes);
    for apk in [bytes, &fuzz::foreign::sealed_apk(control, data)] {
        let Ok(apk) = archive::Apk::open(apk) else { continue };
        let mut taker = fuzz::foreign::Taker::default();
        let result = apk.read_files(&fuzz::foreign::options(), |entry, data| taker.take(entry, data));
        taker.check(&result);
    }
});
