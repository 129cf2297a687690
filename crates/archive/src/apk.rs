use std::io::{self, BufRead, BufReader, Read};

use codec::{Bounds, Decoder};
use flate2::bufread::GzDecoder;

use crate::at::At;
use crate::checksum::{Hasher, Tap};
use crate::deliver::deliver;
use crate::error::shown;
use crate::pkginfo::{self, Fields};
use crate::place::strip;
use crate::tar::walk_tar;
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, Entry, EntryKind, Options};

const CONTAINER: &str = "apk package";

/// Bytes that a segment of signatures or metadata may unpack to; scripts have some kilobytes.
const SEGMENT_LIMIT: u64 = 4 << 20;

/// A package of Alpine's apk-tools, format 2 (`.apk`): gzip streams one after another, for signatures, metadata and files.
///
/// What the package states is compared: the checksum of the stream of files, and those of single files. Signatures are
/// handed out with what they are over, not checked.
pub struct Apk<R> {
    reader: BufReader<R>,
    offset: u64,
    metadata: ApkMetadata,
}

/// What an apk package says of itself. Relations are texts such as `so:libc.musl-x86_64.so.1`, `a>=1.2` or `!b`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApkMetadata {
    /// Its name.
    pub name: String,
    /// Version and revision, such as `1.2.3_rc1-r0`.
    pub version: String,
    /// One line for people.
    pub description: Option<String>,
    /// The home page.
    pub url: Option<String>,
    /// Seconds since 1970.
    pub build_date: Option<u64>,
    /// Who packed it.
    pub packager: Option<String>,
    /// Who maintains it.
    pub maintainer: Option<String>,
    /// Bytes of all files together.
    pub installed_size: Option<u64>,
    /// The machine, `noarch` for any.
    pub arch: String,
    /// The name of what it was built together with.
    pub origin: Option<String>,
    /// The commit of the recipe.
    pub commit: Option<String>,
    /// The license, an SPDX expression.
    pub license: Option<String>,
    /// What it needs; with an exclamation mark, what it can not stand beside.
    pub depends: Vec<String>,
    /// What it offers beside itself.
    pub provides: Vec<String>,
    /// Whose files it takes over.
    pub replaces: Vec<String>,
    /// It comes along where all of these are.
    pub install_if: Vec<String>,
    /// Folders whose changes its script `trigger` waits for.
    pub triggers: Vec<String>,
    /// Other fields, `replaces_priority` and `provider_priority` among them, in their order.
    pub other: Vec<(String, String)>,
    /// Scripts by name: `pre-install`, `post-install`, `pre-upgrade`, `post-upgrade`, `pre-deinstall`, `post-deinstall`,
    /// `trigger`; and what else stands beside them.
    pub scripts: Vec<(String, Vec<u8>)>,
    /// The signatures.
    pub signatures: Vec<ApkSignature>,
    /// The checksum of the stream of files as it is packed.
    pub data_checksum: Option<Checksum>,
}

/// A signature over the metadata, which have the checksum of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApkSignature {
    /// `RSA` (over SHA-1), `RSA256` (over SHA-256), or what else stands there.
    pub kind: String,
    /// The file name of the key.
    pub key: String,
    /// The signature, PKCS #1 v1.5.
    pub bytes: Vec<u8>,
    /// The checksum that it is over, where its kind is known.
    pub signed: Option<Checksum>,
}

impl<R: Read> Apk<R> {
    /// Reads up to the end of the metadata.
    ///
    /// # Errors
    /// What is wrong with the package.
    pub fn open(reader: R) -> Result<Self, ArchiveError> {
        let mut stream = Stream::new(reader);
        let mut files = stream.segment()?;
        let mut signatures = Vec::new();
        if files.iter().any(|(name, _)| name.starts_with(".SIGN.")) {
            signatures = std::mem::replace(&mut files, stream.segment()?);
        }
        let info = files.iter().position(|(name, _)| name == ".PKGINFO");
        let info = info.ok_or_else(|| malformed(0, "its metadata have no file `.PKGINFO`"))?;
        let mut metadata = ApkMetadata::parse(&files.remove(info).1)?;
        metadata.scripts =
            files.into_iter().map(|(name, bytes)| (name.trim_start_matches('.').to_owned(), bytes)).collect();
        let signed = stream.checksums();
        metadata.signatures = signatures.into_iter().map(|(name, bytes)| signature(&name, bytes, &signed)).collect();
        Ok(Self { offset: stream.offset, reader: stream.inner, metadata })
    }

