//! `pkg pack DIR -o FILE`.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::Context;
use codec::{Encoder, Format};
use pkgformat::PackageMeta;
use pkgfs::{Durability, Root, TempFile};
use pkgtree::{Names, Owners, PackOptions, Packed, Packer};
use pkgtypes::{Arch, Mode, PkgPath};

use crate::failure::Failure;
use crate::render::{self, Voice};
use crate::{exit, packages, places};

/// What to pack.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pkg pack ./tree -o hello-1.0-1.kpkg -m name=hello -m version=1.0 -m release=1")]
pub struct Args {
    /// The folder whose content becomes the package.
    dir: PathBuf,
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

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Packs a folder.
///
/// # Errors
/// Metadata outside their grammar, a folder that can not be read or changes, a full disk.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let meta = metadata(args)?;
    let tree = Root::open(&args.dir)?;
    let mut options = PackOptions::default();
    if args.keep_owners {
        options.owners = Owners::Keep(Names::load(&tree)?);
    }
    let packed = write(Packer::new(&tree, meta, options), &args.output)
        .with_context(|| format!("cannot pack `{}`", args.dir.display()))?;
    report(args, &packed, voice)?;
    Ok(exit::DONE)
}

/// What `-m` says, over the defaults.
fn metadata(args: &Args) -> anyhow::Result<PackageMeta> {
    let stem = stem(&args.output);
    let said = |name: &str| args.meta.iter().any(|(other, _)| other == name);
    let arch = Arch::host();
    let defaults = [("name", stem.as_str()), ("version", "0"), ("release", "0"), ("arch", arch.as_str())];
    let missing = defaults.into_iter().filter(|(name, _)| !said(name));
    let entries = missing.chain(args.meta.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    PackageMeta::from_entries(entries).map_err(|error| {
        let failure = Failure::new(exit::USAGE, format!("the metadata is wrong: {error}"));
        let hint = "give the package a name with `-m name=NAME`";
        if said("name") { failure.into() } else { failure.hint(hint).into() }
    })
}

/// The file's name without the endings of packages and compression.
fn stem(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let plain = [".zst", ".xz", ".gz", ".bz2"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
    plain.strip_suffix(".kpkg").unwrap_or(plain).to_owned()
}

fn write(packer: Packer<'_>, output: &Path) -> anyhow::Result<Packed> {
    let format = Format::from_extension(output);
    if output.as_os_str() == "-" {
        let mut encoder = Encoder::new(BufWriter::new(std::io::stdout().lock()), format)?;
        let packed = packer.write_to(&mut encoder)?;
        encoder.finish()?;
        return Ok(packed);
    }
    let output = places::absolute(output)?;
    let (folder, name) = output
        .parent()
        .zip(output.file_name())
        .ok_or_else(|| Failure::new(exit::USAGE, "the output is no file name"))?;
    let folder = Root::open(folder)?;
    let name = PkgPath::from_os(name)?;
    if format == Format::Plain {
        return Ok(packer.create(&folder, &name, Durability::Atomic)?);
    }
    let file = TempFile::new_for(&folder, &name, Mode::from_raw(0o644))?;
    let mut encoder = Encoder::new(BufWriter::new(file.file()), format)?;
    let packed = packer.write_to(&mut encoder)?;
    encoder.finish()?;
    file.persist(Durability::Atomic)?;
    Ok(packed)
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
        "packed {} files, {} in {}: {} {}-{}",
        packed.summary.files,
        render::size(packed.summary.bytes),
        packages::shown(&args.output),
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
