//! Debian packages.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;

use archive::{Deb, DebControl};
use pkgtypes::{Capability, Op};

use crate::draft::{Draft, Need, Target};
use crate::{Comparison, Converted, Error, Format, Options, Result, Scheme};

/// Fields that become something else, and nothing is left to keep of them.
const MAPPED: [&str; 11] = [
    "Package",
    "Version",
    "Architecture",
    "Description",
    "Homepage",
    "Section",
    "Depends",
    "Recommends",
    "Suggests",
    "Provides",
    "Conflicts",
];
/// Files of the control archive that are programs.
const SCRIPTS: [&str; 5] = ["preinst", "postinst", "prerm", "postrm", "config"];

pub(crate) fn read(source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    let deb = Deb::open(source)?;
    let control = deb.control().clone();
    let field =
        |name: &'static str| control.field(name).ok_or(Error::Missing { format: Format::Deb.as_str(), field: name });
    let arch = field("Architecture")?;
    let mut draft = Draft::begin(Format::Deb, field("Package")?, field("Version")?, arch, spool)?;
    fields(&mut draft, &control);
    let stands_in = &names(&control, "Provides") & &names(&control, "Replaces");
    Relations { draft: &mut draft, arch, stands_in }.all(&control);
    control_files(&mut draft, &control);
    deb.read_files::<Error>(&options.archive, |entry, data| draft.tree.add(entry, data, &mut draft.report))?;
    draft.tree.mark_by_place();
    conffiles(&mut draft, &control);
    draft.finish(true)
}

fn fields(draft: &mut Draft, control: &DebControl) {
    if let Some(text) = control.field("Description") {
        // A line with nothing but a dot is an empty one.
        draft.describe(text.lines().map(|line| if line == "." { "" } else { line }));
    }
    draft.meta.url = control.field("Homepage").and_then(Draft::line);
    draft.meta.groups = control.field("Section").and_then(Draft::line).into_iter().collect();
    for (name, value) in &control.fields {
        if !MAPPED.iter().any(|mapped| mapped.eq_ignore_ascii_case(name)) {
            draft.foreign(name, value);
        }
    }
}

fn control_files(draft: &mut Draft, control: &DebControl) {
    for (name, bytes) in &control.files {
        match name.as_str() {
            // The digests of the manifest are better ones, and configuration is marked in it.
            "md5sums" | "conffiles" => {}
            name if SCRIPTS.contains(&name) => {
                draft.script(name, bytes);
                draft.effects(bytes);
            }
            name => draft.foreign(&format!("control.{name}"), bytes),
        }
    }
}

fn conffiles(draft: &mut Draft, control: &DebControl) {
    let text = String::from_utf8_lossy(control.file("conffiles").unwrap_or_default());
    for line in text.lines() {
        match line.split_once(' ') {
            Some(("remove-on-upgrade", path)) => draft.foreign("remove-on-upgrade", path.trim()),
            _ => draft.mark_config(line),
        }
    }
}

/// The relations of one package.
struct Relations<'a> {
    draft: &'a mut Draft,
    arch: &'a str,
    /// Names that it provides and replaces both.
    stands_in: HashSet<&'a str>,
}

/// `name[:arch] [(op version)]`.
struct Atom<'a> {
    name: &'a str,
    arch: Option<&'a str>,
    bound: Option<(Op, &'a str)>,
}

