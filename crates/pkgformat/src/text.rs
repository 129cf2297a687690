//! Values of meta entries: text, decimals, digests.

use std::num::ParseIntError;
use std::str::FromStr;

use pkgtypes::{Digest, ParseError};

use crate::error::MetaError;
use crate::list::shown;

/// A value outside its grammar.
pub(crate) fn invalid(what: &'static str, text: impl AsRef<[u8]>, reason: &'static str) -> ParseError {
    ParseError { what, text: shown(text.as_ref()), reason }
}

pub(crate) fn in_entry(name: &str, source: ParseError) -> MetaError {
    MetaError::Value { name: name.to_owned(), source }
}

/// Text: UTF-8 without control characters.
pub(crate) fn text(value: &[u8]) -> Result<&str, ParseError> {
    let text = std::str::from_utf8(value).map_err(|_| invalid("text", value, "it is not UTF-8"))?;
    match is_text(text) {
        true => Ok(text),
        false => Err(invalid("text", value, "a control character stands in it")),
    }
}

pub(crate) fn is_text(text: &str) -> bool {
    // Most text is printable ASCII, which needs no decoding.
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || !text.chars().any(char::is_control)
}

/// A decimal number in its only spelling: no sign, no leading zero.
pub(crate) fn decimal<N: FromStr<Err = ParseIntError>>(value: &[u8]) -> Result<N, ParseError> {
    let error = |reason| invalid("number", value, reason);
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(error("a decimal number is expected"));
    }
    if value.len() > 1 && value[0] == b'0' {
        return Err(error("it has a leading zero"));
    }
    let text = std::str::from_utf8(value).map_err(|_| error("a decimal number is expected"))?;
    text.parse().map_err(|_| error("it is too large"))
}

pub(crate) fn digest(value: &[u8]) -> Result<Digest, ParseError> {
    Digest::from_hex(value)
}

/// Text in lower case hex, whole bytes, at least one.
pub(crate) fn is_hex(text: &str) -> bool {
    let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    !text.is_empty() && text.len().is_multiple_of(2) && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_one_spelling() {
        assert_eq!(decimal(b"0"), Ok(0u64));
        assert_eq!(decimal(b"18446744073709551615"), Ok(u64::MAX));
        for bad in ["", "00", "01", "+1", "-0", " 1", "1 ", "18446744073709551616", "1e3", "0x1"] {
            assert!(decimal::<u64>(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_has_no_control_characters() {
        assert!(text("å – \u{1f600} ~".as_bytes()).is_ok());
        for bad in [&b"\n"[..], b"\0", b"\x7f", "\u{85}".as_bytes(), b"\xff"] {
            assert!(text(bad).is_err());
        }
    }
}
