//! Putting what is staged into its place, although somebody may have put something into the way since the decision,
//! which nobody can take back any more.
//!
//! Nothing is ever followed, overwritten or taken away for it: what is in the way gets another name in the same folder.
//! What only the administrator can have done is left to him, and waited for: he may have moved a folder to another disk, or
//! not mounted it yet. What somebody else can have done must not hold the root up.

use std::hash::{BuildHasher as _, RandomState};

use pkgfs::{Batch, ErrorKind, FileKind, Rename, Root, Stat};
use pkgtypes::{ParseError, PkgPath};
use rusqlite::Connection;
use rustix::io::Errno;

use crate::Error;
use crate::error::{GONE, Result};
use crate::interference::{self, Interference};

/// What keeps a name from being renamed over: it is a folder, or no folder where one comes.
const IN_THE_WAY: [ErrorKind; 3] = [ErrorKind::NotEmpty, ErrorKind::Exists, ErrorKind::WrongType];
/// Who puts things into the way faster than this is not waited for; the next recovery goes on.
const MOST_ATTEMPTS: usize = 100;
/// So many names are tried in turn, and then such that nobody can have taken beforehand.
const COUNTED: usize = 10;

/// The placing of a transaction's staged things.
pub(crate) struct Placing<'a> {
    root: &'a Root,
    conn: &'a Connection,
    txn: i64,
}

/// What came of an attempt.
enum Attempt {
    Placed,
    /// Something stands where it belongs.
    Taken,
    /// There is no folder for it any more.
    NoFolder,
}

impl<'a> Placing<'a> {
    pub(crate) fn new(root: &'a Root, conn: &'a Connection, txn: i64) -> Self {
        Self { root, conn, txn }
    }

    /// Renames a staged name to its path.
    pub(crate) fn place(&self, folders: &mut Batch<'_>, path: &PkgPath, staged: &PkgPath) -> Result<()> {
        for number in 1..=MOST_ATTEMPTS {
            match attempt(folders, path, staged)? {
                Attempt::Placed => return Ok(()),
                Attempt::Taken => self.move_aside(path, number)?,
                Attempt::NoFolder if self.clear_way(path, number)? => {}
                Attempt::NoFolder => return Ok(()),
            }
        }
        Err(Error::Obstructed { path: path.clone() })
    }

    /// Moves aside what stands in the place of a folder on the way to the path; `false` where there is nothing, so that
    /// nothing can be placed there.
    fn clear_way(&self, path: &PkgPath, number: usize) -> Result<bool> {
        let mut folders: Vec<PkgPath> = path.ancestors().collect();
        folders.reverse();
        let mut is_others = may_be_changed_by_others(&self.root.stat_top()?);
        for folder in folders {
            let stat = match self.root.stat(&folder) {
                // Put there after the look at the folder above it.
                Err(error) if GONE.contains(&error.kind) => return Ok(true),
                stat => stat?,
            };
            match stat {
                Some(stat) if stat.kind == FileKind::Dir => is_others |= may_be_changed_by_others(&stat),
                found if !is_others => {
                    return Err(Error::Displaced { path: folder, found: found.map(|stat| stat.kind) });
                }
                Some(_) => return self.move_aside(&folder, number).map(|()| true),
                None => {
                    interference::note(self.conn, self.txn, &Interference::FolderGone { path: folder })?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Gives what stands at the path another name. Written down first, so that no kill keeps it from the user.
    fn move_aside(&self, path: &PkgPath, number: usize) -> Result<()> {
        let place = match self.root.at(path) {
            Err(error) if GONE.contains(&error.kind) => return Ok(()),
            place => place?,
        };
        let too_long = |_| pkgfs::Error::new("move aside", place.full_path(), Errno::NAMETOOLONG.into());
        let aside = free_name(path, number).map_err(too_long)?;
        let to = place.sibling(&aside).expect("another name in one folder");
        let what = Interference::MovedAside { path: path.clone(), aside: aside.clone() };
        interference::note(self.conn, self.txn, &what)?;
        match place.rename(&to, Rename::NoReplace) {
            Ok(()) => Ok(()),
            Err(error) => {
                interference::withdraw(self.conn, self.txn, &what)?;
                if [ErrorKind::NotFound, ErrorKind::Exists].contains(&error.kind) { Ok(()) } else { Err(error.into()) }
            }
        }
    }
}

/// A staged name that is absent was placed before: names are staged before the decision, and nothing else takes them away.
fn attempt(folders: &mut Batch<'_>, path: &PkgPath, staged: &PkgPath) -> Result<Attempt> {
    // One look-up serves both names, since they stand in one folder.
    let from = match folders.at(staged) {
        Err(error) if GONE.contains(&error.kind) => return Ok(Attempt::NoFolder),
        place => place?,
    };
    let to = from.sibling(path).expect("a thing is staged in the folder of its path");
    match from.rename(&to, Rename::Replace) {
        Err(error) if IN_THE_WAY.contains(&error.kind) => Ok(Attempt::Taken),
        Err(error) if error.kind != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(Attempt::Placed),
    }
}

/// `NAME.save.N`, with the end of the name left out where that would be too long.
fn free_name(path: &PkgPath, number: usize) -> Result<PkgPath, ParseError> {
    let ending = match number {
        0..=COUNTED => format!(".save.{number}"),
        _ => format!(".save.{:08x}", RandomState::new().hash_one(number) as u32),
    };
    let name = path.file_name();
    let cut_to = |length: usize| {
        let kept = length.saturating_sub(ending.len()).min(name.len());
        path.with_file_name(&[&name[..kept], ending.as_bytes()].concat())
    };
    cut_to(PkgPath::MAX_COMPONENT).or_else(|_| cut_to(name.len()))
}

/// Whether somebody but root and the calling user can rename what is in the folder.
fn may_be_changed_by_others(folder: &Stat) -> bool {
    const GROUP_OR_OTHERS_WRITE: u32 = 0o022;
    let is_ours = folder.uid == 0 || folder.uid == rustix::process::geteuid().as_raw();
    !is_ours || folder.mode.bits() & GROUP_OR_OTHERS_WRITE != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_aside_has_a_name_that_fits() {
        let of =
            |name: &str, number| free_name(&PkgPath::new(format!("d/{name}").as_bytes()).unwrap(), number).unwrap();
        assert_eq!(of("a", 1).to_string(), "d/a.save.1");
        assert_ne!(of("a", 99), of("a", 99), "nobody can guess it");
        for (number, length) in [(1, 249), (1, 255), (99, 255)] {
            assert_eq!(of(&"n".repeat(length), number).file_name().len(), 255, "{length}");
        }
        let long = PkgPath::new([&b"d/".repeat(1920)[..], &b"n".repeat(255)].concat()).unwrap();
        assert_eq!((long.as_bytes().len(), free_name(&long, 1).unwrap().as_bytes().len()), (4095, 4095));
    }
}
