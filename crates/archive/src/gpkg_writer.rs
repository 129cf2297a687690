use std::io::{self, Seek, SeekFrom, Write};

use ::tar::Header;
use codec::{Encoder, Format};
use pkgtypes::{PkgPath, Timestamp};

use crate::checksum::Hasher;
use crate::tar_writer::plain;
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, Entry, EntryKind, TarWriter};

const CHECKSUMS: [(ChecksumAlgorithm, &str); 2] =
    [(ChecksumAlgorithm::Blake2b, "BLAKE2B"), (ChecksumAlgorithm::Sha512, "SHA512")];

/// Writes a binary package of Gentoo (`.gpkg.tar`, GLEP 78), without signatures; equal input gives equal bytes.
///
/// The writer must seek: how long the archive of files is, is known when it is written. Without
/// [`GpkgWriter::finish`] the package is none.
#[must_use = "a package ends with `finish`"]
pub struct GpkgWriter<W: Write + Seek> {
    image: TarWriter<Encoder<Counted<W>>>,
    outer: Outer,
    /// Where the header of the image is.
    header: u64,
}

/// How to write a gpkg package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GpkgOptions {
    /// How metadata and image are compressed.
    pub format: Format,
    /// The time of the members and of the metadata.
    pub mtime: Timestamp,
}

impl Default for GpkgOptions {
    /// zstd, and 1970.
    fn default() -> Self {
        Self { format: Format::Zstd, mtime: Timestamp::EPOCH }
    }
}

/// What the members have in common, and the Manifest as far as it is known.
struct Outer {
    name: String,
    options: GpkgOptions,
    manifest: String,
}

impl<W: Write + Seek> GpkgWriter<W> {
    /// Begins a package and writes its metadata: files by name, such as `CATEGORY` and `PF`.
    ///
    /// `name` is that of the folder of all members, by convention name, version and revision. It and the metadata's
    /// names are one component each.
    ///
    /// # Errors
    /// A name that is no component of a path or too long; a format that is only read; the writer fails.
    pub fn new(
        mut writer: W,
        name: &str,
        metadata: &[(String, Vec<u8>)],
        options: &GpkgOptions,
    ) -> Result<Self, ArchiveError> {
        let mut outer = Outer { name: component(name)?.to_string(), options: *options, manifest: String::new() };
        outer.put(&mut writer, "gpkg-1", b"")?;
        let packed = outer.pack_metadata(metadata)?;
        outer.put(&mut writer, &outer.member("metadata"), &packed)?;
        // The header is written over once the size is known.
        let header = writer.stream_position().map_err(write)?;
        writer.write_all(&[0; 512]).map_err(write)?;
        let counted =
            Counted { writer, size: 0, hashers: CHECKSUMS.map(|(algorithm, _)| Hasher::new(algorithm)).into() };
        let mut image = TarWriter::new(Encoder::new(counted, options.format).map_err(write)?);
        image.append(&plain(component("image")?, EntryKind::Dir, options.mtime), &mut io::empty())?;
        Ok(Self { image, outer, header })
    }

    /// Adds a file to the image; see [`TarWriter::append`].
    ///
    /// # Errors
    /// As [`TarWriter::append`]; a path that is too long with the image's folder before it.
    pub fn append(&mut self, entry: &Entry, data: &mut dyn io::Read) -> Result<(), ArchiveError> {
        let mut entry = entry.clone();
        entry.path = inside(&entry.path)?;
        if let EntryKind::Hardlink { target } = &mut entry.kind {
            *target = inside(target)?;
        }
        self.image.append(&entry, data)
    }

    /// Writes what is left, the `Manifest` too, and gives the writer back, at its end.
    ///
    /// # Errors
    /// The writer fails.
    pub fn finish(self) -> Result<W, ArchiveError> {
        let Self { image, mut outer, header } = self;
        let Counted { mut writer, size, hashers } = image.finish()?.finish().map_err(write)?;
        let name = outer.member("image");
        writer.seek(SeekFrom::Start(header)).map_err(write)?;
        writer.write_all(outer.header(&name, size)?.as_bytes()).map_err(write)?;
        writer.seek(SeekFrom::Start(header + 512 + size)).map_err(write)?;
        pad(&mut writer, size)?;
        outer.list(&name, size, &hashers.into_iter().map(Hasher::finish).collect::<Vec<_>>());
        let manifest = outer.manifest.clone();
        outer.put(&mut writer, "Manifest", manifest.as_bytes())?;
        writer.write_all(&[0; 1024]).map_err(write)?;
        writer.flush().map_err(write)?;
        Ok(writer)
    }
}

