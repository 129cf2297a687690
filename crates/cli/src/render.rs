//! What a person sees: data on standard output, everything else on standard error.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use pkgtypes::PkgPath;
use serde::Serialize;
use serde_json::Value;

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

/// A package's path for programs: as it is, where it is text. Otherwise as people read it.
pub fn path(path: &PkgPath) -> Cow<'_, str> {
    std::str::from_utf8(path.as_bytes()).map_or_else(|_| path.to_string().into(), Cow::Borrowed)
}

/// Puts a path into a JSON object, after `lead`; one that is no text has its bytes in `path_hex`.
pub fn put_path(object: &mut Value, lead: &str, path: &PkgPath) {
    object["path"] = format!("{lead}{}", self::path(path)).into();
    if std::str::from_utf8(path.as_bytes()).is_err() {
        object["path_hex"] = hex(path.as_bytes()).into();
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
    fn a_path_in_json_is_the_path() {
        let put = |bytes: &[u8]| {
            let mut object = serde_json::json!({});
            put_path(&mut object, "/", &PkgPath::new(bytes).unwrap());
            object
        };
        assert_eq!(put(b"a\nb\\c"), serde_json::json!({ "path": "/a\nb\\c" }));
        assert_eq!(put(b"a\xff\\"), serde_json::json!({ "path": "/a\\xff\\\\", "path_hex": "61ff5c" }));
    }

    #[test]
    fn sizes_for_people() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(5 * 1024 * 1024 + 314_573), "5.3 MiB");
    }
}
