use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::str::FromStr;

use pkgtypes::PackageName;

use crate::{Error, Result};

/// Where a source can be had.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Url {
    /// `http://HOST/..` or `https://HOST/..`.
    Http(String),
    /// `file:///PATH`, where `%XX` stands for a byte.
    File(PathBuf),
    /// `apt:NAME=VERSION`: a binary package from the machine's own apt.
    Apt {
        /// The package.
        name: String,
        /// Its version, as Debian writes it, epoch and revision included.
        version: String,
    },
    /// `apt-src:NAME=VERSION/FILE`: one file of a source package from the machine's own apt.
    AptSrc {
        /// The source package.
        name: String,
        /// Its version, as Debian writes it, epoch and revision included.
        version: String,
        /// One of its files.
        file: String,
    },
}

impl Url {
    pub(crate) fn is_apt(&self) -> bool {
        matches!(self, Self::Apt { .. } | Self::AptSrc { .. })
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse(text).map_err(|reason| Error::Url { text: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<Url, &'static str> {
    let (scheme, rest) = text.split_once(':').ok_or("it begins with no scheme")?;
    match scheme {
        "http" | "https" => parse_http(rest).map(|()| Url::Http(text.to_owned())),
        "file" => parse_file(rest).map(Url::File),
        "apt" => parse_pin(rest).map(|(name, version)| Url::Apt { name, version }),
        "apt-src" => {
            let (pin, file) = rest.split_once('/').ok_or("`apt-src:NAME=VERSION/FILE` is expected")?;
            let (name, version) = parse_pin(pin)?;
            if file.is_empty() || file.contains('/') || file == "." || file == ".." || !is_graphic(file) {
                return Err("a file name is expected after the version");
            }
            Ok(Url::AptSrc { name, version, file: file.to_owned() })
        }
        _ => Err("the schemes are https, http, file, apt and apt-src"),
    }
}

fn parse_http(rest: &str) -> Result<(), &'static str> {
    let after = rest.strip_prefix("//").ok_or("`//HOST/` is expected after the scheme")?;
    match after.split(['/', '?', '#']).next() {
        None | Some("") => Err("`//HOST/` is expected after the scheme"),
        // A password would end up in messages and records.
        Some(host) if host.contains('@') => Err("a user name can not stand in it"),
        Some(_) if !is_graphic(rest) => Err("it has a character that must be written as %XX"),
        Some(_) => Ok(()),
    }
}

fn parse_file(rest: &str) -> Result<PathBuf, &'static str> {
    let path = rest.strip_prefix("//").filter(|path| path.starts_with('/')).ok_or("`file:///PATH` is expected")?;
    let bytes = unescape(path)?;
    if bytes.contains(&0) {
        return Err("a path has no NUL byte");
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

fn unescape(text: &str) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut nibble = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (high, low) = nibble().zip(nibble()).ok_or("two hex digits are expected after %")?;
        bytes.push(u8::try_from(high << 4 | low).expect("two hex digits are a byte"));
    }
    Ok(bytes)
}

/// Neither part can be taken for an option or hold a blank: both become an argument of apt.
fn parse_pin(text: &str) -> Result<(String, String), &'static str> {
    let (name, version) = text.split_once('=').ok_or("`NAME=VERSION` is expected")?;
    name.parse::<PackageName>().map_err(|_| "no package has such a name")?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b".+-~:".contains(&byte);
    if !version.starts_with(|c: char| c.is_ascii_digit()) || !version.bytes().all(known) {
        return Err("no Debian package has such a version");
    }
    Ok((name.to_owned(), version.to_owned()))
}

fn is_graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(text) => f.write_str(text),
            Self::File(path) => {
                f.write_str("file://")?;
                path.as_os_str().as_encoded_bytes().iter().try_for_each(|&byte| match byte {
                    b'%' => f.write_str("%25"),
                    byte if byte.is_ascii_graphic() => write!(f, "{}", char::from(byte)),
                    byte => write!(f, "%{byte:02X}"),
                })
            }
            Self::Apt { name, version } => write!(f, "apt:{name}={version}"),
            Self::AptSrc { name, version, file } => write!(f, "apt-src:{name}={version}/{file}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_kind_reads_back_as_it_was_written() {
        for text in [
            "https://example.org/a-1.0.tar.gz?raw=1",
            "http://example.org:8080/a",
            "file:///srv/a%20b%25.tar",
            "apt:libc6=2.36-9+deb12u14",
            "apt:gcc=4:12.2.0-3",
            "apt-src:zlib=1:1.2.13.dfsg-1/zlib_1.2.13.dfsg.orig.tar.bz2",
        ] {
            assert_eq!(text.parse::<Url>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn others_are_refused_with_their_text() {
        for text in [
            "a.tar.gz",
            "ftp://example.org/a",
            "https:a",
            "https:///a",
            "https://user:secret@example.org/a",
            "https://example.org/a b",
            "file://host/a",
            "file:///a%2",
            "file:///a%00",
            "apt:libc6",
            "apt:libc6=",
            "apt:-o=1",
            "apt:a=-1",
            "apt:a=1 b=2",
            "apt-src:a=1",
            "apt-src:a=1/",
            "apt-src:a=1/..",
            "apt-src:a=1/b/c",
        ] {
            let error = text.parse::<Url>().unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(https?|file|apt|apt-src):.{0,40}") {
            if let Ok(url) = text.parse::<Url>() {
                prop_assert_eq!(url.to_string().parse::<Url>().unwrap(), url);
            }
        }
    }
}
