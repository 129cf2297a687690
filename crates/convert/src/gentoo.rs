//! Binary packages of Portage (GLEP 78).

mod depend;

use std::fs::File;
use std::io::Read;

use archive::{Gpkg, GpkgMetadata};

use crate::draft::{Draft, Need};
use crate::report::LossKind;
use crate::spool::Stored;
use crate::{Converted, Error, Format, Options, Result, Scheme, name};

use depend::{Depend, Parser};

const LABEL: &str = "gentoo";
/// Files of the metadata that become something else or say nothing of the package.
const MAPPED: [&str; 12] = [
    "DESCRIPTION",
    "HOMEPAGE",
    "LICENSE",
    "RDEPEND",
    "PDEPEND",
    "PF",
    "SIZE",
    "CONTENTS",
    "NEEDED",
    "NEEDED.ELF.2",
    "PROVIDES",
    "REQUIRES",
];
/// The longest value that is kept beside the environment.
const KEPT: usize = 4 << 10;

pub(crate) fn read(mut source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    // Its members are in any order, so the package has to be at hand whole; contents go behind it.
    let whole = Stored::whole(&spool, &mut source)?;
    let after = whole.len();
    let gpkg = match &options.gpkg_keys {
        Some(keys) => Gpkg::open_signed(whole, keys)?,
        None => Gpkg::open(whole)?,
    };
    let metadata = gpkg.metadata().clone();
    let missing = |field| Error::Missing { format: Format::Gpkg.as_str(), field };
    let text = |field: &'static str| metadata.text(field).ok_or(missing(field));
    let (package, version) = split_version(text("PF")?).ok_or(missing("PF"))?;
    let machine = metadata.text("CHOST").and_then(|host| host.split('-').next()).unwrap_or("noarch");
    let mut draft = Draft::begin(Format::Gpkg, package, version, machine, spool)?;
    draft.tree.skip(after);
    fields(&mut draft, &metadata);
    offers(&mut draft, text("CATEGORY")?, package, &metadata);
    for (field, need) in [("RDEPEND", Need::Requires), ("PDEPEND", Need::Requires)] {
        relations(&mut draft, field, need, metadata.text(field).unwrap_or_default());
    }
    phases(&mut draft, &metadata);
    gpkg.read_files::<Error>(&options.archive, |entry, data| draft.tree.add(entry, data, &mut draft.report))?;
    draft.tree.mark_by_place();
    // Portage protects what is below /etc.
    draft.tree.mark_below_etc();
    draft.finish(true)
}

/// `NAME-VERSION[-rN]`: the version is what the first `-` with one after it begins.
fn split_version(text: &str) -> Option<(&str, &str)> {
    const LONGEST: usize = 255;
    if text.len() > LONGEST {
        return None;
    }
    let cuts = text.match_indices('-').map(|(at, _)| (&text[..at], &text[at + 1..]));
    cuts.into_iter().find(|(name, version)| {
        !name.is_empty() && version.starts_with(|c: char| c.is_ascii_digit()) && Scheme::Gentoo.version(version).is_ok()
    })
}

fn fields(draft: &mut Draft, metadata: &GpkgMetadata) {
    draft.describe(metadata.text("DESCRIPTION"));
    draft.meta.url = metadata.text("HOMEPAGE").and_then(|text| text.split_whitespace().next()).and_then(Draft::line);
    draft.meta.licenses = metadata.text("LICENSE").and_then(Draft::line).into_iter().collect();
    for (name, bytes) in &metadata.files {
        let text = std::str::from_utf8(bytes).map(str::trim).unwrap_or_default();
        let is_field = name.bytes().all(|byte| byte.is_ascii_uppercase() || b"_.0123456789".contains(&byte));
        if (is_field || name == "repository") && !MAPPED.contains(&name.as_str()) && text.len() <= KEPT {
            draft.foreign(&name.replace('_', "-"), text);
        }
    }
}

/// Other packages name this one by category and name, and by slot and subslot where these matter.
fn offers(draft: &mut Draft, category: &str, package: &str, metadata: &GpkgMetadata) {
    let whole = format!("{category}/{package}");
    draft.provide_self(name::labelled(LABEL, &whole));
    let slot = metadata.text("SLOT").unwrap_or("0");
    let (slot, subslot) = slot.split_once('/').unwrap_or((slot, slot));
    draft.provide_self(name::labelled(LABEL, &format!("{whole}:{slot}")));
    draft.provide_self(name::labelled(LABEL, &format!("{whole}:{slot}/{subslot}")));
}

fn relations(draft: &mut Draft, field: &str, need: Need, text: &str) {
    let parsed = Parser::new(text).all();
    let Some(parsed) = parsed else {
        draft.foreign(field, text);
        return draft.lose_relation(&format!("{field}: {text}"), "it can not be read");
    };
    for depend in &parsed {
        let original = format!("{field}: {depend}");
        for part in depend.used_conditions() {
            draft.lose_relation(&format!("{field}: {part}"), "conditions on how a package was built can not be said");
        }
        match depend {
            Depend::Blocks(atom) => match atom.target() {
                Some(target) => draft.conflict(&target, &original),
                None => lose(draft, field, depend),
            },
            Depend::When(..) => lose(draft, field, depend),
            _ => match depend.alternatives() {
                Some(all) => all.iter().for_each(|any| draft.need(need, any, &original)),
                None => lose(draft, field, depend),
            },
        }
    }
}

fn lose(draft: &mut Draft, field: &str, depend: &Depend) {
    draft.foreign(field, depend.to_string());
    draft.lose_relation(&format!("{field}: {depend}"), "it has no counterpart");
}

/// The functions of the recipe that would run stand in its environment, as a shell had it when it was built.
fn phases(draft: &mut Draft, metadata: &GpkgMetadata) {
    let scripts = ["setup", "preinst", "postinst", "prerm", "postrm", "config"];
    let phases = metadata.text("DEFINED_PHASES").unwrap_or_default();
    let mut has_script = false;
    for phase in phases.split_whitespace().filter(|phase| scripts.contains(phase)) {
        has_script = true;
        let why = "kept in `foreign.environment`, which does not run";
        draft.report.add(LossKind::Script, format!("pkg_{phase}"), why);
    }
    let environment = metadata.files.iter().find(|(name, _)| name.starts_with("environment"));
    if let Some((_, bytes)) = environment.filter(|_| has_script) {
        draft.foreign("environment", bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_versions_part_where_a_version_begins() {
        for (text, name, version) in [
            ("hello-2.10-r1", "hello", "2.10-r1"),
            ("font-adobe-100dpi-1.0.4", "font-adobe-100dpi", "1.0.4"),
            ("libX11-1.8_rc1", "libX11", "1.8_rc1"),
            ("gtk+-3.24", "gtk+", "3.24"),
        ] {
            assert_eq!(split_version(text), Some((name, version)));
        }
        assert_eq!(split_version("hello"), None);
    }
}
