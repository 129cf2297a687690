//! `pkg config list|diff|merge|accept|keep`.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use installdb::{ConfigFile, ConfigState, Done, InstallDb, Installed, Notice};
use pkgtypes::{Digest, PkgPath};
use serde_json::{Value, json};
use similar::TextDiff;
use trust::SystemClock;

use super::owner::inside;
use crate::change::{self, Manner};
use crate::failure::Failure;
use crate::options::Asked;
use crate::render::{self, Voice};
use crate::signals::Watch;
use crate::{cached, exit, packages, patterns, places};

/// What to do with configuration files.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "An upgrade leaves its version of a file that you changed beside it, as FILE.new; a removal leaves \
    yours as FILE.save."
)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// List those that were changed, or have another version beside them.
    List(List),
    /// Show what accepting a new version would change, or, where there is none, what you changed.
    Diff(Diff),
    /// Put what you and the package changed together, where it is not the same lines; yours is kept as FILE.save.
    Merge(Decide),
    /// Put the package's new version in a file's place; yours is kept as FILE.save.
    Accept(Decide),
    /// Keep your version, and take the package's away.
    Keep(Decide),
}

#[derive(Debug, clap::Args)]
struct List {
    /// Patterns that names of installed packages fit; without one, all packages.
    #[arg(value_name = "GLOB")]
    patterns: Vec<String>,
    /// List those too that are as their packages have them.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
struct Diff {
    /// The files; without one, all that were changed.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Show what you changed and what the package changed of the version that you began with.
    #[arg(long, conflicts_with = "from")]
    base: bool,
    /// A package file to take the package's own version from, where no new one lies beside the file.
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The folder of caches, where packages are looked for.
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    #[command(flatten)]
    asked: Asked,
}

#[derive(Debug, clap::Args)]
struct Decide {
    /// The files.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Show what would be done, and do nothing.
    #[arg(short = 'n', long)]
    dry_run: bool,
    #[command(flatten)]
    asked: Asked,
}

/// Lists configuration files, or decides about them.
///
/// # Errors
/// A file that is none of an installed package; no new version beside one that is to be accepted.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    match &args.verb {
        Verb::List(list) => run_list(list),
        Verb::Diff(diff) => run_diff(diff, voice),
        Verb::Merge(decide) => run_merge(decide, voice),
        Verb::Accept(decide) => run_decision(decide, Decision::Accept, voice),
        Verb::Keep(decide) => run_decision(decide, Decision::Keep, voice),
    }
}

fn run_list(list: &List) -> anyhow::Result<u8> {
    let db = Installed::open(&list.asked.root)?;
    let mut configs = db.configs(&patterns::names(&db, &list.patterns)?)?;
    configs.retain(|config| list.all || marks(config) != ["unchanged"]);
    if list.asked.json {
        let files: Vec<Value> = configs.iter().map(describe).collect();
        render::json(&json!({ "format_version": 1, "files": files }))?;
        return Ok(exit::DONE);
    }
    for config in &configs {
        let package = config.package.as_ref().map_or("-", AsRef::as_ref);
        render::data(format_args!("{:<13} {package} /{}", marks(config).join(","), config.path))?;
    }
    Ok(exit::DONE)
}

fn state(config: &ConfigFile) -> &'static str {
    match config.state {
        ConfigState::Unchanged => "unchanged",
        ConfigState::Changed => "changed",
        ConfigState::Missing => "missing",
        _ => "unreadable",
    }
}

fn marks(config: &ConfigFile) -> Vec<&'static str> {
    let new = config.new.as_ref().map(|new| if new.merged { "merged" } else { "new" });
    [state(config)].into_iter().chain(new).chain(config.saved.as_ref().map(|_| "saved")).collect()
}

fn describe(config: &ConfigFile) -> Value {
    let mut value = json!({
        "package": config.package.as_ref().map(AsRef::<str>::as_ref),
        "state": state(config),
        "new": config.new.as_ref().map(|new| format!("/{}", render::path(&new.path))),
        "merged": config.new.as_ref().map(|new| new.merged),
        "saved": config.saved.as_ref().map(|saved| format!("/{}", render::path(saved))),
    });
    render::put_path(&mut value, "/", &config.path);
    value
}

/// Two versions of a file, and what is said of each.
struct Pair {
    path: PkgPath,
    old: (String, Vec<u8>),
    new: (String, Vec<u8>),
}

