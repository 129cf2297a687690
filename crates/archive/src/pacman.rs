use std::collections::BTreeMap;
use std::io::{self, Read};

use codec::{Bounds, Decoder};

use crate::at::At;
use crate::deliver::deliver;
use crate::error::shown;
use crate::mtree::{self, Listed};
use crate::pkginfo::{self, Fields};
use crate::place::strip;
use crate::replay::{Recorder, Replay};
use crate::{ArchiveError, Checksum, Entry, EntryKind, Options, read_tar};

const CONTAINER: &str = "pacman package";

/// Bytes at the beginning of a package that may be metadata; the largest lists of files have some megabytes.
const HEAD_LIMIT: usize = 16 << 20;
/// How much a list of files may unpack to: most of it are checksums, which can hardly be compressed.
const LIST_BOUNDS: Bounds = Bounds { bytes: 64 << 20, ratio: 50, slack: 1 << 20, memory: 16 << 20 };

/// A pacman package (`.pkg.tar.zst`, `.xz`, `.gz` or plain): a tar archive that begins with files of metadata.
///
/// Where the package has a list of its files (`.MTREE`), they are held to it: checksums, sizes, link targets, and that
/// none is missing. As with pacman, anything whose path begins with a dot is metadata and no file of the package.
pub struct Pacman<R: Read> {
    archive: Replay<Decoder<R>>,
    metadata: PacmanMetadata,
    list: Option<BTreeMap<Vec<u8>, Listed>>,
}

/// What a pacman package says of itself. Relations are texts such as `glibc>=2.38`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacmanMetadata {
    /// Its name.
    pub name: String,
    /// The name of what it was built together with.
    pub base: Option<String>,
    /// `EPOCH:VERSION-RELEASE`; the epoch may be missing.
    pub version: String,
    /// One line for people.
    pub description: Option<String>,
    /// The home page.
    pub url: Option<String>,
    /// Seconds since 1970.
    pub build_date: Option<u64>,
    /// Who packed it.
    pub packager: Option<String>,
    /// Bytes of all files together.
    pub installed_size: Option<u64>,
    /// The machine, `any` for any.
    pub arch: String,
    /// Licenses, one an item.
    pub licenses: Vec<String>,
    /// Groups that it belongs to.
    pub groups: Vec<String>,
    /// What it needs.
    pub depends: Vec<String>,
    /// What it could have: a relation, and after a colon what for.
    pub optional_depends: Vec<String>,
    /// What it was built with.
    pub make_depends: Vec<String>,
    /// What it was tested with.
    pub check_depends: Vec<String>,
    /// What it offers beside itself.
    pub provides: Vec<String>,
    /// What it can not stand beside.
    pub conflicts: Vec<String>,
    /// What it takes the place of.
    pub replaces: Vec<String>,
    /// Config files: paths without the slash at the beginning.
    pub backup: Vec<String>,
    /// Other fields, `xdata` among them, in their order.
    pub other: Vec<(String, String)>,
    /// The metadata files but `.PKGINFO` by name: `.INSTALL`, `.BUILDINFO`, `.CHANGELOG`, `.MTREE` (unpacked).
    pub files: Vec<(String, Vec<u8>)>,
}

impl PacmanMetadata {
    /// A metadata file.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.as_slice())
    }

    /// The functions that pacman would call in `.INSTALL`. Like pacman, it looks for their names alone.
    pub fn install_functions(&self) -> Vec<&'static str> {
        let script = self.file(".INSTALL").unwrap_or_default();
        let functions = ["pre_install", "post_install", "pre_upgrade", "post_upgrade", "pre_remove", "post_remove"];
        let has = |name: &&str| script.windows(name.len()).any(|window| window == name.as_bytes());
        functions.into_iter().filter(has).collect()
    }

    fn parse(bytes: &[u8]) -> Result<Self, ArchiveError> {
        let fields = pkginfo::parse(bytes);
        let mut fields = Fields(fields.map_err(|line| malformed(format!("line {line} of `.PKGINFO` is no field")))?);
        let needed = |value: Option<String>, key| value.ok_or_else(|| malformed(format!("`.PKGINFO` has no `{key}`")));
        let number = |value: Option<String>| value.and_then(|value| value.parse().ok());
        Ok(Self {
            name: needed(fields.last("pkgname"), "pkgname")?,
            base: fields.last("pkgbase"),
            version: needed(fields.last("pkgver"), "pkgver")?,
            description: fields.last("pkgdesc"),
            url: fields.last("url"),
            build_date: number(fields.last("builddate")),
            packager: fields.last("packager"),
            installed_size: number(fields.last("size")),
            arch: needed(fields.last("arch"), "arch")?,
            licenses: fields.take("license"),
            groups: fields.take("group"),
            depends: fields.take("depend"),
            optional_depends: fields.take("optdepend"),
            make_depends: fields.take("makedepend"),
            check_depends: fields.take("checkdepend"),
            provides: fields.take("provides"),
            conflicts: fields.take("conflict"),
            replaces: fields.take("replaces"),
            backup: fields.take("backup"),
            other: fields.0,
            files: Vec::new(),
        })
    }
}

