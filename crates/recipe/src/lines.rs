use std::path::{Path, PathBuf};

use pkgtypes::ParseError;

use crate::{LineProblem, Position, RecipeError, limits, suggest};

/// A recipe's line file: UTF-8, one thing a line, `#` as the first character that is no blank begins a comment.
#[derive(Debug)]
pub(crate) struct LineFile<'a> {
    lines: Vec<Line<'a>>,
}

/// A line that says something: neither blank nor a comment.
#[derive(Debug, Clone)]
pub(crate) struct Line<'a> {
    path: &'a Path,
    pub(crate) number: usize,
    /// The whole line.
    text: &'a str,
}

/// A word of a line.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    line: &'a Line<'a>,
    /// Bytes before it in the line.
    offset: usize,
}

impl<'a> LineFile<'a> {
    /// Takes a file's bytes apart; `path` is what errors name.
    pub(crate) fn parse(path: &'a Path, bytes: &'a [u8]) -> Result<Self, RecipeError> {
        let mut lines = Vec::new();
        for (index, raw) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = Line::parse(path, index + 1, raw)?;
            let said = line.text.trim_start_matches(BLANKS);
            if !said.is_empty() && !said.starts_with('#') {
                lines.push(line);
            }
        }
        Ok(Self { lines })
    }

    pub(crate) fn lines(&self) -> &[Line<'a>] {
        &self.lines
    }
}

const BLANKS: [char; 2] = [' ', '\t'];

impl<'a> Line<'a> {
    fn parse(path: &'a Path, number: usize, raw: &'a [u8]) -> Result<Self, RecipeError> {
        let fail = |column, problem| Err(RecipeError::Line { position: position(path, number, column), problem });
        if raw.len() > limits::LINE {
            return fail(1, LineProblem::LineTooLong { length: raw.len(), limit: limits::LINE });
        }
        let text = match std::str::from_utf8(raw) {
            Ok(text) => text,
            Err(error) => return fail(characters(&raw[..error.valid_up_to()]) + 1, LineProblem::NotUtf8),
        };
        if let Some((before, character)) = text.chars().enumerate().find(|(_, c)| c.is_control() && *c != '\t') {
            return fail(before + 1, LineProblem::ControlCharacter { character });
        }
        Ok(Self { path, number, text })
    }

    /// The words, separated by blanks and tabs; never empty.
    pub(crate) fn words(&'a self) -> Vec<Word<'a>> {
        let mut words = Vec::new();
        let mut offset = 0;
        for piece in self.text.split(BLANKS) {
            if !piece.is_empty() {
                words.push(Word { text: piece, line: self, offset });
            }
            offset += piece.len() + 1;
        }
        words
    }

    /// The line as `NAME=VALUE`: a name at its beginning, and all that follows the first `=`.
    pub(crate) fn assignment(&'a self) -> Result<(Word<'a>, Word<'a>), RecipeError> {
        let start = self.text.len() - self.text.trim_start_matches(BLANKS).len();
        let said = &self.text[start..];
        let Some((name, value)) = said.split_once('=') else {
            return Err(self.end_error(LineProblem::Expected { what: "`=` and a value" }));
        };
        let value = Word { text: value, line: self, offset: start + name.len() + 1 };
        if let Some(tab) = value.text.find('\t') {
            return Err(value.part(tab..).error(LineProblem::ControlCharacter { character: '\t' }));
        }
        let kept = value.text.trim_end_matches(' ').len();
        if kept < value.text.len() {
            return Err(value.part(kept..).error(refused(" ", "a value does not end in blanks")));
        }
        Ok((Word { text: name, line: self, offset: start }, value))
    }

    /// An error at the end of the line, where something is missing.
    pub(crate) fn end_error(&self, problem: LineProblem) -> RecipeError {
        self.error_at(self.text.trim_end_matches(BLANKS).len(), problem)
    }

    fn error_at(&self, offset: usize, problem: LineProblem) -> RecipeError {
        RecipeError::Line { position: self.position(offset), problem }
    }

    fn position(&self, offset: usize) -> Position {
        position(self.path, self.number, self.text[..offset].chars().count() + 1)
    }
}

fn position(path: &Path, line: usize, column: usize) -> Position {
    Position { path: PathBuf::from(path), line, column }
}

fn characters(valid: &[u8]) -> usize {
    String::from_utf8_lossy(valid).chars().count()
}

impl<'a> Word<'a> {
    /// A part of this word, with its own position.
    pub(crate) fn part(&self, range: impl std::slice::SliceIndex<str, Output = str> + RangeStart) -> Self {
        let start = range.start();
        Self { text: &self.text[range], line: self.line, offset: self.offset + start }
    }

