use std::fmt;
use std::path::Path;

/// A compression, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Not compressed, or in a way that is not known here.
    Plain,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
    /// RFC 1952.
    Gzip,
    /// bzip2.
    Bzip2,
    /// The .lz format; read only.
    Lzip,
    /// The .lzma format that .xz took the place of; read only.
    Lzma,
}

impl Format {
    /// Bytes that [`Format::sniff`] looks at.
    pub const MAGIC_LEN: usize = 13;
    /// All formats.
    pub const ALL: [Self; 7] = [Self::Plain, Self::Zstd, Self::Xz, Self::Gzip, Self::Bzip2, Self::Lzip, Self::Lzma];

    /// Tells the format from the first bytes of a file.
    ///
    /// ```
    /// assert_eq!(codec::Format::sniff(b"\x1f\x8b\x08\0"), codec::Format::Gzip);
    /// assert_eq!(codec::Format::sniff(b"\xABKPK\x01"), codec::Format::Plain);
    /// ```
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first, as it does in seekable files.
            [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            [b'L', b'Z', b'I', b'P', 1, ..] => Self::Lzip,
            [0x5d, rest @ ..] if is_lzma(rest) => Self::Lzma,
            _ => Self::Plain,
        }
    }

    /// Tells the format from a file's last ending.
    pub fn from_extension(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("zst" | "tzst") => Self::Zstd,
            Some("xz" | "txz") => Self::Xz,
            Some("gz" | "tgz") => Self::Gzip,
            Some("bz2" | "tbz" | "tbz2") => Self::Bzip2,
            Some("lz" | "tlz") => Self::Lzip,
            Some("lzma") => Self::Lzma,
            _ => Self::Plain,
        }
    }
}

/// Files in the .lzma format have no magic. As in liblzma's own sniffing, the usual properties, a dictionary of 2^n or
/// 2^n + 2^(n-1) bytes, and an unknown size or one below 256 GiB make one.
fn is_lzma(head: &[u8]) -> bool {
    let Some((dictionary, rest)) = head.split_first_chunk() else { return false };
    let Some((size, _)) = rest.split_first_chunk() else { return false };
    let (dictionary, size) = (u32::from_le_bytes(*dictionary), u64::from_le_bytes(*size));
    let rounded = dictionary == u32::MAX || matches!(dictionary >> dictionary.trailing_zeros().min(31), 1 | 3);
    rounded && (size == u64::MAX || size < 1 << 38)
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Lzip => "lzip",
            Self::Lzma => "lzma",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings() {
        assert_eq!(Format::from_extension(Path::new("a.kpkg.zst")), Format::Zstd);
        assert_eq!(Format::from_extension(Path::new("a.kpkg")), Format::Plain);
        assert_eq!(Format::from_extension(Path::new("zst")), Format::Plain);
        assert_eq!(Format::from_extension(Path::new("a-1.0.tgz")), Format::Gzip);
    }

    #[test]
    fn what_only_looks_like_lzma_is_plain() {
        let head = |dictionary: u32, size: u64| [&[0x5d][..], &dictionary.to_le_bytes(), &size.to_le_bytes()].concat();
        assert_eq!(Format::sniff(&head(1 << 23, u64::MAX)), Format::Lzma);
        assert_eq!(Format::sniff(&head(3 << 20, 100)), Format::Lzma);
        assert_eq!(Format::sniff(&head(5 << 20, 100)), Format::Plain);
        assert_eq!(Format::sniff(&head(0, 100)), Format::Plain);
        assert_eq!(Format::sniff(&head(1 << 23, 1 << 40)), Format::Plain);
        assert_eq!(Format::sniff(&head(1 << 23, 100)[..12]), Format::Plain);
        assert_eq!(Format::sniff(b"]]]]]]]]]]]]]]]"), Format::Plain);
    }
}