impl<R: Read> Pacman<R> {
    /// Reads up to the first file that is no metadata.
    ///
    /// # Errors
    /// What is wrong with the package.
    pub fn open(reader: R) -> Result<Self, ArchiveError> {
        let decoder =
            Decoder::new(reader, Bounds::default()).map_err(|source| ArchiveError::Io { offset: 0, source })?;
        let mut recorder = Recorder::new(decoder, HEAD_LIMIT);
        let mut files = read_head(&mut recorder)?;
        let info = files.iter().position(|(name, _)| name == ".PKGINFO");
        let info = info.ok_or_else(|| malformed("it does not begin with a file `.PKGINFO`"))?;
        let mut metadata = PacmanMetadata::parse(&files.remove(info).1)?;
        let packed = files.iter_mut().find(|(name, _)| name == ".MTREE");
        let list = packed.map(|(_, bytes)| unpack_list(bytes)).transpose()?;
        metadata.files = files;
        Ok(Self { archive: recorder.replay(), metadata, list })
    }

    /// What the package says of itself.
    pub fn metadata(&self) -> &PacmanMetadata {
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
        let mut list = self.list.take();
        read_tar(&mut self.archive, &Options { strip: 0, ..*options }, |entry, data| {
            let at = At { container: CONTAINER, entry: shown(entry.path.as_bytes()), offset: 0 };
            let checksum = take_listed(list.as_mut(), entry, &at)?;
            match strip(entry, options.strip, &at)? {
                Some(stripped) if !is_metadata(entry) => deliver(&stripped, data, checksum.as_ref(), &at, &mut each),
                _ => deliver(entry, data, checksum.as_ref(), &at, &mut |_, _| Ok::<(), E>(())),
            }
        })?;
        if let Some((path, _)) = list.iter().flatten().next() {
            return Err(malformed(format!("the file `{}` is missing that `.MTREE` lists", shown(path))).into());
        }
        // What follows the archive is read so that the compression's checksum is compared.
        io::copy(&mut self.archive, &mut io::sink()).map_err(|source| ArchiveError::Io { offset: 0, source })?;
        Ok(())
    }
}

/// Reads the files of metadata at the beginning.
fn read_head<R: Read>(recorder: &mut Recorder<R>) -> Result<Vec<(String, Vec<u8>)>, ArchiveError> {
    let mut files = Vec::new();
    let closed = recorder.closed();
    let mut room = HEAD_LIMIT as u64;
    let result = read_tar::<ArchiveError>(recorder, &Options::default(), |entry, data| {
        if !is_metadata(entry) {
            closed.set(true);
        } else if let EntryKind::File { size } = entry.kind {
            // Files may have more bytes than were read for them, where they have holes.
            let left = room.checked_sub(size);
            room = left.ok_or_else(|| malformed(format!("its metadata have more than {HEAD_LIMIT} bytes")))?;
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes).map_err(|source| ArchiveError::Io { offset: 0, source })?;
            files.push((entry.path.to_string(), bytes));
        }
        Ok(())
    });
    // The first file ends it, by an error.
    if closed.get() { Ok(files) } else { result.map(|()| files) }
}

/// Unpacks the list of files in its place, and reads it.
fn unpack_list(bytes: &mut Vec<u8>) -> Result<BTreeMap<Vec<u8>, Listed>, ArchiveError> {
    let mut text = Vec::new();
    let decoder = Decoder::new(bytes.as_slice(), LIST_BOUNDS);
    let read = decoder.and_then(|mut decoder| decoder.read_to_end(&mut text));
    read.map_err(|error| malformed(format!("its file `.MTREE` can not be unpacked: {error}")))?;
    *bytes = text;
    mtree::parse(bytes).map_err(|line| malformed(format!("line {line} of `.MTREE` can not be read")))
}

/// Strikes an entry off the list, and gives the checksum that its data must have.
fn take_listed(
    list: Option<&mut BTreeMap<Vec<u8>, Listed>>,
    entry: &Entry,
    at: &At,
) -> Result<Option<Checksum>, ArchiveError> {
    let path = entry.path.as_bytes();
    let Some(list) = list.filter(|_| path != b".MTREE") else { return Ok(None) };
    let listed = list.remove(path).ok_or_else(|| at.malformed("`.MTREE` does not list it, or it comes twice"))?;
    listed.check(&entry.kind, at)?;
    Ok(listed.checksum.filter(|_| matches!(entry.kind, EntryKind::File { .. })))
}

/// Pacman installs nothing whose path begins with a dot.
fn is_metadata(entry: &Entry) -> bool {
    entry.path.as_bytes().starts_with(b".")
}

fn malformed(reason: impl Into<String>) -> ArchiveError {
    ArchiveError::Malformed { container: CONTAINER, offset: 0, reason: reason.into() }
}
