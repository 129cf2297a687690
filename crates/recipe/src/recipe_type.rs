use std::fmt;

use crate::RecipeError;
use crate::lines::{LineFile, Word};

/// The first word of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Brings source code: fetched, verified and unpacked; a `build` runs with network and must reach a fixed digest.
    Source,
    /// Builds without network.
    Binary,
}

/// A flag of `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// Every program in the package must be statically linked.
    Static,
    /// The package holds no machine code.
    Noarch,
    /// Programs and libraries are left as the build script made them.
    Nostrip,
    /// `check` is not run.
    Nocheck,
    /// No build and no files: the package only needs others.
    MetaOnly,
}

impl Flag {
    const ALL: [(Self, &'static str); 5] = [
        (Self::Static, "static"),
        (Self::Noarch, "noarch"),
        (Self::Nostrip, "nostrip"),
        (Self::Nocheck, "nocheck"),
        (Self::MetaOnly, "meta-only"),
    ];

    fn fits(self, kind: Kind) -> bool {
        kind == Kind::Binary || self == Self::Noarch
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(flag, _)| flag == self).map_or("", |(_, word)| word))
    }
}

/// What a recipe makes: the file `type`, one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeType {
    /// Source or binary.
    pub kind: Kind,
    flags: Vec<Flag>,
}

impl RecipeType {
    /// Whether `flag` was given.
    pub fn has(&self, flag: Flag) -> bool {
        self.flags.contains(&flag)
    }

    /// The flags in a fixed order.
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// `None` where the file says nothing.
    pub(crate) fn parse(file: &LineFile<'_>) -> Result<Option<Self>, RecipeError> {
        let Some(line) = file.lines().first() else { return Ok(None) };
        if let Some(second) = file.lines().get(1) {
            return Err(second.words()[0].surplus());
        }
        let words = line.words();
        let kind = match words[0].text {
            "source" => Kind::Source,
            "binary" => Kind::Binary,
            _ => return Err(words[0].unknown("type", ["source", "binary"])),
        };
        let mut flags = Vec::new();
        for word in &words[1..] {
            let flag = parse_flag(word, kind)?;
            if flags.contains(&flag) {
                return Err(word.repeated("flag", line.number));
            }
            flags.push(flag);
        }
        flags.sort_unstable();
        Ok(Some(Self { kind, flags }))
    }
}

fn parse_flag(word: &Word<'_>, kind: Kind) -> Result<Flag, RecipeError> {
    let known = Flag::ALL.iter().find(|(_, text)| *text == word.text);
    let (flag, _) = known.ok_or_else(|| word.unknown("flag", Flag::ALL.map(|(_, text)| text)))?;
    if !flag.fits(kind) {
        return Err(word.refused("the flag is for binary recipes"));
    }
    Ok(*flag)
}

/// As the file writes it.
impl fmt::Display for RecipeType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Source => "source",
            Kind::Binary => "binary",
        })?;
        self.flags.iter().try_for_each(|flag| write!(f, " {flag}"))
    }
}
