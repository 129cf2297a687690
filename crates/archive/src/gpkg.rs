use std::io::{self, Read, Seek, SeekFrom};

use codec::{Bounds, Decoder};

use crate::at::At;
use crate::checksum::Hasher;
use crate::error::shown;
use crate::openpgp::{self, OpenPgpKeys};
use crate::place::{place, strip};
use crate::tar::{Described, walk_tar};
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, Entry, EntryKind, Options, read_tar};

const CONTAINER: &str = "gpkg package";

/// Members of the outer archive; the format has eight.
const MAX_MEMBERS: u64 = 100;
/// Bytes of the metadata as they are packed, and of a Manifest or signature.
const PACKED_LIMIT: u64 = 32 << 20;
const SMALL_LIMIT: u64 = 1 << 20;
/// Bytes that the metadata unpack to. The environment is the largest of them, and it is packed on its own.
const METADATA_LIMIT: u64 = 64 << 20;

/// A binary package of Gentoo (`.gpkg.tar`, GLEP 78): a tar archive of archives of metadata and files, of checksums and
/// signatures.
///
/// The members may be in any order, so the source must seek. All members are held to the checksums of the `Manifest`
/// when the package is opened, before anything of it is given out. The draft of 2018 (`contents.tar`, no folder, no
/// `Manifest`) is read too.
pub struct Gpkg<R> {
    reader: R,
    metadata: GpkgMetadata,
    image: Member,
    /// The folder of the image archive that is the root of the package's files.
    folder: &'static str,
}

/// What a gpkg package says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GpkgMetadata {
    /// The name of the folder that all members stand in, such as `hello-2.10-r1`; empty in the draft's form. It is not
    /// signed: the file `PF` is.
    pub name: String,
    /// The metadata, one a file: `CATEGORY`, `PF`, `SLOT`, `RDEPEND`, `environment.bz2` ..
    pub files: Vec<(String, Vec<u8>)>,
    /// Whether there are signatures, good or not.
    pub is_signed: bool,
}

impl GpkgMetadata {
    /// A file of the metadata.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// A file of the metadata that is text, without blanks around it.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.file(name)?).ok().map(str::trim)
    }
}

/// A member of the outer archive.
struct Member {
    /// Without the folder.
    name: String,
    offset: u64,
    size: u64,
    checksums: Vec<Checksum>,
    /// The bytes of a small member.
    bytes: Option<Vec<u8>>,
}

impl<R: Read + Seek> Gpkg<R> {
    /// Reads everything but the files, and compares the checksums of all members. Signatures are not checked.
    ///
    /// # Errors
    /// What is wrong with the package.
    pub fn open(reader: R) -> Result<Self, ArchiveError> {
        Self::open_with(reader, None)
    }

    /// As [`Gpkg::open`]; the `Manifest`, the metadata and the image must each have a good signature of one of the keys.
    /// That is before any file is given out.
    ///
    /// # Errors
    /// What is wrong with the package; [`ArchiveError::Unsigned`] and [`ArchiveError::Signature`].
    pub fn open_signed(reader: R, keys: &OpenPgpKeys) -> Result<Self, ArchiveError> {
        Self::open_with(reader, Some(keys))
    }

    fn open_with(mut reader: R, keys: Option<&OpenPgpKeys>) -> Result<Self, ArchiveError> {
        let (name, members) = read_members(&mut reader)?;
        let mut parts = Parts { name, members };
        parts.check_manifest(keys)?;
        if let Some(keys) = keys {
            parts.check_signature(&mut reader, "metadata.tar", keys)?;
            parts.check_signature(&mut reader, parts.image_name(), keys)?;
        }
        let is_signed = parts.is_signed();
        let folder = if parts.image_name() == "image.tar" { "image" } else { "" };
        let image = parts.take(parts.image_name())?;
        let metadata = parts.take("metadata.tar")?;
        let files = read_metadata(&metadata)?;
        Ok(Self { reader, metadata: GpkgMetadata { name: parts.name, files, is_signed }, image, folder })
    }

