//! Meta lists: `{ size(len) name '=' value } 00`, names sorted, a repeated name is a list of sorted values.

use crate::error::MetaError;
use crate::size::{self, SizeError};

/// The name of the entry that gives a record's kind.
pub(crate) const RECORD: &str = "record";
/// The longest name.
const MAX_NAME: usize = 64;

/// One entry, its name checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) name: &'a str,
    pub(crate) value: &'a [u8],
}

impl<'a> Item<'a> {
    fn parse(entry: &'a [u8]) -> Result<Self, MetaError> {
        let window = &entry[..entry.len().min(MAX_NAME + 1)];
        let Some(equals) = window.iter().position(|&byte| byte == b'=') else {
            return Err(missing_equals(entry));
        };
        let name = checked_name(&entry[..equals])?;
        Ok(Self { name, value: &entry[equals + 1..] })
    }
}

fn missing_equals(entry: &[u8]) -> MetaError {
    match entry.iter().position(|&byte| byte == b'=') {
        Some(equals) => MetaError::Name(shown(&entry[..equals])),
        None => MetaError::NoEquals(shown(entry)),
    }
}

/// Checks a name's grammar: `[a-z][a-z0-9.:-]{0,63}`.
pub(crate) fn checked_name(name: &[u8]) -> Result<&str, MetaError> {
    let good = |&byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b':' | b'-');
    let fits = name.first().is_some_and(u8::is_ascii_lowercase) && name.len() <= MAX_NAME && name.iter().all(good);
    let text = std::str::from_utf8(name).ok().filter(|_| fits);
    text.ok_or_else(|| MetaError::Name(shown(name)))
}

/// The beginning of `bytes`, safe to print.
pub(crate) fn shown(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    let mut text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN {
        text.push_str("..");
    }
    text
}

/// The entries of an encoded list, up to the byte 00 that ends it; every spelling is checked, the order too.
pub(crate) struct Items<'a> {
    whole: usize,
    rest: &'a [u8],
    previous: Option<Item<'a>>,
    ended: bool,
}

impl<'a> Items<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { whole: bytes.len(), rest: bytes, previous: None, ended: false }
    }

    /// How many bytes were read so far.
    pub(crate) fn position(&self) -> usize {
        self.whole - self.rest.len()
    }

    /// Takes the first entry as the record's kind; the names after it are sorted among themselves.
    pub(crate) fn kind(&mut self) -> Result<&'a str, MetaError> {
        let first = self.next().ok_or(MetaError::Missing(RECORD))??;
        if first.name != RECORD {
            return Err(MetaError::NoKind(first.name.to_owned()));
        }
        self.previous = None;
        checked_name(first.value)
    }

    fn take(&mut self) -> Result<Option<Item<'a>>, MetaError> {
        let (length, rest) = size::split(self.rest).map_err(cut_off)?;
        if length == 0 {
            self.rest = rest;
            return Ok(None);
        }
        let length = usize::try_from(length).map_err(|_| MetaError::CutOff)?;
        let (entry, after) = rest.split_at_checked(length).ok_or(MetaError::CutOff)?;
        let item = Item::parse(entry)?;
        if let Some(previous) = &self.previous {
            check_order(previous, &item)?;
        }
        self.previous = Some(item);
        self.rest = after;
        Ok(Some(item))
    }
}

fn cut_off(error: SizeError) -> MetaError {
    if error == SizeError::Short { MetaError::CutOff } else { MetaError::Length(error) }
}

impl<'a> Iterator for Items<'a> {
    type Item = Result<Item<'a>, MetaError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let item = self.take();
        self.ended = !matches!(item, Ok(Some(_)));
        item.transpose()
    }
}

fn check_order(previous: &Item<'_>, item: &Item<'_>) -> Result<(), MetaError> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    match previous.name.cmp(item.name) {
        Less => Ok(()),
        Greater => Err(MetaError::Unsorted { name: item.name.to_owned(), previous: previous.name.to_owned() }),
        Equal if is_ordered(item.name) => Ok(()),
        Equal => match previous.value.cmp(item.value) {
            Less => Ok(()),
            Equal => Err(MetaError::RepeatedValue(item.name.to_owned())),
            Greater => Err(MetaError::UnsortedValues(item.name.to_owned())),
        },
    }
}

/// Lists whose order has a meaning: the lines of a description, the libraries in ELF order.
fn is_ordered(name: &str) -> bool {
    matches!(name, "description" | "needed")
}

