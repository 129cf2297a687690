//! What no package owned: what gives way, and what comes back when a transaction is taken back.

use std::collections::HashSet;

use pkgfs::FileKind;

use super::Survey;
use crate::content::{content, digest_of};
use crate::displaced::{Displaced, Manner};
use crate::error::{GONE, Result};
use crate::kept::Keeping;
use crate::layout::{Made, MadeContent};
use crate::tree::EntryRef;
use crate::{Finding, NotBack, Notice};

/// What becomes of something that is to come back.
enum Comes {
    Not(NotBack),
    /// It never went.
    Stands,
    /// It takes the place of what a package leaves, or of nothing.
    Placed,
}

impl Survey<'_> {
    /// Decides what comes back, before anything that goes is looked at.
    pub(super) fn survey_ground(&mut self) -> Result<()> {
        let work = self.work;
        for thing in &work.ground.returning {
            let path = thing.path.clone();
            match self.comes(thing)? {
                Comes::Not(why) => {
                    if thing.manner != Manner::Same {
                        self.notices.push(Notice::NotBack { path, why });
                    }
                    continue;
                }
                Comes::Stands => drop(self.ground.insert(path.clone(), true)),
                Comes::Placed => {
                    self.ground.insert(path.clone(), false);
                    self.place_back(thing)?;
                }
            }
            self.displacement.returned.push(thing.clone());
            if thing.manner != Manner::Same {
                self.notices.push(Notice::CameBack { path });
            }
        }
        Ok(())
    }

    fn comes(&self, thing: &Displaced) -> Result<Comes> {
        let path = &thing.path;
        let nodes = &self.work.tree.nodes;
        let leaving: HashSet<i64> = self.packages.outgoing.iter().map(|outgoing| outgoing.row).collect();
        if nodes.binary_search_by(|node| self.packages.entry(node).path.cmp(path)).is_ok()
            || self.db.owner_except(path, &leaving)?.is_some()
        {
            return Ok(Comes::Not(NotBack::Owned));
        }
        let stat = match self.root.stat(path) {
            Err(error) if error.kind == pkgfs::ErrorKind::NotFound => None,
            Err(error) if GONE.contains(&error.kind) => return Ok(Comes::Not(NotBack::Occupied)),
            stat => stat?,
        };
        // Whose kept files these are, only their owner sees.
        let kept = thing
            .kept(&self.db.home)
            .map(|kept| Ok::<_, crate::Error>(self.root.stat(&kept)?.map(|stat| (kept, stat))));
        let kept = kept.transpose()?.flatten();
        let Some(stat) = stat else {
            return Ok(if kept.is_some() { Comes::Placed } else { Comes::Not(NotBack::Lost) });
        };
        let is_itself = kept.as_ref().is_some_and(|(_, kept)| (kept.dev, kept.ino) == (stat.dev, stat.ino));
        // What this change itself takes away is in nobody's way.
        let goes = self.clear.iter().any(|step| step.path() == path);
        match self.orphan(path) {
            _ if is_itself => Ok(Comes::Stands),
            _ if goes => Ok(if kept.is_some() { Comes::Placed } else { Comes::Not(NotBack::Lost) }),
            Some(at) if stat.kind != FileKind::Dir => {
                let old = content(self.packages.old_entry(at));
                let is_packages = stat.kind != FileKind::File || Some(digest_of(self.root, path)?) == old;
                Ok(match &kept {
                    // He went on to edit what was his.
                    _ if thing.manner == Manner::Adopted && !is_packages => Comes::Stands,
                    Some(_) => Comes::Placed,
                    None => Comes::Not(NotBack::Lost),
                })
            }
            _ => Ok(Comes::Not(NotBack::Occupied)),
        }
    }

    /// The entry of a package that goes, at a path that nobody else has.
    fn orphan(&self, path: &pkgtypes::PkgPath) -> Option<EntryRef> {
        let orphans = &self.work.tree.orphans;
        let found = orphans.binary_search_by(|at| self.packages.old_entry(*at).path.cmp(path)).ok();
        found.map(|index| orphans[index])
    }

    fn place_back(&mut self, thing: &Displaced) -> Result<()> {
        let Some(kept) = thing.kept(&self.db.home) else { return Ok(()) };
        self.space.enter(self.root, thing.path.parent())?;
        let staging = self.staging_for(&thing.path)?;
        let home = self.root.stat(&self.db.home.kept())?.map(|stat| stat.dev);
        if home != Some(self.space.device()) {
            self.space.add_file(thing.size);
        }
        self.made.push(Made { path: thing.path.clone(), staging, content: MadeContent::Kept(kept) });
        Ok(())
    }

    /// Says what gives way, and refuses what would be lost and nobody asked for.
    pub(super) fn tell_displaced(&mut self, keeping: &Keeping) {
        for (thing, is_kept) in keeping.displacing() {
            let path = thing.path.clone();
            let owner = self.work.tree.nodes.iter().find(|node| self.packages.entry(node).path == path);
            match thing.manner {
                _ if thing.is_again && !is_kept => {
                    let package = owner.map(|node| self.packages.new_name(node.source).clone());
                    self.findings.extend(package.map(|package| Finding::Unowned { path, package }));
                }
                Manner::Replaced => self.notices.push(Notice::Replaced { path, kept: is_kept }),
                Manner::Same | Manner::Adopted => {}
            }
        }
    }
}
