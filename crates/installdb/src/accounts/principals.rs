use std::collections::BTreeMap;

use pkgformat::Principal;
use pkgfs::Root;

use crate::accounts::account_file::AccountFile;
use crate::error::Result;

/// The users and groups that a root itself knows.
#[derive(Debug)]
pub(crate) struct Principals {
    pub(crate) users: BTreeMap<String, u32>,
    pub(crate) groups: BTreeMap<String, u32>,
}

impl Principals {
    /// Reads the root's `etc/passwd` and `etc/group`; a missing one is an empty one.
    pub(crate) fn load(root: &Root) -> Result<Self> {
        let numbers = |path| AccountFile::load(root, path, 0o644).map(|file| file.numbers());
        Ok(Self { users: numbers("etc/passwd")?, groups: numbers("etc/group")? })
    }

    pub(crate) fn user(&self, user: &Principal) -> Option<u32> {
        resolve(&self.users, user)
    }

    pub(crate) fn group(&self, group: &Principal) -> Option<u32> {
        resolve(&self.groups, group)
    }

    /// The user's name, or the number where the root has none for it.
    pub(crate) fn user_name(&self, uid: u32) -> String {
        name(&self.users, uid)
    }

    /// The same of a group.
    pub(crate) fn group_name(&self, gid: u32) -> String {
        name(&self.groups, gid)
    }
}

fn name(known: &BTreeMap<String, u32>, id: u32) -> String {
    match known.iter().find(|(_, known)| **known == id) {
        Some((name, _)) => name.clone(),
        None if id == 0 => Principal::ROOT.to_string(),
        None => id.to_string(),
    }
}

/// Root is 0 where the root says nothing else, because a new root knows nobody yet.
fn resolve(known: &BTreeMap<String, u32>, principal: &Principal) -> Option<u32> {
    let fallback = principal.is_root().then_some(0);
    principal.id().or_else(|| known.get(principal.as_str()).copied()).or(fallback)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_root() {
        let known = BTreeMap::from([("root".to_owned(), 0), ("mail".to_owned(), 8)]);
        let find = |text: &str| resolve(&known, &text.parse().unwrap());
        assert_eq!((find("root"), find("mail"), find("odd"), find("1234")), (Some(0), Some(8), None, Some(1234)));
        assert_eq!(resolve(&BTreeMap::new(), &Principal::ROOT), Some(0));
        assert_eq!([0, 8, 9].map(|id| name(&known, id)), ["root", "mail", "9"]);
        assert_eq!(name(&BTreeMap::new(), 0), "root");
    }
}
