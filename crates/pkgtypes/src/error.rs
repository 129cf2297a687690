/// A text that is not the word it was meant to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {what}: {reason}")]
pub struct ParseError {
    /// What the text was read as, for example `package name`.
    pub what: &'static str,
    /// The text, shortened and with control characters escaped.
    pub text: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl ParseError {
    pub(crate) fn new(what: &'static str, text: impl AsRef<[u8]>, reason: &'static str) -> Self {
        const SHOWN: usize = 120;
        let bytes = text.as_ref();
        let head = &bytes[..bytes.len().min(SHOWN)];
        let mut text = head.escape_ascii().to_string();
        if bytes.len() > SHOWN {
            text.push_str("..");
        }
        Self { what, text, reason }
    }
}
