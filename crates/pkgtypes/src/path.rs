use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::ParseError;

/// A path inside a tree: relative, raw bytes, no empty, `.` or `..` component, at most 4095 bytes.
///
/// The order counts `/` as byte 0, so a folder's subtree is contiguous and every parent stands before its children.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PkgPath(Box<[u8]>);

impl PkgPath {
    /// Longest path, in bytes.
    pub const MAX_LEN: usize = 4095;
    /// Longest component, in bytes.
    pub const MAX_COMPONENT: usize = 255;

    /// Checks `bytes` and takes them as a path.
    ///
    /// # Errors
    /// An absolute or empty path, a NUL, an empty, `.`, `..` or too long component, or too many bytes.
    pub fn new(bytes: impl Into<Box<[u8]>>) -> Result<Self, ParseError> {
        let bytes = bytes.into();
        match check(&bytes) {
            Ok(()) => Ok(Self(bytes)),
            Err(reason) => Err(ParseError::new("package path", &bytes, reason)),
        }
    }

    /// Checks a path of the operating system and takes its bytes.
    ///
    /// # Errors
    /// As [`PkgPath::new`].
    pub fn from_os(path: impl AsRef<OsStr>) -> Result<Self, ParseError> {
        Self::new(path.as_ref().as_bytes())
    }

    /// The raw bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The path for the operating system; relative, so join it to a root.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The components from the root down.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&byte| byte == b'/')
    }

    /// The last component.
    pub fn file_name(&self) -> &[u8] {
        self.split().1
    }

    /// The folder this path is in; `None` at the top.
    pub fn parent(&self) -> Option<Self> {
        self.split().0.map(|parent| Self(parent.into()))
    }

    /// All folders above this path, the nearest first.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        std::iter::successors(self.parent(), Self::parent)
    }

    /// This path with one more component.
    ///
    /// # Errors
    /// As [`PkgPath::new`]; a `/` in `name` too.
    pub fn join(&self, name: &[u8]) -> Result<Self, ParseError> {
        if name.contains(&b'/') {
            return Err(ParseError::new("file name", name, "a `/` stands in it"));
        }
        Self::new([&*self.0, b"/", name].concat())
    }

    /// Another name in the same folder.
    ///
    /// # Errors
    /// As [`PkgPath::join`].
    pub fn with_file_name(&self, name: &[u8]) -> Result<Self, ParseError> {
        match self.split().0 {
            Some(parent) => Self(parent.into()).join(name),
            None if name.contains(&b'/') => Err(ParseError::new("file name", name, "a `/` stands in it")),
            None => Self::new(name),
        }
    }

    /// Whether this path is `folder` or lies below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.0.strip_prefix(&*folder.0).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    fn split(&self) -> (Option<&[u8]>, &[u8]) {
        match self.0.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (Some(&self.0[..slash]), &self.0[slash + 1..]),
            None => (None, &self.0),
        }
    }
}

fn check(bytes: &[u8]) -> Result<(), &'static str> {
    if bytes.is_empty() {
        return Err("it is empty");
    }
    if bytes.len() > PkgPath::MAX_LEN {
        return Err("it is longer than 4095 bytes");
    }
    if bytes[0] == b'/' {
        return Err("it is absolute");
    }
    if bytes.contains(&0) {
        return Err("a NUL byte stands in it");
    }
    for component in bytes.split(|&byte| byte == b'/') {
        match component {
            b"" => return Err("a component is empty"),
            b"." | b".." => return Err("`.` and `..` are no components"),
            long if long.len() > PkgPath::MAX_COMPONENT => return Err("a component is longer than 255 bytes"),
            _ => {}
        }
    }
    Ok(())
}

impl Ord for PkgPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let shared = self.0.iter().zip(&other.0).position(|(a, b)| a != b);
        match shared {
            None => self.0.len().cmp(&other.0.len()),
            Some(at) => {
                let weight = |byte: u8| if byte == b'/' { 0 } else { byte };
                weight(self.0[at]).cmp(&weight(other.0[at]))
            }
        }
    }
}

impl PartialOrd for PkgPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl AsRef<Path> for PkgPath {
    fn as_ref(&self) -> &Path {
        self.as_path()
    }
}

/// Shows the path with control characters and non-UTF-8 bytes escaped, safe for a terminal.
impl fmt::Display for PkgPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() || c == '\\' || is_direction(c) {
                    write!(f, "{}", c.escape_default())?;
                } else {
                    write!(f, "{c}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters that turn the direction of text, with which a name can look like another.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl fmt::Debug for PkgPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PkgPath({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> PkgPath {
        PkgPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_path_can_not_leave_its_tree() {
        for bad in ["", "/", "/etc", "a/", "a//b", ".", "..", "a/..", "../a", "a/./b", "a\0b", &"a".repeat(256)] {
            assert!(PkgPath::new(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(PkgPath::new(vec![b'a'; 4096]).is_err());
        for good in ["a", "...", "..a", "a..", ".hidden/x", &"a/".repeat(2047)[..4093]] {
            assert!(PkgPath::new(good.as_bytes()).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_subtree_is_contiguous() {
        let mut sorted = vec![path("a-b"), path("a/b"), path("a"), path("a/b/c"), path("a.c"), path("b")];
        sorted.sort();
        assert_eq!(sorted, ["a", "a/b", "a/b/c", "a-b", "a.c", "b"].map(path));
    }

    #[test]
    fn parents_and_names() {
        let deep = path("usr/share/doc");
        assert_eq!(deep.parent(), Some(path("usr/share")));
        assert_eq!(deep.file_name(), b"doc");
        assert_eq!(deep.ancestors().collect::<Vec<_>>(), [path("usr/share"), path("usr")]);
        assert_eq!(deep.with_file_name(b"man").unwrap(), path("usr/share/man"));
        assert_eq!(path("usr").with_file_name(b"etc").unwrap(), path("etc"));
        assert!(deep.join(b"a/b").is_err());
        assert!(deep.is_within(&path("usr/share")) && !deep.is_within(&path("usr/sha")));
    }

    #[test]
    fn shown_without_control_characters() {
        let odd = PkgPath::new(b"a\x1b[31m\xff\\".as_slice()).unwrap();
        assert_eq!(odd.to_string(), r"a\u{1b}[31m\xff\\");
    }
}
