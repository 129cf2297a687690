//! Configuration files: what becomes of the administrator's version, and where the package's own comes to lie.

use std::collections::HashSet;

use pkgformat::{Entry, Use};
use pkgfs::{FileKind, Stat};
use pkgtypes::{Digest, PkgPath};

use super::Survey;
use crate::content::{content, digest_of};
use crate::displaced::{Displacing, Manner};
use crate::error::Result;
use crate::layout::{Fate, What};
use crate::originals::Beside;
use crate::request::Content;
use crate::step::Step;
use crate::tree::{self, EntryRef};
use crate::{Finding, Notice, kept};

impl Survey<'_> {
    /// Where nothing is, the package's comes, unless it comes back and its administrator's version is there still.
    pub(super) fn absent(&mut self, node: usize) -> Result<Fate> {
        let entry = self.entry(node);
        if !self.returns(node) || !entry.uses.contains(&Use::Config) {
            return self.stage(node);
        }
        let package = self.package(node);
        let since = self.work.ground.since;
        let saved = since.map(|since| self.db.saved_as(&package, &entry.path, since)).transpose()?.flatten();
        if !self.bring_back_saved(&entry.path, saved)? {
            return self.stage(node);
        }
        // The package's version had lain beside it, if his was made of another one.
        if self.base(node)?.is_some_and(|base| Some(base) != content(entry)) {
            self.stage_beside(node, None)?;
        }
        Ok(Fate::Stays)
    }

    /// Three contents decide: the old package's, the new one's, and what the administrator made of it.
    pub(super) fn config_file(&mut self, node: usize, old: EntryRef, stat: &Stat) -> Result<Fate> {
        let entry = self.entry(node);
        let (old, new) = (content(self.packages.old_entry(old)), content(entry));
        let disk = if stat.kind == FileKind::File { Some(digest_of(self.root, &entry.path)?) } else { None };
        if disk.is_some() && (disk == new || disk == old) {
            self.drop_outdated(&entry.path, &[old, new])?;
            // What he accepted in the place of his own goes, and his own comes back.
            let since = self.work.ground.since.filter(|_| self.returns(node) && disk != new);
            let named = self.packages.new_named(self.work.tree.nodes[node].source);
            let saved = since.map(|since| self.db.accepted_since(named, since)).transpose()?.flatten();
            let saved = saved.map(|saved| self.db.stands(&saved)).transpose()?;
            return if self.bring_back_saved(&entry.path, saved)? { Ok(Fate::Stays) } else { self.stage(node) };
        }
        if (old.is_some() && old == new) || self.is_as_before(node, old, new)? {
            return Ok(Fate::Stays);
        }
        self.stage_beside(node, old)?;
        Ok(Fate::Stays)
    }

    /// Plans to place the node beside the administrator's version, which was made of `old`, unless it is known already.
    fn stage_beside(&mut self, node: usize, old: Option<Digest>) -> Result<()> {
        let entry = self.entry(node);
        if let Some(target) = self.free_name(&entry.path, ".new", old, self.package(node))? {
            self.notices.push(Notice::NewBeside { path: entry.path.clone(), new: target.clone() });
            if let Some(old) = old {
                let path = self.packages.new_named(self.work.tree.nodes[node].source).clone();
                self.besides.push(Beside { path, old, is_further: self.root.stat(&target)?.is_some() });
            }
            self.stage_at(node, target, What::Beside(node))?;
        }
        Ok(())
    }

    /// Whether a file was changed already when the version that goes now came, and is what it should be again. That version
    /// had left its own beside it, which goes with it. Where its own is not there any more, nobody knows, and the file is
    /// taken for such a one if the old content is not there either, and it was not made of the version that goes.
    fn is_as_before(&mut self, node: usize, old: Option<Digest>, new: Option<Digest>) -> Result<bool> {
        if !self.returns(node) {
            return Ok(false);
        }
        if self.drop_outdated(&self.entry(node).path.clone(), &[old])? {
            return Ok(true);
        }
        if old.is_some() && self.base(node)? == old {
            return Ok(false);
        }
        let package = self.work.tree.nodes[node].source.package;
        let is_stock = matches!(self.work.contents[package], Content::Stock(_));
        Ok(is_stock && new.is_none_or(|new| !matches!(kept::find(self.db, new), Ok(Some(_)))))
    }

    /// The version of a configuration file that the administrator's was made of, as far as that is remembered.
    fn base(&self, node: usize) -> Result<Option<Digest>> {
        let base = self.db.base(self.packages.new_named(self.work.tree.nodes[node].source))?;
        Ok(base.map(Digest::of))
    }

    /// Gives the administrator's version of a configuration file its name back, where it is there still.
    fn bring_back_saved(&mut self, path: &PkgPath, saved: Option<PkgPath>) -> Result<bool> {
        let Some(saved) = saved else { return Ok(false) };
        let is_there =
            self.root.stat(&saved)?.is_some_and(|stat| matches!(stat.kind, FileKind::File | FileKind::Symlink));
        if !is_there || self.db.owner_except(&saved, &HashSet::new())?.is_some() {
            return Ok(false);
        }
        self.space.enter(self.root, path.parent())?;
        self.push_staging(path.clone(), What::Save(saved.clone()));
        self.clear.push(Step::Remove(saved));
        Ok(true)
    }

    /// Takes away what an earlier transaction left beside a configuration file, if it is one of these versions still: the
    /// administrator has nothing to decide about it any more.
    pub(super) fn drop_outdated(&mut self, path: &PkgPath, versions: &[Option<Digest>]) -> Result<bool> {
        let Ok(beside) = path.with_file_name(&[path.file_name(), b".new"].concat()) else { return Ok(false) };
        let is_file = self.root.stat(&beside)?.is_some_and(|stat| stat.kind == FileKind::File);
        let planned = |node: &tree::Node| self.packages.entry(node).path.cmp(&beside);
        let outdated = is_file
            && versions.contains(&Some(digest_of(self.root, &beside)?))
            && self.db.owner_except(&beside, &HashSet::new())?.is_none()
            && self.work.tree.nodes.binary_search_by(planned).is_err();
        if outdated {
            self.clear.push(Step::Remove(beside));
        }
        Ok(outdated)
    }

    pub(super) fn is_changed_config(&self, old: &Entry, stat: &Stat) -> Result<bool> {
        if !old.uses.contains(&Use::Config) {
            return Ok(false);
        }
        Ok(stat.kind != FileKind::File || Some(digest_of(self.root, &old.path)?) != content(old))
    }

    /// The path with an ending, if nothing but an earlier file of this ending stands there, which is kept; otherwise a
    /// finding. Of one with the content `left` nobody needs to hear: a package left it.
    pub(super) fn free_name(
        &mut self,
        path: &PkgPath,
        ending: &'static str,
        left: Option<Digest>,
        package: pkgtypes::PackageName,
    ) -> Result<Option<PkgPath>> {
        let Ok(name) = path.with_file_name(&[path.file_name(), ending.as_bytes()].concat()) else {
            self.findings.push(Finding::LongName { package, path: path.clone(), ending });
            return Ok(None);
        };
        let planned = self.work.tree.nodes.iter().any(|node| self.packages.new_entry(node.source).path == name);
        let stat = self.root.stat(&name)?;
        let is_dir = stat.as_ref().is_some_and(|stat| stat.kind == FileKind::Dir);
        if planned || is_dir || self.db.owner_except(&name, &HashSet::new())?.is_some() {
            self.findings.push(Finding::Unowned { path: name, package });
            return Ok(None);
        }
        if let Some(stat) = stat {
            self.displace_earlier(path, &name, stat, left)?;
        }
        Ok(Some(name))
    }

    /// An earlier version beside a configuration file gives way to another one.
    fn displace_earlier(&mut self, path: &PkgPath, name: &PkgPath, stat: Stat, left: Option<Digest>) -> Result<()> {
        let is_file = stat.kind == FileKind::File;
        let is_itself = self.root.stat(path)?.is_some_and(|other| (other.dev, other.ino) == (stat.dev, stat.ino));
        if is_itself {
            return Ok(());
        }
        let was_left = is_file && left.is_some() && Some(digest_of(self.root, name)?) == left;
        let manner = if was_left { Manner::Same } else { Manner::Replaced };
        self.displacement.displacing.push(Displacing { path: name.clone(), manner, stat, is_again: false });
        Ok(())
    }
}
