use std::collections::HashSet;

use pkgtypes::{ParseError, PkgPath};

use crate::Notice;
use crate::accounts::account_file::Attributes;
use crate::kept::Keeping;
use crate::originals::Beside;
use crate::step::{Step, staged_path};

/// What becomes of a path on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// What is there stays: a folder, or a file that the administrator changed.
    Stays,
    /// Nothing is put there.
    Absent,
    /// It is staged, as the whole of a [`Staging`] or as a part of it.
    Staged(usize),
}

/// One thing that is staged and renamed.
#[derive(Debug)]
pub(crate) struct Staging {
    /// The number of its step.
    pub(crate) step: usize,
    /// Where it is renamed to.
    pub(crate) target: PkgPath,
    pub(crate) what: What,
}

/// What is staged.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// A node, with all nodes below it.
    Tree,
    /// A node under another name than its own, because the administrator's stays.
    Beside(usize),
    /// One more name for a file on the disk, under which it survives.
    Save(PkgPath),
    /// A file that no package has.
    Made,
}

/// Something that no package has and the transaction makes, as the whole of a [`Staging`] or as a part of it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) path: PkgPath,
    pub(crate) staging: usize,
    pub(crate) content: MadeContent,
}

#[derive(Debug)]
pub(crate) enum MadeContent {
    /// A folder that is missing for the files.
    Folder,
    File {
        content: Vec<u8>,
        attributes: Attributes,
    },
    /// What is kept under this name.
    Kept(PkgPath),
}

/// How the transaction is carried out on the disk.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub(crate) steps: Vec<Step>,
    pub(crate) stagings: Vec<Staging>,
    /// One for each node of the tree.
    pub(crate) fates: Vec<Fate>,
    /// A folder before what is in it.
    pub(crate) made: Vec<Made>,
    pub(crate) notices: Vec<Notice>,
    pub(crate) keeping: Keeping,
    pub(crate) besides: Vec<Beside>,
}

impl Layout {
    /// Takes note of what could not be kept although that was expected.
    pub(crate) fn admit(&mut self, unkept: &HashSet<i64>) {
        let lost: HashSet<&PkgPath> = self.keeping.lost(unkept).map(|thing| &thing.path).collect();
        for notice in &mut self.notices {
            if let Notice::Replaced { path, kept } = notice {
                *kept &= !lost.contains(path);
            }
        }
    }

    /// Where `path` stands while staging number `index` of transaction `txn` is not placed yet.
    pub(crate) fn staged(&self, index: usize, path: &PkgPath, txn: i64) -> Result<PkgPath, ParseError> {
        let Staging { step, target, what } = &self.stagings[index];
        let top = staged_path(target, txn, *step)?;
        match what {
            What::Tree => PkgPath::new([top.as_bytes(), &path.as_bytes()[target.as_bytes().len()..]].concat()),
            What::Beside(_) | What::Save(_) | What::Made => Ok(top),
        }
    }
}