fn run_diff(diff: &Diff, voice: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&diff.asked.root)?;
    let configs = db.configs(&[])?;
    let mut code = exit::DONE;
    let mut documents = Vec::new();
    for config in wanted(&configs, diff)? {
        let pairs = if diff.base { both(&db, config) } else { pair(&db, config, diff).map(|pair| vec![pair]) };
        let pairs = match pairs {
            Ok(pairs) => pairs,
            // One that can not be shown keeps nobody from the others, unless it is the only one.
            Err(error) if diff.paths.len() != 1 => {
                voice.warning(error);
                code = exit::UNKNOWN;
                continue;
            }
            Err(error) => return Err(error),
        };
        for pair in pairs {
            let text = unified(&pair);
            if diff.asked.json {
                let mut document = json!({ "old": pair.old.0, "new": pair.new.0, "diff": text });
                render::put_path(&mut document, "/", &pair.path);
                documents.push(document);
            } else {
                render::raw(text.as_bytes())?;
            }
        }
    }
    if diff.asked.json {
        render::json(&json!({ "format_version": 1, "files": documents }))?;
    }
    Ok(code)
}

fn wanted<'a>(configs: &'a [ConfigFile], diff: &Diff) -> anyhow::Result<Vec<&'a ConfigFile>> {
    if diff.paths.is_empty() {
        let is_shown = |config: &&ConfigFile| match &config.new {
            Some(new) => !new.merged,
            None => config.package.is_some() && config.state == ConfigState::Changed,
        };
        return Ok(configs.iter().filter(is_shown).collect());
    }
    let find = |path: &PathBuf| {
        let inside = inside(&diff.asked.root, path)?;
        let found = configs.iter().find(|config| config.path == inside);
        found.ok_or_else(|| unknown(&inside))
    };
    diff.paths.iter().map(find).collect()
}

fn unknown(path: &PkgPath) -> anyhow::Error {
    Failure::new(exit::UNKNOWN, format!("/{path} is no configuration file of an installed package"))
        .hint("`pkg config list --all` lists them")
        .into()
}

/// What a new version would change, or what was changed.
fn pair(db: &Installed, config: &ConfigFile, diff: &Diff) -> anyhow::Result<Pair> {
    let on_disk =
        |path: &PkgPath| -> anyhow::Result<(String, Vec<u8>)> { Ok((format!("/{path}"), read(db.open_file(path)?)?)) };
    let path = config.path.clone();
    if config.state == ConfigState::Missing {
        return Err(Failure::new(exit::UNKNOWN, format!("/{path} is not there")).into());
    }
    if let Some(new) = &config.new {
        return Ok(Pair { old: on_disk(&path)?, new: on_disk(&new.path)?, path });
    }
    let shipped = config.package.as_ref().zip(config.shipped);
    let (package, digest) = shipped.ok_or_else(|| unknown(&path))?;
    let content = if config.state == ConfigState::Unchanged {
        Some(on_disk(&path)?.1)
    } else {
        shipped_content(db, package, &digest, diff)?
    };
    let content = content.ok_or_else(|| {
        let what = format!("the version of /{path} that `{package}` brought is nowhere to be had");
        Failure::new(exit::UNKNOWN, what).hint("name the package's file with `--from FILE`")
    })?;
    Ok(Pair { old: (format!("/{path} (of {package})"), content), new: on_disk(&path)?, path })
}

/// Three versions of a file: the one that both sides began with, the administrator's, and the package's new one.
struct Versions {
    base: Vec<u8>,
    yours: Vec<u8>,
    new: Vec<u8>,
}

fn versions(db: &Installed, config: &ConfigFile) -> anyhow::Result<Versions> {
    let path = &config.path;
    let new = config.new.as_ref().ok_or_else(|| installdb::Error::NoNewVersion { path: path.clone() })?;
    let base = db.base(path)?.ok_or_else(|| {
        let what = format!("the version of /{path} that you began with is not stored");
        Failure::new(exit::UNKNOWN, what).hint("`pkg config diff` shows yours and the package's new one")
    })?;
    Ok(Versions { base, yours: read(db.open_file(path)?)?, new: read(db.open_file(&new.path)?)? })
}

