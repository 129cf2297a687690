//! Paths of archives as paths of trees.

use std::borrow::Cow;

use pkgtypes::{ParseError, PkgPath};

use crate::at::At;
use crate::{ArchiveError, Entry, EntryKind};

/// The path that `raw` stands for after `strip` folders are dropped; `None` where nothing is left.
///
/// `./` at the beginning, doubled slashes and a slash at the end say nothing and are dropped.
pub(crate) fn place(raw: &[u8], strip: u32) -> Result<Option<PkgPath>, ParseError> {
    if raw.first() == Some(&b'/') || raw.is_empty() {
        return PkgPath::new(raw).map(Some);
    }
    let parts: Vec<&[u8]> = raw.split(|&byte| byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    let all = parts.join(&b'/');
    if all.is_empty() {
        return Ok(None);
    }
    // The whole path is checked, so that a `..` is refused also where it would be stripped.
    let whole = PkgPath::new(all)?;
    let kept: Vec<&[u8]> = whole.components().skip(strip as usize).collect();
    if kept.is_empty() { Ok(None) } else { PkgPath::new(kept.join(&b'/')).map(Some) }
}

/// An entry without the first `strip` folders of its path; `None` where nothing is left.
pub(crate) fn strip<'e>(entry: &'e Entry, strip: u32, at: &At) -> Result<Option<Cow<'e, Entry>>, ArchiveError> {
    if strip == 0 {
        return Ok(Some(Cow::Borrowed(entry)));
    }
    let stripped = |path: &PkgPath| place(path.as_bytes(), strip).map_err(|source| at.path(path.as_bytes(), source));
    let Some(path) = stripped(&entry.path)? else { return Ok(None) };
    let mut entry = Entry { path, ..entry.clone() };
    if let EntryKind::Hardlink { target } = &mut entry.kind {
        *target = stripped(target)?.ok_or_else(|| at.malformed("it is a hard link to a folder that is stripped"))?;
    }
    Ok(Some(Cow::Owned(entry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_spellings_are_one_path() {
        for raw in ["a/b", "./a/b", "a//b/", "././a/./b"] {
            assert_eq!(place(raw.as_bytes(), 0).unwrap().unwrap().to_string(), "a/b", "{raw}");
        }
        assert_eq!(place(b"./", 0).unwrap(), None);
    }

    #[test]
    fn stripping() {
        assert_eq!(place(b"top/a/b", 1).unwrap().unwrap().to_string(), "a/b");
        assert_eq!(place(b"./top/", 1).unwrap(), None);
        assert_eq!(place(b"top/a", 2).unwrap(), None);
    }

    #[test]
    fn a_path_can_not_climb() {
        for raw in ["/etc/passwd", "../a", "a/../../b", "..", "", "a\0b"] {
            assert!(place(raw.as_bytes(), 0).is_err(), "{raw}");
        }
        assert!(place(b"../a", 1).is_err());
        assert!(place(b"//top/a", 1).is_err());
    }
}
