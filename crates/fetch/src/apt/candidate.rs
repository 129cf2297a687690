use pkgtypes::Digest;

/// A version of a package that apt would install on this machine, as its signed lists describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The package.
    pub name: String,
    /// Its version, as Debian writes it, epoch and revision included.
    pub version: String,
    /// Of the `.deb` file.
    pub sha256: Digest,
    /// Bytes of the `.deb` file.
    pub size: u64,
    /// Debian's architecture, `all` included.
    pub architecture: String,
    /// The source package, where it is called otherwise; its version in parentheses, where that is another one.
    pub source: Option<String>,
    /// `Depends`, as Debian writes it; empty when there is none.
    pub depends: String,
    /// `Pre-Depends`, as Debian writes it; empty when there is none.
    pub pre_depends: String,
    /// The summary and what follows it, a line each.
    pub description: Vec<String>,
    /// The project's page.
    pub homepage: Option<String>,
    /// The file's path in its repository.
    pub filename: String,
}

impl Candidate {
    /// The first stanza of each package in what `apt-cache show` prints; stanzas without a digest are passed over.
    pub(crate) fn parse_all(text: &str) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        let lines: Vec<&str> = text.lines().collect();
        for candidate in lines.split(|line| line.trim().is_empty()).filter_map(Self::parse) {
            if !all.iter().any(|known| known.name == candidate.name) {
                all.push(candidate);
            }
        }
        all
    }

    fn parse(stanza: &[&str]) -> Option<Self> {
        let field = |wanted: &str| {
            stanza.iter().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim())
            })
        };
        let text = |wanted: &str| field(wanted).unwrap_or_default().to_owned();
        Some(Self {
            name: field("Package")?.to_owned(),
            version: field("Version")?.to_owned(),
            sha256: field("SHA256")?.parse().ok()?,
            size: field("Size")?.parse().ok()?,
            architecture: text("Architecture"),
            source: field("Source").map(str::to_owned),
            depends: text("Depends"),
            pre_depends: text("Pre-Depends"),
            description: description(stanza),
            homepage: field("Homepage").map(str::to_owned),
            filename: field("Filename")?.to_owned(),
        })
    }
}

/// `Description`, or `Description-en` where apt joins a translation in; a lone dot stands for an empty line.
fn description(stanza: &[&str]) -> Vec<String> {
    let is_start = |line: &&str| {
        line.split_once(':').is_some_and(|(name, _)| name == "Description" || name.starts_with("Description-en"))
    };
    let mut lines = stanza.iter().skip_while(|line| !is_start(line));
    let Some((_, summary)) = lines.next().and_then(|line| line.split_once(':')) else { return Vec::new() };
    let more = lines.take_while(|line| line.starts_with(' ')).map(|line| match line.trim() {
        "." => String::new(),
        text => text.to_owned(),
    });
    std::iter::once(summary.trim().to_owned()).chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_is_read_whole() {
        let text = "\
Package: libc6
Source: glibc
Version: 2.36-9+deb12u14
Architecture: amd64
Depends: libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)
Filename: pool/main/g/glibc/libc6_2.36-9+deb12u14_amd64.deb
Size: 2759320
SHA256: ba4f88f73dbc3ae9055f3c20f4523bfdbaf1ad13ff95e258924f77d20b4fbedf
Description-en: GNU C Library: Shared libraries
 Contains the standard libraries.
 .
 And more.
Description-md5: fc3001b0b90a1c8e6690b283a619d57f
Homepage: https://www.gnu.org/software/libc/libc.html

Package: nodigest
Version: 1

Package: libc6
Version: 1
";
        let all = Candidate::parse_all(text);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].version, "2.36-9+deb12u14");
        assert_eq!(
            all[0].description,
            ["GNU C Library: Shared libraries", "Contains the standard libraries.", "", "And more."]
        );
        assert_eq!(all[0].homepage.as_deref(), Some("https://www.gnu.org/software/libc/libc.html"));
        assert_eq!(all[0].pre_depends, "");
        assert_eq!(all[0].depends, "libgcc-s1, libcrypt1 (>= 1:4.4.10-10~)");
    }
}
