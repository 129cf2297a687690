//! `pkg verify [NAME..]`.

use std::path::PathBuf;

use installdb::{Aspect, Difference, Installed};
use pkgtypes::PackageName;
use serde_json::{Value, json};

use crate::exit;
use crate::render::{self, Voice};

/// What to verify.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of installed packages; without one, all of them.
    #[arg(value_name = "NAME")]
    names: Vec<PackageName>,
    /// The root to look at.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Compares the disk with what packages put there; exit code 10 when something differs. Files that may change, such as
/// configuration, are listed but do not count.
///
/// # Errors
/// A package that is not installed; a database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let differences = Installed::open(&args.root)?.verify(&args.names)?;
    let damage = differences.iter().filter(|difference| !difference.expected).count();
    if args.json {
        let list: Vec<Value> = differences.iter().map(describe).collect();
        render::json(&json!({ "format_version": 1, "differences": list }))?;
    } else {
        for difference in &differences {
            let words: Vec<&str> = difference.aspects.iter().map(|aspect| word(*aspect)).collect();
            let mark = if difference.expected { "changed " } else { "differs " };
            render::data(format_args!("{mark} {} /{} {}", difference.package, difference.path, words.join(",")))?;
        }
        if damage == 0 {
            voice.status("everything is as its packages say");
        }
    }
    Ok(if damage == 0 { exit::DONE } else { exit::DIFFERENT })
}

fn word(aspect: Aspect) -> &'static str {
    match aspect {
        Aspect::Missing => "missing",
        Aspect::Type => "type",
        Aspect::Content => "content",
        Aspect::Target => "target",
        Aspect::Link => "link",
        Aspect::Mode => "mode",
        Aspect::Owner => "owner",
        Aspect::Xattrs => "xattrs",
        Aspect::Device => "device",
        Aspect::Unreadable => "unreadable",
        _ => "other",
    }
}

fn describe(difference: &Difference) -> Value {
    let words: Vec<&str> = difference.aspects.iter().map(|aspect| word(*aspect)).collect();
    json!({
        "package": difference.package.as_str(),
        "path": format!("/{}", difference.path),
        "differs": words,
        "expected": difference.expected,
    })
}
