//! Whether what runs a script is in the root: before the change for scripts that come before it, after it for the others.

use std::collections::VecDeque;

use pkgformat::EntryKind;
use pkgfs::{ErrorKind as DiskError, FileKind, Root};
use pkgtypes::PkgPath;

use crate::error::Result;
use crate::layout::{Fate, Layout};
use crate::scripts::call::Call;
use crate::tree::Packages;
use crate::work::Work;
use crate::{Finding, InstallDb};

/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// The scripts that could not run. Those of packages that go are not asked for what runs them after the change: it may go
/// along.
pub(crate) fn missing<'a>(
    db: &InstallDb,
    work: &Work<'_>,
    layout: &Layout,
    before: impl Iterator<Item = &'a Call>,
    after: &'a [Call],
) -> Result<Vec<Finding>> {
    let (now, later) = (View { root: &db.root, change: None }, View { root: &db.root, change: Some((work, layout)) });
    let comes = |call: &&Call| work.incoming.iter().any(|incoming| incoming.record.meta().name == call.package);
    let moments = before.map(|call| (&now, "before", call));
    let moments = moments.chain(after.iter().filter(comes).map(|call| (&later, "after", call)));
    let mut findings = Vec::new();
    for (view, moment, Call { package, stage, program }) in moments {
        let Some(interpreter) = interpreter(&program.content) else { continue };
        if !view.has(&interpreter)? {
            let (package, stage) = (package.clone(), stage.clone());
            findings.push(Finding::NoInterpreter { package, stage, interpreter, moment });
        }
    }
    Ok(findings)
}

/// The absolute path in a script's first line; `None` where there is none, as in a binary program.
fn interpreter(content: &[u8]) -> Option<PkgPath> {
    let line = content.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let word = line.trim_ascii().split(u8::is_ascii_whitespace).next()?;
    let names: Vec<&[u8]> =
        word.strip_prefix(b"/")?.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
    PkgPath::new(names.join(&b'/')).ok()
}

/// The root as it is, or as it is going to be.
struct View<'a> {
    root: &'a Root,
    change: Option<(&'a Work<'a>, &'a Layout)>,
}

/// What stands at a path whose folders are no links.
enum Found {
    Nothing,
    Folder,
    Link(Vec<u8>),
    File,
}

impl View<'_> {
    /// Whether a file is at the path, links followed inside the root.
    fn has(&self, path: &PkgPath) -> Result<bool> {
        let mut rest: VecDeque<Vec<u8>> = path.components().map(<[u8]>::to_vec).collect();
        let mut here: Option<PkgPath> = None;
        let mut links = 0;
        while let Some(name) = rest.pop_front() {
            match &*name {
                b"" | b"." => continue,
                b".." => {
                    here = here.and_then(|path| path.parent());
                    continue;
                }
                _ => {}
            }
            let next = match &here {
                None => PkgPath::new(name),
                Some(folder) => folder.join(&name),
            };
            let Ok(next) = next else { return Ok(false) };
            match self.look(&next)? {
                Found::Nothing => return Ok(false),
                Found::File => return Ok(rest.is_empty()),
                Found::Folder => here = Some(next),
                Found::Link(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Ok(false);
                    }
                    if target.starts_with(b"/") {
                        here = None;
                    }
                    for name in target.split(|&byte| byte == b'/').rev() {
                        rest.push_front(name.to_vec());
                    }
                }
            }
        }
        Ok(false)
    }

    fn look(&self, path: &PkgPath) -> Result<Found> {
        let Some((work, layout)) = self.change else { return self.on_disk(path) };
        let packages: Packages<'_> = work.packages();
        let nodes = &work.tree.nodes;
        if let Ok(node) = nodes.binary_search_by(|node| packages.entry(node).path.cmp(path)) {
            return match layout.fates[node] {
                Fate::Staged(_) => Ok(match &packages.entry(&nodes[node]).kind {
                    EntryKind::Dir { .. } => Found::Folder,
                    EntryKind::Symlink { target } => Found::Link(target.clone()),
                    _ => Found::File,
                }),
                Fate::Stays | Fate::Absent => self.on_disk(path),
            };
        }
        let orphans = &work.tree.orphans;
        match orphans.binary_search_by(|at| packages.old_entry(*at).path.cmp(path)) {
            Ok(at) if !matches!(packages.old_entry(orphans[at]).kind, EntryKind::Dir { .. }) => Ok(Found::Nothing),
            _ => self.on_disk(path),
        }
    }

    fn on_disk(&self, path: &PkgPath) -> Result<Found> {
        match self.root.stat(path) {
            Ok(None) => Ok(Found::Nothing),
            Ok(Some(stat)) => Ok(match stat.kind {
                FileKind::Dir => Found::Folder,
                FileKind::Symlink => Found::Link(self.root.read_link(path)?),
                _ => Found::File,
            }),
            // Below a folder that is yet to come.
            Err(error) if matches!(error.kind, DiskError::NotFound | DiskError::WrongType | DiskError::Symlink) => {
                Ok(Found::Nothing)
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_what_runs_a_script() {
        let found = |text: &str| interpreter(text.as_bytes()).map(|path| path.to_string());
        assert_eq!(found("#!/bin/sh\nx").as_deref(), Some("bin/sh"));
        assert_eq!(found("#! //usr/bin//env  sh -e\n").as_deref(), Some("usr/bin/env"));
        for none in ["", "#!", "#!\n/bin/sh", "#!sh\n", "#!/\n", "#!/../x\n", "\u{7f}ELF"] {
            assert_eq!(found(none), None, "{none:?}");
        }
    }
}
