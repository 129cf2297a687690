//! The list of files of a pacman package, in the format of `mtree(5)`.

use std::collections::BTreeMap;

use crate::at::At;
use crate::{ArchiveError, Checksum, ChecksumAlgorithm, EntryKind};

/// Paths in a list: some times those of the largest packages.
const MAX_PATHS: usize = 1 << 19;

/// What the list says of a path.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Listed {
    /// SHA-256 where it has one, else MD5.
    pub(crate) checksum: Option<Checksum>,
    pub(crate) size: Option<u64>,
    pub(crate) link: Option<Vec<u8>>,
}

/// Reads the list; paths have no `./`. The error is the number of a line that can not be read.
pub(crate) fn parse(bytes: &[u8]) -> Result<BTreeMap<Vec<u8>, Listed>, usize> {
    let mut paths = BTreeMap::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let mut words = line.split(|&byte| byte == b' ').filter(|word| !word.is_empty());
        let Some(name) = words.next() else { continue };
        // Defaults say nothing that is compared here.
        if name.starts_with(b"#") || name.starts_with(b"/set") || name.starts_with(b"/unset") {
            continue;
        }
        let path = unescape(name.strip_prefix(b"./").ok_or(index + 1)?).ok_or(index + 1)?;
        let mut listed = Listed::default();
        for word in words {
            listed.set(word).ok_or(index + 1)?;
        }
        paths.insert(path, listed);
        if paths.len() > MAX_PATHS {
            return Err(index + 1);
        }
    }
    Ok(paths)
}

impl Listed {
    /// Holds an entry to what is known before its data are read.
    pub(crate) fn check(&self, kind: &EntryKind, at: &At) -> Result<(), ArchiveError> {
        let is_other = match kind {
            EntryKind::File { size } => self.size.is_some_and(|listed| listed != *size),
            EntryKind::Symlink { target } => self.link.as_ref().is_some_and(|link| link != target),
            _ => false,
        };
        if is_other { Err(at.malformed("its size or target is another one than in `.MTREE`")) } else { Ok(()) }
    }

    fn set(&mut self, word: &[u8]) -> Option<()> {
        let equals = word.iter().position(|&byte| byte == b'=');
        let Some(equals) = equals else { return Some(()) };
        let (key, value) = (&word[..equals], &word[equals + 1..]);
        match key {
            b"sha256digest" | b"sha256" => {
                self.checksum = Some(Checksum::from_hex(ChecksumAlgorithm::Sha256, value)?);
            }
            b"md5digest" | b"md5" => {
                let weaker = Checksum::from_hex(ChecksumAlgorithm::Md5, value)?;
                self.checksum.get_or_insert(weaker);
            }
            b"size" => self.size = Some(std::str::from_utf8(value).ok()?.parse().ok()?),
            b"link" => self.link = Some(unescape(value)?),
            _ => {}
        }
        Some(())
    }
}

/// `\ooo` stands for a byte, and `\\`, `\s`, `\t` and their like for one as in C.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if *first != b'\\' {
            bytes.push(*first);
            rest = after;
        } else if let Some((digits, after)) = octal(after) {
            bytes.push(digits);
            rest = after;
        } else {
            let (escaped, after) = after.split_first()?;
            bytes.push(match escaped {
                b's' => b' ',
                b't' => b'\t',
                b'n' => b'\n',
                b'r' => b'\r',
                b'a' => 7,
                b'b' => 8,
                b'f' => 12,
                b'v' => 11,
                b'\\' | b'#' | b'=' | b'"' => *escaped,
                _ => return None,
            });
            rest = after;
        }
    }
    Some(bytes)
}

fn octal(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, after) = text.split_first_chunk::<3>()?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    Some((u8::from_str_radix(digits, 8).ok()?, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_bsdtar() {
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let text = format!(
            "#mtree\n/set type=file uid=0 gid=0 mode=644\n./a\\040b time=1.5 size=3 md5digest={md5}\n./l type=link link=a\\\\b\n./usr type=dir\n"
        );
        let paths = parse(text.as_bytes()).unwrap();
        let file = &paths[&b"a b"[..]];
        assert_eq!((file.size, file.checksum.as_ref().unwrap().to_string()), (Some(3), md5.to_owned()));
        assert_eq!(paths[&b"l"[..]].link.as_deref(), Some(&b"a\\b"[..]));
        assert_eq!(paths[&b"usr"[..]], Listed::default());
    }

    #[test]
    fn the_better_checksum_counts() {
        let (md5, sha256) = ("0".repeat(32), "1".repeat(64));
        for text in
            [format!("./a md5digest={md5} sha256digest={sha256}"), format!("./a sha256digest={sha256} md5digest={md5}")]
        {
            assert_eq!(parse(text.as_bytes()).unwrap()[&b"a"[..]].checksum.as_ref().unwrap().to_string(), sha256);
        }
    }

    #[test]
    fn the_line_that_can_not_be_read_is_told() {
        assert_eq!(parse(b"#mtree\n./a size=x"), Err(2));
        assert_eq!(parse(b"a"), Err(1));
        assert_eq!(parse(b"./a\\q"), Err(1));
        assert_eq!(parse(b"./a\\777"), Err(1));
    }
}
