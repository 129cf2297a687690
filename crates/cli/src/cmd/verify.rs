//! `pkg verify [GLOB..]`.

use installdb::{Difference, Installed, Unowneds, VerifyOptions};
use pkgtypes::PkgPath;
use serde_json::{Value, json};

use crate::options::Asked;
use crate::render::{self, Voice};
use crate::signals::Watch;
use crate::{aspects, exit, not_given, patterns};

/// What to verify.
#[derive(Debug, clap::Args)]
#[command(after_help = "A line begins with `differs` (damage), `changed` (configuration, what may change after an \
    installation, and ACLs that no package sets), `unread` (you may not look), `unowned`, or `aside` (what somebody had put into a change's way, under \
    the name that it got). Exit code 10: damage; 1: nothing is damaged, and something could not be read; else 0.")]
pub struct Args {
    /// Patterns that names of installed packages fit (`*`, `?`, `[..]`); without one, all packages.
    #[arg(value_name = "GLOB")]
    patterns: Vec<String>,
    #[command(flatten)]
    asked: Asked,
    /// Take files for unchanged whose size and time of last change are the package's.
    #[arg(long)]
    fast: bool,
    /// List what no package owns in the packages' folders, too; not in /var, /home and their like.
    #[arg(long)]
    unowned: bool,
}

/// Compares the disk with what packages put there; exit code 10 when something is damaged. Configuration files and files
/// that may change are listed apart and do not count.
///
/// # Errors
/// A package that is not installed; a database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&args.asked.root)?;
    let names = patterns::names(&db, &args.patterns)?;
    let differences = db.verify_with(&names, VerifyOptions { fast: args.fast }, &mut Watch)?;
    let unowned = if args.unowned { db.unowned(&names, &mut Watch)? } else { Unowneds::default() };
    let aside = db.moved_aside(&names)?;
    let lacking = db.not_given(&names)?;
    if args.asked.json {
        let list: Vec<Value> = differences.iter().map(describe).collect();
        let unowned: Vec<String> = unowned.paths.iter().map(|path| format!("/{}", render::path(path))).collect();
        let aside: Vec<Value> = aside.iter().map(describe_aside).collect();
        render::json(&json!({
            "format_version": 1,
            "differences": list,
            "unowned": unowned,
            "aside": aside,
            "not_given": not_given::document(&lacking),
        }))?;
    } else {
        let mut marked: Vec<_> = differences.iter().map(|difference| (mark(difference), difference)).collect();
        marked.sort_by_key(|(mark, _)| *mark);
        marked.into_iter().try_for_each(|(mark, difference)| line(mark, difference))?;
        unowned.paths.iter().try_for_each(|path| render::data(format_args!("unowned  /{path}")))?;
        aside.iter().try_for_each(|(txn, _, path)| render::data(format_args!("aside    /{path} transaction {txn}")))?;
    }
    if !lacking.is_empty() {
        voice.status(format_args!("not given when it came, so no difference: {}", not_given::counts(&lacking)));
        not_given::detail(&lacking, voice);
    }
    unowned.unread.iter().for_each(|error| voice.warning(error));
    if let Some(txn) = db.unfinished()?.filter(|_| !differences.is_empty()) {
        voice.warning(format_args!(
            "transaction {txn} is under way or was interrupted: what it changes may differ so far"
        ));
    }
    Ok(conclude(&differences, voice))
}

/// What a difference is, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    Differs,
    Unread,
    Changed,
}

fn mark(difference: &Difference) -> Mark {
    match (difference.is_damage(), difference.expected) {
        (true, _) => Mark::Differs,
        (false, true) => Mark::Changed,
        (false, false) => Mark::Unread,
    }
}

fn line(mark: Mark, difference: &Difference) -> anyhow::Result<()> {
    let mark = match mark {
        Mark::Differs => "differs",
        Mark::Unread => "unread ",
        Mark::Changed => "changed",
    };
    let told = aspects::line(&difference.aspects);
    render::data(format_args!("{mark}  {} /{} {told}", difference.package, difference.path))
}

fn conclude(differences: &[Difference], voice: &Voice) -> u8 {
    if differences.iter().any(Difference::is_damage) {
        return exit::DIFFERENT;
    }
    match differences.iter().filter(|difference| !difference.expected).count() {
        0 => {
            voice.status(if differences.is_empty() {
                "everything is as its packages say"
            } else {
                "nothing is damaged"
            });
            exit::DONE
        }
        unreadable => {
            let paths = render::count(unreadable as u64, "path");
            voice.error(format_args!("{paths} could not be read, so nothing is known about them"));
            voice.hint("run it as root, or as a user who may read them");
            exit::FAILED
        }
    }
}

fn describe_aside((txn, before, path): &(i64, PkgPath, PkgPath)) -> Value {
    let mut value = json!({ "before": format!("/{}", render::path(before)), "transaction": txn });
    render::put_path(&mut value, "/", path);
    value
}

fn describe(difference: &Difference) -> Value {
    let mut value = json!({
        "package": difference.package.as_str(),
        "expected": difference.expected,
        "damage": difference.is_damage(),
    });
    aspects::put(&mut value, &difference.aspects);
    render::put_path(&mut value, "/", &difference.path);
    value
}

#[cfg(test)]
mod tests {
    use installdb::{Aspect, Facts};
    use pkgtypes::Mode;

    use super::*;

    #[test]
    fn what_could_not_be_read_is_not_called_different() {
        let difference = |aspects: &[Aspect], expected| Difference {
            path: PkgPath::new(*b"etc/shadow").expect("it is a path"),
            package: "base".parse().expect("it is a name"),
            aspects: aspects.to_vec(),
            expected,
        };
        let mode = Aspect::Mode { expected: Mode::from_raw(0o640), found: Mode::from_raw(0o644) };
        let facts = |size| Facts { size, digest: None };
        let content = Aspect::Content { expected: facts(1), found: facts(2) };
        assert_eq!(mark(&difference(&[Aspect::Unreadable], false)), Mark::Unread);
        assert_eq!(mark(&difference(&[mode, Aspect::Unreadable], false)), Mark::Differs);
        assert_eq!(mark(&difference(&[content], true)), Mark::Changed);
    }
}
