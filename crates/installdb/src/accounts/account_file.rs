//! The files in which a root keeps its users and groups.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _};

use pkgfs::{ErrorKind as DiskError, Root, fd};
use pkgtypes::{Mode, PkgPath};

use crate::error::Result;
use crate::home;

/// More than this of such a file is not read.
const MAX_FILE: u64 = 64 << 20;

/// One of them, and what is to be added to it.
#[derive(Debug)]
pub(crate) struct AccountFile {
    pub(crate) path: PkgPath,
    /// `None` where there is none.
    before: Option<Vec<u8>>,
    /// What a package puts in its place, and is added to instead.
    pub(crate) brought: Option<Vec<u8>>,
    attributes: Attributes,
    added: Vec<String>,
    /// New members of groups that are there: the group's name and the member's.
    members: BTreeSet<(String, String)>,
}

/// What the file keeps although it is written anew.
#[derive(Debug, Clone)]
pub(crate) struct Attributes {
    pub(crate) mode: Mode,
    /// Owner and group; `None` for a new file, which is the writer's.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl AccountFile {
    /// Reads the file; a missing one is an empty one, with this mode once it is written.
    pub(crate) fn load(root: &Root, path: &'static str, mode: u32) -> Result<Self> {
        let path = home::found(root, path)?;
        let mut attributes = Attributes { mode: Mode::from_raw(mode), owner: None, xattrs: Vec::new() };
        let mut before = None;
        match root.at(&path).and_then(|place| place.open_with_stat()) {
            Ok((file, stat)) => {
                attributes.mode = stat.mode;
                attributes.owner = Some((stat.uid, stat.gid));
                let failed = |error| pkgfs::Error::new("read the file", root.path().join(&path), error);
                before = Some(read(&file).map_err(failed)?);
                for name in fd::xattr_names(&file).map_err(failed)? {
                    let value = fd::xattr(&file, &name).map_err(failed)?;
                    attributes.xattrs.extend(value.map(|value| (name, value)));
                }
            }
            Err(error) if error.kind == DiskError::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        Ok(Self { path, before, brought: None, attributes, added: Vec::new(), members: BTreeSet::new() })
    }

    pub(crate) fn is_there(&self) -> bool {
        self.text().is_some()
    }

    fn text(&self) -> Option<&[u8]> {
        self.brought.as_deref().or(self.before.as_deref())
    }

    pub(crate) fn is_changed(&self) -> bool {
        !self.added.is_empty() || !self.members.is_empty()
    }

    /// Lets a group read it.
    pub(crate) fn give_to_group(&mut self, gid: u32) {
        self.attributes.mode = Mode::from_raw(0o640);
        self.attributes.owner = Some((rustix::process::geteuid().as_raw(), gid));
    }

    pub(crate) fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Whether the file on the disk is still the one that was read.
    pub(crate) fn is_current(&self, root: &Root) -> Result<bool> {
        match root.open_file(&self.path) {
            Ok(file) => {
                let failed = |error| pkgfs::Error::new("read the file", root.path().join(&self.path), error);
                Ok(Some(read(&file).map_err(failed)?) == self.before)
            }
            Err(error) if error.kind == DiskError::NotFound => Ok(self.before.is_none()),
            Err(error) => Err(error.into()),
        }
    }

    /// The fields of each line. Lines that are no text, and those for NIS, say nothing here.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Vec<&str>> {
        let lines = self.text().unwrap_or_default().split(|&byte| byte == b'\n');
        let texts = lines.filter_map(|line| std::str::from_utf8(line).ok());
        texts.filter(|line| !line.starts_with(['+', '-', '#'])).map(|line| line.split(':').collect())
    }

    /// Lines `name:password:number:..`. The first of a name counts, as for the C library.
    pub(crate) fn numbers(&self) -> BTreeMap<String, u32> {
        let mut known = BTreeMap::new();
        for fields in self.entries() {
            if let Some(id) = fields.get(2).and_then(|id| id.parse().ok()) {
                known.entry(fields[0].to_owned()).or_insert(id);
            }
        }
        known
    }

