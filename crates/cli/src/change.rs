//! Changing a root: from package files to a finished transaction, told to the person who asked.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context;
use installdb::{
    Author, Checked, Done, Incoming, InstallDb, Installed, Interference, NotBack, Notice, Operation, OperationKind,
    Options, Outcome, PackageVersion, Request, ScriptRun, Source, Unset,
};
use pkgformat::Reader;
use pkgtypes::PackageName;
use serde_json::json;
use trust::{Exception, SigArchive, Store, SystemClock, Verified, Want};

use crate::failure::{Failure, Interrupted};
use crate::render::{self, Voice};
use crate::signals::Watch;
use crate::{caller, exit, keys, not_given, packages, signals};

/// How to go about a change.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Manner {
    /// Ask nothing.
    #[arg(short, long)]
    pub yes: bool,
    /// Show what would be done, and do nothing.
    #[arg(short = 'n', long)]
    pub dry_run: bool,
    /// Tell events as JSON, one a line.
    #[arg(long)]
    pub json: bool,
}

/// What becomes of the programs that packages bring to be run.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct ScriptArgs {
    /// Run neither scripts nor triggers of packages.
    #[arg(long)]
    skip_scripts: bool,
    /// Run the scripts of converted packages as their own package manager would; those before the change may write.
    #[arg(long, conflicts_with = "skip_scripts")]
    run_foreign_scripts: bool,
    /// Seconds after which a script or trigger is ended.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..))]
    script_timeout: u32,
}

impl ScriptArgs {
    /// The options with these.
    pub fn with(self, options: Options) -> Options {
        Options {
            skip_scripts: self.skip_scripts,
            foreign_scripts: self.run_foreign_scripts,
            script_limit: Some(Duration::from_secs(self.script_timeout.into())),
            ..options
        }
    }
}

/// A package file to install.
#[derive(Debug)]
pub struct Install<'a> {
    /// The file.
    pub path: PathBuf,
    /// Whether the user asked for it; else it is there because another package needs it.
    pub wanted: bool,
    /// Its signatures, where they are not in a file beside it.
    pub signatures: Option<&'a SigArchive>,
}

/// What is to change in a root.
#[derive(Debug, Default)]
pub struct Change<'a> {
    /// Packages to install.
    pub install: Vec<Install<'a>>,
    /// Packages to remove.
    pub remove: Vec<PackageName>,
    /// Whether packages that are installed already, with just this content, are installed again.
    pub again: bool,
    /// What is done where more than one thing can be.
    pub options: Options,
    /// Exceptions from the need of a signature.
    pub exceptions: Vec<Exception>,
}

/// Carries a change out.
///
/// # Errors
/// A package that is not trusted, packages that do not fit together or into the root; nothing was changed then.
pub fn run(root: &Path, change: Change<'_>, manner: Manner, voice: &Voice) -> anyhow::Result<()> {
    if !root.is_dir() {
        let what = format!("there is no root `{}`", root.display());
        return Err(Failure::new(exit::FAILED, what)
            .hint("make the folder, and say with `pkg trust key add` whom it trusts")
            .into());
    }
    let mut request = request();
    request.options = change.options;
    request.remove = change.remove;
    request.remove.sort();
    request.remove.dedup();
    refuse_missing(root, &request.remove)?;
    // A removal trusts nobody, so it needs no look at whom the root trusts.
    let store = if change.install.is_empty() { Store::default() } else { Store::open(root)? };
    request.install = each_once(all_incoming(&store, &change.install, &change.exceptions)?)?;
    if !change.again && request.remove.is_empty() && is_done(root, &request.install)? {
        request.install.iter().for_each(|incoming| tell_installed(incoming, voice));
        return tell_nothing(NOTHING, manner, voice);
    }
    let mut db = open(root, manner)?;
    tell_recovery(&db, manner, voice)?;
    if !change.again {
        let mut rest = Vec::with_capacity(request.install.len());
        for incoming in request.install {
            if incoming.is_installed(&db)? {
                tell_installed(&incoming, voice);
            } else {
                rest.push(incoming);
            }
        }
        request.install = rest;
    }
    if request.install.is_empty() && request.remove.is_empty() {
        return tell_nothing(NOTHING, manner, voice);
    }
    carry_out(db.plan(request)?.check()?, root, manner, voice)
}

