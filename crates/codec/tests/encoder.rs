//! What is compressed depends on content and level alone.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::io::{Read, Write};

use codec::{Bounds, Decoder, Encoder, EncoderOptions, Error, Format};

const WRITABLE: [Format; 5] = [Format::Plain, Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2];

fn packed(format: Format, options: EncoderOptions, content: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::with_options(Vec::new(), format, &options).unwrap();
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// Text that neither repeats itself soon nor is noise.
fn words(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|number: u64| format!("{} ", number.wrapping_mul(2_654_435_761) % 65_521).into_bytes())
        .take(length)
        .collect()
}

#[test]
fn equal_input_gives_equal_bytes() {
    let content = words(100_000);
    for format in WRITABLE {
        let options = EncoderOptions::default();
        assert_eq!(packed(format, options, &content), packed(format, options, &content), "{format}");
    }
}

#[test]
fn how_the_input_was_cut_does_not_show() {
    let content = words(100_000);
    for format in WRITABLE {
        let mut encoder = Encoder::new(Vec::new(), format).unwrap();
        content.chunks(777).for_each(|part| encoder.write_all(part).unwrap());
        assert!(encoder.finish().unwrap() == packed(format, EncoderOptions::default(), &content), "{format}");
    }
}

#[test]
fn every_level_is_read_back() {
    let content = words(10_000);
    for format in WRITABLE {
        for level in [1, 5, 9] {
            let file = packed(format, EncoderOptions { level: Some(level) }, &content);
            let mut read = Vec::new();
            Decoder::new(&*file, Bounds::default()).unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, content, "{format} {level}");
        }
    }
}

#[test]
fn levels_that_there_are_not() {
    for (format, level) in
        [(Format::Zstd, 0), (Format::Zstd, 23), (Format::Xz, 10), (Format::Gzip, 10), (Format::Bzip2, 0)]
    {
        let options = EncoderOptions { level: Some(level) };
        let error = Encoder::with_options(Vec::new(), format, &options).unwrap_err();
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
        assert!(matches!(inner, Some(Error::Level { .. })), "{error}");
    }
}

#[test]
fn formats_that_are_only_read() {
    for format in [Format::Lzip, Format::Lzma] {
        let error = Encoder::new(Vec::new(), format).unwrap_err();
        assert!(error.to_string().contains("can be read but not written"), "{error}");
    }
}
