//! rpm packages.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;

use archive::{Rpm, RpmDependency, RpmMetadata, RpmTriggerKind};
use pkgformat::Use;
use pkgtypes::{Capability, Op, PkgPath};

use crate::draft::{Draft, Need, Target};
use crate::report::LossKind;
use crate::{Comparison, Converted, Error, Format, Options, Result, Scheme, name};

const LABEL: &str = "rpm";

pub(crate) fn read(source: impl Read, spool: File, options: &Options) -> Result<Converted> {
    let rpm = Rpm::open(source)?;
    let metadata = rpm.metadata().clone();
    if metadata.source {
        return Err(Error::SourcePackage { format: LABEL });
    }
    let version = match metadata.epoch {
        Some(epoch) => format!("{epoch}:{}-{}", metadata.version, metadata.release),
        None => format!("{}-{}", metadata.version, metadata.release),
    };
    let mut draft = Draft::begin(Format::Rpm, &metadata.name, &version, &metadata.arch, spool)?;
    fields(&mut draft, &metadata);
    relations(&mut draft, &metadata);
    scripts(&mut draft, &metadata);
    rpm.read_files::<Error>(&options.archive, |entry, data| draft.tree.add(entry, data, &mut draft.report))?;
    files(&mut draft, &metadata);
    draft.finish(true)
}

fn fields(draft: &mut Draft, metadata: &RpmMetadata) {
    let text = metadata.description.as_deref().unwrap_or_default();
    draft.describe(metadata.summary.as_deref().into_iter().chain(text.lines()));
    draft.meta.url = metadata.url.as_deref().and_then(Draft::line);
    draft.meta.licenses = metadata.license.as_deref().and_then(Draft::line).into_iter().collect();
    let group = metadata.group.as_deref().filter(|group| *group != "Unspecified");
    draft.meta.groups = group.and_then(Draft::line).into_iter().collect();
    for (name, value) in [
        ("vendor", &metadata.vendor),
        ("packager", &metadata.packager),
        ("source-rpm", &metadata.source_rpm),
        ("os", &metadata.os),
    ] {
        draft.foreign(name, value.as_deref().unwrap_or_default());
    }
    draft.foreign("build-time", metadata.build_time.map(|time| time.to_string()).unwrap_or_default());
    metadata.prefixes.iter().for_each(|prefix| draft.foreign("prefix", prefix));
}

fn relations(draft: &mut Draft, metadata: &RpmMetadata) {
    for (list, need, field) in [
        (&metadata.requires, Need::Requires, "requires"),
        (&metadata.recommends, Need::Recommends, "recommends"),
        (&metadata.suggests, Need::Suggests, "suggests"),
    ] {
        // What rpm itself must be able to do is answered by the conversion.
        for dependency in list.iter().filter(|dependency| !dependency.is_rpmlib()) {
            required(draft, dependency, need, field);
        }
    }
    for dependency in &metadata.provides {
        provided(draft, dependency, metadata);
    }
    for dependency in &metadata.conflicts {
        excluded(draft, dependency, "conflicts", Draft::conflict);
    }
    for dependency in &metadata.obsoletes {
        excluded(draft, dependency, "obsoletes", Draft::obsolete);
    }
    for (list, field) in [(&metadata.supplements, "supplements"), (&metadata.enhances, "enhances")] {
        for dependency in list {
            lose(draft, field, &written(dependency), "nothing is installed because of what is there already");
        }
    }
    metadata.order.iter().for_each(|dependency| draft.foreign("order-with-requires", written(dependency)));
}

fn required(draft: &mut Draft, dependency: &RpmDependency, need: Need, field: &str) {
    let original = written(dependency);
    if !dependency.is_rich() {
        return match target(dependency) {
            Ok(target) => draft.need(need, &[target], &original),
            Err(why) => lose(draft, field, &original, why),
        };
    }
    match rich(&dependency.name) {
        Some(all) => all.iter().for_each(|any| draft.need(need, any, &original)),
        None => lose(draft, field, &original, "conditions other than `and` and `or` can not be said"),
    }
}

/// What a package offers; itself needs no saying.
fn provided(draft: &mut Draft, dependency: &RpmDependency, metadata: &RpmMetadata) {
    let original = written(dependency);
    if dependency.name == metadata.name {
        return;
    }
    let Some(capability) = capability(&dependency.name) else {
        return lose(draft, "provides", &original, "it has no counterpart");
    };
    match dependency.comparison() {
        None => draft.provide(capability, None),
        Some("=") => match Scheme::Rpm.version(&dependency.version) {
            Ok(version) => draft.provide(capability, Some(version)),
            Err(error) => lose(draft, "provides", &original, error.to_string()),
        },
        Some(_) => lose(draft, "provides", &original, "only an exact version can be offered"),
    }
}

