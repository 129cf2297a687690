//! Packages of Alpine's apk, version 2.

use std::fs::File;
use std::io::Read;

use archive::{Apk, ApkMetadata};
use pkgtypes::{Capability, Op};

use crate::draft::{Draft, Need, Target};
use crate::{Comparison, Converted, Error, Format, Options, Result, Scheme, name};

const LABEL: &str = "apk";

pub(crate) fn read(source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    let apk = Apk::open(source)?;
    let metadata = apk.metadata().clone();
    let mut draft = Draft::begin(Format::Apk, &metadata.name, &metadata.version, &metadata.arch, spool)?;
    fields(&mut draft, &metadata);
    relations(&mut draft, &metadata);
    for (name, text) in &metadata.scripts {
        draft.script(name, text);
        draft.effects(text);
    }
    apk.read_files::<Error>(&options.archive, |entry, data| draft.tree.add(entry, data, &mut draft.report))?;
    draft.tree.mark_by_place();
    // apk keeps what its users changed below /etc, whatever the package says.
    draft.tree.mark_below_etc();
    draft.finish(false)
}

fn fields(draft: &mut Draft, metadata: &ApkMetadata) {
    draft.describe(metadata.description.as_deref());
    draft.meta.url = metadata.url.as_deref().and_then(Draft::line);
    draft.meta.licenses = metadata.license.as_deref().and_then(Draft::line).into_iter().collect();
    for (name, value) in [
        ("packager", &metadata.packager),
        ("maintainer", &metadata.maintainer),
        ("origin", &metadata.origin),
        ("commit", &metadata.commit),
    ] {
        draft.foreign(name, value.as_deref().unwrap_or_default());
    }
    draft.foreign("build-time", metadata.build_date.map(|time| time.to_string()).unwrap_or_default());
    metadata.other.iter().for_each(|(name, value)| draft.foreign(name, value));
}

fn relations(draft: &mut Draft, metadata: &ApkMetadata) {
    for text in &metadata.depends {
        let (negated, atom) = text.strip_prefix('!').map_or((false, text.as_str()), |atom| (true, atom));
        match target(atom) {
            Ok(target) if negated => draft.conflict(&target, text),
            Ok(target) => draft.need(Need::Requires, &[target], text),
            Err(why) => lose(draft, "depend", text, why),
        }
    }
    for text in &metadata.provides {
        let (name, version) =
            text.split_once('=').map_or((text.as_str(), None), |(name, version)| (name, Some(version)));
        let version = version.map(|version| Scheme::Apk.version(version)).transpose();
        match (capability(name), version) {
            (Some(capability), Ok(version)) => draft.provide(capability, version),
            (None, _) => lose(draft, "provides", text, "it has no counterpart"),
            (_, Err(error)) => lose(draft, "provides", text, error.to_string()),
        }
    }
    metadata.replaces.iter().for_each(|text| draft.foreign("replaces", text));
    metadata.triggers.iter().for_each(|text| draft.foreign("triggers", text));
    if !metadata.install_if.is_empty() {
        let text = metadata.install_if.join(" ");
        lose(draft, "install-if", &text, "nothing is installed because of what is there already");
    }
}

/// `so:`, `cmd:` and the like stand for themselves, and `pc:` is `pkgconfig:`.
fn capability(name: &str) -> Option<Capability> {
    match name.split_once(':') {
        Some(("pc", module)) => name::labelled("pkgconfig", module),
        Some((label, text)) => name::labelled(label, text).or_else(|| name::labelled(LABEL, name)),
        None if name.starts_with('/') => name::labelled("file", name),
        None => name::capability(LABEL, name),
    }
}

/// `name`, `name=1.2`, `name>=1.2`, `name~1.2`; the name of the repository after an `@` is for people.
fn target(text: &str) -> Result<Target, String> {
    let text = text.split('@').next().unwrap_or(text);
    let at = text.find(['<', '=', '>', '~']).unwrap_or(text.len());
    let (name, rest) = text.split_at(at);
    let capability = capability(name).ok_or("it has no counterpart")?;
    if rest.is_empty() {
        return Ok(Target { capability, constraints: Vec::new() });
    }
    let version = rest.trim_start_matches(['<', '=', '>', '~']);
    let comparison = match &rest[..rest.len() - version.len()] {
        "<" => Comparison::Op(Op::Less),
        "<=" => Comparison::Op(Op::LessEqual),
        "=" => Comparison::Op(Op::Equal),
        ">=" => Comparison::Op(Op::GreaterEqual),
        ">" => Comparison::Op(Op::Greater),
        "~" | "~=" | "=~" => Comparison::Beginning,
        _ => return Err("its comparison is not known".to_owned()),
    };
    let constraints = Scheme::Apk.constraints(comparison, version).map_err(|error| error.to_string())?;
    Ok(Target { capability, constraints })
}

fn lose(draft: &mut Draft, field: &str, original: &str, why: impl Into<String>) {
    draft.foreign(field, original);
    draft.lose_relation(&format!("{field}: {original}"), why);
}
