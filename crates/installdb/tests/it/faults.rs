//! Two transactions that together do everything that a transaction can: killed before every system call that changes
//! something, and told at every one of them that the disk is full, the quota used up, or the disk broken.
//!
//! A run of the short form looks at some hundred points, among them the first, the last and every rename. All of them:
//!
//!     KISTA_FAULTS=all cargo test -p installdb --test it faults:: -- --nocapture --test-threads 1

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use installdb::{Error, InstallDb, Installed, Outcome, Unowned};
use nix::errno::Errno;
use pkgformat::{EntryKind, ScriptKind, Xattr};
use pkgtypes::Mode;
use rusqlite::types::Value;

use crate::interruption::copy;
use crate::scene::{NOW, Pack, Packed, Scene, pack, request, snapshot};
use crate::scripts::add_shell;
use crate::victim::{self, Call, Fault, Run};

/// Writes down that it ran. What scripts write is looked at by itself.
fn telling(pack: Pack, word: &str) -> Pack {
    let tell = |stage: &str| format!("echo {word} {stage} >>/var/log");
    pack.script(ScriptKind::PreInstall, "test -x /bin/sh")
        .script(ScriptKind::PostInstall, &tell("came"))
        .script(ScriptKind::PreRemove, "test -x /bin/sh")
        .script(ScriptKind::PostRemove, &tell("went"))
}

/// A file and a folder that all packages here have.
fn sharing(pack: Pack) -> Pack {
    pack.file("usr/share/shared/same", 0o644, "same")
}

/// What stands before: a package with a bit of everything, and one that goes.
fn before() -> [Packed; 2] {
    let tool = telling(sharing(pack("tool 1-1")), "tool-1")
        .file("usr/bin/tool", 0o4755, "one")
        .edit("usr/bin/tool", |entry| entry.xattrs.push(Xattr { name: b"user.note".to_vec(), value: b"1".to_vec() }))
        .hardlink("usr/bin/tool-twin", "usr/bin/tool")
        .file("usr/share/tool/old", 0o644, "dropped later")
        .file("usr/share/tool/turns", 0o644, "a file that becomes a folder")
        .file("usr/share/tool/was/deep", 0o644, "a folder that becomes a link")
        .config("etc/tool.conf", "one")
        .config("etc/untouched.conf", "one")
        .dir("srv/tool", 0o755)
        .dir("usr/lib/shut", 0o555)
        .file("usr/lib/shut/old", 0o644, "dropped later")
        .file("usr/lib/shut/tool", 0o644, "one");
    let gone =
        telling(sharing(pack("gone 1-1")), "gone-1").config("etc/gone.conf", "one").file("usr/lib/gone/x", 0o644, "x");
    [tool.build(), gone.build()]
}

/// What comes: another version, and a new package.
fn after() -> [Packed; 2] {
    let tool = telling(sharing(pack("tool 2-1")), "tool-2")
        .file("usr/bin/tool", 0o4755, "two")
        .edit("usr/bin/tool", |entry| entry.xattrs.push(Xattr { name: b"user.note".to_vec(), value: b"2".to_vec() }))
        .hardlink("usr/bin/tool-twin", "usr/bin/tool")
        .file("usr/share/tool/turns/into/this", 0o644, "two")
        .symlink("usr/share/tool/was", "turns")
        .config("etc/tool.conf", "two")
        .config("etc/untouched.conf", "two")
        .dir("srv/tool", 0o700)
        .dir("usr/lib/shut", 0o555)
        .file("usr/lib/shut/new", 0o644, "new")
        .file("usr/lib/shut/tool", 0o644, "two");
    let new = telling(sharing(pack("new 1-1")), "new-1")
        .file("opt/new/bin/new", 0o755, "new")
        .file("opt/new/large", 0o644, "0123456789abcdef".repeat(80_000))
        .entry("opt/new/pipe", EntryKind::Fifo { mode: Mode::from_raw(0o622) })
        .file("usr/bin/new", 0o755, "new");
    [tool.build(), new.build()]
}

