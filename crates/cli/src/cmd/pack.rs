//! `pkg pack DIR -o FILE`, `pkg pack --installed NAME -o FILE`.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use codec::Format;
use installdb::Installed;
use pkgfile::{CompressOptions, Compressor};
use pkgformat::{PackageMeta, PackageRecord};
use pkgfs::{Durability, Root, TempFile};
use pkgtree::{Names, Owners, PackOptions, Packed, Packer};
use pkgtypes::{Arch, Mode, PackageName};
use trust::SigArchive;

use crate::failure::Failure;
use crate::output::Output;
use crate::render::{self, Voice};
use crate::signals::Watch;
use crate::{exit, packages};

/// What to pack.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples: pkg pack ./tree -o hello-1.0-1.kpkg -m name=hello -m version=1.0 -m release=1\n\
    \u{20}         pkg pack --installed hello -o hello.kpkg")]
pub struct Args {
    /// The folder whose content becomes the package.
    #[arg(required_unless_present = "installed")]
    dir: Option<PathBuf>,
    /// Write an installed package as the file that it was, byte for byte, and its signatures to FILE.sigs.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["dir", "meta", "keep_owners"])]
    installed: Option<PackageName>,
    /// The root where it is installed.
    #[arg(long, value_name = "DIR", default_value = "/", requires = "installed")]
    root: PathBuf,
    /// The package to write; its ending (.zst, .xz, .gz) chooses the compression.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A value of the package's metadata; without them the name is that of FILE, version and release are 0.
    #[arg(short, long = "meta", value_name = "NAME=VALUE", value_parser = assignment)]
    meta: Vec<(String, String)>,
    /// Keep owners and groups; without it everything belongs to root.
    #[arg(long)]
    keep_owners: bool,
    /// Print what was packed as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Packs a folder, or what is installed.
///
/// # Errors
/// Metadata outside their grammar, a folder that can not be read or changes, a full disk; an installed package whose files
/// were changed.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    match (&args.dir, &args.installed) {
        (Some(dir), _) => pack_folder(dir, args, voice)?,
        (None, Some(name)) => pack_installed(name, args, voice)?,
        (None, None) => return Err(Failure::new(exit::USAGE, "neither a folder nor a package is named").into()),
    }
    Ok(exit::DONE)
}

fn pack_folder(dir: &Path, args: &Args, voice: &Voice) -> anyhow::Result<()> {
    let meta = metadata(&args.output, &args.meta)?;
    let tree = Root::open(dir)?;
    let output = Output::of(&args.output)?;
    refuse_inside(dir, &output)?;
    let mut options = PackOptions::default();
    if args.keep_owners {
        options.owners = Owners::Keep(Names::load(&tree)?);
    }
    let mut watch = Watch;
    let packer = Packer::new(&tree, meta, options).progress(&mut watch);
    let packed = write(packer, output, Format::from_extension(&args.output))
        .with_context(|| format!("cannot pack `{}`", dir.display()))?;
    report(args, &packed, voice)
}

fn pack_installed(name: &PackageName, args: &Args, voice: &Voice) -> anyhow::Result<()> {
    let db = Installed::open(&args.root)?;
    let signatures = db.signatures(name)?;
    let output = Output::of(&args.output)?;
    let beside = output.path().map(SigArchive::path_beside).filter(|_| !signatures.is_empty());
    let format = Format::from_extension(&args.output);
    let record = regenerate(&db, name, output, format).with_context(|| format!("cannot pack `{name}`"))?;
    if let Some(beside) = &beside {
        SigArchive::update(beside, |archive| signatures.rows().iter().try_for_each(|row| archive.insert(row.clone())))?;
    }
    let meta = record.meta();
    if args.json {
        return render::json(&serde_json::json!({
            "format_version": 1,
            "file": args.output.display().to_string(),
            "id": record.id().to_string(),
            "name": meta.name.as_str(),
            "version": meta.version.to_string(),
            "release": meta.release.0,
            "signatures": beside.map(|path| path.display().to_string()),
        }));
    }
    let signed = if beside.is_some() { "with its signatures beside it" } else { "unsigned" };
    let file =
        if args.output.as_os_str() == "-" { "standard output".to_owned() } else { packages::shown(&args.output) };
    voice.status(format_args!("packed {} {}-{} to {file}, {signed}", meta.name, meta.version, meta.release));
    Ok(())
}

