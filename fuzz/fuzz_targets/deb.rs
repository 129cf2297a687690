//! Any bytes are a Debian package within bounds or refused: as they are, and as the archives in one.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (control, data) = fuzz::foreign::halves(bytes);
    for deb in [bytes, &fuzz::foreign::sealed_deb(control, data)] {
        let Ok(deb) = archive::Deb::open(deb) else { continue };
        let mut taker = fuzz::foreign::Taker::default();
        let result = deb.read_files(&fuzz::foreign::options(), |entry, data| taker.take(entry, data));
        taker.check(&result);
    }
});
