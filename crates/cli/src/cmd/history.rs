//! `pkg history [ID]`, `pkg history diff A B`.

use std::path::PathBuf;
use std::time::Duration;

use installdb::{Installed, ScriptRun, Transaction, User, Wish};
use serde_json::{Value, json};

use crate::change;
use crate::exit;
use crate::render::{self, Voice};

/// What to show.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transaction to show in full; without one, all of them are listed, the last one first.
    #[arg(value_name = "ID")]
    id: Option<i64>,
    /// The root to ask.
    #[arg(long, value_name = "DIR", default_value = "/", global = true)]
    root: PathBuf,
    /// Print one JSON document.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: Option<What>,
}

/// More than a list.
#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show in which packages the state after one transaction differs from the state after another.
    Diff {
        /// The one transaction; 0 is before the first.
        from: i64,
        /// The other.
        to: i64,
    },
}

/// Shows what was done to a root.
///
/// # Errors
/// No database, or one that can not be read; no such transaction.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    let db = Installed::open(&args.root)?;
    match (&args.what, args.id) {
        (Some(What::Diff { from, to }), _) => diff(&db, *from, *to, args.json)?,
        (None, Some(id)) => show(&db, id, args.json)?,
        (None, None) => list(&db, args.json)?,
    }
    Ok(exit::DONE)
}

fn list(db: &Installed, json: bool) -> anyhow::Result<()> {
    let history = db.history()?;
    if json {
        let list: Vec<Value> = history.iter().rev().map(describe).collect();
        return render::json(&json!({ "format_version": 1, "transactions": list }));
    }
    history.iter().rev().try_for_each(|transaction| render::data(line(transaction)))
}

fn line(transaction: &Transaction) -> String {
    let Transaction { id, started, user, result, changes, argv, .. } = transaction;
    let time = started.to_utc().unwrap_or_default();
    let user = user.as_ref().map_or_else(|| "?".to_owned(), name);
    let packages = render::count(changes.len() as u64, "package");
    format!("{id:>4} {time} {user:<8} {result:<11} {packages:<11} {}", change::shortened(&command(argv)))
}

fn show(db: &Installed, id: i64, json: bool) -> anyhow::Result<()> {
    let (transaction, scripts) = (db.transaction(id)?, db.script_runs(id)?);
    let met: Vec<String> = db.interferences(id)?.iter().map(change::interference).collect();
    if json {
        let mut document = describe(&transaction);
        document["format_version"] = 1.into();
        document["notices"] = met.into();
        document["scripts"] = scripts.iter().map(change::script_run).collect();
        return render::json(&document);
    }
    let Transaction { id, started, duration, user, result, reason, changes, wishes, argv, .. } = &transaction;
    let line = |label: &str, value: &str| match value {
        "" => Ok(()),
        value => render::data(format_args!("{label:<12} {value}")),
    };
    line("transaction", &id.to_string())?;
    line("command", &command(argv))?;
    line("user", &user.as_ref().map(|user| format!("{} ({})", name(user), user.uid)).unwrap_or_default())?;
    line("started", &started.to_utc().unwrap_or_default())?;
    line("duration", &duration.map(seconds).unwrap_or_default())?;
    line("result", result)?;
    line("reason", reason.as_deref().unwrap_or_default())?;
    changes.iter().try_for_each(|operation| line("change", &change::line(operation)))?;
    let wish = |wish: &Wish| format!("{} {}", if wish.wanted { "asked for" } else { "no longer" }, wish.name);
    wishes.iter().try_for_each(|known| line("wanted", &wish(known)))?;
    met.iter().try_for_each(|met| line("note", met))?;
    scripts.iter().try_for_each(|run| {
        let ScriptRun { package, stage, command, failure, took, .. } = run;
        let how = if failure.is_some() { "failed" } else { "succeeded" };
        let program = change::program(stage, command.as_deref());
        line("script", &format!("{program} of {package} {how} after {}", seconds(*took)))?;
        change::said(run).try_for_each(|text| line("", &text))
    })
}

fn diff(db: &Installed, from: i64, to: i64, json: bool) -> anyhow::Result<()> {
    let changes = db.changes_between(from, to)?;
    if json {
        let steps: Vec<Value> = changes.iter().map(change::step).collect();
        return render::json(&json!({ "format_version": 1, "from": from, "to": to, "changes": steps }));
    }
    changes.iter().try_for_each(|operation| render::data(change::line(operation)))
}

/// A transaction as JSON; arguments that are no text are shown with replacement characters.
fn describe(transaction: &Transaction) -> Value {
    let Transaction { id, started, finished, duration, user, argv, result, reason, changes, wishes, .. } = transaction;
    let wish = |wish: &Wish| json!({ "name": wish.name.as_str(), "wanted": wish.wanted });
    json!({
        "transaction": id,
        "argv": argv.iter().map(|argument| String::from_utf8_lossy(argument)).collect::<Vec<_>>(),
        "user": user.as_ref().map(|user| json!({ "uid": user.uid, "name": user.name })),
        "started": started.to_utc(),
        "finished": finished.and_then(pkgtypes::Timestamp::to_utc),
        "seconds": duration.map(|duration| duration.as_secs_f64()),
        "result": result,
        "reason": reason,
        "changes": changes.iter().map(change::step).collect::<Vec<_>>(),
        "wanted": wishes.iter().map(wish).collect::<Vec<_>>(),
    })
}

fn name(user: &User) -> String {
    user.name.clone().unwrap_or_else(|| user.uid.to_string())
}

fn seconds(duration: Duration) -> String {
    format!("{:.3} s", duration.as_secs_f64())
}

/// A command as a person would type it: the program without its folder, and words that need it in quotes.
fn command(argv: &[Vec<u8>]) -> String {
    let words = argv.iter().enumerate().map(|(index, word)| {
        let text = String::from_utf8_lossy(word);
        let text = if index == 0 { text.rsplit('/').next().unwrap_or_default() } else { &text };
        let plain = |c: char| c.is_alphanumeric() || "-_./=:,@%+~".contains(c);
        if !text.is_empty() && text.chars().all(plain) { text.to_owned() } else { format!("{text:?}") }
    });
    words.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_it_would_be_typed() {
        let words = ["/usr/bin/pkg", "install", "a b", "", "--root=/x", "\x1b[1m"].map(|word| word.as_bytes().to_vec());
        assert_eq!(command(&words), r#"pkg install "a b" "" --root=/x "\u{1b}[1m""#);
    }
}
