use std::fmt;
use std::str::FromStr;

use crate::{ParseError, PkgPath};

/// A pattern for paths of a package: `*` and `?` within a component, `**` across components, `[a-z]` and `[!a-z]` for
/// one byte, `\` before a character that means itself. `usr/include/**` is everything below that folder, and the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Glob {
    text: String,
    components: Vec<Component>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Component {
    /// `**`: any number of components.
    Deep,
    One(Vec<Piece>),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Piece {
    Byte(u8),
    Any,
    Star,
    Class { negated: bool, ranges: Vec<(u8, u8)> },
}

impl Glob {
    /// Reads a pattern.
    ///
    /// # Errors
    /// An absolute or empty pattern, an empty, `.` or `..` component, `**` beside other characters, an open `[`.
    pub fn new(text: &str) -> Result<Self, ParseError> {
        let error = |reason| ParseError { what: "pattern", text: text.to_owned(), reason };
        if text.is_empty() || text.starts_with('/') {
            return Err(error("a path without a `/` at its beginning is expected"));
        }
        let components = text.split('/').map(parse_component).collect::<Result<_, _>>().map_err(error)?;
        Ok(Self { text: text.to_owned(), components })
    }

    /// The longest folder that every path of the pattern is in; `None` where they may be anywhere.
    pub fn folder(&self) -> Option<PkgPath> {
        let (_, folders) = self.components.split_last()?;
        let names = folders.iter().map_while(Component::literal);
        let text = names.collect::<Vec<_>>().join(&b'/');
        if text.is_empty() { None } else { PkgPath::new(text).ok() }
    }

    /// Whether the pattern stands for `path`.
    pub fn matches(&self, path: &PkgPath) -> bool {
        let path: Vec<&[u8]> = path.components().collect();
        // reached[i]: the components so far can stand for the first i of the path. One row per component keeps the work
        // at their product, whatever the pattern.
        let mut reached = vec![false; path.len() + 1];
        reached[0] = true;
        for component in &self.components {
            reached = component.advance(&reached, &path);
        }
        // `usr/include/**` is the folder as well.
        reached[path.len()]
    }
}

impl Component {
    /// The one name that it stands for.
    fn literal(&self) -> Option<Vec<u8>> {
        let Self::One(pieces) = self else { return None };
        let byte = |piece: &Piece| if let Piece::Byte(byte) = piece { Some(*byte) } else { None };
        pieces.iter().map(byte).collect()
    }

    fn advance(&self, reached: &[bool], path: &[&[u8]]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        match self {
            Self::Deep => {
                let mut any = false;
                for (slot, from) in next.iter_mut().zip(reached) {
                    any |= *from;
                    *slot = any;
                }
            }
            Self::One(pieces) => {
                for (index, name) in path.iter().enumerate() {
                    next[index + 1] = reached[index] && matches_name(pieces, name);
                }
            }
        }
        next
    }
}

fn matches_name(pieces: &[Piece], name: &[u8]) -> bool {
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for piece in pieces {
        let mut next = vec![false; reached.len()];
        let mut any = false;
        for index in 0..reached.len() {
            any |= reached[index];
            if *piece == Piece::Star {
                next[index] = any;
            } else if reached[index] && name.get(index).is_some_and(|&byte| piece.accepts(byte)) {
                next[index + 1] = true;
            }
        }
        reached = next;
    }
    reached[name.len()]
}

impl Piece {
    fn accepts(&self, byte: u8) -> bool {
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::Any | Self::Star => true,
            Self::Class { negated, ranges } => {
                *negated != ranges.iter().any(|&(low, high)| (low..=high).contains(&byte))
            }
        }
    }
}

fn parse_component(text: &str) -> Result<Component, &'static str> {
    match text {
        "" | "." | ".." => return Err("empty, `.` and `..` components can not be"),
        "**" => return Ok(Component::Deep),
        mixed if mixed.contains("**") => return Err("`**` stands alone between slashes"),
        _ => {}
    }
    let mut bytes = text.bytes();
    let mut pieces = Vec::new();
    while let Some(byte) = bytes.next() {
        pieces.push(match byte {
            b'*' => Piece::Star,
            b'?' => Piece::Any,
            b'[' => parse_class(&mut bytes)?,
            b'\\' => Piece::Byte(bytes.next().ok_or("nothing follows the `\\`")?),
            plain => Piece::Byte(plain),
        });
    }
    Ok(Component::One(pieces))
}

