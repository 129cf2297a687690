//! What nobody owns any more.

use std::collections::{HashMap, HashSet};

use pkgformat::{Entry, EntryKind, Use};
use pkgfs::{Batch, ErrorKind as DiskError, FileKind, Stat};
use pkgtypes::PkgPath;

use super::{Survey, may_be};
use crate::content::content;
use crate::error::Result;
use crate::layout::What;
use crate::links::Links;
use crate::step::Step;
use crate::tree::EntryRef;
use crate::{Notice, folding};

impl Survey<'_> {
    /// Takes away what nobody owns any more.
    pub(super) fn survey_orphans(&mut self) -> Result<()> {
        let mut folders = Batch::new(self.root);
        let mut absent: Option<&PkgPath> = None;
        let mut standing = Vec::new();
        for (index, &at) in self.work.tree.orphans.iter().enumerate() {
            let old = self.packages.old_entry(at);
            if self.cleared.contains(&index) || absent.is_some_and(|folder| old.path.is_within(folder)) {
                continue;
            }
            let stat = match folders.at(&old.path).and_then(|place| place.stat()) {
                Ok(stat) => stat,
                Err(error) if matches!(error.kind, DiskError::NotFound | DiskError::WrongType | DiskError::Symlink) => {
                    None
                }
                Err(error) => return Err(error.into()),
            };
            match stat {
                None => absent = Some(&old.path),
                Some(stat) => standing.push((at, old, stat)),
            }
        }
        let others = self.others_among(&standing)?;
        let mut steps = Vec::new();
        for (at, old, stat) in &standing {
            if let Some((other_path, row)) = others.get(&old.path) {
                let (path, other_path) = (old.path.clone(), other_path.clone());
                let other = self.db.record_of(*row)?.meta().name.clone();
                self.notices.push(Notice::Others { path, other_path, other });
                continue;
            }
            match self.ground.get(&old.path) {
                None => steps.extend(self.survey_orphan(old, stat, *at)?),
                Some(true) => {}
                // What comes back is put over it.
                Some(false) => drop(self.survey_orphan(old, stat, *at)?),
            }
        }
        // What is in a folder goes before the folder.
        steps.reverse();
        self.remove = steps;
        Ok(())
    }

    /// Which of these a package that stays has under another name, because of a link that was made after both came.
    fn others_among(&self, standing: &[(EntryRef, &Entry, Stat)]) -> Result<HashMap<PkgPath, (PkgPath, i64)>> {
        let leaving: HashSet<i64> = self.packages.outgoing.iter().map(|outgoing| outgoing.row).collect();
        if standing.is_empty() || self.db.count()? == leaving.len() as u64 {
            return Ok(HashMap::new());
        }
        let doubtful = standing.iter().filter(|(_, old, stat)| !may_be(old, stat)).map(|(_, old, _)| &old.path);
        let places = standing.iter().map(|(_, old, _)| &old.path);
        Links::new(self.db).kept_by_others(places, &doubtful.collect(), &leaving)
    }

    fn survey_orphan(&mut self, old: &Entry, stat: &Stat, at: EntryRef) -> Result<Option<Step>> {
        let (was_dir, is_dir) = (matches!(old.kind, EntryKind::Dir { .. }), stat.kind == FileKind::Dir);
        if self.packages.outgoing[at.package].standing.is_link(at.entry) && stat.kind == FileKind::Symlink {
            return Ok(None);
        }
        if was_dir != is_dir && old.kind != EntryKind::Ghost {
            self.notices.push(Notice::LeftAlone { path: old.path.clone() });
            return Ok(None);
        }
        if is_dir && (self.work.links.targets.contains(&old.path) || self.comes_under_another_case(&old.path)?) {
            return Ok(None);
        }
        if is_dir {
            return Ok(Some(Step::RemoveDir(old.path.clone())));
        }
        if old.uses.contains(&Use::Config) {
            self.drop_outdated(&old.path, &[content(old)])?;
        }
        if self.is_changed_config(old, stat)? {
            let package = self.packages.outgoing[at.package].record.meta().name.clone();
            if let Some(saved) = self.free_name(&old.path, ".save", None, package)? {
                self.notices.push(Notice::Saved { path: old.path.clone(), saved: saved.clone() });
                self.push_staging(saved, What::Save(old.path.clone()));
            }
        }
        Ok(Some(Step::Remove(old.path.clone())))
    }

    /// Whether a folder that goes is one that comes, too.
    fn comes_under_another_case(&self, folder: &PkgPath) -> Result<bool> {
        if self.work.tree.nodes.is_empty() || !folding::is_folded(self.root, folder)? {
            return Ok(false);
        }
        let name = folding::alike(folder.as_bytes());
        Ok(self.work.tree.nodes.iter().any(|node| folding::alike(self.packages.entry(node).path.as_bytes()) == name))
    }
}
