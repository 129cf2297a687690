//! Bringing a root back to what it was: what `undo` and `rollback` share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::Context;
use installdb::{Error, Finding, InstallDb, Installed, Options, Reversal, Source};
use pkgformat::{Limits, Reader};
use pkgtypes::{PackageId, PackageName};
use serde_json::json;

use crate::change::{self, Manner, ScriptArgs};
use crate::cmd::install::UnownedFiles;
use crate::render::{self, Voice};
use crate::{cached, exit, packages, places};

/// Where and how to go back.
#[derive(Debug, clap::Args)]
pub struct Back {
    /// The root.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(flatten)]
    manner: Manner,
    /// The folder of caches, or of package files, in which packages are looked for that were not kept.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Leave packages as they are that can not be brought back, and go on with the others.
    #[arg(long)]
    skip_missing: bool,
    /// What to do with files that no package owns and a package would replace.
    #[arg(long, value_enum, default_value = "refuse", value_name = "WHAT")]
    unowned: UnownedFiles,
    /// Go on although packages miss something or exclude each other.
    #[arg(long)]
    ignore_relations: bool,
    #[command(flatten)]
    scripts: ScriptArgs,
}

/// Carries out what `what` says brings everything back, as one transaction.
///
/// # Errors
/// Something can not be brought back, or does not fit together or into the root; nothing was changed then.
pub fn run(back: &Back, what: impl Fn(&Installed) -> anyhow::Result<Reversal>, voice: &Voice) -> anyhow::Result<u8> {
    let root = places::absolute(&back.root)?;
    // A question first: a root without a database has no past, and gets none.
    what(&Installed::open(&root)?)?;
    let mut db = change::open(&root, back.manner)?;
    change::tell_recovery(&db, back.manner, voice)?;
    let reversal = what(&db)?;
    if reversal.is_empty() {
        change::tell_nothing("the packages are those of then; nothing was changed", back.manner, voice)?;
        return Ok(exit::DONE);
    }
    let cache = back.cache.clone().or_else(|| places::cache(None).ok());
    Journey { back, cache: cache.as_deref(), files: BTreeSet::new(), reversal }
        .run(&mut db, &root, voice)
        .with_context(|| format!("cannot bring `{}` back to what it was", root.display()))?;
    Ok(exit::DONE)
}

struct Journey<'a> {
    back: &'a Back,
    cache: Option<&'a Path>,
    /// Packages that come from files.
    files: BTreeSet<PackageName>,
    reversal: Reversal,
}

impl Journey<'_> {
    /// What was kept is tried first, since it is known beforehand to be whole; then files, for what is missing. What is
    /// missing still is left out to the end, so that all of it is told at once.
    fn run(mut self, db: &mut InstallDb, root: &Path, voice: &Voice) -> anyhow::Result<()> {
        let mut gone = Vec::new();
        loop {
            let open = |name: &PackageName, id| self.files.contains(name).then(|| self.file(name, id)).flatten();
            let request = change::request();
            let checked = self.reversal.clone().request(db, request.time, open).and_then(|reversed| {
                let options = self.options();
                let (argv, user) = (request.argv, request.user);
                db.plan(installdb::Request { argv, user, options, ..reversed })?.check()
            });
            let error = match checked {
                Ok(checked) if gone.is_empty() || self.back.skip_missing => {
                    return change::carry_out(checked, root, self.back.manner, voice);
                }
                Ok(_) => return Err(Error::Refused(gone).into()),
                Err(error) => error,
            };
            let missing = missing(&error);
            let found = self.found(&missing);
            if !found.is_empty() {
                self.files.extend(found);
                continue;
            }
            self.tell_missing(&missing, voice)?;
            self.reversal.leave(&missing.keys().cloned().collect());
            let is_over = missing.is_empty();
            gone.extend(missing.into_values());
            if self.reversal.is_empty() || (is_over && !gone.is_empty() && !self.back.skip_missing) {
                return Err(Error::Refused(gone).into());
            }
            if is_over {
                return Err(error.into());
            }
        }
    }

    fn tell_missing(&self, missing: &BTreeMap<PackageName, Finding>, voice: &Voice) -> anyhow::Result<()> {
        for (name, finding) in missing {
            if self.back.manner.json {
                let (name, why) = (name.as_str(), finding.to_string());
                render::json(&json!({ "reason": "missing", "package": name, "why": why }))?;
            } else if self.back.skip_missing {
                voice.warning(format_args!("{finding}; it stays as it is"));
            }
        }
        Ok(())
    }

    fn options(&self) -> Options {
        self.back.scripts.with(Options {
            unowned: self.back.unowned.into(),
            ignore_relations: self.back.ignore_relations,
            // It was installed here before.
            foreign_arch: true,
            ..Options::default()
        })
    }

    /// Those of the packages of which there is a file.
    fn found(&self, missing: &BTreeMap<PackageName, Finding>) -> Vec<PackageName> {
        let coming = self.reversal.operations.iter().filter(|operation| missing.contains_key(&operation.name));
        let found = coming
            .filter(|operation| operation.new.as_ref().is_some_and(|new| self.file(&operation.name, new.id).is_some()));
        found.map(|operation| operation.name.clone()).collect()
    }

    /// The package with this content, from a file of the cache. What can not be read is not there.
    fn file(&self, name: &PackageName, id: PackageId) -> Option<Reader<Source<'static>>> {
        let file = cached::find(self.cache?, name, id)?;
        Reader::open(Source::new(packages::plain(&file).ok()?), Limits::default()).ok()
    }
}

/// The packages that can not come back, and why.
fn missing(error: &Error) -> BTreeMap<PackageName, Finding> {
    let Error::Refused(findings) = error else { return BTreeMap::new() };
    let missing = findings.iter().filter_map(|finding| match finding {
        Finding::NotKept { package, .. } => Some((package.clone(), finding.clone())),
        _ => None,
    });
    missing.collect()
}
