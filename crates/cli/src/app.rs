//! From the command line to an exit code.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::render::{Color, Voice};
use crate::{cmd, exit, explain, signals};

/// Build software in a clean room, pack it, sign it, install it in transactions that survive anything.
#[derive(Debug, Parser)]
#[command(name = "pkg", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad command line, 3 no solution, 4 not trusted or malformed, \
    5 unknown name, 6 fetch failed, 7 refused beforehand, 8 rolled back, 9 busy, 10 differences, 70 bug, 125 sandbox.")]
pub(crate) struct Pkg {
    /// Say less: no status lines.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    verbose: bool,
    /// When to colour what is said.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
    #[command(subcommand)]
    verb: Verb,
}

// What the derive of `Subcommand` would make, but for this: a verb's own arguments are described only when it is the one
// that is called. Describing all of them took longer than most questions take to answer.
macro_rules! verbs {
    ($($(#[doc = $about:literal])+ $variant:ident($args:ty) => $run:path,)*) => {
        #[derive(Debug)]
        enum Verb {
            $($(#[doc = $about])+ $variant($args),)*
        }

        impl Subcommand for Verb {
            fn augment_subcommands(command: Command) -> Command {
                command$(.subcommand(verb::<$args>(stringify!($variant), concat!($($about),+))))*
            }

            fn augment_subcommands_for_update(command: Command) -> Command {
                Self::augment_subcommands(command)
            }

            fn has_subcommand(name: &str) -> bool {
                $(name == spelling(stringify!($variant)))||*
            }
        }

        impl FromArgMatches for Verb {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                let (name, matches) = matches.subcommand().expect("clap demands a verb");
                $(if name == spelling(stringify!($variant)) {
                    return <$args>::from_arg_matches(matches).map(Self::$variant);
                })*
                unreachable!("clap knows no other verb than those above, not {name}")
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }

        fn run(verb: &Verb, voice: &Voice) -> anyhow::Result<u8> {
            match verb {
                $(Verb::$variant(args) => $run(args, voice),)*
            }
        }
    };
}

/// `WhatRequires` is written `what-requires`.
fn spelling(variant: &str) -> String {
    let mut name = String::with_capacity(variant.len() + 2);
    for letter in variant.chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('-');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn verb<A: clap::Args>(variant: &str, about: &'static str) -> Command {
    Command::new(spelling(variant)).about(about.trim().trim_end_matches('.')).defer(|command| {
        let about = command.get_about().cloned().unwrap_or_default();
        A::augment_args(command).about(about).long_about(None)
    })
}

verbs! {
    /// Build packages from recipes, with everything they need.
    Build(cmd::build::Args) => cmd::build::run,
    /// Make the packages that the first builds need.
    Bootstrap(cmd::bootstrap::Args) => cmd::bootstrap::run,
    /// Fetch the sources of recipes.
    Fetch(cmd::fetch::Args) => cmd::fetch::run,
    /// Look at recipes: lint, hash, graph.
    Recipe(cmd::recipe::Args) => cmd::recipe::run,
    /// Show the log of a build.
    Log(cmd::log::Args) => cmd::log::run,
    /// Install package files into a root.
    Install(cmd::install::Args) => cmd::install::run,
    /// Remove packages from a root.
    Remove(cmd::remove::Args) => cmd::remove::run,
    /// Finish or roll back what a crash interrupted.
    Recover(cmd::recover::Args) => cmd::recover::run,
    /// Take a transaction back.
    Undo(cmd::undo::Args) => cmd::undo::run,
    /// Bring everything back to what it was after a transaction.
    Rollback(cmd::rollback::Args) => cmd::rollback::run,
    /// Forget what is kept of the past, and say how much is kept.
    Gc(cmd::gc::Args) => cmd::gc::run,
    /// Show what was done to a root.
    History(cmd::history::Args) => cmd::history::run,
    /// List installed packages.
    List(cmd::list::Args) => cmd::list::run,
    /// Show all that is known of installed packages.
    Info(cmd::info::Args) => cmd::info::run,
    /// List the paths that packages own.
    Files(cmd::files::Args) => cmd::files::run,
    /// Name the packages that own a path.
    Owner(cmd::owner::Args) => cmd::owner::run,
    /// List what packages require.
    Requires(cmd::requires::Args) => cmd::requires::run,
    /// List what packages offer.
    Provides(cmd::provides::Args) => cmd::provides::run,
    /// Name the packages that require something.
    WhatRequires(cmd::what_requires::Args) => cmd::what_requires::run,
    /// Name the packages that offer something.
    WhatProvides(cmd::what_provides::Args) => cmd::what_provides::run,
    /// Show why a package is installed.
    Why(cmd::why::Args) => cmd::why::run,
    /// Search names and descriptions of installed packages.
    Search(cmd::search::Args) => cmd::search::run,
    /// Compare the disk with what packages put there.
    Verify(cmd::verify::Args) => cmd::verify::run,
    /// Configuration files that were changed: list, diff, accept, keep.
    Config(cmd::config::Args) => cmd::config::run,
    /// Bring back what differs from what packages put there.
    Fix(cmd::fix::Args) => cmd::fix::run,
    /// Pack a directory tree, or what is installed, as a package.
    Pack(cmd::pack::Args) => cmd::pack::run,
    /// Unpack a package into a directory, every checksum verified.
    Unpack(cmd::unpack::Args) => cmd::unpack::run,
    /// Show what a package says of itself.
    Inspect(cmd::inspect::Args) => cmd::inspect::run,
    /// Make a package of a foreign one, and the other way round.
    Convert(cmd::convert::Args) => cmd::convert::run,
    /// Write one file of a package to standard output.
    Cat(cmd::cat::Args) => cmd::cat::run,
    /// The steps of which packages are made, on packages as sqlite files.
    Db(cmd::db::Args) => cmd::db::run,
    /// Keys, signatures, decisions.
    Trust(cmd::trust::Args) => cmd::trust::run,
    /// Run a command in a clean room.
    Sandbox(Box<cmd::sandbox::Args>) => cmd::sandbox::run,
    /// Say what this machine lacks for builds.
    Doctor(cmd::doctor::Args) => cmd::doctor::run,
}

/// Runs a command: the words after the program's name, with `verb` put before them.
pub fn main(verb: Option<&str>) -> ExitCode {
    let mut words: Vec<OsString> = std::env::args_os().collect();
    if let Some(verb) = verb {
        words.insert(words.len().min(1), verb.into());
    }
    let app = match Pkg::try_parse_from(words) {
        Ok(app) => app,
        Err(error) => return usage(&error),
    };
    let voice = Voice::new(app.quiet, app.verbose, app.color);
    signals::watch();
    let code = run(&app.verb, &voice).unwrap_or_else(|error| explain::failure(&error, &voice));
    signals::raise_again();
    ExitCode::from(code)
}

/// The whole command line as a value, for manual pages and completion.
pub fn command() -> Command {
    Pkg::command()
}

/// Help and version are answers and go to standard output; anything else is a wrong command line.
fn usage(error: &clap::Error) -> ExitCode {
    // A reader that has gone needs no help.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::from(exit::DONE) }
}
