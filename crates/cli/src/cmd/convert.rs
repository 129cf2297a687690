//! `pkg convert FILE -o FILE`.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use codec::Format as Compression;
use convert::{Converted, Error as ConvertError, Format, LossKind, Options};
use installdb::zpkg;
use pkgfile::{CompressOptions, Compressor};
use pkgformat::{Limits, PackageRecord, Reader, Writer};
use pkgfs::{Durability, Root, TempFile};
use pkgtypes::{Mode, PkgPath};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::render::{self, Voice};
use crate::signals::Stoppable;
use crate::{exit, packages};

/// What to convert, and to what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  pkg convert hello_2.10-3_amd64.deb -o hello.kpkg.zst\n  \
    pkg convert hello.kpkg.zst -o hello.tar.xz")]
pub struct Args {
    /// The package: deb, rpm, apk, pacman, gpkg, tar, kpkg or zpkg, which its first bytes tell; `-` is standard input.
    file: PathBuf,
    /// The package to write; its ending says what it becomes: .kpkg, .tar, .zpkg, and .zst, .xz or .gz after the first two.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A value of the metadata of a tar archive, which says nothing of itself; the name's default is that of FILE.
    #[arg(short, long = "meta", value_name = "NAME=VALUE", value_parser = super::pack::assignment)]
    meta: Vec<(String, String)>,
    /// OpenPGP keys (`gpg --export`) that must have signed a gpkg package.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Print what was converted, and what could not be kept, as JSON.
    #[arg(long)]
    json: bool,
}

/// Converts a package and tells what could not be kept.
///
/// # Errors
/// A file of another kind, a damaged package, a version without a counterpart, a full disk; nothing is left then.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    if args.json && args.output.as_os_str() == "-" {
        return Err(Failure::new(exit::USAGE, "standard output can not take the package and JSON too").into());
    }
    let target = Target::of(&args.output)?;
    let cannot = || format!("cannot convert {}", packages::shown(&args.file));
    let source = Source::open(args, &target).with_context(cannot)?;
    let record = target.write(&source).with_context(cannot)?;
    report(args, &source, &record, voice)?;
    Ok(exit::DONE)
}

/// What becomes of the package, by the ending of the file's name.
enum Target {
    Stream(Box<dyn Write>, Compression),
    File { folder: Root, name: PkgPath, compression: Compression },
    Sqlite { folder: Root, name: PkgPath },
}

impl Target {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let is_sqlite = path.file_name().unwrap_or_default().to_string_lossy().ends_with(".zpkg");
        let compression = Compression::from_extension(path);
        match Output::of(path)? {
            Output::File { folder, name } if is_sqlite => Ok(Self::Sqlite { folder, name }),
            Output::File { folder, name } => Ok(Self::File { folder, name, compression }),
            Output::Stream(_) if is_sqlite => {
                Err(Failure::new(exit::USAGE, "a `.zpkg` can not be written as a stream").into())
            }
            Output::Stream(stream) => Ok(Self::Stream(stream, compression)),
        }
    }

    fn write(self, source: &Source) -> anyhow::Result<PackageRecord> {
        match self {
            Self::Sqlite { folder, name } => {
                let reader = source.reader()?;
                let record = reader.package().clone();
                zpkg::from_kpkg(reader, &folder, &name, Durability::Atomic)?;
                Ok(record)
            }
            Self::Stream(stream, compression) => source.write(BufWriter::new(stream), compression),
            Self::File { folder, name, compression } => {
                let file = TempFile::new_for(&folder, &name, Mode::from_raw(0o644))?;
                let record = source.write(BufWriter::with_capacity(1 << 18, file.file()), compression)?;
                file.persist(Durability::Atomic)?;
                Ok(record)
            }
        }
    }

    /// A file without a name, on the disk that the package goes to.
    fn scratch(&self) -> anyhow::Result<File> {
        let name = PkgPath::new(*b"contents")?;
        let mode = Mode::from_raw(0o600);
        let file = match self {
            Self::Stream(..) => TempFile::new_for(&Root::open(std::env::temp_dir())?, &name, mode)?,
            Self::File { folder, .. } | Self::Sqlite { folder, .. } => TempFile::new_for(folder, &name, mode)?,
        };
        Ok(file.file().try_clone()?)
    }
}

/// A package, ready to become another one.
enum Source {
    /// A foreign one, read whole; where its package goes while it is read again.
    Foreign(Box<Converted>, File),
    /// One of ours, as plain records in a file without a name.
    Own(File, &'static str),
}

impl Source {
    fn open(args: &Args, target: &Target) -> anyhow::Result<Self> {
        let mut input = packages::raw(&args.file)?;
        let mut head = Vec::new();
        (&mut input).take(HEAD).read_to_end(&mut head)?;
        if zpkg::is_zpkg(&head) {
            let mut scratch = target.scratch()?;
            if args.file.as_os_str() == "-" {
                return Err(Failure::new(exit::USAGE, "a `.zpkg` can not be read from a stream").into());
            }
            zpkg::to_kpkg(&args.file, BufWriter::new(&mut scratch))?;
            return Ok(Self::Own(scratch, "zpkg"));
        }
        let whole = head.as_slice().chain(input);
        if is_ours(&head) {
            let mut scratch = target.scratch()?;
            let mut plain = codec::Decoder::new(whole, codec::Bounds::default())?;
            std::io::copy(&mut plain, &mut scratch).map_err(pkgformat::Error::from)?;
            return Ok(Self::Own(scratch, "kpkg"));
        }
        let meta = super::pack::metadata(&args.output, &args.meta);
        let mut options = Options { meta: meta.as_ref().ok().cloned(), ..Options::default() };
        if let Some(key) = &args.key {
            options.gpkg_keys = Some(keys(key)?);
        }
        match convert::read(whole, target.scratch()?, &options) {
            // Only a tar archive has to be told what it is.
            Err(ConvertError::Missing { format: "tar", .. }) => {
                Err(meta.err().unwrap_or_else(|| anyhow::anyhow!("no metadata")))
            }
            Err(error) => Err(error.into()),
            Ok(converted) => {
                refuse_needless(args, converted.format())?;
                Ok(Self::Foreign(Box::new(converted), target.scratch()?))
            }
        }
    }

