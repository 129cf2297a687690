//! `pkg gc`.

use std::path::PathBuf;

use anyhow::Context;
use installdb::{Installed, Retention};
use serde_json::json;

use crate::change::{self, Manner};
use crate::render::{self, Voice};
use crate::{exit, places};

/// How much of the past is kept.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Every transaction forgets what is beyond the bounds, so `pkg gc` alone is needed only after the bounds \
        or the clock moved. Installed packages need nothing of what is forgotten."
)]
pub struct Args {
    /// The root.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    #[command(flatten)]
    manner: Manner,
    /// From now on, this many transactions can be undone (100 at first; `none`: no bound; 0: nothing is kept).
    #[arg(long, value_name = "N", value_parser = bound)]
    keep_transactions: Option<Bound>,
    /// From now on, transactions of this many days can be undone (30 at first; `none`: no bound).
    #[arg(long, value_name = "DAYS", value_parser = bound)]
    keep_days: Option<Bound>,
    /// From now on, this much content is kept at most (2G at first; `none`: no bound): bytes, or with K, M, G, T.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    keep_size: Option<Bound>,
    /// Forget everything that is kept now, whatever the bounds are.
    #[arg(long)]
    all: bool,
}

/// A bound as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound(Option<u64>);

fn bound(text: &str) -> Result<Bound, String> {
    if text == "none" {
        return Ok(Bound(None));
    }
    let fits = |number: &u64| *number <= i64::MAX as u64 / (24 * 3600);
    text.parse()
        .ok()
        .filter(fits)
        .map(|number| Bound(Some(number)))
        .ok_or_else(|| "a number or `none` is expected".to_owned())
}

fn size(text: &str) -> Result<Bound, String> {
    let units = [("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    match bound(number)?.0 {
        None => Ok(Bound(None)),
        Some(number) => {
            let bytes = u128::from(number) << shift;
            let bytes = u64::try_from(bytes).ok().filter(|bytes| i64::try_from(*bytes).is_ok());
            bytes.map(|bytes| Bound(Some(bytes))).ok_or_else(|| "that is more than any disk has".to_owned())
        }
    }
}

/// Forgets what is beyond the bounds, after setting them.
///
/// # Errors
/// No database, or one that is in use; a disk that fails.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let root = places::absolute(&args.root)?;
    let cannot = || format!("cannot forget the past of `{}`", root.display());
    let before = Installed::open(&root).and_then(|db| db.retention()).with_context(cannot)?;
    let mut db = change::open(&root, args.manner).with_context(cannot)?;
    change::tell_recovery(&db, args.manner, voice)?;
    let limits = changed(before, args);
    let mut request = change::request();
    request.retention = (limits != before).then_some(limits);
    request.forget = args.all;
    let checked = db.plan(request).and_then(installdb::Plan::check).with_context(cannot)?;
    if checked.forgotten().up_to.is_none() && limits == before {
        drop(checked);
        return tell_kept(&db, limits, args, voice);
    }
    change::carry_out(checked, &root, args.manner, voice).with_context(cannot)?;
    if args.manner.dry_run {
        return Ok(exit::DONE);
    }
    tell_kept(&db, limits, args, voice)
}

fn changed(before: Retention, args: &Args) -> Retention {
    const DAY: i64 = 24 * 3600;
    let days = |days: Bound| days.0.map(|days| i64::try_from(days).unwrap_or(i64::MAX).saturating_mul(DAY));
    Retention {
        transactions: args.keep_transactions.map_or(before.transactions, |bound| bound.0),
        seconds: args.keep_days.map_or(before.seconds, days),
        bytes: args.keep_size.map_or(before.bytes, |bound| bound.0),
    }
}

fn tell_kept(db: &Installed, limits: Retention, args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let (contents, bytes) = db.kept()?;
    let Retention { transactions, seconds, bytes: most } = limits;
    if args.manner.json {
        render::json(&json!({
            "reason": "kept",
            "contents": contents,
            "bytes": bytes,
            "horizon": db.horizon()?,
            "bounds": { "transactions": transactions, "seconds": seconds, "bytes": most },
        }))?;
        return Ok(exit::DONE);
    }
    let words: Vec<String> = [
        transactions.map(|number| render::count(number, "transaction")),
        seconds.map(|seconds| render::count(u64::try_from(seconds / (24 * 3600)).unwrap_or(0), "day")),
        most.map(render::size),
    ]
    .into_iter()
    .flatten()
    .collect();
    let bounds = if words.is_empty() { "without bounds".to_owned() } else { format!("at most {}", words.join(", ")) };
    voice.status(format_args!("kept: {}, {} ({bounds})", render::count(contents, "content"), render::size(bytes)));
    Ok(exit::DONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_sizes_or_none() {
        assert_eq!(bound("none"), Ok(Bound(None)));
        assert_eq!(bound("7"), Ok(Bound(Some(7))));
        assert_eq!(size("2G"), Ok(Bound(Some(2 << 30))));
        assert_eq!(size("100"), Ok(Bound(Some(100))));
        for wrong in ["", "-1", "1.5", "99999999999999T", "18446744073709551615", "G", "2g"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
