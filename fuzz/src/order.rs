//! How other systems order versions: their algorithms as their sources have them, to hold ours against.

use std::cmp::Ordering;

/// dpkg, `lib/dpkg/version.c`.
pub fn dpkg(a: &str, b: &str) -> Ordering {
    let ((epoch_a, rest_a), (epoch_b, rest_b)) = (split_epoch(a), split_epoch(b));
    let ((version_a, revision_a), (version_b, revision_b)) = (split_release(rest_a), split_release(rest_b));
    epoch_a
        .cmp(&epoch_b)
        .then_with(|| dpkg_part(version_a, version_b))
        .then_with(|| dpkg_part(revision_a.unwrap_or(""), revision_b.unwrap_or("")))
}

/// rpm, `rpmio/rpmvercmp.c`; `None` where only one of them has a release.
pub fn rpm(a: &str, b: &str) -> Option<Ordering> {
    let ((epoch_a, rest_a), (epoch_b, rest_b)) = (split_epoch(a), split_epoch(b));
    let ((version_a, release_a), (version_b, release_b)) = (split_release(rest_a), split_release(rest_b));
    let order = epoch_a.cmp(&epoch_b).then_with(|| rpm_part(version_a.as_bytes(), version_b.as_bytes()));
    match (order, release_a, release_b) {
        (Ordering::Equal, Some(a), Some(b)) => Some(rpm_part(a.as_bytes(), b.as_bytes())),
        (Ordering::Equal, None, None) => Some(order),
        (Ordering::Equal, ..) => None,
        _ => Some(order),
    }
}

/// pacman, `lib/libalpm/version.c`; `None` where only one of them has a release.
pub fn pacman(a: &str, b: &str) -> Option<Ordering> {
    let ((epoch_a, rest_a), (epoch_b, rest_b)) = (split_epoch(a), split_epoch(b));
    let ((version_a, release_a), (version_b, release_b)) = (split_release(rest_a), split_release(rest_b));
    let order = epoch_a.cmp(&epoch_b).then_with(|| pacman_part(version_a.as_bytes(), version_b.as_bytes()));
    match (order, release_a, release_b) {
        (Ordering::Equal, Some(a), Some(b)) => Some(pacman_part(a.as_bytes(), b.as_bytes())),
        (Ordering::Equal, None, None) => Some(order),
        (Ordering::Equal, ..) => None,
        _ => Some(order),
    }
}

/// A number of digits before the first `:`, which may be as large as it likes.
fn split_epoch(text: &str) -> ((usize, &str), &str) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    match text[digits..].strip_prefix(':') {
        Some(rest) => {
            let epoch = text[..digits].trim_start_matches('0');
            ((epoch.len(), epoch), rest)
        }
        None => ((0, ""), text),
    }
}

fn split_release(text: &str) -> (&str, Option<&str>) {
    text.rsplit_once('-').map_or((text, None), |(version, release)| (version, Some(release)))
}

/// The bytes at the beginning that are like this.
fn run(bytes: &[u8], is: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(|byte| !is(byte)).unwrap_or(bytes.len()))
}

fn compare_numbers(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (run(a, |&byte| byte == b'0').1, run(b, |&byte| byte == b'0').1);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn dpkg_part(a: &str, b: &str) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(b'~') => -1,
        Some(byte) => i32::from(*byte) + 256,
    };
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while !a.is_empty() || !b.is_empty() {
        let is_word = |rest: &[u8]| rest.first().is_some_and(|byte| !byte.is_ascii_digit());
        while is_word(a) || is_word(b) {
            let order = weight(a.first()).cmp(&weight(b.first()));
            if order != Ordering::Equal {
                return order;
            }
            (a, b) = (a.get(1..).unwrap_or(a), b.get(1..).unwrap_or(b));
        }
        let ((number_a, rest_a), (number_b, rest_b)) = (run(a, u8::is_ascii_digit), run(b, u8::is_ascii_digit));
        let order = compare_numbers(number_a, number_b);
        if order != Ordering::Equal {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// A number and a number, or a word and a word, at the beginning of both; an order where they differ.
fn compare_segments<'a, 'b>(a: &'a [u8], b: &'b [u8]) -> Result<(&'a [u8], &'b [u8]), Ordering> {
    let is_number = a[0].is_ascii_digit();
    let is = |byte: &u8| if is_number { byte.is_ascii_digit() } else { byte.is_ascii_alphabetic() };
    let ((segment_a, rest_a), (segment_b, rest_b)) = (run(a, is), run(b, is));
    if segment_b.is_empty() {
        return Err(if is_number { Ordering::Greater } else { Ordering::Less });
    }
    let order = if is_number { compare_numbers(segment_a, segment_b) } else { segment_a.cmp(segment_b) };
    if order == Ordering::Equal { Ok((rest_a, rest_b)) } else { Err(order) }
}

fn rpm_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    let is_separator = |byte: &u8| !byte.is_ascii_alphanumeric() && !b"~^".contains(byte);
    if a == b {
        return Ordering::Equal;
    }
    while !a.is_empty() || !b.is_empty() {
        (a, b) = (run(a, is_separator).1, run(b, is_separator).1);
        match (a.first(), b.first()) {
            (Some(b'~'), Some(b'~')) | (Some(b'^'), Some(b'^')) => (a, b) = (&a[1..], &b[1..]),
            (Some(b'~'), _) | (None, Some(b'^')) => return Ordering::Less,
            (_, Some(b'~')) | (Some(b'^'), None) => return Ordering::Greater,
            (Some(b'^'), _) => return Ordering::Less,
            (_, Some(b'^')) => return Ordering::Greater,
            (None, _) | (_, None) => break,
            _ => match compare_segments(a, b) {
                Ok(rest) => (a, b) = rest,
                Err(order) => return order,
            },
        }
    }
    a.len().min(1).cmp(&b.len().min(1))
}

fn pacman_part(mut a: &[u8], mut b: &[u8]) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    while !a.is_empty() && !b.is_empty() {
        let is_separator = |byte: &u8| !byte.is_ascii_alphanumeric();
        let ((separator_a, rest_a), (separator_b, rest_b)) = (run(a, is_separator), run(b, is_separator));
        (a, b) = (rest_a, rest_b);
        if a.is_empty() || b.is_empty() {
            break;
        }
        if separator_a.len() != separator_b.len() {
            return separator_a.len().cmp(&separator_b.len());
        }
        match compare_segments(a, b) {
            Ok(rest) => (a, b) = rest,
            Err(order) => return order,
        }
    }
    match (a.first(), b.first()) {
        (None, None) => Ordering::Equal,
        (None, Some(byte)) if !byte.is_ascii_alphabetic() => Ordering::Less,
        (Some(byte), _) if byte.is_ascii_alphabetic() => Ordering::Less,
        _ => Ordering::Greater,
    }
}
