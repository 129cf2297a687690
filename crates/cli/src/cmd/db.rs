//! `pkg db ..`: the primitive operations on packages as sqlite files.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use codec::{Encoder, Format};
use installdb::zpkg::{Blob, LoosePath, PathType, Zpkg, ZpkgEdit};
use pkgformat::{Entry, PackageMeta, PackageRecord, Principal, Summary, Use};
use pkgfs::{Durability, Root, TempFile};
use pkgtypes::{Arch, Digest, Mode, PackageId, PkgPath, Timestamp};
use serde_json::{Value, json};

use crate::content::Content;
use crate::failure::Failure;
use crate::output::Output;
use crate::render::{self, Voice};
use crate::{exit, packages};

/// The steps of which packages are made, one by one, on a file of packages, contents and paths (`.zpkg`).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A package's id changes with everything in it. It is what signatures cover, so `pkg trust sign` \
    on the package that `pkg db to-kpkg` writes covers the one in the file too."
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Add a package that has metadata and no path, and make FILE when it is missing.
    Create(CreateArgs),
    /// Add packages with all they hold, and make FILE when it is missing.
    AddPackage(AddPackageArgs),
    /// Add contents.
    AddBlob(AddBlobArgs),
    /// Add a path, to no package yet or to one.
    AddPath(AddPathArgs),
    /// Give paths a package, a blob as their content, or both.
    Associate(AssociateArgs),
    /// Record what programs and libraries say of themselves.
    Elf(ElfArgs),
    /// Compress contents.
    Compress(CompressArgs),
    /// Store contents as they are.
    Uncompress(BlobsArgs),
    /// Write a content to a file.
    Extract(ExtractArgs),
    /// Compare a content with a file; exit 10 when they differ.
    Compare(CompareArgs),
    /// List packages, contents and paths.
    List(ListArgs),
    /// Check every byte.
    Check(CheckArgs),
    /// Write a package as a file of records.
    ToKpkg(ToKpkgArgs),
}

/// What is printed of a change.
#[derive(Debug, clap::Args)]
struct Changed {
    /// The file of packages.
    file: PathBuf,
    /// Print the result as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct CreateArgs {
    #[command(flatten)]
    changed: Changed,
    /// A value of the package's metadata, `name=` at least; version and release are 0 without them. Without any, FILE is
    /// made and no package.
    #[arg(short, long = "meta", value_name = "NAME=VALUE", value_parser = assignment)]
    meta: Vec<(String, String)>,
}

#[derive(Debug, clap::Args)]
struct AddPackageArgs {
    #[command(flatten)]
    changed: Changed,
    /// Packages, compressed or not; `-` is standard input.
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct AddBlobArgs {
    #[command(flatten)]
    changed: Changed,
    /// Files with the contents; `-` is standard input.
    #[arg(required = true, value_name = "CONTENT")]
    contents: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct AddPathArgs {
    #[command(flatten)]
    changed: Changed,
    /// The path, without a slash before it.
    path: PathBuf,
    /// file, dir, symlink, hardlink, fifo, socket, char, block or ghost.
    #[arg(long = "type", value_name = "TYPE", default_value = "file", value_parser = path_type)]
    kind: PathType,
    /// Four octal digits; by default 0755 for folders and 0644 for all else that has a mode.
    #[arg(long, value_name = "MODE", value_parser = mode)]
    mode: Option<Mode>,
    /// A name, or an id that has none.
    #[arg(long, value_name = "USER", default_value = "root")]
    owner: Principal,
    /// A name, or an id that has none.
    #[arg(long, value_name = "GROUP", default_value = "root")]
    group: Principal,
    /// Seconds since 1970.
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = time)]
    mtime: Timestamp,
    /// config, doc, license or mutable.
    #[arg(long = "use", value_name = "USE")]
    uses: Vec<Use>,
    /// The content of a file: the first digits of a digest.
    #[arg(long, value_name = "BLOB")]
    blob: Option<String>,
    /// Where a link leads.
    #[arg(long, value_name = "PATH")]
    target: Option<PathBuf>,
    /// The number of a device.
    #[arg(long, value_name = "MAJOR:MINOR", value_parser = device)]
    device: Option<(u32, u32)>,
    /// The package that the path comes to: its name, or the first digits of its id.
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
}

