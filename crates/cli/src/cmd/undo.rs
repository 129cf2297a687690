//! `pkg undo [ID]`.

use crate::exit;
use crate::failure::Failure;
use crate::render::Voice;
use crate::reversal::{self, Back};

/// What to take back.
#[derive(Debug, clap::Args)]
#[command(after_help = "An undo is a transaction like others: undoing it brings back what it took back.")]
pub struct Args {
    /// The transaction, as `pkg history` numbers it; without it, the last one that changed something.
    #[arg(value_name = "ID")]
    id: Option<i64>,
    #[command(flatten)]
    back: Back,
}

/// Takes one transaction back.
///
/// # Errors
/// A later transaction built on it, or as [`reversal::run`].
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    reversal::run(
        &args.back,
        |db| {
            let nothing = || Failure::new(exit::UNKNOWN, "nothing was ever changed here, so there is nothing to undo");
            let id = args.id.map_or_else(|| db.last_change()?.ok_or_else(|| nothing().into()), anyhow::Ok)?;
            Ok(db.reversal_of(id)?)
        },
        voice,
    )
}