    /// What the package says of itself.
    pub fn metadata(&self) -> &GpkgMetadata {
        &self.metadata
    }

    /// Reads the package's files; see [`read_tar`].
    ///
    /// # Errors
    /// What is wrong with the package, and what `each` returns.
    pub fn read_files<E: From<ArchiveError>>(
        mut self,
        options: &Options,
        mut each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let io = |source| ArchiveError::Io { offset: self.image.offset, source };
        let image = self.image.open(&mut self.reader).map_err(io)?;
        let mut decoder = Decoder::new(image, Bounds::default()).map_err(io)?;
        let levels = options.strip.saturating_add(u32::from(!self.folder.is_empty()));
        read_tar(&mut decoder, &Options { strip: 0, ..*options }, |entry, data| {
            let at = At { container: CONTAINER, entry: shown(entry.path.as_bytes()), offset: self.image.offset };
            let is_inside = self.folder.is_empty() || entry.path.components().next() == Some(self.folder.as_bytes());
            if !is_inside {
                return Err(at.malformed(format!("it is not in the folder `{}`", self.folder)).into());
            }
            strip(entry, levels, &at)?.map_or(Ok(()), |entry| each(&entry, data))
        })?;
        io::copy(&mut decoder, &mut io::sink()).map_err(io)?;
        Ok(())
    }
}

impl Member {
    fn open<R: Read + Seek>(&self, mut reader: R) -> io::Result<io::Take<R>> {
        reader.seek(SeekFrom::Start(self.offset))?;
        Ok(reader.take(self.size))
    }

    /// Whether this is `name`, compressed or not.
    fn is(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| {
            rest.is_empty() || (rest.starts_with('.') && !rest.ends_with(".sig") && !rest[1..].contains('.'))
        })
    }

    fn at(&self) -> At {
        At { container: CONTAINER, entry: shown(self.name.as_bytes()), offset: self.offset }
    }
}

/// Reads the outer archive once: what is in it, and the checksums of it.
fn read_members<R: Read + Seek>(reader: &mut R) -> Result<(String, Vec<Member>), ArchiveError> {
    reader.rewind().map_err(|source| ArchiveError::Io { offset: 0, source })?;
    let mut options = Options::default();
    options.limits.entries = MAX_MEMBERS;
    let mut folder: Option<String> = None;
    let mut members: Vec<Member> = Vec::new();
    let end = walk_tar::<ArchiveError>(&mut *reader, &options, |described, data| {
        if described.entry.kind == EntryKind::Dir {
            return Ok(());
        }
        let path = described.entry.path.to_string();
        let at = At { container: CONTAINER, entry: shown(path.as_bytes()), offset: described.offset };
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
        if parent.contains('/') || *folder.get_or_insert_with(|| parent.to_owned()) != parent {
            return Err(at.malformed("the members do not stand in one folder"));
        }
        if members.iter().any(|member| member.name == name) {
            return Err(at.malformed("it comes twice"));
        }
        members.push(read_member(described, name, data, &at)?);
        Ok(())
    })?;
    if !end.is_marked {
        return Err(malformed(end.offset, "it was cut off"));
    }
    Ok((folder.unwrap_or_default(), members))
}