#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("with").args(["package", "blob"]).required(true).multiple(true)))]
struct AssociateArgs {
    #[command(flatten)]
    changed: Changed,
    /// The paths. Those of a package get another content; those of none come to the package.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The package: its name, or the first digits of its id.
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
    /// The content: the first digits of its digest.
    #[arg(long, value_name = "BLOB")]
    blob: Option<String>,
}

#[derive(Debug, clap::Args)]
struct ElfArgs {
    #[command(flatten)]
    changed: Changed,
    /// Paths of files; without any, all files of the package.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The package, where there is more than one: its name, or the first digits of its id.
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
}

#[derive(Debug, clap::Args)]
struct BlobsArgs {
    #[command(flatten)]
    changed: Changed,
    /// The first digits of their digests; without any, all contents.
    #[arg(value_name = "BLOB")]
    blobs: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct CompressArgs {
    #[command(flatten)]
    blobs: BlobsArgs,
    /// How hard to try, 1 to 22.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=22))]
    level: u32,
}

#[derive(Debug, clap::Args)]
struct ExtractArgs {
    /// The file of packages.
    file: PathBuf,
    /// The first digits of its digest.
    blob: String,
    /// The file to write; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// The mode of the file, four octal digits.
    #[arg(long, value_name = "MODE", default_value = "0644", value_parser = mode)]
    mode: Mode,
    /// Print what was written as JSON; on standard output the content comes in events, one a line.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct CompareArgs {
    /// The file of packages.
    file: PathBuf,
    /// The first digits of its digest.
    blob: String,
    /// The file to compare it with; `-` is standard input.
    path: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The file of packages.
    file: PathBuf,
    /// List the contents too.
    #[arg(long)]
    blobs: bool,
    /// List the packages' paths too.
    #[arg(long)]
    paths: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct CheckArgs {
    /// The file of packages.
    file: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ToKpkgArgs {
    /// The file of packages.
    file: PathBuf,
    /// The package, where there is more than one: its name, or the first digits of its id.
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
    /// The file to write; its ending (.zst, .xz, .gz) chooses the compression; `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Print what was written as JSON.
    #[arg(long)]
    json: bool,
}

fn assignment(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is expected")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn path_type(text: &str) -> Result<PathType, String> {
    let known = PathType::ALL.iter().find(|(_, name)| *name == text);
    known.map(|(kind, _)| *kind).ok_or_else(|| "no such type".to_owned())
}

fn mode(text: &str) -> Result<Mode, String> {
    Mode::parse(text.as_bytes()).map_err(|error| error.to_string())
}

fn time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse_decimal(text.as_bytes()).map_err(|error| error.to_string())
}

fn device(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once(':').and_then(|(major, minor)| major.parse().ok().zip(minor.parse().ok()));
    parts.ok_or_else(|| "MAJOR:MINOR is expected".to_owned())
}

/// Does one operation: a change in one step, or a question.
///
/// # Errors
/// A damaged file, no such package, blob or path, a change that would make a package wrong, a full disk.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    match &args.verb {
        Verb::Create(args) => create(args),
        Verb::AddPackage(args) => add_packages(args),
        Verb::AddBlob(args) => add_blobs(args),
        Verb::AddPath(args) => add_path(args),
        Verb::Associate(args) => associate(args),
        Verb::Elf(args) => elf(args),
        Verb::Compress(args) => store(&args.blobs, |edit, digest| edit.compress(digest, args.level)),
        Verb::Uncompress(args) => store(args, ZpkgEdit::uncompress),
        Verb::Extract(args) => extract(args),
        Verb::Compare(args) => compare(args, voice),
        Verb::List(args) => list(args),
        Verb::Check(args) => check(args, voice),
        Verb::ToKpkg(args) => to_kpkg(args, voice),
    }
}

