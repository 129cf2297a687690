use std::collections::HashMap;
use std::io::Read as _;

use pkgformat::Principal;
use pkgfs::{ErrorKind as DiskError, Root};
use pkgtypes::PkgPath;

use crate::error::Result;

/// More than this of a passwd or group file is not read.
const MAX_FILE: u64 = 64 << 20;

/// The users and groups that a root itself knows.
#[derive(Debug)]
pub(crate) struct Principals {
    users: HashMap<String, u32>,
    groups: HashMap<String, u32>,
}

impl Principals {
    /// Reads the root's `etc/passwd` and `etc/group`; a missing one is an empty one.
    pub(crate) fn load(root: &Root) -> Result<Self> {
        Ok(Self { users: read(root, b"etc/passwd")?, groups: read(root, b"etc/group")? })
    }

    pub(crate) fn user(&self, user: &Principal) -> Option<u32> {
        resolve(&self.users, user)
    }

    pub(crate) fn group(&self, group: &Principal) -> Option<u32> {
        resolve(&self.groups, group)
    }
}

/// Root is 0 where the root says nothing else, because a new root knows nobody yet.
fn resolve(known: &HashMap<String, u32>, principal: &Principal) -> Option<u32> {
    let fallback = principal.is_root().then_some(0);
    principal.id().or_else(|| known.get(principal.as_str()).copied()).or(fallback)
}

fn read(root: &Root, path: &'static [u8]) -> Result<HashMap<String, u32>> {
    let path = PkgPath::new(path).expect("the path is written here and valid");
    let file = match root.open_file(&path) {
        Ok(file) => file,
        Err(error) if error.kind == DiskError::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    let read = file.take(MAX_FILE).read_to_end(&mut text);
    read.map_err(|error| pkgfs::Error::new("read the file", root.path().join(&path), error))?;
    Ok(parse(&text))
}

/// Lines `name:password:id:..`; others say nothing. The first of a name counts, as for the C library.
fn parse(text: &[u8]) -> HashMap<String, u32> {
    let mut known = HashMap::new();
    for line in text.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut fields = line.split(':');
        if let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok())) {
            known.entry(name.to_owned()).or_insert(id);
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_root() {
        let known = parse(b"root:x:0:0::/:/bin/sh\nmail:x:8:12\n# comment\nmail:x:9:9\nodd:x:many\n\xff:x:3\n");
        let find = |text: &str| resolve(&known, &text.parse().unwrap());
        assert_eq!((find("root"), find("mail"), find("odd"), find("1234")), (Some(0), Some(8), None, Some(1234)));
        assert_eq!(resolve(&HashMap::new(), &Principal::ROOT), Some(0));
    }
}
