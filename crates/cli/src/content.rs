//! A content on standard output.

use std::io::{self, Write};

use serde_json::{Value, json};

use crate::render;

/// Where a content goes: standard output as it is, or in events for programs. An event has `text`, or `hex` where the bytes are
/// no text; all of them together are the content, which is whole when `finished` came.
#[derive(Debug)]
pub struct Content {
    json: bool,
    /// The beginning of a character whose end has not come yet.
    held: Vec<u8>,
    size: u64,
}

impl Content {
    /// Nothing so far.
    pub fn new(json: bool) -> Self {
        Self { json, held: Vec::new(), size: 0 }
    }

    /// Says that it is whole, and what else there is to know of it.
    ///
    /// # Errors
    /// As [`render::data`].
    pub fn finish(mut self, mut facts: Value) -> anyhow::Result<()> {
        if !self.json {
            return Ok(());
        }
        let rest = std::mem::take(&mut self.held);
        if !rest.is_empty() {
            render::json(&event(&rest))?;
        }
        facts["reason"] = "finished".into();
        facts["size"] = self.size.into();
        render::json(&facts)
    }
}

impl Write for Content {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut out = io::stdout().lock();
        if !self.json {
            return out.write(bytes);
        }
        self.held.extend_from_slice(bytes);
        let whole = self.held.len() - unfinished(&self.held);
        let rest = self.held.split_off(whole);
        let said = std::mem::replace(&mut self.held, rest);
        self.size += bytes.len() as u64;
        if !said.is_empty() {
            writeln!(out, "{}", event(&said))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}

fn event(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "reason": "content", "text": text }),
        Err(_) => json!({ "reason": "content", "hex": render::hex(bytes) }),
    }
}

/// How many bytes at the end of a text are the beginning of a character.
fn unfinished(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => bytes.len() - error.valid_up_to(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_is_never_cut() {
        let text = "aé€🙂".as_bytes();
        let waiting = (0..=text.len()).map(|end| unfinished(&text[..end])).collect::<Vec<_>>();
        assert_eq!(waiting, [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0]);
        assert_eq!(unfinished(b"\xc3\xff"), 0, "what is no text waits for nothing");
    }

    #[test]
    fn what_is_no_text_is_told_byte_by_byte() {
        assert_eq!(event("é\n".as_bytes())["text"], "é\n");
        assert_eq!(event(b"a\xff")["hex"], "61ff");
    }
}
