//! `pkg inspect FILE|URL`.

use std::path::PathBuf;

use anyhow::Context;
use pkgformat::{Entry, EntryKind, PackageRecord, Xattr};
use serde_json::{Map, Value, json};

use crate::render::{self, Voice};
use crate::{exit, packages};

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The package, compressed or not; `-` is standard input. A URL of http or https will do.
    #[arg(value_name = "FILE|URL")]
    file: PathBuf,
    /// List the files too.
    #[arg(long)]
    files: bool,
    /// Read the whole package and check every byte of it.
    #[arg(long)]
    check: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Shows what a package says of itself. Only its head is read, unless everything is to be checked.
///
/// # Errors
/// A file that is no package, or a damaged one.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let record = if args.check { checked(args, voice)? } else { look(args)? };
    if args.json {
        render::json(&document(&record, args.files)?)?;
    } else {
        render::raw(text(&record, args.files)?.as_bytes())?;
    }
    Ok(exit::DONE)
}

fn look(args: &Args) -> anyhow::Result<PackageRecord> {
    Ok(packages::look(&args.file)?.record().clone())
}

fn checked(args: &Args, voice: &Voice) -> anyhow::Result<PackageRecord> {
    let reader = packages::open(&args.file)?;
    let record = reader.package().clone();
    let summary = reader.finish().with_context(|| packages::unreadable(&args.file))?;
    voice.status(format_args!(
        "{} records, {} of content, all checksums right",
        summary.records,
        render::size(summary.bytes)
    ));
    Ok(record)
}

fn text(record: &PackageRecord, files: bool) -> anyhow::Result<String> {
    let mut lines = vec![format!("id={}", record.id())];
    for (name, value) in record.meta().entries()? {
        lines.push(format!("{name}={}", String::from_utf8_lossy(&value)));
    }
    if files {
        lines.push(String::new());
        lines.extend(record.manifest().entries().iter().map(line));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// Type and mode, owner and group, size, path; as `ls -l` has it.
fn line(entry: &Entry) -> String {
    let letter = match entry.kind {
        EntryKind::File { .. } => '-',
        EntryKind::Dir { .. } => 'd',
        EntryKind::Symlink { .. } => 'l',
        EntryKind::Hardlink { .. } => 'h',
        EntryKind::Fifo { .. } => 'p',
        EntryKind::Socket { .. } => 's',
        EntryKind::Char { .. } => 'c',
        EntryKind::Block { .. } => 'b',
        EntryKind::Ghost => 'g',
    };
    let mode = entry.kind.mode().map_or_else(|| "----".to_owned(), |mode| mode.to_string());
    let size = if let EntryKind::File { size, .. } = entry.kind { size.to_string() } else { "-".to_owned() };
    let target = match &entry.kind {
        EntryKind::Symlink { target } => format!(" -> {}", target.escape_ascii()),
        EntryKind::Hardlink { target } => format!(" = {target}"),
        _ => String::new(),
    };
    let names: Vec<String> = entry.xattrs.iter().map(|xattr| xattr.name.escape_ascii().to_string()).collect();
    let xattrs = if names.is_empty() { String::new() } else { format!(" [{}]", names.join(" ")) };
    format!("{letter}{mode} {}:{} {size:>10} {}{target}{xattrs}", entry.owner, entry.group, entry.path)
}

fn document(record: &PackageRecord, files: bool) -> anyhow::Result<Value> {
    let mut meta: Map<String, Value> = Map::new();
    for (name, value) in record.meta().entries()? {
        let value = Value::from(String::from_utf8_lossy(&value).into_owned());
        match meta.entry(name.to_string()).or_insert_with(|| Value::Array(Vec::new())) {
            Value::Array(values) => values.push(value),
            _ => unreachable!("every name was given a list"),
        }
    }
    let mut document = json!({ "format_version": 1, "id": record.id().to_string(), "meta": meta });
    if files {
        document["files"] = record.manifest().entries().iter().map(file).collect();
    }
    Ok(document)
}

/// One entry; a path that is no text has its bytes escaped, and `path_hex` beside it.
fn file(entry: &Entry) -> Value {
    let mut value = json!({
        "type": entry.kind.name(),
        "owner": entry.owner.as_str(),
        "group": entry.group.as_str(),
        "mtime": entry.mtime.to_string(),
    });
    render::put_path(&mut value, "", &entry.path);
    if let Some(mode) = entry.kind.mode() {
        value["mode"] = mode.to_string().into();
    }
    if !entry.xattrs.is_empty() {
        let xattr = |xattr: &Xattr| json!({ "name": xattr.name.escape_ascii().to_string(), "value_hex": render::hex(&xattr.value) });
        value["xattrs"] = entry.xattrs.iter().map(xattr).collect();
    }
    match &entry.kind {
        EntryKind::File { size, digest, .. } => {
            value["size"] = (*size).into();
            value["digest"] = digest.to_string().into();
        }
        EntryKind::Symlink { target } => value["target"] = String::from_utf8_lossy(target).into(),
        EntryKind::Hardlink { target } => value["target"] = render::path(target).into(),
        EntryKind::Char { major, minor, .. } | EntryKind::Block { major, minor, .. } => {
            value["device"] = format!("{major}:{minor}").into();
        }
        EntryKind::Dir { .. } | EntryKind::Fifo { .. } | EntryKind::Socket { .. } | EntryKind::Ghost => {}
    }
    value
}
