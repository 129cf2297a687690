//! `pkg convert FILE -o FILE`.

use std::fs::File;
use std::io::{BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use codec::{Encoder, Format as Compression};
use convert::{Converted, Error as ConvertError, Format, Loss, LossKind, Options, Report, Sniffed};
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
    /// The package to write; its ending says what it becomes: .kpkg or .tar, with .zst, .xz or .gz after it,
    /// .zpkg, .gpkg.tar.
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
    let (record, written) = target.write(&source).with_context(cannot)?;
    let read = if let Source::Foreign(converted, _) = &source { &converted.report().losses[..] } else { &[] };
    let losses: Vec<&Loss> = read.iter().chain(&written.losses).collect();
    report(args, source.kind(), &record, &losses, voice)?;
    Ok(exit::DONE)
}

/// What becomes of the package, and where it goes.
struct Target {
    kind: Kind,
    output: Output,
    compression: Compression,
}

/// What becomes of the package, by the ending of the file's name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Package,
    Sqlite,
    Tar,
    Gpkg,
}

impl Kind {
    fn of(path: &Path) -> Self {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let plain = [".zst", ".xz", ".gz", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        if name.ends_with(".zpkg") {
            Self::Sqlite
        } else if name.ends_with(".gpkg.tar") {
            Self::Gpkg
        } else if plain.ends_with(".tar") {
            Self::Tar
        } else {
            Self::Package
        }
    }
}

impl Target {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let (kind, output) = (Kind::of(path), Output::of(path)?);
        if matches!(kind, Kind::Sqlite | Kind::Gpkg) && matches!(output, Output::Stream(_)) {
            return Err(Failure::new(exit::USAGE, "this kind of package can not be written as a stream").into());
        }
        Ok(Self { kind, output, compression: Compression::from_extension(path) })
    }

    /// Writes the package; what is not complete is not there.
    fn write(self, source: &Source) -> anyhow::Result<(PackageRecord, Report)> {
        let scratch = self.scratch()?;
        let (folder, name) = match self.output {
            Output::Stream(stream) => {
                return write(source, self.kind, BufWriter::new(stream), self.compression, scratch);
            }
            Output::File { folder, name } => (folder, name),
        };
        if self.kind == Kind::Sqlite {
            let reader = source.reader()?;
            let record = reader.package().clone();
            zpkg::from_kpkg(reader, &folder, &name, Durability::Atomic)?;
            return Ok((record, Report::default()));
        }
        let file = TempFile::new_for(&folder, &name, Mode::from_raw(0o644))?;
        let output = BufWriter::with_capacity(1 << 18, file.file());
        let written = if self.kind == Kind::Gpkg {
            let reader = source.reader()?;
            let record = reader.package().clone();
            let (mut output, report) = convert::to_gpkg(reader, scratch, output)?;
            output.flush()?;
            (record, report)
        } else {
            write(source, self.kind, output, self.compression, scratch)?
        };
        file.persist(Durability::Atomic)?;
        Ok(written)
    }

    /// A file without a name, on the disk that the package goes to.
    fn scratch(&self) -> anyhow::Result<File> {
        let name = PkgPath::new(*b"contents")?;
        let mode = Mode::from_raw(0o600);
        let file = match &self.output {
            Output::Stream(_) => TempFile::new_for(&Root::open(std::env::temp_dir())?, &name, mode)?,
            Output::File { folder, .. } => TempFile::new_for(folder, &name, mode)?,
        };
        Ok(file.file().try_clone()?)
    }
}

/// What can be written as a stream: a package of ours, or a tar archive.
fn write(
    source: &Source,
    kind: Kind,
    output: impl Write,
    compression: Compression,
    scratch: File,
) -> anyhow::Result<(PackageRecord, Report)> {
    if kind != Kind::Tar {
        return Ok((source.write(output, compression)?, Report::default()));
    }
    let reader = source.reader()?;
    let record = reader.package().clone();
    let (encoder, report) = convert::to_tar(reader, scratch, Encoder::new(output, compression)?)?;
    encoder.finish()?.flush()?;
    Ok((record, report))
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
        let input = Sniffed::new(packages::raw(&args.file)?).map_err(ConvertError::Input)?;
        if zpkg::is_zpkg(input.head()) {
            refuse_needless(args, "zpkg")?;
            return Self::open_sqlite(args, target);
        }
        if input.plain_head().starts_with(&pkgformat::record::MAGIC) {
            refuse_needless(args, "kpkg")?;
            let mut scratch = target.scratch()?;
            let mut plain = codec::Decoder::new(input, codec::Bounds::default())?;
            std::io::copy(&mut plain, &mut scratch).map_err(pkgformat::Error::from)?;
            return Ok(Self::Own(scratch, "kpkg"));
        }
        let meta = super::pack::metadata(&args.output, &args.meta);
        let mut options = Options { meta: meta.as_ref().ok().cloned(), ..Options::default() };
        if let Some(key) = &args.key {
            options.gpkg_keys = Some(keys(key)?);
        }
        match convert::read_sniffed(input, target.scratch()?, &options) {
            // Only a tar archive has to be told what it is.
            Err(ConvertError::Missing { format: "tar", .. }) => {
                Err(meta.err().unwrap_or_else(|| anyhow::anyhow!("no metadata")))
            }
            Err(error) => Err(error.into()),
            Ok(converted) => {
                refuse_needless(args, converted.format().as_str())?;
                Ok(Self::Foreign(Box::new(converted), target.scratch()?))
            }
        }
    }

    /// A sqlite file is read in any order.
    fn open_sqlite(args: &Args, target: &Target) -> anyhow::Result<Self> {
        if args.file.as_os_str() == "-" {
            return Err(Failure::new(exit::USAGE, "a `.zpkg` can not be read from a stream").into());
        }
        let mut scratch = target.scratch()?;
        zpkg::to_kpkg(&args.file, BufWriter::new(&mut scratch))?;
        Ok(Self::Own(scratch, "zpkg"))
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

fn keys(path: &Path) -> anyhow::Result<archive::OpenPgpKeys> {
    let mut bytes = Vec::new();
    packages::raw(path)?.take(16 << 20).read_to_end(&mut bytes)?;
    archive::OpenPgpKeys::parse(&bytes).with_context(|| format!("cannot read the keys in `{}`", path.display()))
}

/// What was said and counts for nothing is a mistake.
fn refuse_needless(args: &Args, kind: &str) -> anyhow::Result<()> {
    let refuse = |what: &str| Err(Failure::new(exit::USAGE, format!("{what}; this is a {kind}")).into());
    if !args.meta.is_empty() && kind != Format::Tar.as_str() {
        return refuse("`--meta` is for tar archives, which say nothing of themselves");
    }
    if args.key.is_some() && kind != Format::Gpkg.as_str() {
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

fn report(args: &Args, from: &str, record: &PackageRecord, losses: &[&Loss], voice: &Voice) -> anyhow::Result<()> {
    let meta = record.meta();
    if args.json {
        let losses: Vec<_> = losses
            .iter()
            .map(|loss| json!({ "kind": loss.kind.as_str(), "what": loss.what, "why": loss.why }))
            .collect();
        return render::json(&json!({
            "format_version": 1,
            "file": args.output.display().to_string(),
            "id": record.id().to_string(),
            "from": from,
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
        voice.warning(format_args!("scripts that do not run any more: {}", scripts.join(", ")));
    }
    voice.status(format_args!(
        "converted {} {}-{} from {}, {}",
        meta.name,
        meta.version,
        meta.release,
        from,
        render::count(record.manifest().entries().len() as u64, "path"),
    ));
    Ok(())
}