const TRANSACTIONS: usize = 2;

/// One of the transactions: an upgrade, an installation and a removal at once, or a removal.
fn transaction(root: &Path, number: usize) -> installdb::Result<()> {
    let packages = if number == 0 { after().to_vec() } else { Vec::new() };
    let mut request = request(&packages.iter().collect::<Vec<_>>(), if number == 0 { &["gone"] } else { &["tool"] });
    request.options.unowned = Unowned::Replace;
    let mut db = InstallDb::open(root)?;
    db.plan(request)?.check()?.stage(&mut ())?.commit()?.finish(NOW).map(drop)
}

/// Carries the transactions out that are still to do, and says how far it came, and why no further.
fn go_on(root: &Path, done: usize) -> String {
    let mut answer = String::new();
    for number in done..TRANSACTIONS {
        if let Err(error) = transaction(root, number) {
            let end = match &error {
                Error::Interrupted { .. } => End::Interrupted,
                Error::InDoubt { .. } => End::InDoubt,
                _ => End::Failed,
            };
            write!(answer, "{number} {end:?} {:?} {error}", error.kind()).unwrap();
            return answer;
        }
    }
    write!(answer, "{TRANSACTIONS} {:?}", End::Done).unwrap();
    answer
}

/// How the scenario ended, as the installer says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Done,
    /// The transaction failed, and the root is said to be as before it.
    Failed,
    /// The transaction is said to be decided.
    Interrupted,
    InDoubt,
}

/// The scenario, as `interruption::victim` runs it.
pub(crate) fn play(root: &Path) -> String {
    go_on(root, 0)
}

fn arranged() -> Scene {
    let scene = Scene::new();
    add_shell(scene.root());
    // Where they are missing, a room makes them for its time, and whoever kills its process keeps it from taking them away.
    for folder in ["dev", "proc", "run", "sys", "tmp"] {
        fs::create_dir(scene.at(folder)).unwrap();
    }
    symlink("usr/lib", scene.at("lib-link")).unwrap();
    scene.install(&before().iter().collect::<Vec<_>>());
    scene.write("etc/gone.conf", "edited");
    scene.write("etc/tool.conf", "edited");
    scene.write("usr/share/tool/notes", "the administrator's");
    scene.write("usr/bin/new", "in the way of a package's");
    fs::remove_file(scene.at("var/log")).unwrap();
    scene
}

/// All that a transaction changes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    tree: BTreeMap<PathBuf, String>,
    /// The files in our own folder, by their names or contents.
    ours: BTreeSet<String>,
    /// The rows of every table, history aside.
    rows: BTreeMap<String, Vec<String>>,
}

fn state(root: &Path) -> State {
    let tree = snapshot(root).into_iter().filter(|(path, _)| path != Path::new("var/log")).collect();
    let mut ours = BTreeSet::new();
    let mut folders = vec![root.join("var/lib/kista")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.parent().unwrap().ends_with("kept") {
                // The names of what is kept have the transaction's number in them.
                ours.insert(fs::read_to_string(path).unwrap());
            } else {
                ours.insert(path.strip_prefix(root).unwrap().display().to_string());
            }
        }
    }
    State { tree, ours, rows: rows(root) }
}

/// Every table but the history, which tells of transactions that were rolled back, too.
fn rows(root: &Path) -> BTreeMap<String, Vec<String>> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let conn = rusqlite::Connection::open_with_flags(root.join("var/lib/kista/install.db"), flags).unwrap();
    let list = |query: &str| -> Vec<String> {
        conn.prepare(query).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    let tables = list(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN ('transactions', 'script_runs', 'sqlite_sequence')",
    );
    let dump = |table: &String| {
        let columns = list(&format!(
            "SELECT '\"' || name || '\"' FROM pragma_table_info('{table}') WHERE name NOT IN ('txn', 'made', 'back')"
        ));
        let mut statement = conn.prepare(&format!("SELECT {} FROM {table}", columns.join(","))).unwrap();
        let row = |row: &rusqlite::Row<'_>| (0..columns.len()).map(|column| row.get::<_, Value>(column)).collect();
        let rows = statement
            .query_map([], row)
            .unwrap()
            .map(|row: rusqlite::Result<Vec<Value>>| format!("{:?}", row.unwrap()));
        let mut rows: Vec<String> = rows.collect();
        rows.sort();
        rows
    };
    tables.iter().map(|table| (table.clone(), dump(table))).collect()
}

