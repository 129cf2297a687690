//! The `key = value` lines of `.PKGINFO`, as makepkg and abuild write them.

/// Reads the lines; the error is the number of one that is none.
pub(crate) fn parse(bytes: &[u8]) -> Result<Vec<(String, String)>, usize> {
    let mut fields = Vec::new();
    for (index, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| index + 1)?.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once('=').ok_or(index + 1)?;
        fields.push((key.trim().to_owned(), value.trim().to_owned()));
    }
    Ok(fields)
}

/// Fields that are taken out one after another; what is left is nothing that is known here.
pub(crate) struct Fields(pub(crate) Vec<(String, String)>);

impl Fields {
    /// All values of a key, in order.
    pub(crate) fn take(&mut self, key: &str) -> Vec<String> {
        self.0.extract_if(.., |(name, _)| name == key).map(|(_, value)| value).collect()
    }

    /// The value of a key that stands once; the last one where it stands more often, as the tools themselves have it.
    pub(crate) fn last(&mut self, key: &str) -> Option<String> {
        self.take(key).pop().filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let fields = parse(b"# made\n\npkgname = a\ndepend = so:b=1\npkgdesc =\ndepend=c").unwrap();
        let mut fields = Fields(fields);
        assert_eq!(fields.take("depend"), ["so:b=1", "c"]);
        assert_eq!(fields.last("pkgdesc"), None);
        assert_eq!(fields.0, [("pkgname".to_owned(), "a".to_owned())]);
        assert_eq!(parse(b"a = 1\nb"), Err(2));
        assert_eq!(parse(b"\xff = 1"), Err(1));
    }
}