fn read_member(described: &Described, name: &str, data: &mut dyn Read, at: &At) -> Result<Member, ArchiveError> {
    let EntryKind::File { size } = described.entry.kind else {
        return Err(at.unsupported("a member that is no file"));
    };
    // The image is read again where it stands, and must be what its checksum and signature are of.
    if described.has_holes {
        return Err(at.unsupported("a member with holes"));
    }
    let limit = match name {
        name if name.starts_with("metadata.tar") && !name.ends_with(".sig") => PACKED_LIMIT,
        name if name == "Manifest" || name.ends_with(".sig") => SMALL_LIMIT,
        _ => 0,
    };
    let is_kept = limit > 0;
    if is_kept && size > limit {
        return Err(at.limit("bytes", limit));
    }
    let mut bytes = is_kept.then(Vec::new);
    let mut hashers = [ChecksumAlgorithm::Blake2b, ChecksumAlgorithm::Sha512].map(Hasher::new);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = data.read(&mut buffer).map_err(|source| ArchiveError::Io { offset: described.offset, source })?;
        if read == 0 {
            break;
        }
        hashers.iter_mut().for_each(|hasher| hasher.update(&buffer[..read]));
        bytes.iter_mut().for_each(|bytes| bytes.extend_from_slice(&buffer[..read]));
    }
    let checksums = hashers.into_iter().map(Hasher::finish).collect();
    Ok(Member { name: name.to_owned(), offset: described.data_offset, size, checksums, bytes })
}

/// The members, before they are trusted.
struct Parts {
    name: String,
    members: Vec<Member>,
}

impl Parts {
    fn find(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.is(name))
    }

    /// A member that is never compressed.
    fn exact(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    fn take(&mut self, name: &str) -> Result<Member, ArchiveError> {
        let mut found = self.members.extract_if(.., |member| member.is(name));
        let member = found.next().ok_or_else(|| malformed(0, format!("it has no member `{name}`")))?;
        if found.next().is_some() {
            return Err(malformed(member.offset, format!("it has two members `{name}`")));
        }
        Ok(member)
    }

    fn is_draft(&self) -> bool {
        self.exact("gpkg-1").is_none()
    }

    /// The member with the files: that of the draft only in a draft.
    fn image_name(&self) -> &'static str {
        if self.is_draft() { "contents.tar" } else { "image.tar" }
    }

    fn is_signed(&self) -> bool {
        let manifest = self.exact("Manifest").and_then(|member| member.bytes.as_deref());
        manifest.is_some_and(is_signed_text) || self.members.iter().any(|member| member.name.ends_with(".sig"))
    }

    /// Holds every member to the Manifest.
    fn check_manifest(&self, keys: Option<&OpenPgpKeys>) -> Result<(), ArchiveError> {
        let Some(manifest) = self.exact("Manifest") else {
            // The draft has none. Its signatures are over the members one by one, and nothing ties them together: a good
            // image could stand beside good metadata of another package.
            return match (self.is_draft(), keys) {
                (true, None) => Ok(()),
                (true, Some(_)) => Err(ArchiveError::Unsigned { entry: "Manifest".to_owned() }),
                (false, _) => Err(malformed(0, "it has no member `Manifest`")),
            };
        };
        let at = manifest.at();
        let text = manifest_text(manifest, keys)?;
        let mut listed = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            listed.push(self.check_line(line, &at)?);
        }
        let is_listed = |member: &&Member| member.name == "Manifest" || listed.contains(&member.name.as_str());
        match self.members.iter().find(|member| !is_listed(member)) {
            Some(member) => Err(member.at().malformed("the `Manifest` does not list it")),
            None => Ok(()),
        }
    }

    /// `DATA NAME SIZE ALGORITHM HEX ..`
    fn check_line<'l>(&self, line: &'l str, at: &At) -> Result<&'l str, ArchiveError> {
        let wrong = |reason: &str| at.malformed(format!("line `{}`: {reason}", shown(line.as_bytes())));
        let mut words = line.split_ascii_whitespace();
        let (Some("DATA"), Some(path), Some(size)) = (words.next(), words.next(), words.next()) else {
            return Err(wrong("`DATA`, a name and a size are expected"));
        };
        let name = path.rsplit_once('/').map_or(path, |(_, name)| name);
        let member = self.exact(name).ok_or_else(|| wrong("there is no such member"))?;
        if size.parse() != Ok(member.size) {
            return Err(wrong("the member has another size"));
        }
        let mut is_compared = false;
        while let Some(algorithm) = words.next() {
            let hex = words.next().ok_or_else(|| wrong("a checksum has no value"))?;
            let algorithm = match algorithm {
                "BLAKE2B" => ChecksumAlgorithm::Blake2b,
                "SHA512" => ChecksumAlgorithm::Sha512,
                // Others may come with these, which every package has.
                _ => continue,
            };
            let expected = Checksum::from_hex(algorithm, hex.as_bytes()).ok_or_else(|| wrong("it is no checksum"))?;
            let found = member.checksums.iter().filter(|found| found.algorithm() == algorithm);
            found.into_iter().try_for_each(|found| member.at().compare(&expected, found))?;
            is_compared = true;
        }
        if is_compared { Ok(name) } else { Err(wrong("it has neither BLAKE2B nor SHA512")) }
    }

    fn check_signature<R: Read + Seek>(&self, reader: R, name: &str, keys: &OpenPgpKeys) -> Result<(), ArchiveError> {
        let member = self.find(name).ok_or_else(|| malformed(0, format!("it has no member `{name}`")))?;
        let entry = member.name.clone();
        let signature = self.exact(&format!("{entry}.sig"));
        let Some(signature) = signature.and_then(|member| member.bytes.as_deref()) else {
            return Err(ArchiveError::Unsigned { entry });
        };
        let data = member.open(reader).map_err(|source| ArchiveError::Io { offset: member.offset, source })?;
        keys.check(signature, data).map_err(|reason| ArchiveError::Signature { entry, reason })
    }
}

