//! Packages of pacman.

use std::fs::File;
use std::io::Read;

use archive::{Pacman, PacmanMetadata};
use pkgtypes::{Capability, Op};

use crate::draft::{Draft, Need, Target};
use crate::{Comparison, Converted, Error, Format, Options, Result, Scheme, name};

const LABEL: &str = "pacman";

pub(crate) fn read(source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    let pacman = Pacman::open(source)?;
    let metadata = pacman.metadata().clone();
    let mut draft = Draft::begin(Format::Pacman, &metadata.name, &metadata.version, &metadata.arch, spool)?;
    fields(&mut draft, &metadata);
    relations(&mut draft, &metadata);
    for (name, bytes) in &metadata.files {
        match name.as_str() {
            ".INSTALL" => {
                draft.script("install", bytes);
                draft.effects(bytes);
            }
            // The manifest says the same.
            ".MTREE" => {}
            name => draft.foreign(&format!("file.{}", name.trim_start_matches('.')), bytes),
        }
    }
    pacman.read_files::<Error>(&options.archive, |entry, data| draft.tree.add(entry, data, &mut draft.report))?;
    draft.tree.mark_by_place();
    metadata.backup.iter().for_each(|path| draft.mark_config(path));
    draft.finish(true)
}

fn fields(draft: &mut Draft, metadata: &PacmanMetadata) {
    draft.describe(metadata.description.as_deref());
    draft.meta.url = metadata.url.as_deref().and_then(Draft::line);
    draft.meta.licenses = metadata.licenses.iter().filter_map(|license| Draft::line(license)).collect();
    draft.meta.groups = metadata.groups.iter().filter_map(|group| Draft::line(group)).collect();
    draft.foreign("base", metadata.base.as_deref().unwrap_or_default());
    draft.foreign("packager", metadata.packager.as_deref().unwrap_or_default());
    draft.foreign("build-time", metadata.build_date.map(|time| time.to_string()).unwrap_or_default());
    metadata.make_depends.iter().for_each(|text| draft.foreign("makedepend", text));
    metadata.check_depends.iter().for_each(|text| draft.foreign("checkdepend", text));
    metadata.other.iter().for_each(|(name, value)| draft.foreign(name, value));
}

fn relations(draft: &mut Draft, metadata: &PacmanMetadata) {
    for text in &metadata.depends {
        match target(text) {
            Ok(target) => draft.need(Need::Requires, &[target], text),
            Err(why) => lose(draft, "depend", text, why),
        }
    }
    for text in &metadata.optional_depends {
        // What it is for stands after a colon.
        let (atom, reason) = text.split_once(": ").map_or((text.as_str(), ""), |(atom, reason)| (atom, reason));
        match target(atom.trim().trim_end_matches(':')) {
            Ok(target) => draft.need(Need::Suggests, &[target], text),
            Err(why) => lose(draft, "optdepend", text, why),
        }
        if !reason.is_empty() {
            draft.foreign("optdepend", text);
        }
    }
    for text in &metadata.provides {
        let (name, version) =
            text.split_once('=').map_or((text.as_str(), None), |(name, version)| (name, Some(version)));
        let (capability, version) = match capability(name, version) {
            Some((capability, None)) => (Some(capability), Ok(None)),
            Some((capability, Some(version))) => (Some(capability), Scheme::Pacman.version(version).map(Some)),
            None => (None, Ok(None)),
        };
        match (capability, version) {
            (Some(capability), Ok(version)) => draft.provide(capability, version),
            (None, _) => lose(draft, "provides", text, "it has no counterpart"),
            (_, Err(error)) => lose(draft, "provides", text, error.to_string()),
        }
    }
    for text in &metadata.conflicts {
        match target(text) {
            Ok(target) => draft.conflict(&target, text),
            Err(why) => lose(draft, "conflict", text, why),
        }
    }
    for text in &metadata.replaces {
        match target(text) {
            Ok(target) => draft.obsolete(&target, text),
            Err(why) => lose(draft, "replaces", text, why),
        }
    }
}

/// `libz.so=1-64` is a library by its soname and the word of its machine; other names and versions are what they are.
fn capability<'a>(name: &str, version: Option<&'a str>) -> Option<(Capability, Option<&'a str>)> {
    if let Some((number, word)) = version.and_then(|version| version.rsplit_once('-'))
        && name.ends_with(".so")
        && ["32", "64"].contains(&word)
    {
        let word = if word == "64" { "(64bit)" } else { "" };
        return Some((format!("so:{name}.{number}{word}").parse().ok()?, None));
    }
    Some((name::capability(LABEL, name)?, version))
}

fn target(text: &str) -> Result<Target, String> {
    let at = text.find(['<', '=', '>']).unwrap_or(text.len());
    let (name, rest) = text.split_at(at);
    let version = rest.trim_start_matches(['<', '=', '>']);
    let op = match &rest[..rest.len() - version.len()] {
        "" => None,
        sign => Some(sign.parse::<Op>().map_err(|error| error.to_string())?),
    };
    let exact = op.filter(|op| *op == Op::Equal).map(|_| version);
    let (capability, left) = capability(name, exact).ok_or("it has no counterpart")?;
    let constraints = match op {
        // The version was part of the library's name.
        Some(Op::Equal) if left.is_none() => Vec::new(),
        Some(op) => Scheme::Pacman.constraints(Comparison::Op(op), version).map_err(|error| error.to_string())?,
        None => Vec::new(),
    };
    Ok(Target { capability, constraints })
}

fn lose(draft: &mut Draft, field: &str, original: &str, why: impl Into<String>) {
    draft.foreign(field, original);
    draft.lose_relation(&format!("{field}: {original}"), why);
}