    /// Writes the package, compressed, every content checked on its way.
    fn write(&self, output: impl Write, compression: Compression) -> anyhow::Result<PackageRecord> {
        let compressor = Compressor::new(output, compression, &CompressOptions::default())?;
        let (compressor, record) = match self {
            Self::Foreign(converted, _) => (converted.write_to(compressor)?.0, converted.record().clone()),
            Self::Own(..) => copy(self.reader()?, compressor)?,
        };
        compressor.finish()?.flush()?;
        Ok(record)
    }

    /// Reads the package as one of ours.
    fn reader(&self) -> anyhow::Result<Reader<Box<dyn Read>>> {
        let file = match self {
            Self::Own(file, _) => file,
            Self::Foreign(converted, file) => {
                converted.write_to(BufWriter::new(file))?;
                file
            }
        };
        let mut file = file.try_clone()?;
        file.rewind()?;
        let stream: Box<dyn Read> = Box::new(Stoppable(file));
        Ok(Reader::open(stream, Limits::default())?)
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Foreign(converted, _) => converted.format().as_str(),
            Self::Own(_, kind) => kind,
        }
    }
}

/// Bytes that tell what a file is: a header of sqlite, or a compressed record.
const HEAD: u64 = 64 << 10;

fn is_ours(head: &[u8]) -> bool {
    let mut magic = [0; 4];
    let decoder = codec::Decoder::new(head, codec::Bounds::default());
    decoder.is_ok_and(|mut decoder| decoder.read_exact(&mut magic).is_ok()) && magic == pkgformat::record::MAGIC
}

fn keys(path: &Path) -> anyhow::Result<archive::OpenPgpKeys> {
    let mut bytes = Vec::new();
    packages::raw(path)?.take(16 << 20).read_to_end(&mut bytes)?;
    archive::OpenPgpKeys::parse(&bytes).with_context(|| format!("cannot read the keys in `{}`", path.display()))
}

/// What was said and counts for nothing is a mistake.
fn refuse_needless(args: &Args, format: Format) -> anyhow::Result<()> {
    let refuse = |what: &str| {
        Err(Failure::new(exit::USAGE, format!("{what}; this is a package of the kind {}", format.as_str())).into())
    };
    if !args.meta.is_empty() && format != Format::Tar {
        return refuse("`--meta` is for tar archives, which say nothing of themselves");
    }
    if args.key.is_some() && format != Format::Gpkg {
        return refuse("`--key` is for gpkg packages, whose signatures can be checked");
    }
    Ok(())
}

fn copy<W: Write>(mut reader: Reader<Box<dyn Read>>, output: W) -> anyhow::Result<(W, PackageRecord)> {
    let record = reader.package().clone();
    let mut writer = Writer::new(output, &record)?;
    while let Some(blob) = reader.next_blob()? {
        writer.blob(blob.size(), blob)?;
    }
    reader.finish()?;
    let (output, _) = writer.finish()?;
    Ok((output, record))
}

fn report(args: &Args, source: &Source, record: &PackageRecord, voice: &Voice) -> anyhow::Result<()> {
    let meta = record.meta();
    let losses = match source {
        Source::Foreign(converted, _) => converted.report().losses.as_slice(),
        Source::Own(..) => &[],
    };
    if args.json {
        let losses: Vec<_> = losses
            .iter()
            .map(|loss| json!({ "kind": loss.kind.as_str(), "what": loss.what, "why": loss.why }))
            .collect();
        return render::json(&json!({
            "format_version": 1,
            "file": args.output.display().to_string(),
            "id": record.id().to_string(),
            "from": source.kind(),
            "name": meta.name.as_str(),
            "version": meta.version.to_string(),
            "release": meta.release.0,
            "files": record.manifest().entries().len(),
            "losses": losses,
        }));
    }
    for loss in losses.iter().filter(|loss| loss.kind != LossKind::Script) {
        voice.warning(format_args!("not kept: {} `{}`: {}", loss.kind, loss.what, loss.why));
    }
    let scripts: Vec<&str> =
        losses.iter().filter(|loss| loss.kind == LossKind::Script).map(|loss| loss.what.as_str()).collect();
    if !scripts.is_empty() {
        voice.warning(format_args!("kept, and never run: the scripts {}", scripts.join(", ")));
    }
    voice.status(format_args!(
        "converted {} {}-{} from {}, {}",
        meta.name,
        meta.version,
        meta.release,
        source.kind(),
        render::count(record.manifest().entries().len() as u64, "path"),
    ));
    Ok(())
}
