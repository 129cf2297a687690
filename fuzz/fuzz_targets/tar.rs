//! Any bytes are a tar archive within bounds or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (tar, mut taker) = (fuzz::foreign::sealed_tar(bytes), fuzz::foreign::Taker::default());
    let result = archive::read_tar(&*tar, &fuzz::foreign::options(), |entry, data| taker.take(entry, data));
    taker.check(&result);
});