/// What is said about packages and paths.
fn asked(reader: &Installed) -> Vec<String> {
    let packages = reader.list(&[]).unwrap().into_iter().map(|package| format!("{} {}", package.name, package.version));
    packages.chain(reader.paths().unwrap().iter().map(ToString::to_string)).collect()
}

/// The legal states of the scenario: before each transaction, and at the end.
struct Legal {
    states: Vec<State>,
    /// What the scripts of the transactions up to each state wrote.
    told: Vec<String>,
    /// What is answered about packages and paths in each state.
    answers: Vec<Vec<String>>,
    /// Transactions that were over before the scenario began.
    earlier: usize,
}

impl Legal {
    fn of(root: &Path) -> Self {
        let root = copy(root);
        let told = || fs::read_to_string(root.path().join("var/log")).unwrap_or_default();
        let earlier = Installed::open(root.path()).unwrap().history().unwrap().len();
        let answers = vec![asked(&Installed::open(root.path()).unwrap())];
        let mut legal = Self { states: vec![state(root.path())], told: vec![told()], answers, earlier };
        for number in 0..TRANSACTIONS {
            transaction(root.path(), number).unwrap();
            legal.states.push(state(root.path()));
            legal.told.push(told());
            legal.answers.push(asked(&Installed::open(root.path()).unwrap()));
        }
        legal
    }

    fn find(&self, state: &State) -> Option<usize> {
        self.states.iter().position(|known| known == state)
    }

    /// What must hold after recovery, whatever happened before it; tells which of the states it is.
    fn assert_recovered(&self, root: &Path, recovered: Option<Outcome>, context: &str) -> usize {
        self.assert_recovered_but(None, root, recovered, context)
    }

    /// The same where a script may have failed, and was not tried again because its package went with the last transaction.
    fn assert_recovered_but(
        &self,
        failed: Option<&str>,
        root: &Path,
        recovered: Option<Outcome>,
        context: &str,
    ) -> usize {
        let found = state(root);
        let Some(number) = self.find(&found) else { panic!("{context}: no legal state: {}", self.difference(&found)) };
        let history = Installed::open(root).unwrap().history().unwrap();
        let result = |at: usize| history[at].result.as_str();
        let decided = |at: &usize| matches!(result(*at), "done" | "recovered");
        assert_eq!((0..history.len()).filter(decided).count(), self.earlier + number, "{context}: history");
        let undone = |at: usize| matches!(result(at), "rolled back" | "failed") && history[at].changes.is_empty();
        assert!((0..history.len()).all(|at| decided(&at) || undone(at)), "{context}: history");
        match recovered {
            Some(Outcome::RolledBack) => assert_eq!(result(history.len() - 1), "rolled back", "{context}"),
            Some(Outcome::Finished) => assert_eq!(result(history.len() - 1), "recovered", "{context}"),
            _ => {}
        }
        let told = fs::read_to_string(root.join("var/log")).unwrap_or_default();
        for (at, known) in self.told.iter().enumerate() {
            let is_excused = |line: &str| number == TRANSACTIONS && failed == Some(line);
            let mut lines = known.lines().filter(|line| !is_excused(line));
            let missing = lines.find(|line| !told.lines().any(|other| other == *line));
            assert_eq!(missing.is_none(), at <= number || known.is_empty(), "{context}: scripts: {told}");
        }
        number
    }

    /// A question is answered as in one of the states.
    fn assert_answered(&self, reader: &Installed, context: &str) {
        let answer = asked(reader);
        assert!(self.answers.contains(&answer), "{context}: {answer:?}");
    }