/// Each package once, however often it was named; not two of one name.
fn each_once(install: Vec<Incoming<'_>>) -> installdb::Result<Vec<Incoming<'_>>> {
    let mut seen = BTreeMap::new();
    let mut once = Vec::with_capacity(install.len());
    for incoming in install {
        let (name, id) = (incoming.record().meta().name.clone(), incoming.record().id());
        match seen.insert(name.clone(), id) {
            None => once.push(incoming),
            Some(other) if other == id => {}
            Some(_) => return Err(installdb::Error::Twice { name }),
        }
    }
    Ok(once)
}

const NOTHING: &str = "all of this is installed; nothing was changed";

/// Whether all of this is installed, and nothing of earlier changes is left to be done. No right to write is needed to see that.
fn is_done(root: &Path, install: &[Incoming<'_>]) -> installdb::Result<bool> {
    let db = match Installed::open(root) {
        Err(installdb::Error::NoDatabase { .. }) => return Ok(false),
        db => db?,
    };
    for incoming in install {
        if !incoming.is_installed(&db)? {
            return Ok(false);
        }
    }
    db.is_settled()
}

fn tell_installed(incoming: &Incoming<'_>, voice: &Voice) {
    let meta = incoming.record().meta();
    voice.detail(format_args!("{} {}-{} is installed already", meta.name, meta.version, meta.release));
}

/// Opens the root's database: to change it, or only to look at what would be changed.
///
/// # Errors
/// As [`InstallDb::open`] and [`InstallDb::preview`].
pub fn open(root: &Path, manner: Manner) -> installdb::Result<InstallDb> {
    if manner.dry_run { InstallDb::preview(root) } else { InstallDb::open_with(root, &mut Watch) }
}

/// A request for nothing yet, by whoever runs this command.
pub fn request<'p>() -> Request<'p> {
    let Author { time, argv, user } = author();
    Request { argv, user, ..Request::new(time) }
}

/// Tells what was checked, asks, and does it.
///
/// # Errors
/// Nobody is there to be asked; what [`Checked::stage`] and what follows it report.
pub fn carry_out(checked: Checked<'_, '_>, root: &Path, manner: Manner, voice: &Voice) -> anyhow::Result<()> {
    tell_plan(&checked, manner, voice)?;
    if manner.dry_run {
        return Ok(checked.rehearse(&mut Watch)?);
    }
    if !confirmed(manner)? {
        voice.status("nothing was changed");
        return Ok(());
    }
    let committed = checked.stage(&mut Watch)?.commit()?;
    let done = committed.finish_with(SystemClock, &mut Watch)?;
    tell_done(&done, root, manner, voice)
}

/// Who runs this command now, for the history.
pub fn author() -> Author {
    let argv = std::env::args_os().map(OsStringExt::into_vec).collect();
    Author { time: keys::now(), argv, user: Some(caller::user()) }
}

/// What is not installed can not be removed; asked before anything is made in the root.
fn refuse_missing(root: &Path, remove: &[PackageName]) -> anyhow::Result<()> {
    let Some(first) = remove.first() else { return Ok(()) };
    match Installed::open(root) {
        Err(installdb::Error::NoDatabase { .. }) => Err(installdb::Error::NotInstalled { name: first.clone() }.into()),
        Err(error) => Err(error.into()),
        Ok(db) => remove.iter().try_for_each(|name| match db.package(name)? {
            Some(_) => Ok(()),
            None => Err(installdb::Error::NotInstalled { name: name.clone() }.into()),
        }),
    }
}

/// Reads the heads of all packages, several at a time.
fn all_incoming<'p>(
    store: &Store,
    install: &[Install<'_>],
    exceptions: &[Exception],
) -> anyhow::Result<Vec<Incoming<'p>>> {
    let count = install.len();
    let one = |place: usize| {
        signals::check()?;
        let install = &install[place];
        let exception = exception_for(exceptions, install)?;
        incoming(store, install, packages::waiting(&install.path, count)?, exception)
    };
    let turn = AtomicUsize::new(0);
    let several = || {
        let mut done = Vec::new();
        loop {
            let place = turn.fetch_add(1, Ordering::Relaxed);
            if place >= count {
                return done;
            }
            let incoming = one(place);
            if incoming.is_err() {
                // Nobody needs to begin another.
                turn.store(count, Ordering::Relaxed);
            }
            done.push((place, incoming));
        }
    };
    let mut done = std::thread::scope(|scope| {
        // This one does it alone if need be.
        let other = |_| std::thread::Builder::new().spawn_scoped(scope, several).ok();
        let others: Vec<_> = (1..installdb::readers(count)).map_while(other).collect();
        let mut done = several();
        done.extend(others.into_iter().flat_map(|thread| thread.join().expect("a reader of heads does not panic")));
        done
    });
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, incoming)| incoming).collect()
}