impl Relations<'_> {
    fn all(&mut self, control: &DebControl) {
        let value = |field| control.field(field).unwrap_or_default();
        for (field, need) in [
            ("Pre-Depends", Need::Requires),
            ("Depends", Need::Requires),
            ("Recommends", Need::Recommends),
            ("Suggests", Need::Suggests),
        ] {
            for text in items(value(field)) {
                self.need(need, field, text);
            }
        }
        for text in items(value("Provides")) {
            self.provide(text);
        }
        for field in ["Conflicts", "Breaks"] {
            for text in items(value(field)) {
                self.conflict(field, text);
            }
        }
    }

    fn need(&mut self, need: Need, field: &str, text: &str) {
        let original = format!("{field}: {text}");
        let targets: Result<Vec<Target>, String> = text.split('|').map(|atom| self.target(atom)).collect();
        match targets {
            Ok(targets) => self.draft.need(need, &targets, &original),
            Err(why) => self.lose(field, text, why),
        }
    }

    fn provide(&mut self, text: &str) {
        let Some(atom) = Atom::parse(text) else { return self.lose("Provides", text, "it can not be read") };
        let Ok(capability) = atom.name.parse::<Capability>() else {
            return self.lose("Provides", text, "the name has no counterpart");
        };
        match atom.bound {
            None => self.draft.provide(capability, None),
            Some((Op::Equal, version)) => match Scheme::Debian.version(version) {
                Ok(version) => self.draft.provide(capability, Some(version)),
                Err(error) => self.lose("Provides", text, error.to_string()),
            },
            Some(_) => self.lose("Provides", text, "only an exact version can be offered"),
        }
    }

    /// A conflict; where the package replaces and provides the other one too, it takes its place (policy 7.6.2).
    fn conflict(&mut self, field: &str, text: &str) {
        let original = format!("{field}: {text}");
        match self.target(text) {
            Err(why) => self.lose(field, text, why),
            Ok(target) => {
                let name = target.capability.as_str();
                if self.stands_in.contains(name) && field == "Conflicts" {
                    self.draft.obsolete(&target, &original);
                }
                self.draft.conflict(&target, &original);
            }
        }
    }

    fn target(&self, text: &str) -> Result<Target, String> {
        let atom = Atom::parse(text).ok_or("it can not be read")?;
        // Packages here are for one machine, so the same one and any one are no restriction.
        if let Some(other) = atom.arch.filter(|arch| ![self.arch, "any", "native", "all"].contains(arch)) {
            return Err(format!("packages for the machine `{other}` can not be named"));
        }
        let capability = atom.name.parse().map_err(|error: pkgtypes::ParseError| error.to_string())?;
        let constraints = match atom.bound {
            None => Vec::new(),
            Some((op, version)) => {
                let constraints = Scheme::Debian.constraints(Comparison::Op(op), version);
                constraints.map_err(|error| error.to_string())?
            }
        };
        Ok(Target { capability, constraints })
    }

    fn lose(&mut self, field: &str, text: &str, why: impl Into<String>) {
        if MAPPED.contains(&field) {
            self.draft.foreign(field, text);
        }
        self.draft.lose_relation(&format!("{field}: {text}"), why);
    }
}

impl<'a> Atom<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let text = text.trim();
        // Restrictions of source packages; binary ones have none.
        if text.contains(['[', '<']) && !text.contains('(') {
            return None;
        }
        let (name, bound) = match text.split_once('(') {
            None => (text, None),
            Some((name, rest)) => (name.trim(), Some(bound(rest.strip_suffix(')')?.trim())?)),
        };
        let (name, arch) = name.split_once(':').map_or((name, None), |(name, arch)| (name, Some(arch)));
        Some(Self { name, arch, bound })
    }
}

/// `op version`; `<` and `>` of old packages are `<=` and `>=`.
fn bound(text: &str) -> Option<(Op, &str)> {
    let signs = [
        ("<<", Op::Less),
        ("<=", Op::LessEqual),
        (">>", Op::Greater),
        (">=", Op::GreaterEqual),
        ("=", Op::Equal),
        ("<", Op::LessEqual),
        (">", Op::GreaterEqual),
    ];
    let (sign, op) = signs.into_iter().find(|(sign, _)| text.starts_with(sign))?;
    Some((op, text[sign.len()..].trim()))
}

/// The names in a field's relations.
fn names<'a>(control: &'a DebControl, field: &str) -> HashSet<&'a str> {
    let value = control.field(field).unwrap_or_default();
    items(value).filter_map(Atom::parse).map(|atom| atom.name).collect()
}

fn items(field: &str) -> impl Iterator<Item = &str> {
    field.split(',').map(str::trim).filter(|item| !item.is_empty())
}
