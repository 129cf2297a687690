//! Any bytes are a pacman package within bounds or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bytes = fuzz::foreign::sealed_tar(bytes);
    let Ok(package) = archive::Pacman::open(&*bytes) else { return };
    let _ = package.metadata().install_functions();
    let mut taker = fuzz::foreign::Taker::default();
    let result = package.read_files(&fuzz::foreign::options(), |entry, data| taker.take(entry, data));
    taker.check(&result);
});