/// Decides on a package's trust and leaves its blobs to be read.
fn incoming<'p>(
    store: &Store,
    install: &Install<'_>,
    reader: Reader<Source<'p>>,
    exception: Option<Exception>,
) -> anyhow::Result<Incoming<'p>> {
    let record = reader.package().clone();
    let beside;
    let archive = match install.signatures {
        Some(archive) => archive,
        None => {
            beside = signatures_beside(&install.path)?;
            &beside
        }
    };
    let want = Want { exception, ..Want::default() };
    let decision = trust::evaluate(store, &want, &record, archive, &SystemClock);
    let verified: Verified<_> = decision.into_verified(record)?;
    let mut incoming = Incoming::new(verified, reader)?;
    let needed = incoming.needed_first();
    // What comes once, as through a pipe, can not be looked into.
    if !needed.is_empty() && install.path.is_file() {
        let mut package = packages::look(&install.path)?;
        for digest in needed {
            let mut content = Vec::new();
            package.blob(&digest)?.read_to_end(&mut content).with_context(|| packages::unreadable(&install.path))?;
            incoming = incoming.knowing(content);
        }
    }
    Ok(if install.wanted { incoming.wanted() } else { incoming })
}

/// `PACKAGE.sigs`; a package without that file is unsigned, which the decision says.
fn signatures_beside(package: &Path) -> anyhow::Result<SigArchive> {
    let path = SigArchive::path_beside(package);
    if std::fs::symlink_metadata(&path).is_err() {
        return Ok(SigArchive::new());
    }
    SigArchive::load(&path).with_context(|| format!("cannot read the signatures `{}`", path.display()))
}

fn exception_for(exceptions: &[Exception], install: &Install<'_>) -> anyhow::Result<Option<Exception>> {
    if exceptions.is_empty() {
        return Ok(None);
    }
    let id = packages::record(&install.path)?.id();
    Ok(exceptions.iter().find(|exception| exception.package_id == id).cloned())
}

/// Says what opening the database did about an interrupted transaction.
///
/// # Errors
/// Standard output is gone.
pub fn tell_recovery(db: &InstallDb, manner: Manner, voice: &Voice) -> anyhow::Result<Option<Outcome>> {
    let Some(recovery) = db.recovery() else { return Ok(None) };
    let what = match recovery.outcome {
        Outcome::RolledBack => "rolled back",
        Outcome::Finished => "finished",
    };
    if manner.json {
        let notices: Vec<String> = recovery.interferences.iter().map(interference).collect();
        let told = json!({ "reason": "recovered", "transaction": recovery.txn, "outcome": what, "notices": notices });
        render::json(&told)?;
    } else {
        voice.warning(format_args!("transaction {} had been interrupted and was {what}", recovery.txn));
        recovery.interferences.iter().for_each(|met| voice.warning(interference(met)));
    }
    Ok(Some(recovery.outcome))
}

fn tell_plan(checked: &Checked<'_, '_>, manner: Manner, voice: &Voice) -> anyhow::Result<()> {
    let (operations, forgotten) = (checked.operations(), checked.forgotten());
    if manner.json {
        let steps: Vec<_> = operations.iter().map(step).collect();
        let mut plan = json!({ "reason": "plan", "steps": steps });
        if manner.dry_run {
            plan["notices"] = foreseen(checked).collect();
        }
        if let Some(up_to) = forgotten.up_to {
            plan["forgets"] = json!({ "up_to": up_to, "contents": forgotten.contents, "bytes": forgotten.bytes });
        }
        return render::json(&plan);
    }
    operations.iter().for_each(|operation| voice.status(line(operation)));
    if let Some(up_to) = forgotten.up_to {
        let contents = render::count(forgotten.contents, "kept content");
        let bytes = render::size(forgotten.bytes);
        let told = format!("forget    {contents}, {bytes}: transactions up to {up_to} can not be undone any more");
        if operations.is_empty() { voice.status(told) } else { voice.detail(told) }
    }
    if manner.dry_run {
        foreseen(checked).for_each(|told| voice.warning(told));
    } else if !manner.yes {
        // What is asked about can not be taken back.
        checked.notices().iter().filter(|told| is_loss(told)).for_each(|told| voice.warning(notice(told)));
    }
    Ok(())
}

/// What a change will have told of when it is done, as far as it is known before.
fn foreseen(checked: &Checked<'_, '_>) -> impl Iterator<Item = String> {
    let is_told = |told: &&Notice| !matches!(told, Notice::AccountMade { .. } | Notice::MemberAdded { .. });
    checked.notices().iter().filter(is_told).map(notice)
}