    /// What the package says of itself.
    pub fn metadata(&self) -> &ApkMetadata {
        &self.metadata
    }

    /// Reads the package's files; see [`crate::read_tar`].
    ///
    /// # Errors
    /// What is wrong with the package, and what `each` returns.
    pub fn read_files<E: From<ArchiveError>>(
        self,
        options: &Options,
        mut each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let io = |source| ArchiveError::Io { offset: self.offset, source };
        let expected = self.metadata.data_checksum;
        let hashers = expected.iter().map(|checksum| Hasher::new(checksum.algorithm())).collect();
        let (tap, hashers) = Tap::new(self.reader, hashers);
        let mut decoder = Decoder::new(tap, Bounds::default()).map_err(io)?;
        let end = walk_tar(&mut decoder, &Options { strip: 0, ..*options }, |described, data| {
            let entry = &described.entry;
            let at = At { container: CONTAINER, entry: shown(entry.path.as_bytes()), offset: described.offset };
            if let (EntryKind::Symlink { target }, Some(checksum)) = (&entry.kind, &described.checksum) {
                at.compare(checksum, &Hasher::of(checksum.algorithm(), target))?;
            }
            let checksum = described.checksum.as_ref().filter(|_| matches!(entry.kind, EntryKind::File { .. }));
            match strip(entry, options.strip, &at)? {
                Some(entry) => deliver(&entry, data, checksum, &at, &mut each),
                None => deliver(entry, data, checksum, &at, &mut |_, _| Ok::<(), E>(())),
            }
        })?;
        if !end.is_marked {
            return Err(malformed(end.offset, "the archive of files was cut off").into());
        }
        io::copy(&mut decoder, &mut io::sink()).map_err(io)?;
        let at = At { container: CONTAINER, entry: "the stream of files".to_owned(), offset: self.offset };
        for (expected, hasher) in expected.iter().zip(hashers.take()) {
            at.compare(expected, &hasher.finish())?;
        }
        Ok(())
    }
}

impl ApkMetadata {
    /// A script by name, such as `post-install`.
    pub fn script(&self, name: &str) -> Option<&[u8]> {
        self.scripts.iter().find(|(script, _)| script == name).map(|(_, bytes)| bytes.as_slice())
    }

    fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let fields = pkginfo::parse(bytes);
        let mut fields = Fields(fields.map_err(|line| malformed(0, format!("line {line} of `.PKGINFO` is no field")))?);
        let needed =
            |value: Option<String>, key| value.ok_or_else(|| malformed(0, format!("`.PKGINFO` has no `{key}`")));
        let number = |value: Option<String>| value.and_then(|value| value.parse().ok());
        let checksum = fields.last("datahash").map(|hex| {
            let checksum = Checksum::from_hex(ChecksumAlgorithm::Sha256, hex.as_bytes());
            checksum.ok_or_else(|| malformed(0, "`datahash` is no SHA-256"))
        });
        Ok(Self {
            name: needed(fields.last("pkgname"), "pkgname")?,
            version: needed(fields.last("pkgver"), "pkgver")?,
            description: fields.last("pkgdesc"),
            url: fields.last("url"),
            build_date: number(fields.last("builddate")),
            packager: fields.last("packager"),
            maintainer: fields.last("maintainer"),
            installed_size: number(fields.last("size")),
            arch: needed(fields.last("arch"), "arch")?,
            origin: fields.last("origin"),
            commit: fields.last("commit"),
            license: fields.last("license"),
            depends: fields.take("depend"),
            provides: fields.take("provides"),
            replaces: fields.take("replaces"),
            install_if: words(&fields.take("install_if")),
            triggers: words(&fields.take("triggers")),
            data_checksum: checksum.transpose()?,
            other: fields.0,
            scripts: Vec::new(),
            signatures: Vec::new(),
        })
    }
}