impl Outer {
    /// `metadata` or `image` with what its compression adds.
    fn member(&self, name: &str) -> String {
        let ending = match self.options.format {
            Format::Zstd => ".zst",
            Format::Xz => ".xz",
            Format::Gzip => ".gz",
            Format::Bzip2 => ".bz2",
            // The others are not written, and refused by the encoder.
            Format::Plain | Format::Lzip | Format::Lzma => "",
        };
        format!("{name}.tar{ending}")
    }

    fn pack_metadata(&self, files: &[(String, Vec<u8>)]) -> Result<Vec<u8>, ArchiveError> {
        let folder = component("metadata")?;
        let mut tar = TarWriter::new(Encoder::new(Vec::new(), self.options.format).map_err(write)?);
        tar.append(&plain(folder.clone(), EntryKind::Dir, self.options.mtime), &mut io::empty())?;
        for (name, bytes) in files {
            let name = component(name)?;
            let path = folder.join(name.as_bytes()).map_err(|source| path_error(name.as_bytes(), source))?;
            let file = plain(path, EntryKind::File { size: bytes.len() as u64 }, self.options.mtime);
            tar.append(&file, &mut bytes.as_slice())?;
        }
        tar.finish()?.finish().map_err(write)
    }

    /// Writes a member whose bytes are known, and lists it.
    fn put(&mut self, writer: &mut impl Write, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        let size = bytes.len() as u64;
        writer.write_all(self.header(name, size)?.as_bytes()).map_err(write)?;
        writer.write_all(bytes).map_err(write)?;
        pad(writer, size)?;
        self.list(name, size, &CHECKSUMS.map(|(algorithm, _)| Hasher::of(algorithm, bytes)));
        Ok(())
    }

    /// The header of a member. It is GNU's, which has room for any size, so that it can be written before that is known.
    fn header(&self, name: &str, size: u64) -> Result<Header, ArchiveError> {
        let mut header = Header::new_gnu();
        let path = format!("{}/{name}", self.name);
        let set = header.set_path(&path);
        set.map_err(|_| ArchiveError::Unsupported {
            entry: path,
            offset: 0,
            what: "a member whose name is too long".to_owned(),
        })?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(u64::try_from(self.options.mtime.seconds()).unwrap_or(0));
        for set in [Header::set_username, Header::set_groupname] {
            set(&mut header, "root").map_err(write)?;
        }
        header.set_cksum();
        Ok(header)
    }

    fn list(&mut self, name: &str, size: u64, checksums: &[Checksum]) {
        let checksums: Vec<_> = CHECKSUMS
            .iter()
            .zip(checksums)
            .map(|((_, algorithm), checksum)| format!(" {algorithm} {checksum}"))
            .collect();
        self.manifest.push_str(&format!("DATA {name} {size}{}\n", checksums.concat()));
    }
}

/// Counts and hashes what is written through it.
struct Counted<W> {
    writer: W,
    size: u64,
    hashers: Vec<Hasher>,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.writer.write(bytes)?;
        self.size += written as u64;
        self.hashers.iter_mut().for_each(|hasher| hasher.update(&bytes[..written]));
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

fn pad(writer: &mut impl Write, size: u64) -> Result<(), ArchiveError> {
    let rest = (size.wrapping_neg() % 512) as usize;
    writer.write_all(&[0; 512][..rest]).map_err(write)
}

/// A name that is one component.
fn component(name: &str) -> Result<PkgPath, ArchiveError> {
    let path = PkgPath::new(name.as_bytes()).map_err(|source| path_error(name.as_bytes(), source))?;
    if path.parent().is_some() {
        let what = "a name that has a slash".to_owned();
        return Err(ArchiveError::Unsupported { entry: name.to_owned(), offset: 0, what });
    }
    Ok(path)
}

/// A path of the package as one of the image.
fn inside(path: &PkgPath) -> Result<PkgPath, ArchiveError> {
    let inside = [b"image/", path.as_bytes()].concat();
    PkgPath::new(inside).map_err(|source| path_error(path.as_bytes(), source))
}

fn path_error(raw: &[u8], source: pkgtypes::ParseError) -> ArchiveError {
    ArchiveError::Path { entry: crate::error::shown(raw), offset: 0, source }
}

fn write(source: io::Error) -> ArchiveError {
    ArchiveError::Write { source }
}
