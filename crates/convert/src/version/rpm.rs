use super::{Coded, VersionError, is_zero, split_epoch, split_run};

/// rpm sees numbers, words, `~` and `^`; all else only parts them. At each place `~` comes before the end, and after it
/// come `^`, words and numbers, in this order.
///
/// Words stand for themselves. A number after a word follows it at once, any other one follows a `.`, which comes after
/// all letters. Where something else than a number follows a word, a `0` stands between them; so the number zero after a
/// word is `0.0`. `^` is `^_`, because `^` and a digit begin the release.
pub(super) fn code(text: &str) -> Result<Coded, VersionError> {
    let (epoch, rest) = split_epoch(text)?;
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release)),
        None => (rest, None),
    };
    let mut upstream = Coder::default();
    upstream.begin(text, version)?;
    let revision = match release {
        Some(release) => Some(code_release(text, release)?),
        None => None,
    };
    let joint = if upstream.after_word { "0" } else { "" };
    Ok(Coded { epoch, upstream: upstream.coded, joint, revision })
}

fn code_release(text: &str, release: &str) -> Result<String, VersionError> {
    let mut coder = Coder { coded: "^".to_owned(), after_word: true };
    let tokens = tokens(release);
    if tokens.is_empty() {
        return Err(VersionError::new(text, "has a release without letters and digits"));
    }
    tokens.into_iter().for_each(|token| coder.put(token));
    Ok(coder.coded)
}

#[derive(Default)]
struct Coder {
    coded: String,
    /// A number that comes now stands by itself.
    after_word: bool,
}

#[derive(Clone, Copy)]
enum Token<'a> {
    Number(&'a str),
    Word(&'a str),
    Tilde,
    Caret,
}

impl Coder {
    /// A version that begins with a word comes before all that begin with a number. `0~~` says so, which none of those
    /// that are accepted begins with.
    fn begin(&mut self, text: &str, version: &str) -> Result<(), VersionError> {
        let tokens = tokens(version);
        let mut rest = tokens.iter().copied();
        match rest.next() {
            None => return Err(VersionError::new(text, "has neither letters nor digits")),
            Some(Token::Tilde | Token::Caret) => {
                return Err(VersionError::new(text, "begins with neither a letter nor a digit"));
            }
            Some(Token::Number(digits)) => {
                if is_zero(digits) && matches!(tokens.get(1..3), Some([Token::Tilde, Token::Tilde])) {
                    return Err(VersionError::new(text, "begins with `0~~`, which has no counterpart"));
                }
                self.coded.push_str(digits);
            }
            Some(Token::Word(word)) => {
                self.coded.push_str("0~~");
                self.put(Token::Word(word));
            }
        }
        rest.for_each(|token| self.put(token));
        Ok(())
    }

    fn put(&mut self, token: Token<'_>) {
        let (mark, text, after_word) = match token {
            Token::Number(digits) if self.after_word && !is_zero(digits) => ("", digits, false),
            Token::Number(digits) if self.after_word => ("0.", digits, false),
            Token::Number(digits) => (".", digits, false),
            Token::Word(word) => (self.stop(), word, true),
            Token::Tilde => (self.stop(), "~", false),
            Token::Caret => (self.stop(), "^_", false),
        };
        self.coded.push_str(mark);
        self.coded.push_str(text);
        self.after_word = after_word;
    }

    fn stop(&self) -> &'static str {
        if self.after_word { "0" } else { "" }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (digits, after_digits) = split_run(rest, is_digit);
        let (letters, after_letters) = split_run(rest, is_letter);
        let after_mark = &rest[first.len_utf8()..];
        let (token, after) = match first {
            '~' => (Some(Token::Tilde), after_mark),
            '^' => (Some(Token::Caret), after_mark),
            _ if !digits.is_empty() => (Some(Token::Number(digits)), after_digits),
            _ if !letters.is_empty() => (Some(Token::Word(letters)), after_letters),
            _ => (None, after_mark),
        };
        tokens.extend(token);
        rest = after;
    }
    tokens
}
