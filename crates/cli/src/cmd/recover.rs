//! `pkg recover`.

use std::path::PathBuf;

use anyhow::Context;
use installdb::{InstallDb, Installed, Outcome};

use crate::change::{self, Manner};
use crate::exit;
use crate::render::{self, Voice};

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

/// Finishes or rolls back what a crash interrupted; exit code 8 tells of a rollback.
///
/// # Errors
/// No database, one that is in use, or a disk that fails.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let cannot = || format!("cannot recover `{}`", args.root.display());
    Installed::open(&args.root).map(drop).with_context(cannot)?;
    let db = InstallDb::open(&args.root).with_context(cannot)?;
    let manner = Manner { yes: true, dry_run: false, json: args.json };
    Ok(match change::tell_recovery(&db, manner, voice)? {
        Some(Outcome::RolledBack) => exit::ROLLED_BACK,
        Some(Outcome::Finished) => exit::DONE,
        None if args.json => {
            render::json(
                &serde_json::json!({ "reason": "recovered", "transaction": null, "outcome": "nothing to do" }),
            )?;
            exit::DONE
        }
        None => {
            voice.status("no transaction was interrupted");
            exit::DONE
        }
    })
}