fn parse_class(bytes: &mut std::str::Bytes<'_>) -> Result<Piece, &'static str> {
    const OPEN: &str = "a `[` has no `]`";
    let mut members = Vec::new();
    let mut negated = false;
    loop {
        match bytes.next().ok_or(OPEN)? {
            b'!' if members.is_empty() && !negated => negated = true,
            b']' if !members.is_empty() => break,
            b'\\' => members.push(bytes.next().ok_or(OPEN)?),
            plain => members.push(plain),
        }
    }
    Ok(Piece::Class { negated, ranges: ranges(&members)? })
}

fn ranges(members: &[u8]) -> Result<Vec<(u8, u8)>, &'static str> {
    let mut ranges = Vec::new();
    let mut rest = members;
    while let [first, tail @ ..] = rest {
        if let [b'-', last, after @ ..] = tail {
            if first > last {
                return Err("a range runs backwards");
            }
            ranges.push((*first, *last));
            rest = after;
        } else {
            ranges.push((*first, *first));
            rest = tail;
        }
    }
    Ok(ranges)
}

impl FromStr for Glob {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::new(text)
    }
}

impl fmt::Display for Glob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(glob: &str, path: &str) -> bool {
        Glob::new(glob).unwrap().matches(&PkgPath::new(path.as_bytes()).unwrap())
    }

    #[test]
    fn patterns() {
        for (glob, path) in [
            ("**", "usr"),
            ("**", "usr/bin/lua"),
            ("usr/include/**", "usr/include"),
            ("usr/include/**", "usr/include/a/b.h"),
            ("usr/lib/*.so", "usr/lib/libz.so"),
            ("**/*.a", "usr/lib/libz.a"),
            ("**/*.a", "libz.a"),
            ("usr/**/x", "usr/x"),
            ("a?c", "abc"),
            ("[a-cx]", "b"),
            ("[!a-c]", "d"),
            ("[]]", "]"),
            (r"\*", "*"),
        ] {
            assert!(matches(glob, path), "{glob} {path}");
        }
        for (glob, path) in [
            ("usr/include/**", "usr/included"),
            ("usr/lib/*.so", "usr/lib/x/libz.so"),
            ("usr/lib/*.so", "usr/lib/libz.so.1"),
            ("*", "usr/bin"),
            ("a?c", "ac"),
            ("[!a-c]", "b"),
            (r"\*", "a"),
        ] {
            assert!(!matches(glob, path), "{glob} {path}");
        }
    }

    #[test]
    fn the_folder_of_a_pattern_has_all_its_paths() {
        let folder = |glob: &str| Glob::new(glob).unwrap().folder().map(|folder| folder.to_string());
        assert_eq!(folder("usr/lib/*.so*").as_deref(), Some("usr/lib"));
        assert_eq!(folder("usr/include/**").as_deref(), Some("usr/include"));
        assert_eq!(folder(r"usr/a\*/b").as_deref(), Some("usr/a*"));
        assert_eq!(folder("usr/l*/x/y").as_deref(), Some("usr"));
        assert_eq!((folder("usr"), folder("**/*.a"), folder("*/x")), (None, None, None));
    }

    #[test]
    fn other_patterns_are_refused() {
        for bad in ["", "/usr", "usr//x", "usr/", "../x", "a**", "[a", "[", "a\\", "[z-a]"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_hostile_pattern_ends() {
        let glob = "*a".repeat(500);
        assert!(!matches(&glob, &"a".repeat(200)));
        assert!(!matches(&format!("{}x", "**/x/".repeat(500)), "a/b/c/d/e/f"));
    }

    proptest! {
        #[test]
        fn a_path_matches_itself(path in "[a-z.]{1,5}(/[a-z0-9_+-]{1,5}){0,3}") {
            prop_assume!(PkgPath::new(path.as_bytes()).is_ok());
            prop_assert!(matches(&path, &path));
        }
    }
}