fn is_signed_text(bytes: &[u8]) -> bool {
    bytes.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----")
}

/// What the Manifest says; of a signed one what is signed.
fn manifest_text(manifest: &Member, keys: Option<&OpenPgpKeys>) -> Result<String, ArchiveError> {
    let entry = || "Manifest".to_owned();
    let bytes = manifest.bytes.as_deref().unwrap_or_default();
    let text = std::str::from_utf8(bytes).map_err(|_| manifest.at().malformed("it is not UTF-8"))?;
    match (keys, is_signed_text(bytes)) {
        (Some(keys), true) => {
            keys.check_text(text).map_err(|reason| ArchiveError::Signature { entry: entry(), reason })
        }
        (Some(_), false) => Err(ArchiveError::Unsigned { entry: entry() }),
        (None, true) => openpgp::unchecked_text(text).map_err(|reason| manifest.at().malformed(reason)),
        (None, false) => Ok(text.to_owned()),
    }
}

/// The files of the metadata, without the folder that they stand in.
fn read_metadata(member: &Member) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let packed = member.bytes.as_deref().unwrap_or_default();
    let bounds = Bounds { bytes: METADATA_LIMIT, ratio: 200, slack: 1 << 20, ..Bounds::default() };
    let io = |source| ArchiveError::Io { offset: member.offset, source };
    let mut decoder = Decoder::new(packed, bounds).map_err(io)?;
    let mut options = Options::default();
    options.limits.entries = 10_000;
    options.limits.bytes = METADATA_LIMIT;
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    read_tar::<ArchiveError>(&mut decoder, &options, |entry, data| {
        if !matches!(entry.kind, EntryKind::File { .. }) {
            return Ok(());
        }
        let raw = entry.path.as_bytes();
        let inside = raw.strip_prefix(b"metadata/").unwrap_or(raw);
        let at = At { entry: shown(raw), ..member.at() };
        let name = place(inside, 0).map_err(|source| at.path(raw, source))?.map(|path| path.to_string());
        let name = name.unwrap_or_default();
        if files.iter().any(|(other, _)| *other == name) {
            return Err(at.malformed("it comes twice"));
        }
        let mut bytes = Vec::new();
        data.read_to_end(&mut bytes).map_err(io)?;
        files.push((name, bytes));
        Ok(())
    })?;
    io::copy(&mut decoder, &mut io::sink()).map_err(io)?;
    Ok(files)
}

fn malformed(offset: u64, reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Malformed { container: CONTAINER, offset, reason: reason.into() }
}
