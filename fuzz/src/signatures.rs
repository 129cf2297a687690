//! Signature archives out of fuzzer input.

use pkgformat::{Meta, RawWriter};

/// An archive with these bytes for its only row.
pub fn archive(row: &[u8]) -> Vec<u8> {
    let meta = |kind| Meta::new::<&str, &str>(kind, []).expect("the kind is in the grammar");
    let mut writer = RawWriter::new(Vec::new());
    for (kind, data) in [("signatures", &b""[..]), ("statement", row)] {
        writer.record(&meta(kind), data).expect("a vector takes all bytes");
    }
    writer.finish().expect("a vector takes all bytes").0
}