fn regenerate(db: &Installed, name: &PackageName, output: Output, format: Format) -> anyhow::Result<PackageRecord> {
    let options = CompressOptions::default();
    match output {
        Output::Stream(stream) => {
            let (out, record) = db.regenerate(name, Compressor::new(stream, format, &options)?, &mut Watch)?;
            out.finish()?.flush()?;
            Ok(record)
        }
        Output::File { folder, name: target } => {
            let file = TempFile::new_for(&folder, &target, Mode::from_raw(0o644))?;
            let out = Compressor::new(BufWriter::new(file.file()), format, &options)?;
            let (out, record) = db.regenerate(name, out, &mut Watch)?;
            out.finish()?.flush()?;
            file.persist(Durability::Atomic)?;
            Ok(record)
        }
    }
}

/// What `-m` says, over the defaults.
pub(super) fn metadata(output: &Path, values: &[(String, String)]) -> anyhow::Result<PackageMeta> {
    let stem = stem(output);
    let said = |name: &str| values.iter().any(|(other, _)| other == name);
    let arch = Arch::host();
    let defaults = [("name", stem.as_str()), ("version", "0"), ("release", "0"), ("arch", arch.as_str())];
    let missing = defaults.into_iter().filter(|(name, _)| !said(name));
    let entries = missing.chain(values.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    PackageMeta::from_entries(entries).map_err(|error| {
        let failure = Failure::new(exit::USAGE, format!("the metadata is wrong: {error}"));
        let is_name = matches!(&error, pkgformat::MetaError::Value { name, .. } if name == "name");
        let hint = "give the package a name with `-m name=NAME`";
        if is_name && !said("name") { failure.hint(hint).into() } else { failure.into() }
    })
}

/// The file's name without the endings of packages and compression.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = [".zst", ".xz", ".gz", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    plain.strip_suffix(".kpkg").unwrap_or(plain).to_owned()
}

fn write(packer: Packer<'_>, output: Output, format: Format) -> anyhow::Result<Packed> {
    let (folder, name) = match output {
        Output::Stream(stream) => {
            let mut compressor = Compressor::new(stream, format, &CompressOptions::default())?;
            let packed = packer.write_to(&mut compressor)?;
            compressor.finish()?.flush()?;
            return Ok(packed);
        }
        Output::File { folder, name } => (folder, name),
    };
    if format == Format::Plain {
        return Ok(packer.create(&folder, &name, Durability::Atomic)?);
    }
    let file = TempFile::new_for(&folder, &name, Mode::from_raw(0o644))?;
    let mut compressor = Compressor::new(BufWriter::new(file.file()), format, &CompressOptions::default())?;
    // Without a name nobody else can open it, and it is gone when this process is.
    let between = TempFile::new_for(&folder, &name, Mode::from_raw(0o600))?.file().try_clone()?;
    let packed = packer.write_through(&between, &mut compressor)?;
    compressor.finish()?.flush()?;
    file.persist(Durability::Atomic)?;
    Ok(packed)
}

/// A package in the tree that it is made of would be in itself.
fn refuse_inside(tree: &Path, output: &Output) -> anyhow::Result<()> {
    let Some(path) = output.path() else { return Ok(()) };
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let inside = real(tree).zip(path.parent().and_then(real)).is_some_and(|(tree, folder)| folder.starts_with(tree));
    if !inside {
        return Ok(());
    }
    let what = format!("`{}` lies in the folder that is packed", path.display());
    Err(Failure::new(exit::USAGE, what).hint("write the package somewhere else").into())
}

fn report(args: &Args, packed: &Packed, voice: &Voice) -> anyhow::Result<()> {
    let meta = packed.record.meta();
    if args.json {
        return render::json(&serde_json::json!({
            "format_version": 1,
            "file": args.output.display().to_string(),
            "id": packed.record.id().to_string(),
            "name": meta.name.as_str(),
            "version": meta.version.to_string(),
            "release": meta.release.0,
            "files": packed.summary.files,
            "blobs": packed.summary.blobs,
            "bytes": packed.bytes,
        }));
    }
    voice.status(format_args!(
        "packed {}, {}, to {}: {} {}-{}",
        render::count(packed.summary.files, "path"),
        render::size(packed.summary.bytes),
        if args.output.as_os_str() == "-" { "standard output".to_owned() } else { packages::shown(&args.output) },
        meta.name,
        meta.version,
        meta.release
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_is_named_after_its_file() {
        for (path, name) in
            [("a/hello.kpkg", "hello"), ("hello.kpkg.zst", "hello"), ("hello", "hello"), ("x.tar.gz", "x.tar")]
        {
            assert_eq!(stem(Path::new(path)), name);
        }
    }
}
