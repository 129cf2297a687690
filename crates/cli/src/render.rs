//! What a person sees: data on standard output, everything else on standard error.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::failure::Interrupted;

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal that does not say otherwise.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How much is said, and how: one value for the whole run.
#[derive(Debug, Clone, Copy)]
pub struct Voice {
    /// Status lines are left out.
    pub quiet: bool,
    /// Details are added.
    pub verbose: bool,
    /// Labels are coloured.
    pub color: bool,
}

impl Voice {
    /// Decides on colour for standard error; `NO_COLOR` and `TERM=dumb` switch it off.
    pub fn new(quiet: bool, verbose: bool, color: Color) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => io::stderr().is_terminal() && !plain,
        };
        Self { quiet, verbose, color }
    }

    /// A line about what happens now.
    pub fn status(&self, line: impl Display) {
        if !self.quiet {
            self.line("", "", &line);
        }
    }

    /// A line that only `-v` shows.
    pub fn detail(&self, line: impl Display) {
        if self.verbose {
            self.line("", "", &line);
        }
    }

    /// Something to know that stops nothing.
    pub fn warning(&self, line: impl Display) {
        self.line("33", "warning: ", &line);
    }

    /// What went wrong.
    pub fn error(&self, line: impl Display) {
        self.line("31", "error: ", &line);
    }

    /// Why.
    pub fn cause(&self, line: impl Display) {
        self.line("31", "caused by: ", &line);
    }

    /// What to do.
    pub fn hint(&self, line: impl Display) {
        self.line("36", "hint: ", &line);
    }

    fn line(&self, color: &str, label: &str, line: &dyn Display) {
        let text = line.to_string();
        let safe = escape_controls(&text);
        // Nobody is left to tell when standard error itself is gone.
        let _ = if self.color && !label.is_empty() {
            writeln!(io::stderr(), "\x1b[1;{color}m{label}\x1b[0m{safe}")
        } else {
            writeln!(io::stderr(), "{label}{safe}")
        };
    }
}

/// Names come from packages and recipes: no escape sequence of theirs reaches the terminal.
fn escape_controls(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => safe.push(c),
            c if c.is_control() => safe.extend(c.escape_default()),
            c => safe.push(c),
        }
    }
    safe
}

/// Writes one line of data.
///
/// # Errors
/// [`Interrupted::BrokenPipe`] when nobody reads any more, else the write error.
pub fn data(line: impl Display) -> anyhow::Result<()> {
    raw(format!("{line}\n").as_bytes())
}

/// Writes bytes of data.
///
/// # Errors
/// As [`data`].
pub fn raw(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    written(out.write_all(bytes).and_then(|()| out.flush()))
}

/// What a write to standard output answered: a reader that has gone is no failure.
///
/// # Errors
/// As [`data`].
pub fn written(answer: io::Result<()>) -> anyhow::Result<()> {
    answer.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Interrupted::BrokenPipe.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

/// Writes a value as one line of JSON.
///
/// # Errors
/// As [`data`].
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    data(serde_json::to_string(value)?)
}

/// Bytes as people read them: `5.3 MiB`.
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// A number of things: `1 file`, `2 files`.
pub fn count(number: impl Into<u64>, thing: &str) -> String {
    match number.into() {
        1 => format!("1 {thing}"),
        many => format!("{many} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_escape_sequence_reaches_the_terminal() {
        assert_eq!(escape_controls("a\x1b]0;x\x07b\n"), "a\\u{1b}]0;x\\u{7}b\n");
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(5 * 1024 * 1024 + 314_573), "5.3 MiB");
    }
}
