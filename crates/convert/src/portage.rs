//! Packages of ours for Portage (GLEP 78).

use std::fs::File;
use std::io::{Read, Seek, Write};

use archive::{GpkgOptions, GpkgWriter};
use pkgformat::{PackageMeta, Reader};
use pkgtypes::{Op, Relation, Requirement};

use crate::export;
use crate::report::{LossKind, Report};
use crate::version::for_portage;
use crate::{Result, Scheme};

/// Fields that another system's package was converted with, and Portage has.
const RESTORED: [&str; 7] = ["SLOT", "USE", "IUSE", "KEYWORDS", "EAPI", "BUILD-TIME", "DEFINED-PHASES"];

/// Writes a package as a binary package of Portage, without signatures, and gives the writer back. `spool` is an empty
/// file for contents that are used more than once. Equal packages give equal bytes.
///
/// # Errors
/// The package is damaged; the writer or the scratch file fails.
pub fn to_gpkg<R: Read, W: Write + Seek>(reader: Reader<R>, spool: File, output: W) -> Result<(W, Report)> {
    let mut report = Report::default();
    let meta = reader.package().meta().clone();
    let mut metadata = Metadata { meta: &meta, report: &mut report, files: Vec::new() };
    let name = metadata.fill();
    let files = metadata.files;
    for (kind, _) in meta.scripts.iter() {
        report.add(LossKind::Script, kind.to_string(), "Portage runs functions of a recipe, and there is none");
    }
    let mut writer = GpkgWriter::new(output, &name, &files, &GpkgOptions::default())?;
    export::files(reader, spool, &mut report, |entry, data| Ok(writer.append(entry, data)?))?;
    report.dedup();
    Ok((writer.finish()?, report))
}

struct Metadata<'a> {
    meta: &'a PackageMeta,
    report: &'a mut Report,
    files: Vec<(String, Vec<u8>)>,
}

impl Metadata<'_> {
    /// Puts everything in and gives name and version as one text.
    fn fill(&mut self) -> String {
        let name = format!("{}-{}", self.name(), self.version());
        self.put("PF", &name);
        let category = self.category();
        self.put("CATEGORY", &category);
        self.put("SLOT", "0");
        self.put("EAPI", "8");
        self.put("CHOST", &format!("{}-pc-linux-gnu", self.meta.arch));
        self.put("DESCRIPTION", self.meta.description.first().map_or("", String::as_str));
        self.put("HOMEPAGE", self.meta.url.as_deref().unwrap_or_default());
        self.put("LICENSE", &self.meta.licenses.join(" "));
        self.put("SIZE", &self.meta.installed_size.unwrap_or(0).to_string());
        self.put("DEFINED_PHASES", "-");
        for field in RESTORED {
            if let Some(value) = self.foreign(&field.to_ascii_lowercase()).filter(|_| self.was_gpkg()) {
                self.put(&field.replace('-', "_"), &value);
            }
        }
        self.relations();
        name
    }

    /// Adds a file, or says it anew.
    fn put(&mut self, name: &str, text: &str) {
        self.files.retain(|(other, _)| other != name);
        if !text.is_empty() {
            self.files.push((name.to_owned(), format!("{text}\n").into_bytes()));
        }
    }

    fn foreign(&self, name: &str) -> Option<String> {
        let name = format!("foreign.{name}");
        let (_, value) = self.meta.other.iter().find(|(other, _)| *other == name)?;
        String::from_utf8(value.clone()).ok()
    }

    fn was_gpkg(&self) -> bool {
        self.foreign("format").as_deref() == Some("gpkg")
    }

    fn name(&mut self) -> String {
        if let Some(name) = self.foreign("name").filter(|_| self.was_gpkg()) {
            return name;
        }
        let name = self.meta.name.as_str();
        let ours = name.replace('.', "-");
        if ours != name {
            self.report.add(
                LossKind::Name,
                name,
                format!("the package is named `{ours}`: Portage's names have no `.`"),
            );
        }
        ours
    }

    fn category(&mut self) -> String {
        if let Some(category) = self.foreign("category").filter(|_| self.was_gpkg()) {
            return category;
        }
        self.report.add(LossKind::Field, "CATEGORY", "Portage wants one, and it is `app-misc`");
        "app-misc".to_owned()
    }

    /// The version in Portage's grammar; where it has none in the same order, as much of it as there is.
    fn version(&mut self) -> String {
        if let Some(version) = for_portage(&self.meta.version, self.meta.release) {
            return version;
        }
        let upstream = self.meta.version.upstream();
        let end = upstream.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(upstream.len());
        let front = upstream[..end].trim_end_matches('.');
        let front = if Scheme::Gentoo.version(front).is_ok() { front } else { "0" };
        let whole = format!("{}-{}", self.meta.version, self.meta.release);
        self.report.add(
            LossKind::Field,
            format!("version {whole}"),
            format!("it is `{front}`, which orders otherwise"),
        );
        front.to_owned()
    }

    fn relations(&mut self) {
        let meta = self.meta;
        let mut needs = Vec::new();
        for requirement in &meta.requires {
            match any_of(requirement) {
                Some(text) => needs.push(text),
                None => self.lose("requires", requirement),
            }
        }
        for relation in &meta.conflicts {
            match atom(relation) {
                Some(text) => needs.push(format!("!{text}")),
                None => self.lose("conflicts", relation),
            }
        }
        for (list, name) in [(&meta.recommends, "recommends"), (&meta.suggests, "suggests")] {
            list.iter().for_each(|requirement| self.lose(name, requirement));
        }
        for relation in &meta.obsoletes {
            self.lose("obsoletes", relation);
        }
        let own = |relation: &&Relation| relation.capability.label().is_none_or(|(label, _)| label != "gentoo");
        for relation in meta.provides.iter().filter(own) {
            self.lose("provides", relation);
        }
        self.put("RDEPEND", &needs.join(" "));
    }

    fn lose(&mut self, list: &str, relation: &impl ToString) {
        let what = format!("{list} {}", relation.to_string());
        self.report.add(LossKind::Relation, what, "only packages by category and name can be said");
    }
}

fn any_of(requirement: &Requirement) -> Option<String> {
    let atoms: Vec<String> = requirement.alternatives().iter().map(atom).collect::<Option<_>>()?;
    Some(if let [one] = &atoms[..] { one.clone() } else { format!("|| ( {} )", atoms.join(" ")) })
}

fn atom(relation: &Relation) -> Option<String> {
    let (_, package) = relation.capability.label().filter(|(label, text)| *label == "gentoo" && !text.contains('%'))?;
    let Some(constraint) = &relation.constraint else { return Some(package.to_owned()) };
    let sign = match constraint.op {
        Op::Prefix => return None,
        op => op.to_string(),
    };
    let version = for_portage(&constraint.bound.version, constraint.bound.release.unwrap_or_default())?;
    let (name, slot) =
        package.split_once(':').map_or((package, String::new()), |(name, slot)| (name, format!(":{slot}")));
    Some(format!("{sign}{name}-{version}{slot}"))
}
