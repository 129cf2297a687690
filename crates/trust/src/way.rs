//! The way from a root's top to a folder in it, through links that the administrator put in the place of folders.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pkgtypes::PkgPath;

use crate::gate::{Folder, Stands, refused};
use crate::{Error, Result};

/// As many links as the kernel follows for one path.
const MOST_LINKS: usize = 40;

/// Where a folder stands.
#[derive(Debug)]
pub(crate) struct Way {
    /// The folder; `None` where nothing has its name.
    pub(crate) folder: Option<Folder>,
    /// Its path below the root's top, with no link on the way.
    pub(crate) path: PkgPath,
    /// The links that were followed.
    pub(crate) links: Vec<PkgPath>,
}

impl Way {
    /// Goes from the top by these names. A link is followed inside the root only, `/` in it being the top, and only if it
    /// and all that it leads through belong to root or the caller and can be changed by nobody else.
    pub(crate) fn find(top: &Folder, names: &[&str]) -> Result<Self> {
        let to_come = names.iter().rev().map(|name| Name { text: name.into(), link: None }).collect();
        Walker { top, below: Vec::new(), links: Vec::new(), to_come }.walk()
    }
}

/// A name on the way, and the link that it comes from.
struct Name {
    text: OsString,
    link: Option<PathBuf>,
}

struct Walker<'a> {
    top: &'a Folder,
    below: Vec<Folder>,
    links: Vec<PkgPath>,
    /// The next one last.
    to_come: Vec<Name>,
}

impl Walker<'_> {
    fn here(&self) -> &Folder {
        self.below.last().unwrap_or(self.top)
    }

    fn walk(mut self) -> Result<Way> {
        while let Some(name) = self.to_come.pop() {
            match name.text.as_bytes() {
                b"" | b"." => continue,
                b".." => {
                    let outside = || leads(name.link.as_deref(), "out of the root", "let it lead to a folder inside");
                    self.below.pop().ok_or_else(outside)?;
                    continue;
                }
                _ => {}
            }
            match self.here().look_up(&name.text)? {
                Stands::Folder(folder) => self.below.push(folder),
                Stands::Link(target) => self.follow(&name.text, &target)?,
                Stands::Nothing if name.link.is_some() => {
                    return Err(leads(name.link.as_deref(), "to nothing", "make the folder that it leads to"));
                }
                Stands::Nothing => return self.missing(name.text),
            }
        }
        let links = self.links;
        let Some(folder) = self.below.pop() else {
            let link = links.last().map(|link| self.top.path().join(link));
            return Err(leads(link.as_deref(), "to the root's top", "put a folder in its place"));
        };
        Ok(Way { path: relative(self.top, folder.path())?, folder: Some(folder), links })
    }

    fn follow(&mut self, name: &OsStr, target: &OsStr) -> Result<()> {
        let link = self.here().path().join(name);
        self.links.push(relative(self.top, &link)?);
        if self.links.len() > MOST_LINKS {
            return Err(leads(Some(&link), "in a circle", "put a folder in its place"));
        }
        if target.as_bytes().starts_with(b"/") {
            self.below.clear();
        }
        let names = target.as_bytes().split(|&byte| byte == b'/').rev();
        let name = |text: &[u8]| Name { text: OsStr::from_bytes(text).to_owned(), link: Some(link.clone()) };
        self.to_come.extend(names.map(name));
        Ok(())
    }

    /// Nothing has the name: what is still to come would be below it.
    fn missing(self, name: OsString) -> Result<Way> {
        let mut path = self.here().path().join(name);
        path.extend(self.to_come.into_iter().rev().map(|name| name.text));
        Ok(Way { folder: None, path: relative(self.top, &path)?, links: self.links })
    }
}

fn leads(link: Option<&Path>, where_to: &str, cure: &str) -> Error {
    refused(link.unwrap_or(Path::new("/")), &format!("the symbolic link leads {where_to}"), cure)
}

fn relative(top: &Folder, path: &Path) -> Result<PkgPath> {
    let below = path.strip_prefix(top.path()).unwrap_or(path);
    PkgPath::from_os(below).map_err(|error| refused(path, &error.to_string(), "put a folder with a plain name there"))
}