fn excluded(draft: &mut Draft, dependency: &RpmDependency, field: &str, put: fn(&mut Draft, &Target, &str)) {
    let original = written(dependency);
    let target = if dependency.is_rich() { Err("conditions can not be said".to_owned()) } else { target(dependency) };
    match target {
        Ok(target) => {
            if target.constraints.len() > 1 {
                draft.foreign(field, &original);
            }
            put(draft, &target, &original);
        }
        Err(why) => lose(draft, field, &original, why),
    }
}

fn target(dependency: &RpmDependency) -> Result<Target, String> {
    let capability = capability(&dependency.name).ok_or("it has no counterpart")?;
    let op = dependency.comparison().map(|sign| sign.parse::<Op>().map_err(|error| error.to_string())).transpose()?;
    let constraints = match op.filter(|_| !dependency.version.is_empty()) {
        None => Vec::new(),
        Some(op) => {
            let constraints = Scheme::Rpm.constraints(Comparison::Op(op), &dependency.version);
            constraints.map_err(|error| error.to_string())?
        }
    };
    Ok(Target { capability, constraints })
}

/// A library is `so:NAME`, with `(64bit)` where rpm has it; a path is `file:`, a module of pkg-config `pkgconfig:`. A
/// name of ours stands for itself, all else is `rpm:` and what rpm calls it.
fn capability(name: &str) -> Option<Capability> {
    let library = |rest: &str| {
        let is_library = rest.contains(".so") && !rest.contains(['(', ')', '/']);
        is_library.then_some(())
    };
    let soname = match name.strip_suffix("()(64bit)") {
        Some(soname) => Some((soname, "(64bit)")),
        None => Some((name, "")),
    };
    if let Some((soname, word)) = soname
        && library(soname).is_some()
    {
        return format!("so:{soname}{word}").parse().ok();
    }
    if name.starts_with('/') {
        return name::labelled("file", name);
    }
    if let Some(module) = name.strip_prefix("pkgconfig(").and_then(|rest| rest.strip_suffix(')')) {
        return name::labelled("pkgconfig", module);
    }
    name::capability(LABEL, name)
}

/// `(a or b)`, `(a and b)` and both inside each other: lists of alternatives that hold together.
fn rich(text: &str) -> Option<Vec<Vec<Target>>> {
    const DEPTH: u32 = 8;
    condition(text, DEPTH)
}

fn condition(text: &str, depth_left: u32) -> Option<Vec<Vec<Target>>> {
    let depth_left = depth_left.checked_sub(1)?;
    let inside = text.trim().strip_prefix('(')?.strip_suffix(')')?;
    let mut parts: Vec<(Option<&str>, String)> = vec![(None, String::new())];
    let mut depth = 0u32;
    for word in inside.split_whitespace() {
        let operator =
            ["and", "or", "if", "else", "unless", "with", "without"].into_iter().find(|known| *known == word);
        if depth == 0 && operator.is_some() {
            parts.push((operator, String::new()));
            continue;
        }
        depth = word.bytes().filter(|byte| *byte == b'(').count().try_into().ok().and_then(|opened: u32| {
            let closed: u32 = word.bytes().filter(|byte| *byte == b')').count().try_into().ok()?;
            (depth + opened).checked_sub(closed)
        })?;
        let part = &mut parts.last_mut()?.1;
        part.push_str(if part.is_empty() { "" } else { " " });
        part.push_str(word);
    }
    let operator = parts.get(1).and_then(|(operator, _)| *operator);
    if parts[1..].iter().any(|(other, _)| *other != operator) || depth != 0 {
        return None;
    }
    let operands: Vec<Vec<Vec<Target>>> =
        parts.iter().map(|(_, part)| operand(part, depth_left)).collect::<Option<_>>()?;
    match operator {
        None | Some("and") => Some(operands.into_iter().flatten().collect()),
        // Alternatives that are conjunctions themselves would have to be multiplied out.
        Some("or") if operands.iter().all(|operand| operand.len() == 1) => {
            Some(vec![operands.into_iter().flatten().flatten().collect()])
        }
        Some(_) => None,
    }
}

fn operand(text: &str, depth_left: u32) -> Option<Vec<Vec<Target>>> {
    // A capability may have brackets of its own, but does not begin with one.
    if text.starts_with('(') {
        return condition(text, depth_left);
    }
    let mut words = text.split(' ');
    let capability = capability(words.next()?)?;
    let constraints = match (words.next(), words.next(), words.next()) {
        (None, ..) => Vec::new(),
        (Some(op), Some(version), None) => Scheme::Rpm.constraints(Comparison::Op(op.parse().ok()?), version).ok()?,
        _ => return None,
    };
    Some(vec![vec![Target { capability, constraints }]])
}

fn lose(draft: &mut Draft, field: &str, original: &str, why: impl Into<String>) {
    draft.foreign(field, original);
    draft.lose_relation(&format!("{field}: {original}"), why);
}

