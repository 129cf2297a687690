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
    /// Tell what was done as JSON.
    #[arg(long)]
    json: bool,
}

/// Finishes or rolls back what a crash interrupted, and runs scripts that failed once more; exit code 8 tells of a
/// rollback.
///
/// # Errors
/// No database, one that is in use, or a disk that fails. A script that fails again makes the exit code 1.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let cannot = || format!("cannot recover `{}`", args.root.display());
    let failed = Installed::open(&args.root).and_then(|db| db.pending_scripts()).with_context(cannot)?;
    let mut db = InstallDb::open_with(&args.root, &mut Watch).with_context(cannot)?;
    let manner = Manner { yes: true, dry_run: false, json: args.json };
    let recovered = change::tell_recovery(&db, manner, voice)?;
    if !failed.is_empty() && !run_scripts(&mut db, args, voice)? {
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

/// Runs the scripts of earlier changes that have not succeeded yet; says whether all of them have now.
fn run_scripts(db: &mut InstallDb, args: &Args, voice: &Voice) -> anyhow::Result<bool> {
    let failed = db.run_pending_scripts(&mut Watch)?;
    for PendingScript { package, stage, command, failure, .. } in &failed {
        let failure = failure.as_deref().unwrap_or_default();
        if args.json {
            render::json(&json!({
                "reason": "script-failed",
                "package": package.as_str(),
                "stage": stage,
                "command": command,
                "failure": failure,
            }))?;
        } else {
            let program = change::program(stage, command.as_deref());
            voice.warning(format_args!("{program} of `{package}` failed again: {failure}"));
        }
    }
    if failed.is_empty() {
        voice.status("all scripts that had failed have succeeded");
    }
    Ok(failed.is_empty())
}
