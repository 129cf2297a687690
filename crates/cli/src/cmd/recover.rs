//! `pkg recover`.

use std::path::PathBuf;

use anyhow::Context;
use installdb::{InstallDb, Installed, Outcome, PendingScript};
use serde_json::json;

use crate::change::{self, Manner};
use crate::exit;
use crate::render::{self, Voice};
use crate::signals::Watch;

/// Which root.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The root whose interrupted transaction is finished or rolled back.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Run those scripts and triggers as well that were given up because they had failed again.
    #[arg(long)]
    again: bool,
    /// Tell what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// Finishes or rolls back what a crash interrupted, and runs scripts that failed once more; exit code 8 tells of a
/// rollback.
///
/// # Errors
/// No database, one that is in use, or a disk that fails. A script that fails now makes the exit code 1; it is given up when
/// it has failed twice, so that the next recovery comes to an end.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let cannot = || format!("cannot recover `{}`", args.root.display());
    let before = Installed::open(&args.root).and_then(|db| db.pending_scripts()).with_context(cannot)?;
    let mut db = InstallDb::open_with(&args.root, &mut Watch).with_context(cannot)?;
    let manner = Manner { yes: true, dry_run: false, json: args.json };
    let recovered = change::tell_recovery(&db, manner, voice)?;
    if !run_scripts(&mut db, &before, args, voice)? {
        return Ok(exit::FAILED);
    }
    Ok(match recovered {
        Some(Outcome::RolledBack) => exit::ROLLED_BACK,
        Some(Outcome::Finished) => exit::DONE,
        None if args.json => {
            let told = json!({ "reason": "recovered", "transaction": null, "outcome": "nothing to do", "notices": [] });
            render::json(&told)?;
            exit::DONE
        }
        None => {
            voice.status("no transaction was interrupted");
            exit::DONE
        }
    })
}

/// Runs the scripts of earlier changes that have not succeeded yet; says whether all of them have now, those aside that
/// were given up before.
fn run_scripts(db: &mut InstallDb, before: &[PendingScript], args: &Args, voice: &Voice) -> anyhow::Result<bool> {
    let is_due = |script: &PendingScript| !script.is_given_up;
    let failed = if args.again {
        db.retry_scripts(&mut Watch)?
    } else if before.iter().any(|script| is_due(script) && script.failure.is_some()) {
        db.run_pending_scripts(&mut Watch)?
    } else {
        // Opening the database ran what nobody had tried.
        db.pending_scripts()?.into_iter().filter(is_due).collect()
    };
    failed.iter().try_for_each(|script| tell("script-failed", script, args, voice))?;
    if failed.is_empty() && before.iter().any(|script| args.again || is_due(script)) {
        voice.status("all scripts that were left have succeeded");
    }
    if !args.again {
        let given_up = before.iter().filter(|script| script.is_given_up);
        given_up.into_iter().try_for_each(|script| tell("script-given-up", script, args, voice))?;
    }
    Ok(failed.is_empty())
}

fn tell(reason: &str, script: &PendingScript, args: &Args, voice: &Voice) -> anyhow::Result<()> {
    let PendingScript { txn, package, stage, command, failure, is_given_up, .. } = script;
    let failure = failure.as_deref().unwrap_or_default();
    if args.json {
        return render::json(&json!({
            "reason": reason,
            "transaction": txn,
            "package": package.as_str(),
            "stage": stage,
            "command": command,
            "failure": failure,
            "given_up": is_given_up,
        }));
    }
    let program = change::program(stage, command.as_deref());
    let next =
        if *is_given_up { "given up; `pkg recover --again` runs it once more" } else { "`pkg recover` repeats it" };
    voice.warning(format_args!("{program} of `{package}` (transaction {txn}) failed: {failure}; {next}"));
    Ok(())
}
