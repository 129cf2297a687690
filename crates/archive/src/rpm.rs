use std::io::Read;

use codec::{Bounds, Decoder};

use crate::at::At;
use crate::checksum::{Hasher, Tap};
use crate::source::Source;
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, Entry, Options};

mod files;
mod header;
mod metadata;
mod payload;
mod tag;

pub use metadata::{
    RpmDependency, RpmFile, RpmFileFlags, RpmMetadata, RpmScript, RpmScriptKind, RpmSignature, RpmTrigger,
    RpmTriggerKind,
};

use files::Files;
use header::Header;
use payload::Payload;

const CONTAINER: &str = "rpm package";

/// An rpm package (`.rpm`), format 3 or 4: a signature header, a header, and a compressed cpio archive.
///
/// What the package states is compared: the checksum of the header when it is opened, those of the payload and of every
/// file in it while they are read. OpenPGP signatures are handed out, not checked.
pub struct Rpm<R> {
    reader: R,
    offset: u64,
    metadata: RpmMetadata,
    files: Files,
    /// What the compressed payload, or that with the header before it, must be.
    expected: Vec<(Hasher, Checksum)>,
}

impl<R: Read> Rpm<R> {
    /// Reads up to the end of the header.
    ///
    /// # Errors
    /// What is wrong with the package.
    pub fn open(reader: R) -> Result<Self, ArchiveError> {
        let mut source = Source::new(reader, CONTAINER);
        read_lead(&mut source)?;
        let signature = Header::read(&mut source)?;
        source.align(8)?;
        let header = Header::read(&mut source)?;
        check_header(&signature, &header)?;
        check_payload_format(&header)?;
        let mut metadata = RpmMetadata::read(&signature, &header)?;
        let (files, described) = Files::read(&header)?;
        metadata.files = described;
        let expected = payload_checksums(&signature, &header)?;
        Ok(Self { offset: source.offset(), reader: source.into_inner(), metadata, files, expected })
    }

    /// What the package says of itself.
    pub fn metadata(&self) -> &RpmMetadata {
        &self.metadata
    }

    /// Reads the package's files.
    ///
    /// `each` gets every file of the payload with its data; it need not read them. A file with several names comes once
    /// as a file, then as hard links. Owners have names and no numbers. Files that are not in the payload (`%ghost`)
    /// stand in [`RpmMetadata::files`] alone, and so does the top folder `/`.
    ///
    /// # Errors
    /// What is wrong with the package, and what `each` returns.
    pub fn read_files<E: From<ArchiveError>>(
        self,
        options: &Options,
        each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let (hashers, expected): (Vec<_>, Vec<_>) = self.expected.into_iter().unzip();
        let (tap, hashers) = Tap::new(self.reader, hashers);
        let io = |source| ArchiveError::Io { offset: self.offset, source };
        let decoder = Decoder::new(tap, Bounds::default()).map_err(io)?;
        Payload::new(decoder, &self.files, &self.metadata.files, options).read(each)?;
        let at = At { container: CONTAINER, entry: "the payload".to_owned(), offset: self.offset };
        for (expected, hasher) in expected.iter().zip(hashers.take()) {
            at.compare(expected, &hasher.finish())?;
        }
        Ok(())
    }
}

/// The lead is there for `file(1)`; all that it says stands in the header too.
fn read_lead<R: Read>(source: &mut Source<R>) -> Result<(), ArchiveError> {
    let lead = source.next_bytes(96)?;
    match lead.as_slice() {
        [0xed, 0xab, 0xee, 0xdb, 3 | 4, ..] => Ok(()),
        [0xed, 0xab, 0xee, 0xdb, major, ..] => {
            Err(source.malformed(0, format!("format {major} of packages is not known, 3 and 4 are")))
        }
        _ => Err(source.malformed(0, "the lead of a package is expected at its beginning")),
    }
}

/// Compares the checksum of the header that the signature header has: the best of them.
fn check_header(signature: &Header, header: &Header) -> Result<(), ArchiveError> {
    let stated = [(tag::SHA256_HEADER, ChecksumAlgorithm::Sha256), (tag::SHA1_HEADER, ChecksumAlgorithm::Sha1)];
    for (tag, algorithm) in stated {
        if let Some(text) = signature.string(tag)? {
            let expected = Checksum::from_hex(algorithm, text);
            let expected = expected.ok_or_else(|| signature.wrong(tag, "it is no such checksum"))?;
            let at = At { container: CONTAINER, entry: "the header".to_owned(), offset: header.offset() };
            return at.compare(&expected, &Hasher::of(algorithm, header.as_bytes()));
        }
    }
    Ok(())
}

fn check_payload_format(header: &Header) -> Result<(), ArchiveError> {
    match header.string(tag::PAYLOAD_FORMAT)? {
        None | Some(b"cpio") => Ok(()),
        Some(other) => Err(header.malformed(format!("its payload is of the format `{}`", crate::error::shown(other)))),
    }
}

/// What the payload's bytes must be: by the header; in packages older than that, by the signature header.
fn payload_checksums(signature: &Header, header: &Header) -> Result<Vec<(Hasher, Checksum)>, ArchiveError> {
    if let Some(text) = header.string(tag::PAYLOAD_DIGEST)? {
        let number = header.number(tag::PAYLOAD_DIGEST_ALGO)?.unwrap_or(8);
        let expected = files::algorithm(number).and_then(|algorithm| Checksum::from_hex(algorithm, text));
        let expected = expected.ok_or_else(|| header.wrong(tag::PAYLOAD_DIGEST, "the checksum can not be read"))?;
        return Ok(vec![(Hasher::new(expected.algorithm()), expected)]);
    }
    let Some(bytes) = signature.binary(tag::SIG_MD5) else { return Ok(Vec::new()) };
    let expected = Checksum::new(ChecksumAlgorithm::Md5, bytes);
    let expected = expected.ok_or_else(|| signature.wrong(tag::SIG_MD5, "it is no such checksum"))?;
    let mut hasher = Hasher::new(ChecksumAlgorithm::Md5);
    hasher.update(header.as_bytes());
    Ok(vec![(hasher, expected)])
}