fn written(dependency: &RpmDependency) -> String {
    match dependency.comparison() {
        Some(op) if !dependency.version.is_empty() => format!("{} {op} {}", dependency.name, dependency.version),
        _ => dependency.name.clone(),
    }
}

fn scripts(draft: &mut Draft, metadata: &RpmMetadata) {
    for script in &metadata.scripts {
        let text = script_text(&script.interpreter, script.body.as_deref());
        let is_ldconfig = script.interpreter.iter().eq(["/sbin/ldconfig"]) && script.body.is_none();
        if is_ldconfig {
            // Libraries in the linker's folders have their trigger whatever a script says.
            draft.foreign(&format!("script.{}", script.kind.as_str()), text);
            continue;
        }
        draft.script(script.kind.as_str(), &text);
        draft.effects(script.body.as_deref().unwrap_or_default());
    }
    for trigger in &metadata.triggers {
        let name = match trigger.kind {
            RpmTriggerKind::Package => "trigger",
            RpmTriggerKind::File => "filetrigger",
            _ => "transfiletrigger",
        };
        let mut text: Vec<u8> = Vec::new();
        for condition in &trigger.conditions {
            text.extend_from_slice(format!("# {} {:#x}\n", written(condition), condition.flags).as_bytes());
        }
        let script = script_text(&trigger.interpreter, trigger.body.as_deref());
        draft.script(name, &[script, text].concat());
    }
}

/// The script as a program: what runs it stands in its first line.
fn script_text(interpreter: &[String], body: Option<&[u8]>) -> Vec<u8> {
    let interpreter = interpreter.join(" ");
    [b"#!", interpreter.as_bytes(), b"\n", body.unwrap_or_default()].concat()
}

/// Uses of files, and paths that are owned and not shipped.
fn files(draft: &mut Draft, metadata: &RpmMetadata) {
    let mut verified: HashMap<u32, u32> = HashMap::new();
    for file in &metadata.files {
        let path: &PkgPath = &file.entry.path;
        if file.flags.is_ghost() {
            draft.tree.add_ghost(path.clone());
            continue;
        }
        *verified.entry(file.verify).or_default() += 1;
        let uses = [
            (file.flags.is_config(), Use::Config),
            (file.flags.is_doc() || file.flags.is_readme(), Use::Doc),
            (file.flags.is_license(), Use::License),
        ];
        for (_, use_) in uses.into_iter().filter(|(has, _)| *has) {
            draft.tree.mark(path, use_, &mut draft.report);
        }
        if file.flags.is_config() && !file.flags.is_noreplace() {
            draft.foreign("config-replaced", path.as_bytes());
        }
        if !file.language.is_empty() && file.language != "C" {
            draft.foreign("language", [file.language.as_bytes(), b" ", path.as_bytes()].concat());
        }
    }
    let partly: u32 = verified.iter().filter(|(flags, _)| **flags & 0x7f != 0x7f).map(|(_, count)| count).sum();
    if partly > 0 && verified.keys().any(|flags| flags & 1 == 0) {
        draft.report.add(LossKind::Attribute, "%verify", "all files are compared alike");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_have_their_counterparts() {
        for (foreign, ours) in [
            ("zlib", "zlib"),
            ("libz.so.1()(64bit)", "so:libz.so.1(64bit)"),
            ("libz.so.1", "so:libz.so.1"),
            ("libc.so.6(GLIBC_2.34)(64bit)", "rpm:libc.so.6(GLIBC_2.34)(64bit)"),
            ("/usr/bin/sh", "file:/usr/bin/sh"),
            ("pkgconfig(gtk+-3.0)", "pkgconfig:gtk+-3.0"),
            ("perl(Foo::Bar)", "rpm:perl(Foo::Bar)"),
            ("ImageMagick", "rpm:ImageMagick"),
        ] {
            assert_eq!(capability(foreign).unwrap().as_str(), ours);
        }
    }

    #[test]
    fn simple_conditions_are_said() {
        let said = |text: &str| {
            let all = rich(text)?;
            let any = |any: &Vec<Target>| {
                any.iter().map(|target| target.capability.to_string()).collect::<Vec<_>>().join("|")
            };
            Some(all.iter().map(any).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("(a or b)", Some("a|b")),
            ("(a and b)", Some("a b")),
            ("(a and (b or c >= 1.0))", Some("a b|c")),
            ("(libz.so.1()(64bit) or B)", Some("so:libz.so.1(64bit)|rpm:B")),
            ("(a if b)", None),
            ("(a or (b and c))", None),
            ("(a or b and c)", None),
            ("(a with b)", None),
            ("(a", None),
            ("((((((((((a))))))))))", None),
            ("()", None),
        ] {
            assert_eq!(said(text).as_deref(), expected, "{text}");
        }
    }
}
