//! The whole output of a build, on disk, and what of it a person sees when the build fails.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufWriter, Write};

/// Lines shown from the end of a failed build's log.
const TAIL: usize = 25;
/// A line is remembered up to this many bytes; the file has all of it.
const LINE: usize = 4096;

/// A log that is being written.
pub(crate) struct Log {
    file: BufWriter<File>,
    line: Vec<u8>,
    tail: VecDeque<String>,
    first_error: Option<String>,
}

/// What a failed build shows of its log.
pub(crate) struct Excerpt {
    /// The first line that looks like an error.
    pub(crate) first_error: Option<String>,
    /// The last lines.
    pub(crate) tail: Vec<String>,
}

impl Log {
    pub(crate) fn new(file: File) -> Self {
        Self { file: BufWriter::new(file), line: Vec::new(), tail: VecDeque::new(), first_error: None }
    }

    /// Takes in a piece of output, whole lines or not.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let text = piece.strip_suffix(b"\n").unwrap_or(piece);
            self.line.extend_from_slice(&text[..text.len().min(LINE.saturating_sub(self.line.len()))]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
        Ok(())
    }

    /// Puts everything on disk and keeps what a person would look for.
    pub(crate) fn finish(mut self) -> io::Result<Excerpt> {
        if !self.line.is_empty() {
            self.end_line();
        }
        self.file.flush()?;
        Ok(Excerpt { first_error: self.first_error, tail: self.tail.into() })
    }

    fn end_line(&mut self) {
        let line = String::from_utf8_lossy(&self.line).into_owned();
        self.line.clear();
        if self.first_error.is_none() && looks_like_error(&line) {
            self.first_error = Some(line.clone());
        }
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }
}

/// Compilers, make, configure and shells all say one of these.
fn looks_like_error(line: &str) -> bool {
    const SIGNS: [&str; 6] = ["error:", "Error ", "fatal:", "not found", "undefined reference", "No such file"];
    // `checking for x... not found` is how configure scripts talk about everything that is optional.
    !line.starts_with("checking ") && SIGNS.iter().any(|sign| line.contains(sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(pieces: &[&str]) -> (Excerpt, Vec<u8>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut log = Log::new(file.reopen().unwrap());
        for piece in pieces {
            log.write(piece.as_bytes()).unwrap();
        }
        let excerpt = log.finish().unwrap();
        (excerpt, std::fs::read(file.path()).unwrap())
    }

    #[test]
    fn the_first_error_and_the_last_lines_are_kept_and_the_file_has_all() {
        let lines: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let (excerpt, file) =
            excerpt(&["cc x.c\nx.c:1: err", "or: no\n", "checking for y... not found\n", &lines, "end"]);
        assert_eq!(excerpt.first_error.as_deref(), Some("x.c:1: error: no"));
        assert_eq!(excerpt.tail.len(), 25);
        assert_eq!(excerpt.tail.last().unwrap(), "end");
        assert!(file.ends_with(b"line 99\nend") && file.starts_with(b"cc x.c\n"));
    }

    #[test]
    fn an_endless_line_is_not_remembered_whole() {
        let (excerpt, file) = excerpt(&["x".repeat(100_000).as_str(), "\n"]);
        assert_eq!(excerpt.tail[0].len(), LINE);
        assert_eq!(file.len(), 100_001);
    }
}