/// What the administrator changed, and what the package did.
fn both(db: &Installed, config: &ConfigFile) -> anyhow::Result<Vec<Pair>> {
    let Versions { base, yours, new } = versions(db, config)?;
    let path = config.path.clone();
    let began = (format!("/{path} (as you began with it)"), base);
    let pair = |name: String, content| Pair { path: path.clone(), old: began.clone(), new: (name, content) };
    Ok(vec![pair(format!("/{path}"), yours), pair(format!("/{path}.new"), new)])
}

/// More lines than this are not merged: it could take minutes to find out how.
const MAX_LINES: usize = 20_000;

/// What both sides changed, in one; `Err` has marks where they changed the same lines.
fn merged(path: &PkgPath, Versions { base, yours, new }: &Versions) -> anyhow::Result<Result<String, String>> {
    let text = |content: &'_ [u8]| -> anyhow::Result<String> {
        let text = str::from_utf8(content).with_context(|| format!("/{path} is no text, and can not be merged"))?;
        anyhow::ensure!(
            text.lines().count() <= MAX_LINES,
            "/{path} has more than {MAX_LINES} lines, and is not merged"
        );
        Ok(text.to_owned())
    };
    // A mark behind a last line without an end would be a part of the line.
    let mut options = diffy::MergeOptions::new();
    options.set_incomplete_hunk_style(diffy::IncompleteHunkStyle::Git);
    Ok(options.merge(&text(base)?, &text(yours)?, &text(new)?))
}

fn run_merge(decide: &Decide, voice: &Voice) -> anyhow::Result<u8> {
    let Asked { root, json } = &decide.asked;
    let paths = decide.paths.iter().map(|path| inside(root, path)).collect::<anyhow::Result<Vec<_>>>()?;
    let contents = merge_all(&Installed::open(root)?, &paths, decide)?;
    if decide.dry_run {
        return Ok(exit::DONE);
    }
    let mut db = InstallDb::open_with(root, &mut Watch)?;
    change::tell_recovery(&db, Manner { yes: true, dry_run: false, json: *json }, voice)?;
    let done = db.merge_configs(&contents, &change::author(), &SystemClock)?;
    tell(&done, &paths, "merged", *json, voice)?;
    Ok(exit::DONE)
}

/// The contents of all, or a refusal that names those in which the same lines were changed; shown where it is a dry run.
fn merge_all(db: &Installed, paths: &[PkgPath], decide: &Decide) -> anyhow::Result<Vec<(PkgPath, Vec<u8>)>> {
    let configs = db.configs(&[])?;
    let (mut contents, mut clashes, mut plan) = (Vec::new(), Vec::new(), Vec::new());
    for path in paths {
        let config = configs.iter().find(|config| config.path == *path).ok_or_else(|| unknown(path))?;
        let versions = versions(db, config)?;
        let (text, clean) = match merged(path, &versions)? {
            Ok(text) => (text, true),
            Err(text) => (text, false),
        };
        if decide.dry_run && !decide.asked.json {
            let name = if clean { "merged" } else { "merged, with marks where both changed the same lines" };
            let (old, new) = ((format!("/{path}"), versions.yours), (format!("/{path} ({name})"), text.clone().into()));
            render::raw(unified(&Pair { path: path.clone(), old, new }).as_bytes())?;
        }
        let mut file = json!({ "clean": clean, "content": text });
        render::put_path(&mut file, "/", path);
        plan.push(file);
        if clean {
            contents.push((path.clone(), text.into_bytes()));
        } else {
            clashes.push(format!("/{path}"));
        }
    }
    if decide.dry_run && decide.asked.json {
        render::json(&json!({ "reason": "plan", "files": plan }))?;
    }
    if clashes.is_empty() {
        return Ok(contents);
    }
    let what = format!("you and the package changed the same lines of {}; nothing was changed", clashes.join(", "));
    let hint = "`pkg config merge -n FILE` shows where; put what you want into FILE, then say `pkg config keep FILE`";
    Err(Failure::new(exit::REFUSED, what).hint(hint).into())
}

