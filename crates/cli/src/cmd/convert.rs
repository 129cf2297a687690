//! `pkg convert FILE -o FILE`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use codec::{Encoder, Format as Compression};
use convert::{Converted, LossKind, Options};
use pkgfs::{Durability, Root, TempFile};
use pkgtypes::{Mode, PkgPath};
use serde_json::json;

use crate::failure::Failure;
use crate::output::Output;
use crate::render::{self, Voice};
use crate::{exit, packages};

/// What to convert, and to what.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: pkg convert hello_2.10-3_amd64.deb -o hello.kpkg.zst")]
pub struct Args {
    /// The foreign package; `-` is standard input. What it is its first bytes tell.
    file: PathBuf,
    /// The package to write; its ending chooses the compression.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A value of the metadata of a tar archive, which says nothing of itself; the name's default is that of FILE.
    #[arg(short, long = "meta", value_name = "NAME=VALUE", value_parser = super::pack::assignment)]
    meta: Vec<(String, String)>,
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
    let cannot = || format!("cannot convert {}", packages::shown(&args.file));
    let output = Output::of(&args.output)?;
    let options = Options { meta: Some(super::pack::metadata(&args.output, &args.meta)?), ..Options::default() };
    let source = packages::raw(&args.file)?;
    let converted = convert::read(source, scratch(&output)?, &options).with_context(cannot)?;
    write(&converted, output, Compression::from_extension(&args.output)).with_context(cannot)?;
    report(args, &converted, voice)?;
    Ok(exit::DONE)
}

/// A file without a name, on the disk that the package goes to.
fn scratch(output: &Output) -> anyhow::Result<File> {
    let name = PkgPath::new(*b"contents")?;
    let file = match output {
        Output::File { folder, .. } => TempFile::new_for(folder, &name, Mode::from_raw(0o600))?,
        Output::Stream(_) => TempFile::new_for(&Root::open(std::env::temp_dir())?, &name, Mode::from_raw(0o600))?,
    };
    Ok(file.file().try_clone()?)
}

fn write(converted: &Converted, output: Output, compression: Compression) -> anyhow::Result<()> {
    match output {
        Output::Stream(stream) => {
            let encoder = Encoder::new(BufWriter::new(stream), compression)?;
            converted.write_to(encoder)?.0.finish()?.flush()?;
        }
        Output::File { folder, name } => {
            let file = TempFile::new_for(&folder, &name, Mode::from_raw(0o644))?;
            let encoder = Encoder::new(BufWriter::with_capacity(1 << 18, file.file()), compression)?;
            converted.write_to(encoder)?.0.finish()?.flush()?;
            file.persist(Durability::Atomic)?;
        }
    }
    Ok(())
}

fn report(args: &Args, converted: &Converted, voice: &Voice) -> anyhow::Result<()> {
    let record = converted.record();
    let meta = record.meta();
    let losses = &converted.report().losses;
    if args.json {
        let losses: Vec<_> = losses
            .iter()
            .map(|loss| json!({ "kind": loss.kind.as_str(), "what": loss.what, "why": loss.why }))
            .collect();
        return render::json(&json!({
            "format_version": 1,
            "file": args.output.display().to_string(),
            "id": record.id().to_string(),
            "from": converted.format().as_str(),
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
        voice.warning(format_args!("kept under `foreign.script.`, and never run: {}", scripts.join(", ")));
    }
    voice.status(format_args!(
        "converted {} {}-{} from {}, {}",
        meta.name,
        meta.version,
        meta.release,
        converted.format().as_str(),
        render::count(record.manifest().entries().len() as u64, "file"),
    ));
    Ok(())
}