fn create(args: &CreateArgs) -> anyhow::Result<u8> {
    let (root, name) = place(&args.changed.file)?;
    let exists = root.stat(&name)?.is_some();
    if args.meta.is_empty() {
        if exists {
            let what = format!("`{}` is there already", args.changed.file.display());
            return Err(Failure::new(exit::REFUSED, what).hint("`-m name=NAME` adds a package to it").into());
        }
        ZpkgEdit::create(&root, &name, 0)?.commit(Durability::Atomic)?;
        return Ok(exit::DONE);
    }
    let meta = metadata(&args.meta)?;
    let mut edit = if exists { ZpkgEdit::open(&root, &name)? } else { ZpkgEdit::create(&root, &name, 0)? };
    let id = edit.create_package(meta)?;
    edit.commit(Durability::Atomic)?;
    tell_packages(&args.changed, &[id])
}

fn metadata(values: &[(String, String)]) -> anyhow::Result<PackageMeta> {
    let arch = Arch::host();
    let defaults = [("version", "0"), ("release", "0"), ("arch", arch.as_str())];
    let missing = defaults.into_iter().filter(|(name, _)| values.iter().all(|(other, _)| other != name));
    let entries = missing.chain(values.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let meta = PackageMeta::from_entries(entries);
    Ok(meta.map_err(|error| Failure::new(exit::USAGE, format!("the metadata is wrong: {error}")))?)
}

fn add_packages(args: &AddPackageArgs) -> anyhow::Result<u8> {
    let (root, name) = place(&args.changed.file)?;
    let mut edit = match root.stat(&name)? {
        Some(_) => ZpkgEdit::open(&root, &name)?,
        None => {
            let size = |path: &PathBuf| std::fs::metadata(path).map_or(0, |data| data.len());
            ZpkgEdit::create(&root, &name, args.packages.iter().map(size).sum())?
        }
    };
    let mut ids = Vec::new();
    for path in &args.packages {
        ids.push(edit.add_package(packages::open(path)?).with_context(|| packages::unreadable(path))?);
    }
    edit.commit(Durability::Atomic)?;
    tell_packages(&args.changed, &ids)
}

fn add_blobs(args: &AddBlobArgs) -> anyhow::Result<u8> {
    let mut edit = open_edit(&args.changed.file)?;
    let mut blobs = Vec::new();
    for path in &args.contents {
        let content = packages::stream(path)?;
        blobs.push(edit.add_blob(content).with_context(|| format!("cannot add {}", packages::shown(path)))?);
    }
    edit.commit(Durability::Atomic)?;
    tell_blobs(&args.changed, &blobs)
}

fn add_path(args: &AddPathArgs) -> anyhow::Result<u8> {
    let mut edit = open_edit(&args.changed.file)?;
    let mut loose = LoosePath::new(inside(&args.path)?, args.kind);
    loose.mode = args.mode.or_else(|| default_mode(args.kind));
    (loose.owner, loose.group, loose.mtime) = (args.owner.clone(), args.group.clone(), args.mtime);
    loose.uses = args.uses.iter().copied().collect();
    loose.content = args.blob.as_deref().map(|blob| find_blob(&edit, blob)).transpose()?;
    loose.target = args.target.as_ref().map(|target| target.as_os_str().as_encoded_bytes().to_vec());
    loose.device = args.device;
    edit.add_path(&loose)?;
    let package = args.package.as_deref().map(|package| find_package(&edit, Some(package))).transpose()?;
    let changed = package.map(|package| edit.associate(&package, &[loose.path])).transpose()?;
    edit.commit(Durability::Atomic)?;
    tell_packages(&args.changed, changed.as_slice())
}

fn default_mode(kind: PathType) -> Option<Mode> {
    match kind {
        PathType::Dir => Some(Mode::from_raw(0o755)),
        PathType::Symlink | PathType::Hardlink | PathType::Ghost => None,
        _ => Some(Mode::from_raw(0o644)),
    }
}

fn associate(args: &AssociateArgs) -> anyhow::Result<u8> {
    let mut edit = open_edit(&args.changed.file)?;
    let blob = args.blob.as_deref().map(|blob| find_blob(&edit, blob)).transpose()?;
    let package = args.package.as_deref().map(|package| find_package(&edit, Some(package))).transpose()?;
    let mut changed = package;
    let mut coming = Vec::new();
    for path in &args.paths {
        let path = inside(path)?;
        let record = changed.map(|package| edit.package(&package)).transpose()?;
        let is_there = record.is_some_and(|record| record.manifest().find(&path).is_some());
        match (changed, &blob) {
            (Some(package), Some(blob)) if is_there => {
                changed = Some(edit.set_package_content(&package, &path, blob)?);
                continue;
            }
            (_, Some(blob)) => edit.set_content(&path, blob)?,
            (_, None) => {}
        }
        coming.push(path);
    }
    if let Some(package) = changed {
        changed = Some(edit.associate(&package, &coming)?);
    }
    edit.commit(Durability::Atomic)?;
    tell_packages(&args.changed, changed.as_slice())
}

fn elf(args: &ElfArgs) -> anyhow::Result<u8> {
    let mut edit = open_edit(&args.changed.file)?;
    let mut package = find_package(&edit, args.package.as_deref())?;
    let record = edit.package(&package)?;
    let paths = match args.paths.is_empty() {
        false => args.paths.iter().map(|path| inside(path)).collect::<anyhow::Result<Vec<_>>>()?,
        true => {
            let files = record.manifest().entries().iter();
            files.filter(|entry| entry.kind.name() == "file").map(|entry| entry.path.clone()).collect()
        }
    };
    for path in &paths {
        (package, _) = edit.record_elf(&package, path)?;
    }
    edit.commit(Durability::Atomic)?;
    tell_packages(&args.changed, &[package])
}

fn store(args: &BlobsArgs, change: impl Fn(&mut ZpkgEdit, &Digest) -> installdb::Result<Blob>) -> anyhow::Result<u8> {
    let mut edit = open_edit(&args.changed.file)?;
    let wanted: Vec<Digest> = match args.blobs.is_empty() {
        true => edit.blobs()?.iter().map(|blob| blob.digest).collect(),
        false => args.blobs.iter().map(|blob| find_blob(&edit, blob)).collect::<anyhow::Result<_>>()?,
    };
    let mut blobs = Vec::new();
    for digest in &wanted {
        crate::signals::check()?;
        blobs.push(change(&mut edit, digest)?);
    }
    edit.commit(Durability::Atomic)?;
    tell_blobs(&args.changed, &blobs)
}

fn extract(args: &ExtractArgs) -> anyhow::Result<u8> {
    let zpkg = Zpkg::open(&args.file)?;
    let digest = find_blob(&zpkg, &args.blob)?;
    if args.output.as_os_str() == "-" {
        let mut content = Content::new(args.json);
        zpkg.write_content(&digest, &mut content)?;
        content.finish(json!({ "digest": digest.to_string() }))?;
        return Ok(exit::DONE);
    }
    match Output::of(&args.output)? {
        Output::File { folder, name } => zpkg.extract(&digest, &folder, &name, args.mode)?,
        Output::Stream(mut stream) => zpkg.write_content(&digest, &mut stream)?,
    }
    if args.json {
        let size = zpkg.blob(&digest)?.size;
        let file = args.output.display().to_string();
        render::json(&json!({ "format_version": 1, "digest": digest.to_string(), "size": size, "file": file }))?;
    }
    Ok(exit::DONE)
}

fn compare(args: &CompareArgs, voice: &Voice) -> anyhow::Result<u8> {
    let zpkg = Zpkg::open(&args.file)?;
    let digest = find_blob(&zpkg, &args.blob)?;
    let is_same = zpkg.compare(&digest, packages::stream(&args.path)?)?;
    if args.json {
        let file = args.path.display().to_string();
        render::json(&json!({ "format_version": 1, "digest": digest.to_string(), "file": file, "same": is_same }))?;
    } else if !is_same {
        voice.status(format_args!("{} differs from blob {digest}", packages::shown(&args.path)));
    }
    Ok(if is_same { exit::DONE } else { exit::DIFFERENT })
}

fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let zpkg = Zpkg::open(&args.file)?;
    let records = zpkg.package_ids()?.iter().map(|id| zpkg.package(id)).collect::<installdb::Result<Vec<_>>>()?;
    let (blobs, loose) = (zpkg.blobs()?, zpkg.loose_paths()?);
    if args.json {
        let mut document = json!({
            "format_version": 1,
            "packages": records.iter().map(|record| package_json(record, args.paths)).collect::<Value>(),
            "loose_paths": loose.iter().map(loose_json).collect::<Value>(),
            "blob_count": blobs.len(),
        });
        if args.blobs {
            document["blobs"] = blobs.iter().map(blob_json).collect();
        }
        render::json(&document)?;
        return Ok(exit::DONE);
    }
    for record in &records {
        let meta = record.meta();
        render::data(format_args!(
            "package {} {} {}-{} {}",
            record.id(),
            meta.name,
            meta.version,
            meta.release,
            meta.arch
        ))?;
        for entry in record.manifest().entries().iter().filter(|_| args.paths) {
            render::data(format_args!("  {} {}", entry.kind.name(), entry.path))?;
        }
    }
    for loose in &loose {
        render::data(format_args!("path {} {}", loose.kind, loose.path))?;
    }
    for blob in blobs.iter().filter(|_| args.blobs) {
        render::data(blob_line(blob))?;
    }
    Ok(exit::DONE)
}