/// Hops from entry to entry beginning at `from`; gives where the first unfinished entry begins, or where the list ends.
pub(crate) fn skip_entries(bytes: &[u8], from: usize) -> Result<Skipped, MetaError> {
    let mut at = from;
    loop {
        let (length, after) = match size::split(&bytes[at..]) {
            Ok(split) => split,
            Err(SizeError::Short) => return Ok(Skipped::Unfinished(at)),
            Err(error) => return Err(error.into()),
        };
        if length == 0 {
            return Ok(Skipped::Whole(at + 1));
        }
        let rest = usize::try_from(length).ok().and_then(|length| after.get(length..));
        match rest {
            Some(rest) => at = bytes.len() - rest.len(),
            None => return Ok(Skipped::Unfinished(at)),
        }
    }
}

/// How far [`skip_entries`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skipped {
    /// The list ends before this position.
    Whole(usize),
    /// The entry that begins here needs more bytes.
    Unfinished(usize),
}

/// Appends one entry. The name's grammar and the order are the caller's care.
pub(crate) fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    size::put(out, (name.len() + 1 + value.len()) as u64);
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

/// A record's meta list in its one encoding: `record=KIND` first, then the entries sorted by name, lists by value.
///
/// ```
/// use pkgformat::Meta;
///
/// let meta = Meta::new("signature", [("owner", "ann"), ("key", "2"), ("key", "1")])?;
/// assert_eq!(meta.kind(), "signature");
/// let entries: Vec<_> = meta.entries().collect();
/// assert_eq!(entries, [("key", &b"1"[..]), ("key", b"2"), ("owner", b"ann")]);
/// # Ok::<(), pkgformat::MetaError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Meta(Vec<u8>);

impl Meta {
    /// Sorts `entries` by name, lists by value, and drops values that stand twice in a list. The order of `description`
    /// and `needed` is kept.
    ///
    /// # Errors
    /// A kind or a name outside `[a-z][a-z0-9.:-]{0,63}`; an entry named `record`.
    pub fn new<N, V>(kind: &str, entries: impl IntoIterator<Item = (N, V)>) -> Result<Self, MetaError>
    where
        N: AsRef<str>,
        V: AsRef<[u8]>,
    {
        let mut entries: Vec<(N, V)> = entries.into_iter().collect();
        for (name, _) in &entries {
            if checked_name(name.as_ref().as_bytes())? == RECORD {
                return Err(MetaError::SecondKind);
            }
        }
        sort(&mut entries);
        let mut bytes = Vec::new();
        put(&mut bytes, RECORD, checked_name(kind.as_bytes())?.as_bytes());
        for (name, value) in &entries {
            put(&mut bytes, name.as_ref(), value.as_ref());
        }
        bytes.push(0);
        Ok(Self(bytes))
    }

    /// Checks an encoded list, its end included.
    pub(crate) fn decode(bytes: Vec<u8>) -> Result<Self, (usize, MetaError)> {
        let mut items = Items::new(&bytes);
        let checked = items.kind().and_then(|_| items.by_ref().try_for_each(|item| not_kind(&item?)));
        checked.map_err(|error| (items.position(), error))?;
        Ok(Self(bytes))
    }

    /// What kind of record this is: `package`, `blob`, `summary`, ..
    pub fn kind(&self) -> &str {
        self.items().next().and_then(|item| std::str::from_utf8(item.value).ok()).unwrap_or_default()
    }

    /// Names and values in their order, without the kind.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.items().skip(1).map(|item| (item.name, item.value))
    }

    /// The value of `name`; the first one of a list.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.values(name).next()
    }

    /// All values of `name`.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        self.entries().filter(move |(found, _)| *found == name).map(|(_, value)| value)
    }

    /// The encoded list, the byte 00 that ends it included.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    fn items(&self) -> impl Iterator<Item = Item<'_>> {
        // The list was checked or made by this type, and `record` at its front need not be sorted among the others.
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = size::split(rest).ok().filter(|(length, _)| *length > 0)?;
            let (entry, after) = after.split_at_checked(usize::try_from(length).ok()?)?;
            rest = after;
            Item::parse(entry).ok()
        })
    }
}

fn not_kind(item: &Item<'_>) -> Result<(), MetaError> {
    if item.name == RECORD { Err(MetaError::SecondKind) } else { Ok(()) }
}