    /// In what a state differs from the one that is most like it.
    fn difference(&self, found: &State) -> String {
        let differences = self.states.iter().map(|known| {
            let mut text = String::new();
            let paths: BTreeSet<_> = known.tree.keys().chain(found.tree.keys()).collect();
            for path in paths.into_iter().filter(|path| known.tree.get(*path) != found.tree.get(*path)) {
                let side = |tree: &BTreeMap<PathBuf, String>| {
                    tree.get(path).map(|text| text.chars().take(80).collect::<String>())
                };
                writeln!(text, "{}: {:?} instead of {:?}", path.display(), side(&found.tree), side(&known.tree))
                    .unwrap();
            }
            for (table, rows) in known.rows.iter().filter(|(table, rows)| found.rows.get(*table) != Some(rows)) {
                writeln!(text, "{table}: {} rows instead of {}", found.rows[table].len(), rows.len()).unwrap();
            }
            for name in known.ours.symmetric_difference(&found.ours) {
                writeln!(text, "{name}").unwrap();
            }
            text
        });
        differences.min_by_key(String::len).unwrap()
    }
}

/// How many points of a run are tried: `KISTA_FAULTS` says `all` or a number.
fn count(usual: usize) -> usize {
    match std::env::var("KISTA_FAULTS").as_deref() {
        Ok("all") => usize::MAX,
        Ok(number) => number.parse().unwrap(),
        Err(_) => usual,
    }
}

/// The points of a run that are tried: all, or at least `count` with the first, the last and every rename among them.
fn points(calls: &[Call], usual: usize) -> Vec<usize> {
    let length = calls.len();
    let special = (1..=length).filter(|at| [1, length].contains(at) || calls[at - 1] == Call::Rename);
    let special: BTreeSet<usize> = special.collect();
    let spread = |stride: usize| special.iter().copied().chain((1..=length).step_by(stride)).collect::<BTreeSet<_>>();
    let widest = (1..=length).rev().find(|stride| spread(*stride).len() >= count(usual)).unwrap_or(1);
    spread(widest).into_iter().collect()
}

/// Does something for each of the points, on all processors.
fn each<T: Copy + Sync>(points: &[T], try_one: impl Fn(T) + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(&point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    try_one(point);
                }
            });
        }
    });
}

/// Opens the database, which recovers, as soon as all that is left of a killed process is gone: a script's room holds
/// the lock until then.
fn recover(root: &Path) -> Option<Outcome> {
    loop {
        match InstallDb::open(root) {
            Err(Error::Busy { .. }) => std::thread::yield_now(),
            db => return db.unwrap().recovery().map(|recovery| recovery.outcome),
        }
    }
}

#[test]
fn a_kill_at_any_call_leaves_a_state_between_transactions() {
    let scene = arranged();
    let legal = Legal::of(scene.root());
    let whole = copy(scene.root());
    // As in the runs below: where somebody reads, the log is not shortened at the end.
    let reader = Installed::open(whole.path()).unwrap();
    let calls = victim::run("faults", whole.path(), None).calls;
    assert_eq!(legal.find(&state(whole.path())), Some(TRANSACTIONS));
    drop(reader);
    let points = points(&calls, 320);
    let found = Mutex::new([0; TRANSACTIONS + 1]);
    each(&points, |point| {
        let root = copy(scene.root());
        let reader = Installed::open(root.path()).unwrap();
        let run = victim::run("faults", root.path(), Some(point));
        // Two runs differ a little, since threads do.
        assert!(run.killed || point + 8 > calls.len(), "{point} of {}", calls.len());
        let context = format!("killed at {point} of {}, right before {:?}", calls.len(), run.calls.last());
        // Whoever asks, be it since before, is told what was there before a decision or after it.
        legal.assert_answered(&reader, &context);
        legal.assert_answered(&Installed::open(root.path()).unwrap(), &context);
        let recovered = recover(root.path());
        legal.assert_answered(&reader, &context);
        let number = legal.assert_recovered(root.path(), recovered, &context);
        assert_eq!(InstallDb::open(root.path()).unwrap().recovery(), None, "{context}");
        assert_eq!(legal.find(&state(root.path())), Some(number), "{context}: the second recovery changed something");
        assert_eq!(go_on(root.path(), number), format!("{TRANSACTIONS} Done"), "{context}");
        assert_eq!(legal.find(&state(root.path())), Some(TRANSACTIONS), "{context}: the rest is not possible any more");
        found.lock().unwrap_or_else(PoisonError::into_inner)[number] += 1;
    });
    let found = found.into_inner().unwrap();
    println!("killed before {} of {} calls, all recovered: found in the states {found:?}", points.len(), calls.len());
    assert!(found.iter().all(|times| *times > 0), "{found:?}");
}