/// Whether something goes that no undo brings back from what is kept.
fn is_loss(told: &Notice) -> bool {
    matches!(
        told,
        Notice::NotKept { .. }
            | Notice::PastLeftOut
            | Notice::FolderTaken { .. }
            | Notice::Replaced { kept: false, .. }
            | Notice::NotBack { why: NotBack::Lost, .. }
    )
}

/// Says that everything is as it should be.
///
/// # Errors
/// Standard output is gone.
pub fn tell_nothing(why: &str, manner: Manner, voice: &Voice) -> anyhow::Result<()> {
    if manner.json {
        return render::json(&json!({ "reason": "finished", "transaction": null, "steps": [], "notices": [] }));
    }
    voice.status(why);
    Ok(())
}

fn verb(kind: OperationKind) -> &'static str {
    match kind {
        OperationKind::Install => "install",
        OperationKind::Upgrade => "upgrade",
        OperationKind::Downgrade => "downgrade",
        OperationKind::Reinstall => "reinstall",
        OperationKind::Remove => "remove",
    }
}

fn full(version: &PackageVersion) -> String {
    format!("{}-{}", version.version, version.release)
}

/// An operation as one line.
pub fn line(operation: &Operation) -> String {
    let mut versions: Vec<String> = [&operation.old, &operation.new].into_iter().flatten().map(full).collect();
    versions.dedup();
    format!("{:<9} {} {}", verb(operation.kind()), operation.name, versions.join(" -> "))
}

/// An operation as JSON.
pub fn step(operation: &Operation) -> serde_json::Value {
    let mut step = json!({ "op": verb(operation.kind()), "name": operation.name.as_str() });
    if let Some(old) = &operation.old {
        step["old_version"] = old.version.to_string().into();
        step["old_release"] = old.release.0.into();
    }
    if let Some(new) = &operation.new {
        step["version"] = new.version.to_string().into();
        step["release"] = new.release.0.into();
        step["id"] = new.id.to_string().into();
    }
    step
}

/// Asks a person; a program that gave no `-y` and has no terminal is not kept waiting.
///
/// # Errors
/// Nobody is there to be asked; a signal.
pub fn confirmed(manner: Manner) -> anyhow::Result<bool> {
    if manner.yes {
        return Ok(true);
    }
    if manner.json || !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Failure::new(exit::REFUSED, "nobody is there to be asked, so nothing was changed")
            .hint("say `-y` to go ahead without a question")
            .into());
    }
    write!(std::io::stderr(), "Proceed? [Y/n] ")?;
    let mut answer = Vec::new();
    let mut is_whole = false;
    for byte in std::io::stdin().lock().bytes() {
        signals::check()?;
        match byte? {
            b'\n' => {
                is_whole = true;
                break;
            }
            byte if answer.len() < 8 => answer.push(byte),
            _ => {}
        }
    }
    signals::check().map_err(|signal: Interrupted| anyhow::Error::from(signal))?;
    // The end of input is no answer.
    Ok(is_whole && matches!(answer.to_ascii_lowercase().trim_ascii(), b"" | b"y" | b"yes"))
}

fn tell_done(done: &Done, root: &Path, manner: Manner, voice: &Voice) -> anyhow::Result<()> {
    if manner.json {
        let steps: Vec<_> = done.operations.iter().map(step).collect();
        let notices: Vec<String> = done.notices.iter().map(notice).collect();
        let scripts: Vec<_> = done.scripts.iter().map(script_run).collect();
        let lacking = done.notices.iter().find_map(|notice| match notice {
            Notice::NotGiven(list) => Some(&list[..]),
            _ => None,
        });
        return render::json(&json!({
            "reason": "finished",
            "transaction": done.txn,
            "steps": steps,
            "notices": notices,
            "not_given": not_given::document(lacking.unwrap_or_default()),
            "scripts": scripts,
        }));
    }
    // What one that failed said is part of its notice.
    done.scripts.iter().filter(|run| run.failure.is_none()).for_each(|run| tell_output(run, voice));
    for told in &done.notices {
        match told {
            Notice::AccountMade { .. } | Notice::MemberAdded { .. } | Notice::CameBack { .. } => {
                voice.status(notice(told));
            }
            Notice::NotGiven(list) => {
                // That everything is an ordinary user's in his own root is no surprise.
                let is_plain = list.iter().all(|one| one.what == Unset::OWNER);
                if is_plain {
                    voice.status(notice(told));
                } else {
                    voice.warning(notice(told));
                }
                not_given::detail(list, voice);
            }
            _ => voice.warning(notice(told)),
        }
    }
    voice.status(format_args!(
        "transaction {} done: {} in `{}`",
        done.txn,
        format_args!("{} changed", render::count(done.operations.len() as u64, "package")),
        root.display()
    ));
    Ok(())
}

