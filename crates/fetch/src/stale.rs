//! Whether two file names are two versions of one thing.

/// The name in its parts: what comes before the version, and the version with what follows; `None` without a version.
fn split(name: &str) -> Option<(&str, &str)> {
    let bytes = name.as_bytes();
    let starts = |at: usize| {
        let after = if bytes[at] == b'v' { at + 1 } else { at };
        let fresh = at == 0 || matches!(bytes[at - 1], b'-' | b'_');
        fresh && bytes.get(after).is_some_and(u8::is_ascii_digit)
    };
    let at = (0..bytes.len()).find(|&at| starts(at))?;
    let version = &name[at..];
    Some((name[..at].trim_end_matches(['-', '_']), version.strip_prefix('v').unwrap_or(version)))
}

/// The version without the endings that say how it is packed.
fn bare(version: &str) -> &str {
    const ENDINGS: [&str; 18] = [
        ".tar", ".gz", ".xz", ".bz2", ".zst", ".lz", ".lzma", ".Z", ".tgz", ".txz", ".tbz", ".tbz2", ".zip", ".deb",
        ".orig", "-src", "-source", ".patch",
    ];
    let mut version = version;
    while let Some(shorter) = ENDINGS.iter().find_map(|ending| version.strip_suffix(ending)) {
        version = shorter;
    }
    version
}

/// Whether `long` is `short` and a word of whoever packed it: `1.2.13` and `1.2.13.dfsg`.
fn is_word_longer(short: &str, long: &str) -> bool {
    let mut rest = long.strip_prefix(short).unwrap_or_default().chars();
    rest.next().is_some_and(|c| !c.is_ascii_alphanumeric()) && rest.next().is_some_and(|c| c.is_ascii_alphabetic())
}

/// Whether the names are those of two versions of the same thing: `foo-1.0.tar.gz` and `foo-1.1.tar.gz`.
pub(crate) fn are_two_versions(one: &str, other: &str) -> bool {
    let (Some((name, version)), Some((other_name, other_version))) = (split(one), split(other)) else { return false };
    let (version, other_version) = (bare(version), bare(other_version));
    name == other_name
        && version != other_version
        && !is_word_longer(version, other_version)
        && !is_word_longer(other_version, version)
}

#[cfg(test)]
mod tests {
    use super::are_two_versions;

    #[test]
    fn versions_of_one_thing_are_told_apart() {
        for (one, other) in [
            ("foo-1.0.tar.gz", "foo-1.1.tar.gz"),
            ("foo-1.0.tar.gz", "foo-1.0.1.tar.xz"),
            ("foo-bar_1.2.orig.tar.gz", "foo-bar-1.3.zip"),
            ("v1.0.tar.gz", "v1.1.tar.gz"),
            ("foo-v1.0.tgz", "foo-1.1.tgz"),
            ("libc6_2.36-9_amd64.deb", "libc6_2.36-10_amd64.deb"),
            ("foo-1.0rc1.tar.gz", "foo-1.0.tar.gz"),
        ] {
            assert!(are_two_versions(one, other), "{one} {other}");
            assert!(are_two_versions(other, one), "{other} {one}");
        }
    }

    #[test]
    fn other_names_for_one_version_are_no_contradiction() {
        for (one, other) in [
            ("foo-1.0.tar.gz", "foo-1.0.tar.gz"),
            ("foo-1.0.tar.gz", "foo_1.0.orig.tar.gz"),
            ("zlib-1.2.13.tar.bz2", "zlib_1.2.13.dfsg.orig.tar.bz2"),
            ("zstd-1.5.4.tar.xz", "libzstd_1.5.4+dfsg2.orig.tar.xz"),
            ("lua-5.4.4.tar.gz", "lua5.4_5.4.4.orig.tar.gz"),
            ("download.tgz", "foo-1.0.tar.gz"),
            ("v1.0.tar.gz", "foo-1.0.tar.gz"),
            ("0001-fix.patch", "fix.patch"),
            ("", "1"),
        ] {
            assert!(!are_two_versions(one, other), "{one} {other}");
            assert!(!are_two_versions(other, one), "{other} {one}");
        }
    }
}
