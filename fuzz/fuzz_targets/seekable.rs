//! Both ways through a seekable file agree, and any bytes are read within bounds or refused.
#![no_main]

use std::io::Read;

use codec::{Bounds, Decoder, SeekTable, SeekableReader};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(table) = SeekTable::parse(bytes) {
        assert_eq!(SeekTable::parse(&table.encode()).expect("it was encoded"), table);
    }
    let bounds = Bounds { bytes: 1 << 20, ratio: 50, slack: 1 << 12, memory: 1 << 20 };
    let Ok(Some(mut reader)) = SeekableReader::open(bytes, bounds) else { return };
    let (mut content, mut whole) = (Vec::new(), Vec::new());
    let is_read = reader.read_to_end(&mut content).is_ok();
    let is_decoded = Decoder::new(bytes, bounds).and_then(|mut decoder| decoder.read_to_end(&mut whole)).is_ok();
    assert!(!is_read || !is_decoded || content == whole);
});
