//! Any bytes are unpacked within bounds or refused.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bounds = codec::Bounds { bytes: 1 << 20, ratio: 50, slack: 1 << 12, memory: 1 << 20 };
    let Ok(mut decoder) = codec::Decoder::new(bytes, bounds) else { return };
    let read = std::io::copy(&mut decoder, &mut std::io::sink());
    assert!(decoder.used() <= bytes.len() as u64);
    assert!(read.is_err() || decoder.used() == bytes.len() as u64);
    assert!(decoder.taken() <= (1 << 20) + (16 << 10));
});
