//! The example in the specification is a package file.

mod samples;

use std::io::Read;

use codec::{Bounds, Decoder, SeekTable};
use pkgtypes::Digest;
use samples::open;

const COMPRESSION: &str = include_str!("../../../docs/format/compression.md");
const PACKAGE: &str = include_str!("../../../docs/format/package.md");

/// The bytes of the example: hex digits up to `;` in each line.
fn example(specification: &str) -> Vec<u8> {
    let (_, rest) = specification.split_once("```hex\n").expect("the example begins");
    let (dump, _) = rest.split_once("```").expect("the example ends");
    let digits = dump.lines().map(|line| line.split(';').next().unwrap_or_default());
    let bytes = digits.flat_map(str::split_whitespace).map(|digits| u8::from_str_radix(digits, 16));
    bytes.collect::<Result<_, _>>().expect("the example is hex")
}

#[test]
fn the_example_holds_the_package() {
    let mut plain = Vec::new();
    Decoder::new(&*example(COMPRESSION), Bounds::default()).unwrap().read_to_end(&mut plain).unwrap();
    assert!(plain == example(PACKAGE));
}

#[test]
fn the_example_has_a_frame_for_each_record() {
    let file = example(COMPRESSION);
    let table = SeekTable::read(&file).unwrap().unwrap();
    let mut package = open(&*file).unwrap();
    let ends: Vec<u64> = table.frames().map(|frame| frame.content.end).collect();
    let record = package.record().encoded_len();
    assert_eq!(ends, [record, record + pkgformat::record::blob_len(3).unwrap(), example(PACKAGE).len() as u64]);
    let mut content = String::new();
    package.blob(&Digest::of("hi\n")).unwrap().read_to_string(&mut content).unwrap();
    assert_eq!(content, "hi\n");
}

/// What the text says of the example's frames.
#[test]
fn the_example_is_as_the_text_says() {
    let file = example(COMPRESSION);
    let table = SeekTable::read(&file).unwrap().unwrap();
    for frame in table.frames() {
        let (packed, content) = (frame.packed.end - frame.packed.start, frame.content.end - frame.content.start);
        assert!(COMPRESSION.contains(&format!("; {packed} bytes hold {content}\n")), "{packed} bytes hold {content}");
    }
    assert!(COMPRESSION.contains(&format!("The file has {} bytes", file.len())));
}
