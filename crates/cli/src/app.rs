//! From the command line to an exit code.

use std::ffi::OsString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::{ArgMatches, Command, CommandFactory, FromArgMatches, Parser};
use sandbox::HeadStart;

use crate::render::{Color, Voice};
use crate::{cmd, exit, explain, signals};

/// Build software in a clean room, pack it, sign it, install it in transactions that survive anything.
#[derive(Debug, Parser)]
#[command(name = "pkg", version, propagate_version = true, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 done, 1 failed, 2 bad command line, 3 no solution, 4 not trusted or malformed, \
    5 unknown name, 6 fetch failed, 7 refused beforehand, 8 rolled back, 9 busy, 10 differences, 70 bug, 125 sandbox.")]
struct Pkg {
    #[command(flatten)]
    manner: Manner,
}

/// How things are said.
#[derive(Debug, clap::Args)]
#[group(skip)]
struct Manner {
    /// Say less: no status lines.
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Say more.
    #[arg(short, long, global = true)]
    verbose: bool,
    /// When to colour what is said.
    #[arg(long, global = true, value_enum, default_value = "auto", value_name = "WHEN")]
    color: Color,
}

impl Manner {
    /// Runs what a command line asks for, with signals watched and errors told.
    fn run(&self, verb: impl FnOnce(&Voice) -> anyhow::Result<u8>) -> ExitCode {
        let voice = Voice::new(self.quiet, self.verbose, self.color);
        signals::watch();
        let code = match catch_unwind(AssertUnwindSafe(|| verb(&voice))) {
            Ok(answer) => answer.unwrap_or_else(|error| explain::failure(&error, &voice)),
            // What happened was told where it happened. Nothing of what the verb had is looked at any more.
            Err(_) => {
                voice.hint("this is a bug: please tell how it came about, with the lines above");
                exit::BUG
            }
        };
        signals::raise_again();
        ExitCode::from(code)
    }
}

/// A verb as a program of its own.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Alone<A: clap::Args> {
    #[command(flatten)]
    manner: Manner,
    #[command(flatten)]
    args: A,
}

