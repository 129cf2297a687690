//! A writer makes whole packages or says why not.

mod samples;

use std::io::{self, Write};

use pkgformat::record::{self, RecordDigests, SummaryBuilder};
use pkgformat::{Error, Manifest, PackageRecord, Problem, Writer};
use pkgtypes::Digest;
use samples::{file, meta, rich, small, write};

fn problem(result: pkgformat::Result<()>) -> Problem {
    match result {
        Err(Error::BlobContent { number: 1, problem }) => problem,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_promised_content_is_taken() {
    let (record, _) = small();
    let writer = || Writer::new(Vec::new(), &record).unwrap();
    assert!(matches!(problem(writer().blob(2, &b"ho"[..])), Problem::Content { .. }));
    assert!(matches!(problem(writer().blob(3, &b"hi!"[..])), Problem::BlobSize { size: 2, found: 3, .. }));
    assert!(matches!(problem(writer().blob(2, &b"h"[..])), Problem::Length { size: 2, found: 1 }));
    assert!(matches!(problem(writer().blob(2, &b"hi!"[..])), Problem::Length { size: 2, .. }));
    assert!(matches!(writer().finish(), Err(Error::BlobContent { problem: Problem::MissingBlob { .. }, .. })));
}

#[test]
fn a_blob_too_many_is_refused() {
    let (record, _) = small();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    writer.blob(2, &b"hi"[..]).unwrap();
    assert!(writer.due().is_none());
    let refusal = writer.blob(2, &b"hi"[..]);
    assert!(matches!(refusal, Err(Error::BlobContent { number: 2, problem: Problem::ExtraBlob { blobs: 1 } })));
}

#[test]
fn after_a_failure_nothing_can_be_finished() {
    let manifest = Manifest::new(vec![file("a", b"a"), file("b", b"b")]).unwrap();
    let record = PackageRecord::new(meta(), manifest).unwrap();
    let mut writer = Writer::new(Vec::new(), &record).unwrap();
    assert!(writer.blob(1, &b"x"[..]).is_err());
    assert!(matches!(writer.blob(1, &b"a"[..]), Err(Error::WriterFailed)));
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full(usize);
    impl Write for Full {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (record, contents) = small();
    let whole = write(&record, &contents).len();
    for space in 0..whole {
        let written = Writer::new(Full(space), &record).and_then(|mut writer| {
            writer.blob(2, &b"hi"[..])?;
            writer.finish().map(|_| ())
        });
        assert!(matches!(written, Err(Error::Write(error)) if error.kind() == io::ErrorKind::StorageFull), "{space}");
    }
}

/// What `record` promises a packer that lays out the file itself.
#[test]
fn a_package_put_together_by_hand_is_the_same() {
    let (package, contents) = rich();
    let mut bytes = package.encode();
    let mut summary = SummaryBuilder::new();
    summary.record(&package.digests());
    for content in &contents {
        let head = record::blob_head(content.len() as u64);
        let digests = RecordDigests { head: Digest::of(&head), data: Digest::of(content) };
        let start = bytes.len() as u64;
        for part in [&*head, digests.head.as_bytes(), content, digests.data.as_bytes()] {
            bytes.extend_from_slice(part);
        }
        assert_eq!(Some(bytes.len() as u64 - start), record::blob_len(content.len() as u64));
        assert!(summary.blob(&digests, content.len() as u64));
    }
    bytes.extend(summary.finish(package.manifest().entries().len() as u64).encode());
    assert_eq!(bytes, write(&package, &contents));
}

#[test]
fn the_id_is_the_digest_of_both_checksums() {
    let (package, _) = rich();
    let bytes = package.encode();
    let data = Digest::from_bytes(bytes[bytes.len() - 32..].try_into().unwrap());
    let digests = package.digests();
    assert_eq!(digests.data, data);
    let both = [*digests.head.as_bytes(), *digests.data.as_bytes()].concat();
    assert_eq!(package.id().digest(), Digest::of(both));
}