fn check(args: &CheckArgs, voice: &Voice) -> anyhow::Result<u8> {
    let contents = Zpkg::open(&args.file)?.check()?;
    if args.json {
        render::json(&json!({
            "format_version": 1,
            "packages": contents.packages,
            "blobs": contents.blobs,
            "bytes": contents.bytes,
            "loose_paths": contents.loose_paths,
        }))?;
        return Ok(exit::DONE);
    }
    let (packages, blobs) = (render::count(contents.packages, "package"), render::count(contents.blobs, "blob"));
    voice.status(format_args!("{packages}, {blobs}, {} of content: all as it must be", render::size(contents.bytes)));
    Ok(exit::DONE)
}

fn to_kpkg(args: &ToKpkgArgs, voice: &Voice) -> anyhow::Result<u8> {
    let zpkg = Zpkg::open(&args.file)?;
    let id = find_package(&zpkg, args.package.as_deref())?;
    let format = Format::from_extension(&args.output);
    let write = |writer: Box<dyn Write + '_>| -> anyhow::Result<Summary> {
        let (encoder, summary) = zpkg.write_package(&id, Encoder::new(writer, format)?)?;
        encoder.finish().context("cannot write the package")?;
        Ok(summary)
    };
    let summary = match Output::of(&args.output)? {
        Output::Stream(stream) => write(Box::new(stream))?,
        Output::File { folder, name } => {
            let file = TempFile::new_for(&folder, &name, Mode::from_raw(0o644))?;
            let summary = write(Box::new(BufWriter::new(file.file())))?;
            file.persist(Durability::Atomic)?;
            summary
        }
    };
    if args.json {
        let file = args.output.display().to_string();
        render::json(&json!({ "format_version": 1, "file": file, "id": id.to_string(), "blobs": summary.blobs }))?;
    } else {
        voice.status(format_args!("wrote package {id} with {}", render::count(summary.blobs, "blob")));
    }
    Ok(exit::DONE)
}

