//! `pkg what-provides CAPABILITY..`.

use installdb::Installed;

use super::what_requires;
use crate::options::Asked;
use crate::render::Voice;

/// What.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Names of packages, or capabilities: so:libz.so.1(64bit), cmd:gcc.
    #[arg(required = true, value_name = "CAPABILITY")]
    capabilities: Vec<String>,
    #[command(flatten)]
    asked: Asked,
}

/// Names the packages that offer something, or have that name; exit code 5 when none does.
///
/// # Errors
/// A database that can not be read.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    what_requires::tell(&args.capabilities, &args.asked, voice, "provides", Installed::what_provides)
}
