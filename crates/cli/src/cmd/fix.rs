//! `pkg fix [GLOB..]`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use installdb::{Fix, Installed, Obstacle, Repair, Source};
use pkgformat::{Limits, Reader};
use serde_json::{Value, json};
use trust::SystemClock;

use crate::change::{self, Manner};
use crate::failure::Failure;
use crate::render::{self, Voice};
use crate::signals::Watch;
use crate::{aspects, cached, exit, packages, patterns, places};

/// What to bring back, and from where.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Contents come from other installed files that are the same, from the package files named with --from, \
    and from the cache. Exit code 10: something could not be brought back."
)]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`); without one, all packages.
    #[arg(value_name = "GLOB")]
    patterns: Vec<String>,
    /// A package file to take contents from.
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    /// The folder of caches.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Bring configuration files back, too: what was changed there is lost.
    #[arg(long)]
    config: bool,
    /// The root to look at.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(flatten)]
    manner: Manner,
}

/// Brings what differs on the disk back to what packages put there, in one transaction.
///
/// # Errors
/// A package that is not installed, a package file that can not be read; a root that may not be changed.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    refuse_files(&args.patterns)?;
    let names = patterns::names(&Installed::open(&args.root)?, &args.patterns)?;
    let mut db = change::open(&args.root, args.manner)?;
    change::tell_recovery(&db, args.manner, voice)?;
    let mut fix = db.fix(&names, args.config, &mut Watch)?;
    for file in &args.from {
        if !offer(&mut fix, file)? {
            voice.warning(format_args!("`{}` has nothing that is needed", file.display()));
        }
    }
    offer_cached(&mut fix, args);
    let repairs = fix.repairs();
    tell(&repairs, args.manner, voice)?;
    let (possible, left): (Vec<_>, Vec<_>) = repairs.into_iter().partition(|repair| repair.obstacle.is_none());
    let code = if left.is_empty() { exit::DONE } else { exit::DIFFERENT };
    if left.iter().any(|repair| repair.obstacle == Some(Obstacle::NoContent)) {
        voice.hint("`--from FILE` takes contents from a package file");
    }
    let cannot = || format!("cannot fix `{}`", args.root.display());
    if args.manner.dry_run {
        fix.rehearse().with_context(cannot)?;
    }
    if possible.is_empty() || args.manner.dry_run {
        return Ok(code);
    }
    if !change::confirmed(args.manner)? {
        voice.status("nothing was changed");
        return Ok(code);
    }
    let done = fix.carry_out(&change::author(), &SystemClock, &mut Watch);
    let done = done.with_context(cannot)?;
    if args.manner.json {
        render::json(&json!({ "reason": "finished", "transaction": done.txn, "restored": possible.len() }))?;
    } else {
        let paths = render::count(possible.len() as u64, "path");
        voice.status(format_args!("transaction {} done: {paths} brought back", done.txn));
    }
    Ok(code)
}

/// Patterns of a shell after `--from` leave all files but the first among the names.
fn refuse_files(patterns: &[String]) -> anyhow::Result<()> {
    match patterns.iter().find(|pattern| pattern.contains('/') || pattern.contains(".kpkg")) {
        Some(file) => Err(Failure::new(exit::USAGE, format!("`{file}` is a file, and names of packages are expected"))
            .hint("`--from` takes one file: say it before each")
            .into()),
        None => Ok(()),
    }
}

/// Whether the file has something that is needed.
fn offer(fix: &mut Fix<'_, '_>, file: &Path) -> anyhow::Result<bool> {
    let reader = Reader::open(Source::new(packages::plain(file)?), Limits::default());
    Ok(fix.offer(reader.with_context(|| packages::unreadable(file))?))
}

/// What the cache has not, or not whole, is not there.
fn offer_cached(fix: &mut Fix<'_, '_>, args: &Args) {
    let Ok(cache) = places::cache(args.cache.as_deref()) else { return };
    for (name, id) in fix.lacking() {
        if let Some(file) = cached::find(&cache, &name, id) {
            let _ = offer(fix, &file);
        }
    }
}

fn tell(repairs: &[Repair], manner: Manner, voice: &Voice) -> anyhow::Result<()> {
    if manner.json {
        let list: Vec<Value> = repairs.iter().map(describe).collect();
        return render::json(&json!({ "reason": "plan", "repairs": list }));
    }
    for repair in repairs {
        let line = format!("{} /{} {}", repair.package, repair.path, aspects::line(&repair.aspects));
        match &repair.obstacle {
            None => voice.status(format_args!("fix   {line}")),
            Some(obstacle) => voice.warning(format_args!("can not fix {line}: {obstacle}")),
        }
    }
    if repairs.is_empty() {
        voice.status("everything is as its packages say");
    }
    Ok(())
}

fn describe(repair: &Repair) -> Value {
    let mut value = json!({
        "package": repair.package.as_str(),
        "obstacle": repair.obstacle.map(|obstacle| obstacle.to_string()),
    });
    aspects::put(&mut value, &repair.aspects);
    render::put_path(&mut value, "/", &repair.path);
    value
}
