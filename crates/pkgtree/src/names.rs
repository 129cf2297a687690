use std::io::Read;

use pkgformat::Principal;
use pkgfs::{Error as DiskError, ErrorKind, Root};
use pkgtypes::PkgPath;

use crate::Result;

/// A longer `passwd` or `group` is not read to its end.
const MAX_FILE: u64 = 16 << 20;

/// The names of users and groups that a root knows, from its `etc/passwd` and `etc/group`.
///
/// The libraries of the running system are not asked: a tree's names are those of the root it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    users: Vec<(Box<str>, u32)>,
    groups: Vec<(Box<str>, u32)>,
}

impl Default for Names {
    /// Only `root`, which is 0 everywhere.
    fn default() -> Self {
        Self { users: vec![("root".into(), 0)], groups: vec![("root".into(), 0)] }
    }
}

impl Names {
    /// Reads the two files. Where one is missing, `root` is known all the same.
    ///
    /// # Errors
    /// A file that is there and can not be read.
    pub fn load(root: &Root) -> Result<Self> {
        let mut names = Self { users: read_table(root, b"etc/passwd")?, groups: read_table(root, b"etc/group")? };
        names.users.push(("root".into(), 0));
        names.groups.push(("root".into(), 0));
        Ok(names)
    }

    /// The id of a user.
    pub fn user_id(&self, user: &Principal) -> Option<u32> {
        id_of(&self.users, user)
    }

    /// The id of a group.
    pub fn group_id(&self, group: &Principal) -> Option<u32> {
        id_of(&self.groups, group)
    }

    /// The user with this id, by name where there is one.
    pub fn user(&self, id: u32) -> Principal {
        principal(&self.users, id)
    }

    /// The group with this id, by name where there is one.
    pub fn group(&self, id: u32) -> Principal {
        principal(&self.groups, id)
    }
}

/// The first entry counts, as in `getpwnam(3)`.
fn id_of(table: &[(Box<str>, u32)], principal: &Principal) -> Option<u32> {
    if principal.is_root() {
        return Some(0);
    }
    principal.id().or_else(|| table.iter().find(|(name, _)| **name == *principal.as_str()).map(|(_, id)| *id))
}

fn principal(table: &[(Box<str>, u32)], id: u32) -> Principal {
    if id == 0 {
        return Principal::ROOT;
    }
    let name = table.iter().find(|(_, known)| *known == id).and_then(|(name, _)| Principal::new(name).ok());
    // A name that is a number would be read back as an id.
    name.filter(|name| name.id().is_none() && !name.is_root()).unwrap_or_else(|| Principal::from_id(id))
}

fn read_table(root: &Root, path: &[u8]) -> Result<Vec<(Box<str>, u32)>> {
    let path = PkgPath::new(path).expect("the path is in the grammar");
    let file = match root.open_file(&path) {
        Ok(file) => file,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let mut text = Vec::new();
    file.take(MAX_FILE)
        .read_to_end(&mut text)
        .map_err(|error| DiskError::new("read", root.path().join(&path), error))?;
    Ok(String::from_utf8_lossy(&text).lines().filter_map(parse_line).collect())
}

/// `NAME:PASSWORD:ID:..`, in both files.
fn parse_line(line: &str) -> Option<(Box<str>, u32)> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?;
    let id = fields.nth(1)?.parse().ok()?;
    Some((name.into(), id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_passwd_and_group() {
        assert_eq!(parse_line("www-data:x:33:33:www:/var/www:/bin/sh"), Some(("www-data".into(), 33)));
        assert_eq!(parse_line("audio:x:29:ann,bob"), Some(("audio".into(), 29)));
        for bad in ["", "#:x", "+::::::", "a:x:-1:", "a:x:4294967296:", ":x:0:"] {
            assert_eq!(parse_line(bad), None, "{bad}");
        }
    }

    #[test]
    fn names_first_then_numbers() {
        let names = Names { users: vec![("ann".into(), 7), ("bob".into(), 7), ("12".into(), 8)], groups: vec![] };
        assert_eq!(names.user(7).as_str(), "ann");
        assert_eq!(names.user(8).as_str(), "8");
        assert_eq!(names.user(9).as_str(), "9");
        assert_eq!(names.user(0), Principal::ROOT);
        assert_eq!(names.user_id(&"bob".parse().unwrap()), Some(7));
        assert_eq!(names.user_id(&"12".parse().unwrap()), Some(12));
        assert_eq!(names.user_id(&"eve".parse().unwrap()), None);
        assert_eq!(names.group_id(&Principal::ROOT), Some(0));
    }
}