    /// What stands before and after the first `sign`.
    pub(crate) fn split_once(&self, sign: char) -> Option<(Self, Self)> {
        let at = self.text.find(sign)?;
        Some((self.part(..at), self.part(at + sign.len_utf8()..)))
    }

    pub(crate) fn position(&self) -> Position {
        self.line.position(self.offset)
    }

    pub(crate) fn error(&self, problem: LineProblem) -> RecipeError {
        self.line.error_at(self.offset, problem)
    }

    /// Reads the word as a value of `pkgtypes`.
    pub(crate) fn parse<T: std::str::FromStr<Err = ParseError>>(&self) -> Result<T, RecipeError> {
        self.text.parse().map_err(|error: ParseError| self.error(error.into()))
    }

    /// The error of a word that is none of `known`.
    pub(crate) fn unknown<'k>(&self, what: &'static str, known: impl IntoIterator<Item = &'k str>) -> RecipeError {
        let suggestions = suggest::nearest(self.text, known);
        self.error(LineProblem::Unknown { what, word: self.text.to_owned(), suggestions })
    }

    pub(crate) fn surplus(&self) -> RecipeError {
        self.error(LineProblem::Surplus { word: self.text.to_owned() })
    }

    pub(crate) fn refused(&self, reason: &'static str) -> RecipeError {
        self.error(refused(self.text, reason))
    }

    pub(crate) fn repeated(&self, what: &'static str, first: usize) -> RecipeError {
        self.error(LineProblem::Repeated { what, word: self.text.to_owned(), first })
    }
}

fn refused(word: &str, reason: &'static str) -> LineProblem {
    LineProblem::Refused { word: word.to_owned(), reason }
}

/// Where a range begins.
pub(crate) trait RangeStart {
    fn start(&self) -> usize;
}

impl RangeStart for std::ops::RangeFrom<usize> {
    fn start(&self) -> usize {
        self.start
    }
}

impl RangeStart for std::ops::RangeTo<usize> {
    fn start(&self) -> usize {
        0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(bytes: &[u8]) -> Result<Vec<(String, usize, usize)>, String> {
        let path = Path::new("deps");
        let file = LineFile::parse(path, bytes).map_err(|error| error.to_string())?;
        let words = file.lines().iter().flat_map(|line| {
            line.words().into_iter().map(|word| (word.text.to_owned(), word.position().line, word.position().column))
        });
        Ok(words.collect())
    }

    #[test]
    fn comments_and_blank_lines_say_nothing() {
        assert_eq!(words(b"# a\n\n  \t\n  # b\n a b#c\n").unwrap(), [("a".into(), 5, 2), ("b#c".into(), 5, 4)]);
        assert_eq!(words(b"").unwrap(), []);
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(words("\u{e9} x".as_bytes()).unwrap()[1], ("x".into(), 1, 3));
    }

    #[test]
    fn bytes_that_are_no_text_are_refused() {
        assert_eq!(words(b"ok\n\xc3\xa9\xff").unwrap_err(), "deps:2:2: the line is not UTF-8 text");
        assert_eq!(words(b"a\r\n").unwrap_err(), "deps:1:2: the control character U+000D can not stand in a recipe");
        assert_eq!(words(b"# \x00").unwrap_err(), "deps:1:3: the control character U+0000 can not stand in a recipe");
        let long = vec![b'x'; limits::LINE + 1];
        assert_eq!(words(&long).unwrap_err(), "deps:1:1: the line has 4097 bytes, the limit is 4096");
    }

    proptest! {
        /// Words joined by blanks come back as they were, each at its own column.
        #[test]
        fn words_survive(words_in in proptest::collection::vec("[!-~\u{e0}-\u{ff}]{1,8}", 1..8), gap in "[ \t]{1,3}") {
            prop_assume!(!words_in[0].starts_with('#'));
            let text = words_in.join(&gap);
            let found = words(text.as_bytes()).unwrap();
            prop_assert_eq!(found.iter().map(|(word, ..)| word.clone()).collect::<Vec<_>>(), words_in);
            for (word, _, column) in found {
                prop_assert_eq!(text.chars().skip(column - 1).take(word.chars().count()).collect::<String>(), word);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let path = Path::new("x");
            if let Ok(file) = LineFile::parse(path, &bytes) {
                for line in file.lines() {
                    let _ = line.assignment();
                    line.words();
                }
            }
        }
    }
}