/// Lists that stand on one line.
fn words(lines: &[String]) -> Vec<String> {
    lines.iter().flat_map(|line| line.split_ascii_whitespace()).map(str::to_owned).collect()
}

/// `.SIGN.KIND.KEY`.
fn signature(name: &str, bytes: Vec<u8>, signed: &[Checksum]) -> ApkSignature {
    let name = name.strip_prefix(".SIGN.").unwrap_or(name);
    let (kind, key) = name.split_once('.').unwrap_or((name, ""));
    let algorithm = match kind {
        "RSA" | "DSA" => Some(ChecksumAlgorithm::Sha1),
        "RSA256" => Some(ChecksumAlgorithm::Sha256),
        "RSA512" => Some(ChecksumAlgorithm::Sha512),
        _ => None,
    };
    let signed = signed.iter().find(|checksum| Some(checksum.algorithm()) == algorithm).cloned();
    ApkSignature { kind: kind.to_owned(), key: key.to_owned(), bytes, signed }
}

/// The package's bytes; it hashes those of the gzip stream that is being read, and not one more.
struct Stream<R> {
    inner: BufReader<R>,
    offset: u64,
    hashers: Vec<Hasher>,
}

impl<R: Read> Stream<R> {
    fn new(reader: R) -> Self {
        Self { inner: BufReader::new(reader), offset: 0, hashers: Vec::new() }
    }

    /// Reads the files of the next gzip stream.
    fn segment(&mut self) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
        let offset = self.offset;
        self.check_magic()?;
        let algorithms = [ChecksumAlgorithm::Sha1, ChecksumAlgorithm::Sha256, ChecksumAlgorithm::Sha512];
        self.hashers = algorithms.map(Hasher::new).into();
        let mut options = Options::default();
        options.limits.entries = 1000;
        // Files may unpack to more than the stream does, where they have holes.
        options.limits.bytes = SEGMENT_LIMIT;
        let mut files = Vec::new();
        let mut limited = GzDecoder::new(self).take(SEGMENT_LIMIT);
        // The segments have no mark at their end, so that they can be read as one archive.
        walk_tar::<ArchiveError>(&mut limited, &options, |described, data| {
            if matches!(described.entry.kind, EntryKind::File { .. }) {
                let mut bytes = Vec::new();
                data.read_to_end(&mut bytes).map_err(|source| ArchiveError::Io { offset, source })?;
                files.push((described.entry.path.to_string(), bytes));
            }
            Ok(())
        })?;
        let damaged = |error: io::Error| malformed(offset, format!("the gzip stream that begins here: {error}"));
        io::copy(&mut limited, &mut io::sink()).map_err(damaged)?;
        match limited.into_inner().read(&mut [0]) {
            Ok(0) => Ok(files),
            Ok(_) => Err(malformed(offset, format!("its metadata have more than {SEGMENT_LIMIT} bytes"))),
            Err(error) => Err(damaged(error)),
        }
    }

    fn check_magic(&mut self) -> Result<(), ArchiveError> {
        let offset = self.offset;
        let head = self.inner.fill_buf().map_err(|source| ArchiveError::Io { offset, source })?;
        // A reader may give a byte at a time; gzip itself looks at the rest.
        match head.first() {
            Some(0x1f) => Ok(()),
            Some(b'A') => Err(malformed(offset, "a gzip stream is expected; packages of format 3 are not read")),
            Some(_) => Err(malformed(offset, "a gzip stream is expected")),
            None => Err(malformed(offset, "it ends too early")),
        }
    }

    /// The checksums of the stream that was read last.
    fn checksums(&mut self) -> Vec<Checksum> {
        std::mem::take(&mut self.hashers).into_iter().map(Hasher::finish).collect()
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: Read> BufRead for Stream<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        for hasher in &mut self.hashers {
            hasher.update(&self.inner.buffer()[..count]);
        }
        self.inner.consume(count);
        self.offset += count as u64;
    }
}

fn malformed(offset: u64, reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Malformed { container: CONTAINER, offset, reason: reason.into() }
}