/// The package's own version: from the file that is named, from what is on the disk, or from the cache.
fn shipped_content(
    db: &Installed,
    package: &pkgtypes::PackageName,
    digest: &Digest,
    diff: &Diff,
) -> anyhow::Result<Option<Vec<u8>>> {
    if let Some(file) = &diff.from {
        let mut opened = packages::look(file)?;
        let blob = opened.blob(digest).with_context(|| packages::unreadable(file))?;
        return read(blob).map(Some);
    }
    if let Some(content) = db.original(digest)? {
        return Ok(Some(content));
    }
    if let Some(file) = db.find_content(digest)? {
        return read(file).map(Some);
    }
    let Ok(cache) = places::cache(diff.cache.as_deref()) else { return Ok(None) };
    let Some(file) = cached::find(&cache, package, db.record(package)?.id()) else { return Ok(None) };
    let mut opened = packages::look(&file)?;
    read(opened.blob(digest)?).map(Some)
}

/// More than this of a file is not compared.
const MAX_FILE: u64 = 16 << 20;

fn read(source: impl Read) -> anyhow::Result<Vec<u8>> {
    let mut content = Vec::new();
    source.take(MAX_FILE + 1).read_to_end(&mut content)?;
    anyhow::ensure!(content.len() as u64 <= MAX_FILE, "the file is too large to be compared");
    Ok(content)
}

fn unified(Pair { old: (old_name, old), new: (new_name, new), .. }: &Pair) -> String {
    if old == new {
        return String::new();
    }
    let (Ok(old), Ok(new)) = (std::str::from_utf8(old), std::str::from_utf8(new)) else {
        return format!("{old_name} and {new_name} differ, and are no text\n");
    };
    // What has no short answer by then gets a longer one.
    let diff = TextDiff::configure().timeout(Duration::from_secs(5)).diff_lines(old, new);
    diff.unified_diff().header(old_name, new_name).to_string()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Decision {
    Accept,
    Keep,
}

fn run_decision(decide: &Decide, decision: Decision, voice: &Voice) -> anyhow::Result<u8> {
    let Asked { root, json } = &decide.asked;
    let paths = decide.paths.iter().map(|path| inside(root, path)).collect::<anyhow::Result<Vec<_>>>()?;
    if decide.dry_run {
        return show(&Installed::open(root)?, &paths, decision, decide, voice);
    }
    // So that no database is made where none is.
    Installed::open(root)?;
    let mut db = InstallDb::open_with(root, &mut Watch)?;
    let manner = Manner { yes: true, dry_run: false, json: *json };
    change::tell_recovery(&db, manner, voice)?;
    let author = change::author();
    let done = match decision {
        Decision::Accept => db.accept_configs(&paths, &author, &SystemClock),
        Decision::Keep => db.keep_configs(&paths, &author, &SystemClock),
    };
    let what = if decision == Decision::Accept { "accepted" } else { "kept as yours" };
    tell(&done?, &paths, what, *json, voice)?;
    Ok(exit::DONE)
}

fn show(db: &Installed, paths: &[PkgPath], decision: Decision, decide: &Decide, voice: &Voice) -> anyhow::Result<u8> {
    let configs = db.configs(&[])?;
    let mut plan = Vec::new();
    for path in paths {
        let config = configs.iter().find(|config| config.path == *path).ok_or_else(|| unknown(path))?;
        let new = config.new.as_ref().ok_or_else(|| installdb::Error::NoNewVersion { path: path.clone() })?;
        let what = match decision {
            Decision::Accept => format!("/{} takes the place of /{path}", new.path),
            Decision::Keep => format!("/{} goes", new.path),
        };
        if decide.asked.json {
            plan.push(describe(config));
        } else {
            voice.status(what);
        }
    }
    if decide.asked.json {
        render::json(&json!({ "reason": "plan", "files": plan }))?;
    }
    Ok(exit::DONE)
}

fn tell(done: &Done, paths: &[PkgPath], what: &str, json: bool, voice: &Voice) -> anyhow::Result<()> {
    let saved = done.notices.iter().filter_map(|notice| match notice {
        Notice::Saved { path, saved } => Some((path, saved)),
        _ => None,
    });
    if json {
        let slashed = |path: &PkgPath| format!("/{}", render::path(path));
        let saved: Vec<String> = saved.map(|(_, saved)| slashed(saved)).collect();
        let paths: Vec<String> = paths.iter().map(slashed).collect();
        let event = json!({ "reason": "finished", "transaction": done.txn, "files": paths, "saved": saved });
        return render::json(&event);
    }
    saved.for_each(|(path, saved)| voice.status(format_args!("your version of /{path} is kept as /{saved}")));
    voice.status(format_args!("transaction {} done: {} {what}", done.txn, render::count(paths.len() as u64, "file")));
    Ok(())
}