/// A run that was told of an error, and the state that it left.
struct Honest<'a> {
    legal: &'a Legal,
    root: &'a Path,
    context: String,
}

impl Honest<'_> {
    /// What the run said must be true: before recovery, after it, and the rest must be possible. Gives what it said back.
    fn assert(&self, run: &Run, has_cleaned_up: bool) -> String {
        let Self { legal, root, context } = self;
        let context = format!("{context}: {}", run.answer);
        let (end, done) = said(&run.answer);
        if has_cleaned_up && end == End::Failed {
            assert!(snapshot_is(root, &legal.states[done]), "{context}: it is not as before");
        }
        let recovered = recover(root);
        InstallDb::open(root).unwrap().run_pending_scripts(&mut ()).unwrap();
        let number = legal.assert_recovered_but(Some("tool-2 came"), root, recovered, &context);
        match end {
            End::Done => assert_eq!(number, TRANSACTIONS, "{context}"),
            End::Failed => assert_eq!(number, done, "{context}"),
            End::Interrupted => assert_eq!(number, done + 1, "{context}"),
            End::InDoubt => assert!([done, done + 1].contains(&number), "{context}"),
        }
        if end != End::Done {
            assert!(
                run.answer.contains("Failed") && run.answer.contains(&*root.to_string_lossy()),
                "{context}: where?"
            );
        }
        assert_eq!(go_on(root, number), format!("{TRANSACTIONS} Done"), "{context}");
        assert_eq!(legal.find(&state(root)), Some(TRANSACTIONS), "{context}: the rest is not possible any more");
        run.answer.replace(&*root.to_string_lossy(), "")
    }
}

/// How the run ended, and after how many transactions.
fn said(answer: &str) -> (End, usize) {
    let words: Vec<&str> = answer.split(' ').collect();
    let ends = [End::Done, End::Failed, End::Interrupted, End::InDoubt];
    let end = ends.into_iter().find(|end| format!("{end:?}") == words[1]).unwrap();
    (end, words[0].parse().unwrap())
}

fn snapshot_is(root: &Path, state: &State) -> bool {
    let tree = snapshot(root).into_iter().filter(|(path, _)| path != Path::new("var/log"));
    tree.eq(state.tree.clone())
}

/// Tries a fault at each point, and gives back what was said.
fn try_faults(
    usual: usize,
    has_cleaned_up: bool,
    fault: impl Fn(usize) -> Fault + Sync,
    points: impl Fn(&Run, usize) -> Vec<usize>,
) -> Answers {
    let scene = arranged();
    let legal = Legal::of(scene.root());
    let whole = victim::run("faults", copy(scene.root()).path(), None);
    let points = points(&whole, usual);
    let answers = Mutex::new(BTreeMap::new());
    each(&points, |point| {
        let root = copy(scene.root());
        let run = victim::run_with("faults", root.path(), Some(fault(point)));
        let honest = Honest { legal: &legal, root: root.path(), context: format!("{:?}", fault(point)) };
        let answer = honest.assert(&run, has_cleaned_up);
        *answers.lock().unwrap_or_else(PoisonError::into_inner).entry(answer).or_insert(0) += 1;
    });
    Answers(answers.into_inner().unwrap())
}

/// What was said, and how often.
struct Answers(BTreeMap<String, usize>);

