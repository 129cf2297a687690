use std::path::{Path, PathBuf};

use toml::{Table, Value};

use crate::{Error, Level, Result, Tier};

/// The rule by which a root's packages are judged, from `etc/trust.d/policy.toml`:
///
/// ```toml
/// [default]
/// level = "1 trusted or 2 senior"
/// ```
///
/// Without the file one signature of any tier but untrusted suffices: a key gets into a tier only by the administrator's
/// hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    level: Level,
    path: Option<PathBuf>,
}

impl Policy {
    /// Largest policy file, in bytes.
    pub(crate) const MAX_LEN: usize = 64 << 10;

    /// Reads a policy's text; `path` names it.
    ///
    /// # Errors
    /// `E_POLICY` for anything that is not exactly one level: a rule that is not understood is not left out.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let refuse = |reason: String| Error::Policy { path: path.to_owned(), reason };
        let text = std::str::from_utf8(bytes).map_err(|_| refuse("it is not text".to_owned()))?;
        let table: Table = text.parse().map_err(|error: toml::de::Error| refuse(one_line(error.message())))?;
        let level = only_level(&table).ok_or_else(|| {
            refuse("exactly `[default]` with `level = \"..\"` is understood by this version".to_owned())
        })?;
        let level = level.parse::<Level>().map_err(|error| refuse(error.to_string()))?;
        Ok(Self { level, path: Some(path.to_owned()) })
    }

    /// What a package needs.
    pub fn level(&self) -> &Level {
        &self.level
    }

    /// The file; `None` for the built-in rule.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self { level: Level::one(Tier::Junior), path: None }
    }
}

fn only_level(table: &Table) -> Option<&str> {
    let default = only(table, "default")?.as_table()?;
    only(default, "level")?.as_str()
}

fn only<'a>(table: &'a Table, key: &str) -> Option<&'a Value> {
    if table.len() == 1 { table.get(key) } else { None }
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Policy> {
        Policy::parse(text.as_bytes(), Path::new("policy.toml"))
    }

    #[test]
    fn one_level_is_understood() {
        let policy = parse("# ours\n[default]\nlevel = \"1 trusted or 2 senior\"\n").unwrap();
        assert_eq!(policy.level().to_string(), "1 trusted or 2 senior");
    }

    #[test]
    fn every_other_rule_is_refused() {
        for bad in [
            "",
            "[default]\n",
            "level = \"senior\"\n",
            "[default]\nlevel = 1\n",
            "[default]\nlevel = \"0 senior\"\n",
            "[default]\nlevel = \"none\"\n",
            "[default]\nlevel = \"senior\"\nsignatures = \"off\"\n",
            "[default]\nlevel = \"senior\"\n[repo.core]\nlevel = \"junior\"\n",
            "[default]\nlevel = \"senior\"\nlevel = \"junior\"\n",
            "[default\n",
            "\u{1b}",
        ] {
            let error = parse(bad).unwrap_err();
            assert_eq!(error.code(), crate::ReasonCode::Policy, "{bad:?}");
            assert!(!error.to_string().contains(char::is_control), "{error}");
        }
    }
}
