//! `pkg doctor`.

use sandbox::Finding;
use serde_json::{Value, json};

use crate::exit;
use crate::render::{self, Voice};

/// How to tell.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Tries what builds need of this kernel and these rights; exit code 125 when no room can be made.
///
/// # Errors
/// Standard output is gone.
pub fn run(args: &Args, _: &Voice) -> anyhow::Result<u8> {
    let probe = sandbox::probe();
    if args.json {
        let findings: Vec<Value> = probe
            .findings()
            .iter()
            .map(|(what, finding)| json!({ "what": what, "works": works(finding), "why": why(finding), "cost": cost(what, finding) }))
            .collect();
        render::json(
            &json!({ "format_version": 1, "kernel": probe.kernel, "landlock": probe.landlock_abi, "findings": findings }),
        )?;
    } else {
        render::data(format_args!("kernel {}, landlock {}", probe.kernel, probe.landlock_abi))?;
        for (what, finding) in probe.findings() {
            match why(finding) {
                None => render::data(format_args!("ok       {what}"))?,
                Some(why) => {
                    render::data(format_args!("missing  {what}: {why}"))?;
                    render::data(format_args!("         without it: {}", sandbox::Probe::cost(what)))?;
                }
            }
        }
    }
    Ok(if works(&probe.room) && works(&probe.overlay) { exit::DONE } else { exit::SANDBOX })
}

/// What it means that something is missing.
fn cost(what: &str, finding: &Finding) -> Option<&'static str> {
    (!works(finding)).then(|| sandbox::Probe::cost(what))
}

fn works(finding: &Finding) -> bool {
    why(finding).is_none()
}

fn why(finding: &Finding) -> Option<&str> {
    match finding {
        Finding::Works => None,
        Finding::Missing(why) => Some(why),
    }
}
