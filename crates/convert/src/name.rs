//! Names of packages and capabilities in our grammar.

use pkgtypes::{Capability, PackageName};

/// The capability that stands for what a foreign system calls `name`: itself where it is a package name of ours, else
/// `label:name`, with the characters that a capability can not have as `%XX`.
pub(crate) fn capability(label: &str, name: &str) -> Option<Capability> {
    match name.parse::<PackageName>() {
        Ok(name) => Some(name.into()),
        Err(_) => labelled(label, name),
    }
}

/// `label:text`, whatever the text.
pub(crate) fn labelled(label: &str, text: &str) -> Option<Capability> {
    let mut capability = format!("{label}:");
    for c in text.chars() {
        if c.is_control() || c.is_whitespace() || "|<=>%".contains(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                capability.push_str(&format!("%{byte:02X}"));
            }
        } else {
            capability.push(c);
        }
    }
    capability.parse().ok()
}

/// A package name for a foreign one: itself, or in lower case with `-` for what no name has.
pub(crate) fn package_name(name: &str) -> Option<PackageName> {
    if let Ok(name) = name.parse() {
        return Some(name);
    }
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+._-".contains(c);
    let folded: String = name.to_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).collect();
    folded.trim_start_matches(|c: char| !c.is_ascii_alphanumeric()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_outside_the_grammar_are_folded_and_kept_as_capabilities() {
        for (foreign, name, capability_) in [
            ("zlib", "zlib", "zlib"),
            ("libstdc++", "libstdc++", "libstdc++"),
            ("ImageMagick", "imagemagick", "rpm:ImageMagick"),
            ("perl(Foo::Bar)", "perl-foo--bar-", "rpm:perl(Foo::Bar)"),
            ("font(:lang=en)", "font--lang-en-", "rpm:font(:lang%3Den)"),
            ("_a", "a", "rpm:_a"),
        ] {
            assert_eq!(package_name(foreign).unwrap().as_str(), name);
            assert_eq!(capability("rpm", foreign).unwrap().as_str(), capability_);
        }
        assert_eq!(package_name("("), None);
        // What is kept can be told apart.
        assert_ne!(capability("rpm", "a%3Db"), capability("rpm", "a=b"));
    }
}
