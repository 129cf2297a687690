use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use crate::ParseError;

/// An upstream version with its epoch: `[epoch:]upstream`, upstream being `[0-9A-Za-z][0-9A-Za-z.+_~^]*`.
///
/// Versions are ordered by epoch, then as dpkg orders upstream versions, with `^` (a snapshot after a release) added.
/// `1.0` and `1.00` are *equivalent* ([`Version::compare`]) but different spellings, so [`Ord`] puts one before the
/// other and agrees with [`Eq`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version {
    epoch: u64,
    upstream: String,
}

impl Version {
    /// A version from its parts; epoch 0 stands for none.
    ///
    /// # Errors
    /// An upstream version outside the grammar.
    pub fn new(epoch: u64, upstream: &str) -> Result<Self, ParseError> {
        check_upstream(upstream).map_err(|reason| ParseError::new("version", upstream, reason))?;
        Ok(Self { epoch, upstream: upstream.to_owned() })
    }

    /// The epoch; 0 where there is none.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The version as upstream writes it.
    pub fn upstream(&self) -> &str {
        &self.upstream
    }

    /// The order of the versions themselves: `1.0` and `1.00` are equal.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.epoch.cmp(&other.epoch).then_with(|| compare_upstream(self.upstream.as_bytes(), other.upstream.as_bytes()))
    }

    /// Whether the dotted parts of `prefix` begin this version: `1.6` begins `1.6.2` but not `1.60`.
    pub fn has_prefix(&self, prefix: &Self) -> bool {
        if self.epoch != prefix.epoch {
            return false;
        }
        let mut parts = self.upstream.split('.');
        prefix
            .upstream
            .split('.')
            .all(|wanted| parts.next().is_some_and(|part| compare_upstream(part.as_bytes(), wanted.as_bytes()).is_eq()))
    }
}

fn check_upstream(text: &str) -> Result<(), &'static str> {
    let first = text.bytes().next().ok_or("it is empty")?;
    if text.len() > 128 {
        return Err("it is longer than 128 characters");
    }
    if !first.is_ascii_alphanumeric() {
        return Err("it must begin with a letter or a digit");
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || b".+_~^".contains(&b)) {
        return Err("only letters, digits, `.`, `+`, `_`, `~` and `^` may stand in it");
    }
    Ok(())
}

/// The weight of a character outside digit runs: `~` before the end, then `^`, letters, everything else.
fn weight(byte: Option<u8>) -> u16 {
    match byte {
        Some(b'~') => 0,
        None | Some(b'0'..=b'9') => 1,
        Some(b'^') => 2,
        Some(letter) if letter.is_ascii_alphabetic() => 3 + u16::from(letter),
        Some(other) => 0x200 + u16::from(other),
    }
}

/// dpkg's comparison: runs without digits character by character, runs of digits as numbers of any length.
fn compare_upstream(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (a, b);
    while !a.is_empty() || !b.is_empty() {
        loop {
            let (left, right) = (a.first().copied(), b.first().copied());
            let is_text = |byte: Option<u8>| byte.is_some_and(|byte| !byte.is_ascii_digit());
            if !is_text(left) && !is_text(right) {
                break;
            }
            match weight(left).cmp(&weight(right)) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                unequal => return unequal,
            }
        }
        let (number_a, rest_a) = split_number(a);
        let (number_b, rest_b) = split_number(b);
        match number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b)) {
            Ordering::Equal => (a, b) = (rest_a, rest_b),
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// The leading digits without leading zeros, and what follows them.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let zeros = text[..end].iter().take_while(|&&byte| byte == b'0').count();
    (&text[zeros..end], &text[end..])
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        self.compare(other).then_with(|| self.upstream.cmp(&other.upstream))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Version {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once(':') {
            None => Self::new(0, text),
            Some((epoch, upstream)) => Self::new(parse_decimal("epoch", epoch)?, upstream),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.epoch != 0 {
            write!(f, "{}:", self.epoch)?;
        }
        f.write_str(&self.upstream)
    }
}

/// Reads a decimal number in its only spelling: no sign, no leading zero.
pub(crate) fn parse_decimal(what: &'static str, text: &str) -> Result<u64, ParseError> {
    let error = |reason| ParseError::new(what, text, reason);
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(error("a decimal number is expected"));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(error("it has a leading zero"));
    }
    text.parse().map_err(|_| error("it is too large"))
}