// What the derive of `Subcommand` would make, but for this: only the verb that is called is described. Describing all of them
// took longer than most questions take to answer.
macro_rules! verbs {
    ($($(#[doc = $about:literal])+ $name:literal $variant:ident($args:ty) => $run:path,)*) => {
        #[derive(Debug)]
        enum Verb {
            $($(#[doc = $about])+ $variant($args),)*
        }

        /// What the named verb does.
        fn about(name: &str) -> &'static str {
            match name {
                $($name => concat!($($about),+).trim().trim_end_matches('.'),)*
                name => unreachable!("{name} is no verb"),
            }
        }

        impl Verb {
            fn is_named(name: &str) -> bool {
                matches!(name, $($name)|*)
            }

            /// Adds every verb, or the named one alone.
            fn describe(mut command: Command, only: Option<&str>) -> Command {
                $(if only.is_none_or(|only| only == $name) {
                    command = command.subcommand(verb::<$args>($name));
                })*
                command
            }

            fn from_matches(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
                let (name, mut matches) = matches.remove_subcommand().expect("clap demands a verb");
                match name.as_str() {
                    $($name => <$args>::from_arg_matches_mut(&mut matches).map(Self::$variant),)*
                    name => unreachable!("clap knows no other verb than those above, not {name}"),
                }
            }
        }

        fn run(verb: &Verb, voice: &Voice) -> anyhow::Result<u8> {
            match verb {
                $(Verb::$variant(args) => $run(args, voice),)*
            }
        }
    };
}

fn verb<A: clap::Args>(name: &'static str) -> Command {
    Command::new(name).about(about(name)).defer(|command| {
        let about = command.get_about().cloned().unwrap_or_default();
        A::augment_args(command).about(about).long_about(None)
    })
}

verbs! {
    /// Build packages from recipes, with everything they need.
    "build" Build(cmd::build::Args) => cmd::build::run,
    /// Make the packages that the first builds need.
    "bootstrap" Bootstrap(cmd::bootstrap::Args) => cmd::bootstrap::run,
    /// Fetch the sources of recipes.
    "fetch" Fetch(cmd::fetch::Args) => cmd::fetch::run,
    /// Look at recipes: lint, hash, graph.
    "recipe" Recipe(cmd::recipe::Args) => cmd::recipe::run,
    /// Show the log of a build.
    "log" Log(cmd::log::Args) => cmd::log::run,
    /// Install package files into a root.
    "install" Install(cmd::install::Args) => cmd::install::run,
    /// Remove packages from a root.
    "remove" Remove(cmd::remove::Args) => cmd::remove::run,
    /// Finish or roll back what a crash interrupted.
    "recover" Recover(cmd::recover::Args) => cmd::recover::run,
    /// Take a transaction back.
    "undo" Undo(cmd::undo::Args) => cmd::undo::run,
    /// Bring everything back to what it was after a transaction.
    "rollback" Rollback(cmd::rollback::Args) => cmd::rollback::run,
    /// Forget what is kept of the past, and say how much is kept.
    "gc" Gc(cmd::gc::Args) => cmd::gc::run,
    /// Show what was done to a root.
    "history" History(cmd::history::Args) => cmd::history::run,
    /// List installed packages.
    "list" List(cmd::list::Args) => cmd::list::run,
    /// Show all that is known of installed packages.
    "info" Info(cmd::info::Args) => cmd::info::run,
    /// List the paths that packages own.
    "files" Files(cmd::files::Args) => cmd::files::run,
    /// Name the packages that own a path.
    "owner" Owner(cmd::owner::Args) => cmd::owner::run,
    /// List what packages require.
    "requires" Requires(cmd::requires::Args) => cmd::requires::run,
    /// List what packages offer.
    "provides" Provides(cmd::provides::Args) => cmd::provides::run,
    /// Name the packages that require something.
    "what-requires" WhatRequires(cmd::what_requires::Args) => cmd::what_requires::run,
    /// Name the packages that offer something.
    "what-provides" WhatProvides(cmd::what_provides::Args) => cmd::what_provides::run,
    /// Show why a package is installed.
    "why" Why(cmd::why::Args) => cmd::why::run,
    /// Search names and descriptions of installed packages.
    "search" Search(cmd::search::Args) => cmd::search::run,
    /// Compare the disk with what packages put there.
    "verify" Verify(cmd::verify::Args) => cmd::verify::run,
    /// Configuration files that were changed: list, diff, merge, accept, keep.
    "config" Config(cmd::config::Args) => cmd::config::run,
    /// Bring back what differs from what packages put there.
    "fix" Fix(cmd::fix::Args) => cmd::fix::run,
    /// Pack a directory tree, or what is installed, as a package.
    "pack" Pack(cmd::pack::Args) => cmd::pack::run,
    /// Unpack a package into a directory, every checksum verified.
    "unpack" Unpack(cmd::unpack::Args) => cmd::unpack::run,
    /// Show what a package says of itself.
    "inspect" Inspect(cmd::inspect::Args) => cmd::inspect::run,
    /// Make a package of a foreign one, and the other way round.
    "convert" Convert(cmd::convert::Args) => cmd::convert::run,
    /// Write one file of a package to standard output.
    "cat" Cat(cmd::cat::Args) => cmd::cat::run,
    /// The steps of which packages are made, on packages as sqlite files.
    "db" Db(cmd::db::Args) => cmd::db::run,
    /// Keys, signatures, decisions.
    "trust" Trust(cmd::trust::Args) => cmd::trust::run,
    /// Run a command in a clean room.
    "sandbox" Sandbox(Box<cmd::sandbox::Args>) => cmd::sandbox::run,
    /// Say what this machine lacks for builds.
    "doctor" Doctor(cmd::doctor::Args) => cmd::doctor::run,
}

/// Runs `pkg` with the words of this process.
pub fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    let is_room = words.get(1).is_some_and(|word| word == SANDBOX);
    let start = is_room.then(|| HeadStart::begin(&cmd::sandbox::likely(&words)));
    let words = given(is_room, words, 2, || {
        let mut command = Verb::describe(Pkg::command(), Some(SANDBOX));
        command.build();
        command.find_subcommand(SANDBOX).cloned().unwrap_or_default()
    });
    let words = match words {
        Ok(words) => words,
        Err(code) => return code,
    };
    match parse(&words) {
        Ok((pkg, verb)) => pkg.manner.run(|voice| match (start, &verb) {
            (start, Verb::Sandbox(args)) => cmd::sandbox::run_after(start, args, voice),
            _ => run(&verb, voice),
        }),
        Err(error) => usage(&error),
    }
}

/// Runs one verb with the words of this process: the program `pkg-VERB`, which holds and loads nothing of the others.
pub fn alone<A: clap::Args>(verb: &str, run: impl FnOnce(&A, &Voice) -> anyhow::Result<u8>) -> ExitCode {
    let name = format!("pkg-{verb}");
    let command = Alone::<A>::command().name(&name).bin_name(name).about(about(verb)).long_about(None);
    let words = match given(verb == SANDBOX, std::env::args_os().collect(), 1, || command.clone()) {
        Ok(words) => words,
        Err(code) => return code,
    };
    let command = kept(command);
    let matches = command.try_get_matches_from_mut(words);
    match matches.and_then(|mut matches| Alone::<A>::from_arg_matches_mut(&mut matches)) {
        Ok(line) => line.manner.run(|voice| run(&line.args, voice)),
        Err(error) => usage(&error.format(command)),
    }
}

/// A description that stays until the process ends: to take it apart would take as long as the reading of a line does.
fn kept(command: Command) -> &'static mut Command {
    Box::leak(Box::new(command))
}

/// The verb whose options may come by a descriptor.
const SANDBOX: &str = "sandbox";

/// The words of a line, those among them that come by a descriptor; the options of the verb, which `described` describes, begin
/// with the word `first`.
fn given(
    is_room: bool,
    words: Vec<OsString>,
    first: usize,
    described: impl FnOnce() -> Command,
) -> Result<Vec<OsString>, ExitCode> {
    if !is_room || words.iter().all(|word| word != "--args") {
        return Ok(words);
    }
    cmd::sandbox::words(words, first, &described())
        .map_err(|error| ExitCode::from(explain::failure(&error.into(), &Voice::new(false, false, Color::Auto))))
}

fn parse(words: &[OsString]) -> Result<(Pkg, Verb), clap::Error> {
    let named = words.get(1).and_then(|word| word.to_str()).filter(|name| Verb::is_named(name));
    let command = kept(Verb::describe(Pkg::command(), named));
    let mut matches = command.try_get_matches_from_mut(words)?;
    let parsed = Pkg::from_arg_matches_mut(&mut matches).and_then(|pkg| Ok((pkg, Verb::from_matches(&mut matches)?)));
    parsed.map_err(|error| error.format(command))
}

/// The whole command line as a value, for manual pages and completion.
pub fn command() -> Command {
    Verb::describe(Pkg::command(), None)
}

/// Help and version are answers and go to standard output; anything else is a wrong command line.
fn usage(error: &clap::Error) -> ExitCode {
    // A reader that has gone needs no help.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(exit::USAGE) } else { ExitCode::from(exit::DONE) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the help of `words` says, by a command with all verbs or, as when it is called, with one.
    fn help(words: &[&str], only: Option<&str>) -> String {
        let mut command = Verb::describe(Pkg::command(), only);
        command.try_get_matches_from_mut(words).expect_err("help is no match").to_string()
    }

    #[test]
    fn a_verb_alone_says_of_itself_what_it_says_among_all() {
        let names: Vec<String> = command().get_subcommands().map(|verb| verb.get_name().to_owned()).collect();
        assert!(names.len() > 30);
        for name in &names {
            assert!(Verb::is_named(name), "{name}");
            for words in [["pkg", name, "--help"], ["pkg", name, "--no-such-option"]] {
                assert_eq!(help(&words, Some(name)), help(&words, None), "{words:?}");
            }
        }
    }

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }
}
