//! `pkg rollback ID`.

use crate::render::Voice;
use crate::reversal::{self, Back};

/// Where to go back to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The transaction after which everything was as it should be again; 0 is before the first.
    #[arg(value_name = "ID")]
    id: i64,
    #[command(flatten)]
    back: Back,
}

/// Brings packages, and what the user asked for, back to what they were after a transaction.
///
/// # Errors
/// As [`reversal::run`].
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    reversal::run(&args.back, |db| Ok(db.reversal_to(args.id)?), voice)
}
