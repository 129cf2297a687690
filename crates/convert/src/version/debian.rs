use super::{Coded, VersionError, is_zero, split_epoch};

/// dpkg's order is ours, so characters stand for themselves, but for two that our grammar lacks: `-` is `+_` and `:` is
/// `._`. Debian has no `_`, and ours counts it as the last of all characters, so `+_` comes after everything that begins
/// with `+` and before `.`, as `-` does.
///
/// The revision follows a `^`, which comes after the end of a version and before everything else but `~`. An absent
/// revision is the revision 0. A revision before that one (`0~rc1`) follows `~_` instead, which comes after everything
/// else that begins with `~`.
pub(super) fn code(text: &str) -> Result<Coded, VersionError> {
    let (epoch, rest) = split_epoch(text)?;
    let (upstream, revision) = match rest.rsplit_once('-') {
        Some((_, "")) => return Err(VersionError::new(text, "has an empty revision")),
        Some((upstream, revision)) => (upstream, Some(revision)),
        None => (rest, None),
    };
    if upstream.is_empty() {
        return Err(VersionError::new(text, "is empty"));
    }
    let revision = match revision {
        Some(revision) => code_revision(text, revision)?,
        None => None,
    };
    // Without a number before it, `^` and `~` would be compared with the digits of longer versions.
    let joint = if upstream.ends_with(|last: char| last.is_ascii_digit()) { "" } else { "0" };
    Ok(Coded { epoch, upstream: code_characters(text, upstream)?, joint, revision })
}

fn code_revision(text: &str, revision: &str) -> Result<Option<String>, VersionError> {
    let coded = code_characters(text, revision)?;
    let after_zeros = coded.trim_start_matches('0');
    Ok(if is_zero(&coded) {
        None
    } else if after_zeros.starts_with('~') {
        Some(format!("~_{after_zeros}"))
    } else {
        Some(format!("^{coded}"))
    })
}

fn code_characters(text: &str, part: &str) -> Result<String, VersionError> {
    let mut coded = String::with_capacity(part.len());
    for c in part.chars() {
        match c {
            '-' => coded.push_str("+_"),
            ':' => coded.push_str("._"),
            c if c.is_ascii_alphanumeric() || ".+~".contains(c) => coded.push(c),
            _ => return Err(VersionError::new(text, "has a character that Debian's grammar does not have")),
        }
    }
    Ok(coded)
}