fn sort<N: AsRef<str>, V: AsRef<[u8]>>(entries: &mut Vec<(N, V)>) {
    entries.sort_by(|(a, left), (b, right)| {
        let (a, b) = (a.as_ref(), b.as_ref());
        a.cmp(b).then_with(|| if is_ordered(a) { std::cmp::Ordering::Equal } else { left.as_ref().cmp(right.as_ref()) })
    });
    entries.dedup_by(|(a, left), (b, right)| {
        a.as_ref() == b.as_ref() && !is_ordered(a.as_ref()) && left.as_ref() == right.as_ref()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            size::put(&mut bytes, entry.len() as u64);
            bytes.extend_from_slice(entry.as_bytes());
        }
        bytes.push(0);
        bytes
    }

    fn refused(entries: &[&str]) -> MetaError {
        Meta::decode(list(entries)).unwrap_err().1
    }

    #[test]
    fn golden() {
        let meta = Meta::new("k", [("b", ""), ("a", "2"), ("a", "1"), ("a", "2")]).unwrap();
        assert_eq!(meta.as_bytes(), b"\x01\x08record=k\x01\x03a=1\x01\x03a=2\x01\x02b=\0");
        assert_eq!(Meta::decode(meta.as_bytes().to_vec()), Ok(meta.clone()));
        assert_eq!(meta.value("b"), Some(&b""[..]));
        assert_eq!(meta.value("c"), None);
        assert_eq!(meta.values("a").collect::<Vec<_>>(), [b"1", b"2"]);
    }

    #[test]
    fn descriptions_keep_their_order() {
        let lines = [("description", "b"), ("description", "a"), ("description", "a")];
        let meta = Meta::new("package", lines).unwrap();
        assert!(meta.entries().map(|(_, value)| value).eq([b"b", b"a", b"a"]));
        assert!(Meta::decode(meta.as_bytes().to_vec()).is_ok());
    }

    #[test]
    fn each_wrong_list_has_its_own_error() {
        let text = |text: &str| text.to_owned();
        assert_eq!(refused(&[]), MetaError::Missing("record"));
        assert_eq!(refused(&["name=a", "record=k"]), MetaError::NoKind(text("name")));
        assert_eq!(refused(&["record=K"]), MetaError::Name(text("K")));
        assert_eq!(refused(&["record=k", "record=k"]), MetaError::SecondKind);
        assert_eq!(refused(&["record=k", "a"]), MetaError::NoEquals(text("a")));
        assert_eq!(refused(&["record=k", "=a"]), MetaError::Name(text("")));
        assert_eq!(refused(&["record=k", "A=a"]), MetaError::Name(text("A")));
        assert_eq!(refused(&["record=k", "a_b=a"]), MetaError::Name(text("a_b")));
        assert_eq!(refused(&["record=k", "b=", "a="]), MetaError::Unsorted { name: text("a"), previous: text("b") });
        assert_eq!(refused(&["record=k", "a=2", "a=1"]), MetaError::UnsortedValues(text("a")));
        assert_eq!(refused(&["record=k", "a=1", "a=1"]), MetaError::RepeatedValue(text("a")));
        let long = format!("{}=", "a".repeat(65));
        assert!(matches!(refused(&["record=k", &long]), MetaError::Name(_)));
        assert_eq!(
            Meta::decode(b"\x01\x08record=k\x02\0\x03a=1\0".to_vec()).unwrap_err().1,
            SizeError::LeadingZero.into()
        );
        assert_eq!(Meta::decode(b"\x01\x08record=k\x01\x05a=1\0".to_vec()).unwrap_err().1, MetaError::CutOff);
        assert_eq!(Meta::decode(b"\x01\x08record=k".to_vec()).unwrap_err().1, MetaError::CutOff);
    }

    #[test]
    fn names_that_can_not_be_written() {
        assert!(Meta::new("K", [("a", "")]).is_err());
        assert!(Meta::new("k", [("A", "")]).is_err());
        assert!(Meta::new("k", [("", "")]).is_err());
        assert_eq!(Meta::new("k", [("record", "")]), Err(MetaError::SecondKind));
    }

    #[test]
    fn a_list_ends_where_it_ends() {
        let bytes = list(&["a=1", "b="]);
        assert_eq!(skip_entries(&bytes, 0), Ok(Skipped::Whole(bytes.len())));
        assert_eq!(skip_entries(&bytes, 5), Ok(Skipped::Whole(bytes.len())));
        for cut in 0..bytes.len() {
            assert!(matches!(skip_entries(&bytes[..cut], 0), Ok(Skipped::Unfinished(_))));
        }
    }
}
