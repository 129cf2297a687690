//! What is different about a path.

use std::fmt;

use pkgfs::FileKind;
use pkgtypes::{Digest, Mode, PkgPath};

/// What is different about a path: what its package says, and what is there. Its text says both, what is there first.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Aspect {
    /// Nothing is there.
    Missing,
    /// Something of another type is there.
    Type {
        /// The package's word for the type.
        expected: &'static str,
        /// What is there; `None` where something above it is no folder.
        found: Option<FileKind>,
    },
    /// The content of a file.
    Content {
        /// That of the package.
        expected: Facts,
        /// That on the disk.
        found: Facts,
    },
    /// The target of a symbolic link.
    Target {
        /// That of the package.
        expected: Vec<u8>,
        /// That on the disk.
        found: Vec<u8>,
    },
    /// It is a file of its own instead of another name of one.
    Link {
        /// The file that it should be a name of.
        expected: PkgPath,
    },
    /// The permissions.
    Mode {
        /// Those that it should have.
        expected: Mode,
        /// Those that it has.
        found: Mode,
    },
    /// Owner or group.
    Owner {
        /// The package's.
        expected: Ownership,
        /// The disk's, by the names that the root has for them.
        found: Ownership,
    },
    /// An extended attribute that the package sets, or a capability or an ACL that it does not.
    Xattr {
        /// Its name.
        name: Vec<u8>,
        /// The package's value; `None` where the package has none.
        expected: Option<Vec<u8>>,
        /// The disk's value; `None` where there is none.
        found: Option<Vec<u8>>,
    },
    /// The numbers of a device.
    Device {
        /// Major and minor number that it should have.
        expected: (u32, u32),
        /// Those that it has.
        found: (u32, u32),
    },
    /// It could not be read.
    Unreadable,
}

/// What is known of a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// Its length in bytes.
    pub size: u64,
    /// Its digest; `None` where the length told already, so that it was not read.
    pub digest: Option<Digest>,
}

/// Whose a path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ownership {
    /// The user, by name or number.
    pub user: String,
    /// The group, by name or number.
    pub group: String,
}

impl Aspect {
    /// One word for it, the same whatever the values are.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Type { .. } => "type",
            Self::Content { .. } => "content",
            Self::Target { .. } => "target",
            Self::Link { .. } => "link",
            Self::Mode { .. } => "mode",
            Self::Owner { .. } => "owner",
            Self::Xattr { .. } => "xattrs",
            Self::Device { .. } => "device",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether it can be put right in place.
    pub(crate) fn is_attribute(&self) -> bool {
        matches!(self, Self::Mode { .. } | Self::Owner { .. } | Self::Xattr { .. })
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::Missing | Self::Unreadable => Ok(()),
            Self::Type { expected, found: None } => write!(f, " (what is above it is no folder) instead of {expected}"),
            Self::Type { expected, found: Some(found) } => write!(f, " {} instead of {expected}", found.name()),
            Self::Content {
                expected: Facts { size, digest: Some(digest) },
                found: Facts { digest: Some(found), .. },
            } => {
                write!(f, " sha256 {} instead of {}, {size} bytes", Short(found), Short(digest))
            }
            Self::Content { expected, found } => write!(f, " {} instead of {} bytes", found.size, expected.size),
            Self::Target { expected, found } => {
                write!(f, " {} instead of {}", found.escape_ascii(), expected.escape_ascii())
            }
            Self::Link { expected } => write!(f, " (a file of its own) instead of a name of /{expected}"),
            Self::Mode { expected, found } => write!(f, " {found} instead of {expected}"),
            Self::Owner { expected, found } => write!(f, " {found} instead of {expected}"),
            Self::Xattr { name, expected, found } => {
                let (found, expected) = (Value(found.as_deref()), Value(expected.as_deref()));
                write!(f, " {} {found} instead of {expected}", name.escape_ascii())
            }
            Self::Device { expected, found } => {
                write!(f, " {}:{} instead of {}:{}", found.0, found.1, expected.0, expected.1)
            }
        }
    }
}

impl fmt::Display for Ownership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.user.escape_debug(), self.group.escape_debug())
    }
}

/// Enough of a digest to tell two apart.
struct Short<'a>(&'a Digest);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_bytes()[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// An attribute's value: as text where it is text, otherwise in hexadecimal digits as `getfattr` has it.
struct Value<'a>(Option<&'a [u8]>);

/// The bytes of a value that are shown.
const SHOWN: usize = 48;

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(value) = self.0 else { return f.write_str("none") };
        let shown = &value[..value.len().min(SHOWN)];
        if shown.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ') {
            write!(f, "\"{}\"", shown.escape_ascii())?;
        } else {
            f.write_str("0x")?;
            shown.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        }
        if shown.len() < value.len() { f.write_str("..") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! texts {
        ($($name:ident: $aspect:expr => $text:literal;)*) => {$(
            #[test]
            fn $name() {
                assert_eq!($aspect.to_string(), $text);
            }
        )*};
    }

    fn facts(content: &str, is_read: bool) -> Facts {
        Facts { size: content.len() as u64, digest: is_read.then(|| Digest::of(content)) }
    }

    fn xattr(expected: Option<&[u8]>, found: Option<&[u8]>) -> Aspect {
        let [expected, found] = [expected, found].map(|value| value.map(<[u8]>::to_vec));
        Aspect::Xattr { name: b"user.mark".to_vec(), expected, found }
    }

    texts! {
        a_longer_content: Aspect::Content { expected: facts("one", true), found: facts("three", false) }
            => "content 5 instead of 3 bytes";
        another_content_of_the_same_length: Aspect::Content { expected: facts("one", true), found: facts("two", true) }
            => "content sha256 3fc4ccfe7458 instead of 7692c3ad3540, 3 bytes";
        another_type: Aspect::Type { expected: "dir", found: Some(FileKind::Symlink) } => "type symlink instead of dir";
        permissions: Aspect::Mode { expected: Mode::from_raw(0o4755), found: Mode::from_raw(0o755) }
            => "mode 0755 instead of 4755";
        an_attribute_that_is_gone: xattr(Some(b"a b"), None) => "xattrs user.mark none instead of \"a b\"";
        an_attribute_of_bytes: xattr(None, Some(&[0, 1])) => "xattrs user.mark 0x0001 instead of none";
        a_long_attribute: xattr(Some(&[b'a'; 49]), Some(b""))
            => "xattrs user.mark \"\" instead of \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"..";
        a_target_with_control_characters: Aspect::Target { expected: b"a".to_vec(), found: b"\x1b[m".to_vec() }
            => "target \\x1b[m instead of a";
    }
}
