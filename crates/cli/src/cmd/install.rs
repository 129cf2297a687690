//! `pkg install FILE..`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use installdb::{Installed, Options, Unowned};
use pkgtypes::PackageSpec;
use trust::Exception;

use crate::change::{self, Change, Install, Manner, ScriptArgs};
use crate::failure::Failure;
use crate::render::Voice;
use crate::{exit, places};

/// What to install, and where.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A package's signatures lie beside it as PACKAGE.sigs; what the root trusts lies in its etc/trust.d."
)]
pub struct Args {
    /// Package files, compressed or not.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The root to install into; without it `/`, which has to be named where nothing was installed into it before.
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    #[command(flatten)]
    manner: Manner,
    /// Install again what is installed already with just this content (`pkg fix` brings back files that were changed).
    #[arg(long)]
    reinstall: bool,
    /// Accept this one package, with exactly this content, without a signature.
    #[arg(long, value_name = "NAME@ID")]
    accept_unsigned: Vec<String>,
    /// What to do with files that no package owns and a package would replace.
    #[arg(long, value_enum, default_value = "refuse", value_name = "WHAT")]
    unowned: UnownedFiles,
    /// Install although packages miss something or exclude each other.
    #[arg(long)]
    ignore_relations: bool,
    #[command(flatten)]
    scripts: ScriptArgs,
    /// Install packages for another machine than this one.
    #[arg(long)]
    foreign_arch: bool,
}

/// What happens to a file that no package owns, where a package brings another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum UnownedFiles {
    /// The installation is refused.
    Refuse,
    /// The file stays and belongs to the package from then on.
    Adopt,
    /// The package's file takes its place; `pkg undo` brings back what was there, as long as it is kept (`pkg gc`).
    Replace,
}

impl From<UnownedFiles> for Unowned {
    fn from(files: UnownedFiles) -> Self {
        match files {
            UnownedFiles::Refuse => Self::Refuse,
            UnownedFiles::Adopt => Self::Adopt,
            UnownedFiles::Replace => Self::Replace,
        }
    }
}

/// A name where a file should be: there is no repository to look it up in.
fn refuse_name(path: &Path) -> Result<(), Failure> {
    let is_name = path.to_str().is_some_and(|text| text.parse::<PackageSpec>().is_ok() && !text.ends_with(".kpkg"));
    if path.exists() || !is_name {
        return Ok(());
    }
    let name = path.display();
    Err(Failure::new(exit::UNKNOWN, format!("there is no file `{name}`, and packages are installed from files"))
        .hint(format!("`pkg build {name} --into ROOT` builds it from its recipe and installs it")))
}

/// This machine's own root. That somebody forgot to say which root he meant must not make it one of ours; nor does a database
/// that an installation left which was refused.
fn refuse_unused(root: &Path) -> anyhow::Result<()> {
    let is_unused = match Installed::open(root) {
        Err(installdb::Error::NoDatabase { .. }) => true,
        Ok(db) => matches!(db.transaction(1), Err(installdb::Error::NoTransaction { .. })),
        // What else is wrong with it is told in its place.
        Err(_) => false,
    };
    if !is_unused {
        return Ok(());
    }
    Err(Failure::new(exit::REFUSED, "no root was named, and nothing was installed into `/` before")
        .hint("`--root DIR` names one; `--root /` if this machine's own system is meant")
        .into())
}

/// Installs packages in one transaction.
///
/// # Errors
/// As [`change::run`].
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let exceptions: Vec<Exception> = args
        .accept_unsigned
        .iter()
        .map(|text| text.parse().map_err(|error: trust::Error| Failure::new(exit::USAGE, error.to_string())))
        .collect::<Result<_, _>>()?;
    args.files.iter().try_for_each(|path| refuse_name(path))?;
    let install =
        args.files.iter().map(|path| Install { path: path.clone(), wanted: true, signatures: None }).collect();
    let options = args.scripts.with(Options {
        unowned: args.unowned.into(),
        ignore_relations: args.ignore_relations,
        foreign_arch: args.foreign_arch,
        ..Options::default()
    });
    let change = Change { install, remove: Vec::new(), again: args.reinstall, options, exceptions };
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    if args.root.is_none() {
        refuse_unused(root)?;
    }
    change::run(&places::absolute(root)?, change, args.manner, voice)
        .with_context(|| format!("cannot install into `{}`", root.display()))?;
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use installdb::{InstallDb, Retention};

    use super::*;

    #[test]
    fn a_root_in_which_every_installation_was_refused_has_to_be_named() {
        let root = tempfile::tempdir().unwrap();
        refuse_unused(root.path()).unwrap_err();
        let mut db = InstallDb::open(root.path()).unwrap();
        refuse_unused(root.path()).unwrap_err();
        let mut request = change::request();
        request.retention = Some(Retention::NOTHING);
        let checked = db.plan(request).unwrap().check().unwrap();
        checked.stage(&mut ()).unwrap().commit().unwrap().finish(crate::keys::now()).unwrap();
        drop(db);
        refuse_unused(root.path()).unwrap();
    }
}
