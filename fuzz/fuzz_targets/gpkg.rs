//! Any bytes are a gpkg package within bounds or refused: as they are, and as the archives in one.
#![no_main]

use std::io::Cursor;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (metadata, contents) = fuzz::foreign::halves(bytes);
    for gpkg in [fuzz::foreign::sealed_tar(bytes), fuzz::foreign::sealed_gpkg(metadata, contents)] {
        let Ok(gpkg) = archive::Gpkg::open(Cursor::new(gpkg)) else { continue };
        let mut taker = fuzz::foreign::Taker::default();
        let result = gpkg.read_files(&fuzz::foreign::options(), |entry, data| taker.take(entry, data));
        taker.check(&result);
    }
});
