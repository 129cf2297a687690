use super::{Coded, VersionError, is_zero, split_epoch, split_run};

/// pacman sees numbers and words and how many other characters part them. After a number comes first a word that
/// follows at once (`1.0rc1` is before `1.0`), then the end, then whatever is parted from it, by fewer characters first
/// and words before numbers. After a word the end is first, then a number that follows at once, then the rest.
///
/// A word that follows a number at once is marked with `~`, a parted one with dots and `~`, a parted number with dots.
/// What is parted from a word follows a `^`. Where a word is the end, the release would be taken for its number, so a
/// `0` comes before it, and the number zero after a word is `0^_`.
pub(super) fn code(text: &str) -> Result<Coded, VersionError> {
    let (epoch, rest) = split_epoch(text)?;
    let (version, release) = match rest.rsplit_once('-') {
        Some((version, release)) => (version, Some(release)),
        None => (rest, None),
    };
    let (upstream, joint) = code_part(text, version)?;
    let revision = match release {
        None => None,
        Some(release) if release.starts_with(|first: char| first.is_ascii_digit()) => {
            Some(format!("^{}", code_part(text, release)?.0))
        }
        Some(_) => return Err(VersionError::new(text, "has a release that does not begin with a digit")),
    };
    Ok(Coded { epoch, upstream, joint, revision })
}

fn code_part(text: &str, part: &str) -> Result<(String, &'static str), VersionError> {
    let is_digit = |byte: u8| byte.is_ascii_digit();
    let is_letter = |byte: u8| byte.is_ascii_alphabetic();
    if !part.is_ascii() {
        return Err(VersionError::new(text, "has characters outside ASCII"));
    }
    let inside = |end: Option<char>| end.is_some_and(|c| c.is_ascii_alphanumeric());
    if !inside(part.chars().next()) || !inside(part.chars().next_back()) {
        return Err(VersionError::new(text, "does not begin and end with a letter or a digit"));
    }
    let mut coded = String::new();
    let mut after_word = None;
    let mut rest = part;
    while !rest.is_empty() {
        let (parting, after) = split_run(rest, |byte| !byte.is_ascii_alphanumeric());
        let is_number = after.bytes().next().is_some_and(is_digit);
        let (run, after) = if is_number { split_run(after, is_digit) } else { split_run(after, is_letter) };
        match (after_word, parting.len()) {
            // A version that begins with a word comes before all that begin with a number, and none of those has two `~`.
            (None, _) if !is_number => coded.push_str("0~~"),
            (Some(true), 0) if is_zero(run) => coded.push_str("0^_"),
            (None, _) | (Some(true), 0) => {}
            (Some(was_word), dots) => {
                coded.push_str(if was_word { "^" } else { "" });
                coded.extend(std::iter::repeat_n('.', dots));
                coded.push_str(if is_number { "" } else { "~" });
            }
        }
        let is_marked_zero = after_word == Some(true) && parting.is_empty() && is_zero(run);
        coded.push_str(if is_marked_zero { "" } else { run });
        after_word = Some(!is_number);
        rest = after;
    }
    Ok((coded, if after_word == Some(true) { "0" } else { "" }))
}
