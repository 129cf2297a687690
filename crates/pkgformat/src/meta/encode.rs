use std::borrow::Cow;
use std::fmt::Display;

use super::PackageMeta;
use crate::error::MetaError;
use crate::list::{Meta, checked_name};
use crate::text::{in_entry, invalid};

/// A name and its value.
type MetaEntry = (Cow<'static, str>, Vec<u8>);

impl PackageMeta {
    /// The metadata as entries of a meta list, not yet sorted; an index record has these too.
    ///
    /// # Errors
    /// A value that can not be written, such as text with a control character; a name in `other` that is none or has a
    /// field of its own.
    pub fn entries(&self) -> Result<Vec<MetaEntry>, MetaError> {
        let mut entries = Entries::default();
        self.put_identity(&mut entries);
        self.put_facts(&mut entries);
        self.put_relations(&mut entries);
        self.put_actions(&mut entries);
        for (name, value) in &self.other {
            let name = checked_name(name.as_bytes())?;
            if is_known(name) {
                return Err(MetaError::Unknown(name.to_owned()));
            }
            entries.0.push((name.to_owned().into(), value.clone()));
        }
        self.check_texts()?;
        Ok(entries.0)
    }

    /// The metadata as the list of a record of this kind.
    pub(crate) fn to_list(&self, kind: &str) -> Result<Meta, MetaError> {
        Meta::new(kind, self.entries()?)
    }

    fn put_identity(&self, entries: &mut Entries) {
        entries.put("name", &self.name);
        if self.version.epoch() != 0 {
            entries.put("epoch", self.version.epoch());
        }
        entries.put("version", self.version.upstream());
        entries.put("release", self.release);
        entries.put("arch", &self.arch);
    }

    fn put_facts(&self, entries: &mut Entries) {
        entries.put_all("description", &self.description);
        entries.put_all("url", &self.url);
        entries.put_all("license", &self.licenses);
        entries.put_all("license-file", &self.license_files);
        entries.put_all("build-date", &self.build_date);
        entries.put_all("recipe-hash", &self.recipe_hash);
        entries.put_all("installed-size", &self.installed_size);
        entries.put_all("group", &self.groups);
        entries.put_all("subpackage", &self.subpackage);
    }

    fn put_relations(&self, entries: &mut Entries) {
        entries.put_all("tied", &self.tied);
        entries.put_all("requires", &self.requires);
        entries.put_all("provides", &self.provides);
        entries.put_all("conflicts", &self.conflicts);
        entries.put_all("obsoletes", &self.obsoletes);
        entries.put_all("recommends", &self.recommends);
        entries.put_all("suggests", &self.suggests);
    }

    fn put_actions(&self, entries: &mut Entries) {
        for (kind, digest) in self.scripts.iter() {
            entries.put(kind.entry_name(), digest);
        }
        for trigger in &self.triggers {
            entries.put("trigger", format_args!("{}\0{}", trigger.glob, trigger.command));
        }
        entries.put_all("sysuser", &self.sysusers);
        entries.put_all("sysgroup", &self.sysgroups);
    }

    /// The fields that are plain text could hold anything.
    fn check_texts(&self) -> Result<(), MetaError> {
        let lists = [
            ("description", &*self.description),
            ("url", self.url.as_slice()),
            ("license", &*self.licenses),
            ("group", &*self.groups),
            ("subpackage", self.subpackage.as_slice()),
            ("sysuser", &*self.sysusers),
            ("sysgroup", &*self.sysgroups),
        ];
        for (name, texts) in lists {
            texts.iter().try_for_each(|text| check_text(name, text))?;
        }
        for trigger in &self.triggers {
            super::decode::check_trigger(trigger).map_err(|error| in_entry("trigger", error))?;
        }
        self.tied.as_ref().map_or(Ok(()), super::decode::check_tied).map_err(|error| in_entry("tied", error))
    }
}

fn check_text(name: &str, text: &str) -> Result<(), MetaError> {
    if crate::text::is_text(text) {
        return Ok(());
    }
    Err(in_entry(name, invalid("text", text, "a control character stands in it")))
}

/// Whether a name has a field of [`PackageMeta`].
pub(super) fn is_known(name: &str) -> bool {
    matches!(
        name,
        "arch"
            | "build-date"
            | "conflicts"
            | "description"
            | "epoch"
            | "group"
            | "installed-size"
            | "license"
            | "license-file"
            | "name"
            | "obsoletes"
            | "provides"
            | "recipe-hash"
            | "recommends"
            | "record"
            | "release"
            | "requires"
            | "script.post-install"
            | "script.post-remove"
            | "script.pre-install"
            | "script.pre-remove"
            | "subpackage"
            | "suggests"
            | "sysgroup"
            | "sysuser"
            | "tied"
            | "trigger"
            | "url"
            | "version"
    )
}

#[derive(Default)]
struct Entries(Vec<MetaEntry>);

impl Entries {
    fn put(&mut self, name: &'static str, value: impl Display) {
        self.0.push((name.into(), value.to_string().into_bytes()));
    }

    fn put_all<'a, T: Display + 'a>(&mut self, name: &'static str, values: impl IntoIterator<Item = &'a T>) {
        for value in values {
            self.put(name, value);
        }
    }
}
