use crate::RecipeError;
use crate::lines::{LineFile, Word};

/// A line of `env`: a variable of the build script's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value, as it stands in the file.
    pub value: String,
}

/// Variables that the room sets and no recipe may.
pub const RESERVED_VARIABLES: [&str; 20] = [
    "DESTDIR",
    "HOME",
    "JOBS",
    "LANG",
    "LC_ALL",
    "LOGNAME",
    "MAKEFLAGS",
    "PATH",
    "PKG_NAME",
    "PKG_RELEASE",
    "PKG_VERSION",
    "PWD",
    "SHELL",
    "SHLVL",
    "SOURCE_DATE_EPOCH",
    "TERM",
    "TMPDIR",
    "TZ",
    "USER",
    "LD_PRELOAD",
];

pub(crate) fn parse(file: &LineFile<'_>) -> Result<Vec<Variable>, RecipeError> {
    let mut variables: Vec<(usize, Variable)> = Vec::new();
    for line in file.lines() {
        let (name, value) = line.assignment()?;
        check_name(&name)?;
        if let Some((first, _)) = variables.iter().find(|(_, other)| other.name == name.text) {
            return Err(name.repeated("variable", *first));
        }
        variables.push((line.number, Variable { name: name.text.to_owned(), value: value.text.to_owned() }));
    }
    Ok(variables.into_iter().map(|(_, variable)| variable).collect())
}

/// A name that a shell can set and the room does not set itself.
pub(crate) fn check_name(word: &Word<'_>) -> Result<(), RecipeError> {
    let text = word.text;
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(word.refused("a variable's name has letters, digits and `_` only"));
    }
    if RESERVED_VARIABLES.contains(&text) {
        return Err(word.refused("the room sets this variable itself"));
    }
    Ok(())
}