/// The folder and the name of a file of packages, links followed.
fn place(file: &Path) -> anyhow::Result<(Root, PkgPath)> {
    match Output::of(file)? {
        Output::File { folder, name } => Ok((folder, name)),
        Output::Stream(_) => Err(Failure::new(exit::USAGE, format!("`{}` is no regular file", file.display())).into()),
    }
}

fn open_edit(file: &Path) -> anyhow::Result<ZpkgEdit> {
    let (root, name) = place(file)?;
    if root.stat(&name)?.is_none() {
        let what = format!("there is no file `{}`", file.display());
        return Err(Failure::new(exit::UNKNOWN, what).hint("`pkg db create FILE` makes one").into());
    }
    Ok(ZpkgEdit::open(&root, &name)?)
}

/// A path as packages have it, without the slash that people put before it.
fn inside(path: &Path) -> anyhow::Result<PkgPath> {
    let relative = path.strip_prefix("/").unwrap_or(path);
    Ok(PkgPath::from_os(relative).map_err(|error| Failure::new(exit::USAGE, error.to_string()))?)
}

/// The one blob whose digest begins so.
fn find_blob(zpkg: &Zpkg, digits: &str) -> anyhow::Result<Digest> {
    if let Ok(digest) = Digest::from_hex(digits.as_bytes()) {
        return Ok(zpkg.blob(&digest)?.digest);
    }
    let blobs = zpkg.blobs()?;
    let fitting = blobs.iter().map(|blob| blob.digest).filter(|digest| begins(&digest.to_hex(), digits));
    one(fitting, &format!("a blob {digits}"))
}

