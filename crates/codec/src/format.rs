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
}

impl Format {
    /// Bytes that [`Format::sniff`] looks at.
    pub const MAGIC_LEN: usize = 6;

    /// Tells the format from the first bytes of a file.
    pub fn sniff(head: &[u8]) -> Self {
        match head {
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may come first, as it does in seekable files.
            [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50 => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x1f, 0x8b, 8, ..] => Self::Gzip,
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Self::Bzip2,
            _ => Self::Plain,
        }
    }

    /// Tells the format from a file's last ending.
    pub fn from_extension(path: &Path) -> Self {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("zst") => Self::Zstd,
            Some("xz") => Self::Xz,
            Some("gz") => Self::Gzip,
            Some("bz2") => Self::Bzip2,
            _ => Self::Plain,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "plain",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
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
    }
}