/// What a script or a trigger is called.
pub fn program(stage: &str, command: Option<&str>) -> String {
    match command {
        Some(command) => format!("the {stage} `{}`", shortened(command)),
        None => format!("the {stage} script"),
    }
}

/// Enough of a command to know it by.
pub fn shortened(command: &str) -> String {
    const SHOWN: usize = 60;
    match command.char_indices().nth(SHOWN) {
        None => command.to_owned(),
        Some((end, _)) => format!("{}..", &command[..end]),
    }
}

/// What a script said, a line at a time.
pub fn said(run: &ScriptRun) -> impl Iterator<Item = String> {
    let clean = |line: &str| line.chars().filter(|c| !c.is_control()).collect();
    String::from_utf8_lossy(&run.output).lines().map(clean).collect::<Vec<String>>().into_iter()
}

fn tell_output(run: &ScriptRun, voice: &Voice) {
    said(run).for_each(|line| voice.status(format_args!("{} {}: {line}", run.package, run.stage)));
}

/// A script that ran, for programs.
pub fn script_run(run: &ScriptRun) -> serde_json::Value {
    json!({
        "package": run.package.as_str(),
        "stage": run.stage,
        "command": run.command,
        "failure": run.failure,
        "output": String::from_utf8_lossy(&run.output),
        "took_ms": u64::try_from(run.took.as_millis()).unwrap_or(u64::MAX),
    })
}

fn notice(notice: &Notice) -> String {
    match notice {
        Notice::NewBeside { path, new } => format!("`/{path}` was changed by you and stays; the package's is `/{new}`"),
        Notice::Saved { path, saved } => format!("`/{path}` was changed by you and is kept as `/{saved}`"),
        Notice::ScriptFailed { package, stage, command, failure, stays } => {
            let again = if *stays { "; `pkg recover` runs it again" } else { "" };
            format!("{} of `{package}` failed ({failure}){again}", program(stage, command.as_deref()))
        }
        Notice::ScriptsLeft { count } => {
            let scripts = render::count(*count as u64, "script");
            format!("{scripts} of this change did not run yet; `pkg recover` runs them, and so does the next change")
        }
        Notice::AccountMade { what, name, id, package } => format!("{what} `{name}` ({id}) was made for `{package}`"),
        Notice::MemberAdded { user, group, package } => {
            format!("user `{user}` was put into group `{group}` for `{package}`")
        }
        Notice::NotKept { bytes } => {
            let size = render::size(*bytes);
            format!("{size} that went are not kept, so an undo may need package files (`pkg gc` says how much is kept)")
        }
        Notice::NotGiven(list) => {
            format!(
                "not given, only recorded: {} (you or the file system can not; `-v` names them)",
                not_given::counts(list)
            )
        }
        Notice::PastLeftOut => {
            "the disk is full, so nothing is kept for an undo: it will need package files".to_owned()
        }
        Notice::FolderTaken { path, package, mode, owner: (uid, gid) } => format!(
            "`/{path}`, which no package owned (mode {:04o}, owner {uid}:{gid}), gets what `{package}` wants",
            mode.bits()
        ),
        Notice::Replaced { path, kept: true } => {
            format!("`/{path}`, which no package owned, gives way; an undo brings it back")
        }
        Notice::Replaced { path, kept: false } => {
            format!("`/{path}`, which no package owned, gives way, and is not kept: an undo can not bring it back")
        }
        Notice::CameBack { path } => format!("`/{path}`, which stood there before, comes back"),
        Notice::NotBack { path, why } => {
            let why = match why {
                NotBack::Lost => "it is not kept",
                NotBack::Owned => "a package owns the path",
                NotBack::Occupied => "something else stands there",
                _ => "something is in the way",
            };
            format!("`/{path}` does not come back as it was before the package: {why}")
        }
        Notice::LeftAlone { path } => {
            format!("`/{path}` is no longer what the package had put there, and was left alone")
        }
        Notice::Others { path, other_path, other } => {
            format!("`{path}` stays: package `{other}` has the same place as `{other_path}`")
        }
        Notice::Interference(met) => interference(met),
        _ => "something was done that this program has no words for".to_owned(),
    }
}

/// What somebody else did, for people.
pub fn interference(met: &Interference) -> String {
    match met {
        Interference::MovedAside { path, aside } => {
            format!("somebody put something into the way of the change at `{path}`; it is `{aside}` now")
        }
        Interference::FolderGone { path } => {
            format!("the folder `{path}` was taken away meanwhile; `pkg fix` brings back what belongs there")
        }
    }
}
