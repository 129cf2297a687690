//! The machine's package sources, as they are written in `sources.list` and its folder, made over for us.

/// Which lists are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Of binary packages.
    Binary,
    /// Of source packages.
    Source,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Binary => "deb",
            Self::Source => "deb-src",
        }
    }

    /// The one index that is needed, so that translations, icons and contents are not brought too.
    fn target(self) -> &'static str {
        match self {
            Self::Binary => "Packages",
            Self::Source => "Sources",
        }
    }

    /// What is in the names of such lists.
    pub(crate) fn list_mark(self) -> &'static str {
        match self {
            Self::Binary => "_Packages",
            Self::Source => "_Sources",
        }
    }

    /// Source packages are looked for beside the binary ones, wherever those are; the reverse would bring lists from
    /// places that the machine's owner wants only sources from.
    fn takes(self, word: &str) -> bool {
        word == "deb" || (self == Self::Source && word == "deb-src")
    }
}

/// The entries of a one-line file, made over to `kind`; each once.
pub(crate) fn from_lines(text: &str, kind: Kind) -> Vec<String> {
    let mut lines = Vec::new();
    for line in text.lines().filter_map(|line| make_over_line(line, kind)) {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn make_over_line(line: &str, kind: Kind) -> Option<String> {
    let line = line.split('#').next().unwrap_or("").trim();
    let (word, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim();
    // A disc asks for somebody to put it in.
    if !kind.takes(word) || rest.contains("cdrom:") {
        return None;
    }
    let (options, place) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let kept = options.split_whitespace().filter(|option| {
        let name = option.split(['=', '+', '-']).next().unwrap_or("");
        !matches!(name, "target" | "lang")
    });
    let mut options: Vec<&str> = kept.collect();
    let target = format!("target={}", kind.target());
    options.extend([target.as_str(), "lang=none"]);
    Some(format!("{} [{}] {}", kind.word(), options.join(" "), place.trim()))
}

/// The stanzas of a deb822 file, made over to `kind`.
pub(crate) fn from_stanzas(text: &str, kind: Kind) -> Vec<String> {
    let mut stanzas: Vec<String> = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()).filter_map(|stanza| make_over_stanza(stanza, kind)) {
        if !stanzas.contains(&stanza) {
            stanzas.push(stanza);
        }
    }
    stanzas
}

/// Every other field stays as it is, a whole key in `Signed-By` included.
fn make_over_stanza(lines: &[&str], kind: Kind) -> Option<String> {
    let mut text = format!("Types: {}\nTargets: {}\nLanguages: none\n", kind.word(), kind.target());
    let mut taken = false;
    let mut keep = false;
    for line in lines {
        if !line.starts_with([' ', '\t']) {
            let (field, value) = line.split_once(':')?;
            let field = field.trim().to_ascii_lowercase();
            taken |= field == "types" && value.split_whitespace().any(|word| kind.takes(word));
            if field == "enabled" && matches!(value.trim(), "no" | "false" | "0" | "off" | "without" | "disable") {
                return None;
            }
            let name = field.trim_end_matches("-add").trim_end_matches("-remove");
            keep = !matches!(name, "types" | "targets" | "languages");
        } else if !taken && !keep {
            // A list of types may go on in the next line.
            taken |= line.split_whitespace().any(|word| kind.takes(word));
        }
        if keep {
            text.push_str(line);
            text.push('\n');
        }
    }
    taken.then_some(text)
}

/// Whether apt reads a file of this name; others, such as `x.list.save`, it passes over.
pub(crate) fn is_read(name: &str, ending: &str) -> bool {
    let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    name.strip_suffix(ending).is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.') && stem.chars().all(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_get_the_other_type_and_keep_their_options() {
        let text = "\
# a comment
deb http://deb.example.org/debian bookworm main contrib # and one more
deb-src http://deb.example.org/debian bookworm main contrib
deb [arch=amd64,i386 signed-by=/usr/share/keyrings/x.gpg lang=de target=Packages] https://x.example/apt ./
deb cdrom:[Debian 12]/ bookworm main
debx http://no bookworm main
";
        assert_eq!(
            from_lines(text, Kind::Binary),
            [
                "deb [target=Packages lang=none] http://deb.example.org/debian bookworm main contrib",
                "deb [arch=amd64,i386 signed-by=/usr/share/keyrings/x.gpg target=Packages lang=none] https://x.example/apt ./",
            ]
        );
        assert_eq!(
            from_lines(text, Kind::Source),
            [
                "deb-src [target=Sources lang=none] http://deb.example.org/debian bookworm main contrib",
                "deb-src [arch=amd64,i386 signed-by=/usr/share/keyrings/x.gpg target=Sources lang=none] https://x.example/apt ./",
            ]
        );
    }

    #[test]
    fn stanzas_keep_their_keys() {
        let text = "\
Types: deb
# snapshot
URIs: http://deb.example.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEY865UxYJKwYBBAHaRw8BAQdAd7Z0srwuhlB6JKFkcf4HU4SSS/xcRfwEQWzr
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb
URIs: https://off.example
Suites: x

types: deb-src
uris: https://src.example
suites: y
";
        let sources = from_stanzas(text, Kind::Source);
        assert_eq!(sources.len(), 2);
        assert!(
            sources[0].starts_with("Types: deb-src\nTargets: Sources\nLanguages: none\nURIs: http://deb.example.org")
        );
        assert!(sources[0].contains("Signed-By:\n -----BEGIN") && sources[0].contains(" .\n mDMEY"));
        assert!(sources[1].contains("src.example"));
        assert_eq!(from_stanzas(text, Kind::Binary).len(), 1);
    }

    #[test]
    fn files_that_apt_passes_over_are_passed_over() {
        assert!(is_read("debian.sources", ".sources"));
        assert!(!is_read("debian.sources.disabled-by-x", ".sources"));
        assert!(!is_read(".sources", ".sources"));
        assert!(!is_read("a b.list", ".list"));
    }
}
