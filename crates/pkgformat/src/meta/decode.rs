use std::str::FromStr;

use pkgtypes::{Digest, Op, ParseError, Relation, Timestamp, Version};

use super::{PackageMeta, ScriptKind, Trigger};
use crate::error::MetaError;
use crate::list::Meta;
use crate::text::{self, in_entry, invalid};

impl PackageMeta {
    /// Reads metadata from names and values in any order; names that are not known go to `other`.
    ///
    /// # Errors
    /// A mandatory name that is missing, a name with more than one value that can have only one, a value in another than
    /// its one spelling.
    pub fn from_entries<N, V>(entries: impl IntoIterator<Item = (N, V)>) -> Result<Self, MetaError>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        Self::from_list(&Meta::new(crate::record::PACKAGE, entries)?)
    }

    /// Reads the metadata of a record of any kind.
    ///
    /// # Errors
    /// As [`PackageMeta::from_entries`].
    pub fn from_list(list: &Meta) -> Result<Self, MetaError> {
        let name = parse("name", mandatory(list, "name")?)?;
        let release = parse("release", mandatory(list, "release")?)?;
        let arch = parse("arch", mandatory(list, "arch")?)?;
        let mut meta = Self::new(name, version(list)?, release, arch);
        for (name, value) in list.entries() {
            meta.take(name, value)?;
        }
        Ok(meta)
    }

    fn take(&mut self, name: &str, value: &[u8]) -> Result<(), MetaError> {
        match name {
            "name" | "epoch" | "version" | "release" | "arch" => Ok(()),
            "description" => push(&mut self.description, string(name, value)),
            "url" => set(&mut self.url, name, string(name, value)),
            "license" => push(&mut self.licenses, string(name, value)),
            "license-file" => push(&mut self.license_files, digest(name, value)),
            "build-date" => set(&mut self.build_date, name, time(name, value)),
            "recipe-hash" => set(&mut self.recipe_hash, name, digest(name, value)),
            "installed-size" => set(&mut self.installed_size, name, decimal(name, value)),
            "group" => push(&mut self.groups, string(name, value)),
            "subpackage" => set(&mut self.subpackage, name, string(name, value)),
            "tied" => set(&mut self.tied, name, tied(name, value)),
            "requires" => push(&mut self.requires, parse(name, value)),
            "provides" => push(&mut self.provides, parse(name, value)),
            "conflicts" => push(&mut self.conflicts, parse(name, value)),
            "obsoletes" => push(&mut self.obsoletes, parse(name, value)),
            "recommends" => push(&mut self.recommends, parse(name, value)),
            "suggests" => push(&mut self.suggests, parse(name, value)),
            "trigger" => push(&mut self.triggers, trigger(name, value)),
            "sysuser" => push(&mut self.sysusers, string(name, value)),
            "sysgroup" => push(&mut self.sysgroups, string(name, value)),
            _ => self.take_other(name, value),
        }
    }

    fn take_other(&mut self, name: &str, value: &[u8]) -> Result<(), MetaError> {
        match ScriptKind::ALL.into_iter().find(|kind| kind.entry_name() == name) {
            Some(kind) => set(self.scripts.slot(kind), name, digest(name, value)),
            None => {
                self.other.push((name.to_owned(), value.to_vec()));
                Ok(())
            }
        }
    }
}

fn mandatory<'a>(list: &'a Meta, name: &'static str) -> Result<&'a [u8], MetaError> {
    single(list, name)?.ok_or(MetaError::Missing(name))
}

fn single<'a>(list: &'a Meta, name: &'static str) -> Result<Option<&'a [u8]>, MetaError> {
    let mut values = list.values(name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(MetaError::Repeated(name.to_owned())),
        (value, None) => Ok(value),
    }
}

fn version(list: &Meta) -> Result<Version, MetaError> {
    let epoch = match single(list, "epoch")? {
        None => 0,
        Some(value) => match decimal("epoch", value)? {
            0 => return Err(MetaError::Default("epoch")),
            epoch => epoch,
        },
    };
    let upstream = mandatory(list, "version")?;
    text::text(upstream).and_then(|text| Version::new(epoch, text)).map_err(|error| in_entry("version", error))
}

fn push<T>(list: &mut Vec<T>, value: Result<T, MetaError>) -> Result<(), MetaError> {
    list.push(value?);
    Ok(())
}

fn set<T>(slot: &mut Option<T>, name: &str, value: Result<T, MetaError>) -> Result<(), MetaError> {
    match slot.replace(value?) {
        None => Ok(()),
        Some(_) => Err(MetaError::Repeated(name.to_owned())),
    }
}

fn string(name: &str, value: &[u8]) -> Result<String, MetaError> {
    text::text(value).map(str::to_owned).map_err(|error| in_entry(name, error))
}

fn parse<T: FromStr<Err = ParseError>>(name: &str, value: &[u8]) -> Result<T, MetaError> {
    text::text(value).and_then(str::parse).map_err(|error| in_entry(name, error))
}

fn digest(name: &str, value: &[u8]) -> Result<Digest, MetaError> {
    text::digest(value).map_err(|error| in_entry(name, error))
}

fn decimal(name: &str, value: &[u8]) -> Result<u64, MetaError> {
    text::decimal(value).map_err(|error| in_entry(name, error))
}

fn time(name: &str, value: &[u8]) -> Result<Timestamp, MetaError> {
    Timestamp::parse_decimal(value).map_err(|error| in_entry(name, error))
}

fn tied(name: &str, value: &[u8]) -> Result<Relation, MetaError> {
    let relation = parse(name, value)?;
    check_tied(&relation).map_err(|error| in_entry(name, error))?;
    Ok(relation)
}

pub(super) fn check_tied(relation: &Relation) -> Result<(), ParseError> {
    match &relation.constraint {
        Some(constraint) if constraint.op == Op::Equal => Ok(()),
        _ => Err(invalid("tied relation", relation.to_string(), "an exact version is expected: NAME = VERSION")),
    }
}

fn trigger(name: &str, value: &[u8]) -> Result<Trigger, MetaError> {
    parse_trigger(value).map_err(|error| in_entry(name, error))
}

fn parse_trigger(value: &[u8]) -> Result<Trigger, ParseError> {
    let nul = value.iter().position(|&byte| byte == 0);
    let nul = nul.ok_or_else(|| invalid("trigger", value, "a pattern, NUL and a command are expected"))?;
    let (glob, command) = (text::text(&value[..nul])?, text::text(&value[nul + 1..])?);
    let trigger = Trigger { glob: glob.to_owned(), command: command.to_owned() };
    check_trigger(&trigger)?;
    Ok(trigger)
}

pub(super) fn check_trigger(trigger: &Trigger) -> Result<(), ParseError> {
    for part in [&trigger.glob, &trigger.command] {
        if part.is_empty() || !text::is_text(part) {
            return Err(invalid(
                "trigger",
                part,
                "pattern and command must be text, not empty, without control characters",
            ));
        }
    }
    Ok(())
}