/// The packager's count for one upstream version: 0 is an imported seed, 1 and up are our own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Release(pub u64);

impl FromStr for Release {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        parse_decimal("release", text).map(Self)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A version and, where the text names one, a release: `[epoch:]upstream[-release]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullVersion {
    /// Epoch and upstream version.
    pub version: Version,
    /// The release, where it is named.
    pub release: Option<Release>,
}

impl FromStr for FullVersion {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once('-') {
            None => Ok(Self { version: text.parse()?, release: None }),
            Some((version, release)) => Ok(Self { version: version.parse()?, release: Some(release.parse()?) }),
        }
    }
}

impl fmt::Display for FullVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.version.fmt(f)?;
        match self.release {
            Some(release) => write!(f, "-{release}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap()
    }

    /// The vectors of the study, checked there against dpkg where dpkg takes the spelling.
    #[test]
    fn the_order_is_dpkgs() {
        let vectors = "1.0 = 1.00; 1.0 < 1.0.0; 1.9 < 1.10; 1.10 > 1.2; 1.0~rc1 < 1.0; 1.0~rc1 < 1.0~rc2; 1.0~~ < 1.0~; \
             1.0~alpha < 1.0~beta; 1.0 < 1.0^git1; 1.0^git1 < 1.0.1; 1.0^a < 1.0a; 1.0^20240101 < 1.0^20240102; \
             1.0 < 1.0a; 1.0a < 1.0b; 1.0 < 1.0+git1; 1.0+git1 < 1.0.1; 1.0a < 1.0.1; 1.0rc1 > 1.0; 1.0 < 1.0p1; \
             2024.01.05 = 2024.1.5; 4.50 < 4.999.1; 1.0A < 1.0a; 1.0Z < 1.0a; 1.0_1 > 1.0.1; 1 < 1.0; 10 > 9; \
             1.0.010 > 1.0.9; 18446744073709551616 < 18446744073709551617; 1.0~git20240101 < 1.0; \
             5.0.0~alpha < 5.0.0~rc.1; 5.0.0~rc.1 < 5.0.0; 3.0.0 < 3.0.0+dfsg; 1.0~a < 1.0~a^b; 1.1.0h < 1.1.0i; \
             9.53.3 < 10.0; 1:0.1 > 9; 2:1 > 1:9";
        for vector in vectors.split("; ") {
            let [left, sign, right] = vector.split_whitespace().collect::<Vec<_>>().try_into().unwrap();
            let order = version(left).compare(&version(right));
            let expected = match sign {
                "<" => Ordering::Less,
                ">" => Ordering::Greater,
                _ => Ordering::Equal,
            };
            assert_eq!(order, expected, "{vector}");
            assert_eq!(version(right).compare(&version(left)), expected.reverse(), "{vector}");
        }
    }

    #[test]
    fn prefixes_count_whole_parts() {
        assert!(version("1.6.2").has_prefix(&version("1.6")));
        assert!(version("1.6").has_prefix(&version("1.6")));
        assert!(!version("1.60").has_prefix(&version("1.6")));
        assert!(!version("1").has_prefix(&version("1.6")));
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in ["", "-1", ".1", "1-2", "1:", ":1", "01:1", "1 ", "1/2", "é"] {
            assert!(bad.parse::<Version>().is_err(), "{bad}");
        }
        for bad in ["1-", "1-01", "1-2-3", "1-a", "1--2"] {
            assert!(bad.parse::<FullVersion>().is_err(), "{bad}");
        }
        assert_eq!("1:2.3-4".parse::<FullVersion>().unwrap().to_string(), "1:2.3-4");
    }

    proptest! {
        #[test]
        fn the_order_is_total(a in "[0-9a-cA.~^+_]{0,6}", b in "[0-9a-cA.~^+_]{0,6}", c in "[0-9a-cA.~^+_]{0,6}") {
            let [a, b, c] = [a, b, c].map(|tail| version(&format!("1{tail}")));
            prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
            prop_assert_eq!(a.cmp(&b).is_eq(), a == b);
            if a <= b && b <= c {
                prop_assert!(a <= c);
            }
        }
    }
}