impl std::fmt::Display for Answers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} points, and the root was as said after all of them", self.0.values().sum::<usize>())?;
        self.0.iter().try_for_each(|(answer, times)| writeln!(f, "{times:5} x {answer}"))
    }
}

/// In turn, so that the short form has all of them.
fn errno(point: usize) -> Errno {
    [Errno::ENOSPC, Errno::EIO, Errno::EDQUOT][point % 3]
}

#[test]
fn a_call_that_fails_leaves_what_the_error_says() {
    let told = try_faults(100, true, |point| Fault::Fail(point, errno(point)), |run, usual| points(&run.calls, usual));
    println!("{told}");
}

#[test]
fn a_disk_that_takes_nothing_any_more_leaves_what_the_error_says() {
    let told = try_faults(40, false, |point| Fault::Full(point, errno(point)), |run, usual| points(&run.calls, usual));
    println!("{told}");
}

/// A first installation, as `interruption::victim` runs it; what it says.
pub(crate) fn play_first(root: &Path) -> String {
    let packages = after();
    let install = || {
        let mut db = InstallDb::open(root)?;
        let mut request = request(&packages.iter().collect::<Vec<_>>(), &[]);
        request.options.skip_scripts = true;
        db.plan(request)?.check()?.stage(&mut ())?.commit()?.finish(NOW).map(drop)
    };
    install().map_or_else(|error: Error| error.to_string(), |()| "done".to_owned())
}

/// On a disk that is full, or breaks, from any moment on: nothing is installed or all, and it can be tried again.
#[test]
fn a_first_installation_onto_a_disk_that_fails_can_be_tried_again() {
    let empty = Scene::new();
    let whole = victim::run_with("first faults", copy(empty.root()).path(), None);
    assert_eq!(whole.answer, "done");
    let fail = points(&whole.calls, 50).into_iter().map(|point| Fault::Fail(point, errno(point)));
    let full = points(&whole.calls, 25).into_iter().map(|point| Fault::Full(point, errno(point)));
    let faults: Vec<Fault> = fail.chain(full).collect();
    let ends = Mutex::new([0, 0]);
    each(&faults, |fault| {
        let root = copy(empty.root());
        let run = victim::run_with("first faults", root.path(), Some(fault));
        let context = format!("{fault:?}: {}", run.answer);
        drop(InstallDb::open(root.path()).unwrap());
        let installed = Installed::open(root.path()).unwrap();
        let packages = installed.list(&[]).unwrap().len();
        assert_eq!(installed.verify(&[]).unwrap(), [], "{context}");
        let is_new = packages == 2;
        assert!(is_new || packages == 0, "{context}");
        assert!(is_new || run.answer != "done", "{context}");
        let ours = |path: &&PathBuf| Path::new("var/lib/kista").starts_with(path);
        assert!(is_new || snapshot(root.path()).keys().all(|path| ours(&path)), "{context}");
        assert_eq!(InstallDb::open(root.path()).unwrap().recovery(), None, "{context}");
        if !is_new {
            assert_eq!(play_first(root.path()), "done", "{context}");
        }
        ends.lock().unwrap_or_else(PoisonError::into_inner)[usize::from(is_new)] += 1;
    });
    let ends = ends.into_inner().unwrap();
    println!("{} points: nothing was installed after {}, all after {}", faults.len(), ends[0], ends[1]);
    assert!(ends[0] > 10 && ends[1] > 3, "{ends:?}");
}

fn reads(run: &Run, usual: usize) -> Vec<usize> {
    points(&vec![Call::Read; run.reads], usual)
}

#[test]
fn a_file_that_can_not_be_read_once_leaves_what_the_error_says() {
    println!("{}", try_faults(30, true, |point| Fault::FailRead(point, Errno::EIO), reads));
}

#[test]
fn a_disk_that_can_not_be_read_any_more_is_no_damaged_database() {
    let told = try_faults(30, false, |point| Fault::FailReads(point, Errno::EIO), reads);
    println!("{told}");
    assert!(told.0.keys().all(|answer| !answer.contains("damaged")));
}