    /// Whether there is, or will be, a line that begins with this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        let begins = |line: &String| line.split(':').next() == Some(name);
        self.entries().any(|fields| fields[0] == name) || self.added.iter().any(begins)
    }

    pub(crate) fn add(&mut self, line: String) {
        self.added.push(line);
    }

    /// Puts a user into the group of this name, which has a line already; says whether he was not in it.
    pub(crate) fn add_member(&mut self, group: &str, user: &str) -> bool {
        if let Some(line) = self.added.iter_mut().find(|line| line.split(':').next() == Some(group)) {
            let with = joined(line, user);
            let is_new = with.is_some();
            *line = with.unwrap_or_else(|| std::mem::take(line));
            return is_new;
        }
        let is_in = self.entries().any(|fields| {
            fields[0] == group && fields.last().is_some_and(|members| members.split(',').any(|known| known == user))
        });
        !is_in && self.members.insert((group.to_owned(), user.to_owned()))
    }

    /// The new content: everything that was there as it was, in its place.
    pub(crate) fn content(&self) -> Vec<u8> {
        let before = self.text().unwrap_or_default();
        let mut content = Vec::with_capacity(before.len() + 4096);
        let mut added = Some(&self.added);
        let mut seen = BTreeSet::new();
        for line in before.split_inclusive(|&byte| byte == b'\n') {
            // What stands after such a line is asked for only where NIS does not know it.
            if line.starts_with(b"+") {
                write_lines(&mut content, added.take());
            }
            content.extend_from_slice(&self.with_members(line, &mut seen));
        }
        write_lines(&mut content, added);
        content
    }

    /// The line with new members, where it is the first one of its group.
    fn with_members(&self, line: &[u8], seen: &mut BTreeSet<String>) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(line) else { return line.to_vec() };
        let name = text.split(':').next().unwrap_or_default();
        let of_group = self.members.iter().filter(|(group, _)| group == name);
        if of_group.clone().next().is_none() || !seen.insert(name.to_owned()) {
            return line.to_vec();
        }
        let plain = text.trim_end_matches('\n');
        let changed = of_group.fold(plain.to_owned(), |line, (_, user)| joined(&line, user).unwrap_or(line));
        (changed + &text[plain.len()..]).into_bytes()
    }
}

/// A group's line with one more member; `None` where he is in it.
fn joined(line: &str, user: &str) -> Option<String> {
    let members = line.rsplit(':').next().unwrap_or_default();
    match members.split(',').any(|known| known == user) {
        true => None,
        false => Some(format!("{line}{}{user}", if members.is_empty() { "" } else { "," })),
    }
}

fn write_lines(content: &mut Vec<u8>, lines: Option<&Vec<String>>) {
    for line in lines.into_iter().flatten() {
        if content.last().is_some_and(|&byte| byte != b'\n') {
            content.push(b'\n');
        }
        content.extend_from_slice(line.as_bytes());
        content.push(b'\n');
    }
}

/// All of it: one that is cut off would be written back so.
fn read(file: &std::fs::File) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {MAX_FILE} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> AccountFile {
        let path = PkgPath::new(b"etc/group".as_slice()).unwrap();
        let attributes = Attributes { mode: Mode::from_raw(0o644), owner: None, xattrs: Vec::new() };
        let before = Some(text.as_bytes().to_vec());
        AccountFile { path, before, brought: None, attributes, added: Vec::new(), members: BTreeSet::new() }
    }

    fn text(file: &AccountFile) -> String {
        String::from_utf8(file.content()).unwrap()
    }

    #[test]
    fn what_was_there_stays_in_its_place() {
        let mut group = file("root:x:0:\n# odd\n\nadm:x:4:ann\nlast:x:5:");
        assert_eq!(text(&group), "root:x:0:\n# odd\n\nadm:x:4:ann\nlast:x:5:");
        group.add("new:x:6:".to_owned());
        assert!(group.add_member("adm", "bob") && group.add_member("last", "bob") && group.add_member("new", "bob"));
        assert!(group.add_member("adm", "al") && !group.add_member("adm", "ann") && !group.add_member("new", "bob"));
        assert_eq!(text(&group), "root:x:0:\n# odd\n\nadm:x:4:ann,al,bob\nlast:x:5:bob\nnew:x:6:bob\n");
    }

    #[test]
    fn numbers_are_those_of_the_first_line() {
        let known = file("root:x:0:0::/:/bin/sh\nmail:x:8:12\n# comment\nmail:x:9:9\nodd:x:many\n").numbers();
        assert_eq!(known, BTreeMap::from([("root".to_owned(), 0), ("mail".to_owned(), 8)]));
    }

    #[test]
    fn lines_for_nis_stay_last() {
        let mut passwd = file("root:x:0:0::/:/bin/sh\n+::::::\n");
        passwd.add("new:x:9:9::/:/bin/sh".to_owned());
        assert_eq!(text(&passwd), "root:x:0:0::/:/bin/sh\nnew:x:9:9::/:/bin/sh\n+::::::\n");
        assert!(passwd.has("new") && passwd.has("root") && !passwd.has("+"));
    }
}