/// The one package that has this name, or whose id begins so; without a word, the one package that there is.
fn find_package(zpkg: &Zpkg, word: Option<&str>) -> anyhow::Result<PackageId> {
    let ids = zpkg.package_ids()?;
    let Some(word) = word else { return one(ids.into_iter(), "a package") };
    let mut fitting = Vec::new();
    for id in ids {
        if begins(&id.digest().to_hex(), word) || zpkg.package(&id)?.meta().name.as_str() == word {
            fitting.push(id);
        }
    }
    one(fitting.into_iter(), &format!("a package {word}"))
}

/// Fewer digits than this stand for nothing: they may well be a name.
const FEWEST_DIGITS: usize = 6;

fn begins(hex: &[u8], digits: &str) -> bool {
    digits.len() >= FEWEST_DIGITS && hex.starts_with(digits.as_bytes())
}

fn one<T: std::fmt::Display>(mut fitting: impl Iterator<Item = T>, what: &str) -> anyhow::Result<T> {
    match (fitting.next(), fitting.next()) {
        (Some(found), None) => Ok(found),
        (None, _) => Err(Failure::new(exit::UNKNOWN, format!("the file does not hold {what}")).into()),
        (Some(first), Some(second)) => {
            let what = format!("the file holds more than one of {what}: {first}, {second}");
            Err(Failure::new(exit::USAGE, what).hint("say more of its digits").into())
        }
    }
}

fn tell_packages(changed: &Changed, ids: &[PackageId]) -> anyhow::Result<u8> {
    if changed.json {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        render::json(&json!({ "format_version": 1, "packages": ids }))?;
    } else {
        ids.iter().try_for_each(render::data)?;
    }
    Ok(exit::DONE)
}

fn tell_blobs(changed: &Changed, blobs: &[Blob]) -> anyhow::Result<u8> {
    if changed.json {
        let blobs: Vec<Value> = blobs.iter().map(blob_json).collect();
        render::json(&json!({ "format_version": 1, "blobs": blobs }))?;
    } else {
        blobs.iter().map(blob_line).try_for_each(render::data)?;
    }
    Ok(exit::DONE)
}

fn blob_line(blob: &Blob) -> String {
    let how = if blob.compressed { "zstd" } else { "none" };
    format!("blob {} {} {how} {}", blob.digest, blob.size, blob.stored)
}

fn blob_json(blob: &Blob) -> Value {
    let compression = if blob.compressed { "zstd" } else { "none" };
    json!({
        "digest": blob.digest.to_string(),
        "size": blob.size,
        "compression": compression,
        "stored": blob.stored,
    })
}

fn package_json(record: &PackageRecord, paths: bool) -> Value {
    let meta = record.meta();
    let mut value = json!({
        "id": record.id().to_string(),
        "name": meta.name.as_str(),
        "version": meta.version.to_string(),
        "release": meta.release.0,
        "arch": meta.arch.as_str(),
    });
    if paths {
        let entries = record.manifest().entries().iter();
        let path = |entry: &Entry| {
            let mut value = json!({ "type": entry.kind.name() });
            render::put_path(&mut value, "", &entry.path);
            value
        };
        value["paths"] = entries.map(path).collect();
    }
    value
}

fn loose_json(loose: &LoosePath) -> Value {
    let blob = loose.content.map(|digest| digest.to_string());
    let mut value = json!({ "type": loose.kind.to_string(), "blob": blob });
    render::put_path(&mut value, "", &loose.path);
    value
}
