use super::{Coded, VersionError, is_zero, split_run};

/// Who compares.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Apk,
    Gentoo,
}

/// Suffixes from the first to the last, and what they become. Those in the front half come before the version itself;
/// the names of the others are spelled so that the alphabet has them in their order.
const BEFORE: [&str; 4] = ["alpha", "beta", "pre", "rc"];
const AFTER: [(&str, &str); 5] = [("cvs", "cvs"), ("svn", "dsvn"), ("git", "git"), ("hg", "hg"), ("p", "p")];

/// Numbers and dots stand for themselves, and so does the letter after them. A part with a leading zero is a fraction:
/// `1.01` comes before `1.1`, so its digits after the zero become `_0` and `_1`, which come after everything that can
/// follow a number. `_rc1` is `~rc1`, `_p1` is `^p1`, and the revision `-r3` is `^3`, between the end and `^p`.
pub(super) fn code(text: &str, dialect: Dialect) -> Result<Coded, VersionError> {
    let wrong = |reason| Err(VersionError::new(text, reason));
    let (base, revision) = split_revision(text, dialect)?;
    let (numbers, mut rest) = split_run(base, |byte| byte.is_ascii_digit() || byte == b'.');
    let mut upstream = code_numbers(text, numbers, dialect)?;
    if rest.starts_with(|first: char| first.is_ascii_lowercase()) {
        upstream.push_str(&rest[..1]);
        rest = &rest[1..];
    }
    // The letter is the last of the numbers: what follows it begins with a mark or is the end.
    let mut is_open = false;
    while let Some(after) = rest.strip_prefix('_') {
        let (name, after) = split_run(after, |byte| byte.is_ascii_lowercase());
        let (number, after) = split_run(after, |byte| byte.is_ascii_digit());
        let is_before = BEFORE.contains(&name);
        if is_open && !is_before {
            return wrong("has a suffix without a number before one that comes later, which has no counterpart");
        }
        is_open = push_suffix(&mut upstream, name, number, dialect)
            .ok_or_else(|| VersionError::new(text, "has a suffix that is not known"))?;
        rest = after;
    }
    if let Some(hash) = rest.strip_prefix('~').filter(|_| dialect == Dialect::Apk) {
        if hash.is_empty() || !hash.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return wrong("has a commit that is no hexadecimal number");
        }
        upstream.push_str("^^");
        // Compared as text, so digits must not be taken for numbers.
        hash.bytes()
            .for_each(|digit| upstream.push(char::from(if digit.is_ascii_digit() { digit + 17 } else { digit })));
        rest = "";
    }
    if !rest.is_empty() {
        return wrong("is not of the form 1.2b_rc3-r4");
    }
    Ok(Coded { epoch: 0, upstream, joint: "", revision })
}

fn split_revision(text: &str, dialect: Dialect) -> Result<(&str, Option<String>), VersionError> {
    let Some((base, revision)) = text.split_once('-') else { return Ok((text, None)) };
    let digits = revision.strip_prefix('r').unwrap_or_default();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(VersionError::new(text, "has a revision that is not of the form -r4"));
    }
    // Portage takes an absent revision for 0, apk for less.
    let is_absent = dialect == Dialect::Gentoo && is_zero(digits);
    Ok((base, (!is_absent).then(|| format!("^{digits}"))))
}

fn code_numbers(text: &str, numbers: &str, dialect: Dialect) -> Result<String, VersionError> {
    let mut coded = String::new();
    for (index, part) in numbers.split('.').enumerate() {
        if part.is_empty() {
            return Err(VersionError::new(text, "has a part without digits"));
        }
        if index == 0 {
            coded.push_str(part);
            continue;
        }
        coded.push('.');
        match part.strip_prefix('0') {
            None => coded.push_str(part),
            Some(fraction) => {
                // Portage ignores the zeros at a fraction's end.
                let fraction = if dialect == Dialect::Gentoo { fraction.trim_end_matches('0') } else { fraction };
                coded.push('0');
                fraction.chars().for_each(|digit| coded.extend(['_', digit]));
            }
        }
    }
    Ok(coded)
}

/// Appends a suffix; gives whether apk tells its missing number from 0.
fn push_suffix(coded: &mut String, name: &str, number: &str, dialect: Dialect) -> Option<bool> {
    if BEFORE.contains(&name) {
        coded.extend(["~", name]);
    } else {
        let known = AFTER.iter().find(|(known, _)| *known == name && (dialect == Dialect::Apk || name == "p"))?;
        coded.extend(["^", known.1]);
    }
    match number {
        "" => coded.push('0'),
        zero if is_zero(zero) && dialect == Dialect::Apk => coded.push_str("0^_"),
        number => coded.push_str(number),
    }
    Some(number.is_empty() && dialect == Dialect::Apk)
}

/// The text of Portage that [`code`] makes this of, if there is one.
pub(super) fn decode(upstream: &str) -> Option<String> {
    let (numbers, mut rest) = split_run(upstream, |byte| byte.is_ascii_digit() || b"._".contains(&byte));
    let mut text = numbers.replace('_', "");
    if rest.starts_with(|first: char| first.is_ascii_lowercase()) {
        text.push_str(&rest[..1]);
        rest = &rest[1..];
    }
    while let Some(mark) = rest.chars().next() {
        let (name, after) = split_run(rest.get(1..)?, |byte| byte.is_ascii_lowercase());
        let (number, after) = split_run(after, |byte| byte.is_ascii_digit());
        match (mark, name) {
            ('^', "") => text.push_str("-r"),
            ('~' | '^', name) => text.extend(["_", name]),
            _ => return None,
        }
        text.push_str(number);
        rest = after;
    }
    Some(text)
}
