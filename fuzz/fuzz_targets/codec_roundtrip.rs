//! What was packed comes out again.
#![no_main]

use std::io::{Read, Write};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let format = codec::Format::ALL[1 + usize::from(input.0 % 4)];
    let mut encoder = codec::Encoder::new(Vec::new(), format).expect("these formats are written");
    encoder.write_all(input.1).expect("a vector takes all bytes");
    let (packed, mut content) = (encoder.finish().expect("a vector takes all bytes"), Vec::new());
    let read = codec::Decoder::new(&*packed, codec::Bounds::default()).and_then(|mut d| d.read_to_end(&mut content));
    assert!(read.is_ok() && content == input.1);
});
