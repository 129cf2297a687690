use std::fmt;

use pkgtypes::{Digest, Hasher};

use crate::RecipeFile;

/// What a recipe hash begins with.
pub(crate) const HASH_DOMAIN: &str = "kista-recipe-hash-v1";
/// What a recipe key begins with.
pub(crate) const KEY_DOMAIN: &str = "kista-recipe-key-v1";

/// What a key is made of: a domain and fields in a fixed order.
///
/// The key is `SHA-256(len(domain) domain { len(name) name len(value) value })`, each length in eight bytes, the most
/// significant first, so no two different lists have the same bytes. The same list, printed, explains the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    domain: &'static str,
    fields: Vec<(&'static str, String)>,
}

impl Explanation {
    /// A key of a domain, without fields yet.
    pub fn new(domain: &'static str) -> Self {
        Self { domain, fields: Vec::new() }
    }

    /// Adds a field.
    pub fn field(&mut self, name: &'static str, value: impl fmt::Display) {
        self.fields.push((name, value.to_string()));
    }

    /// Adds a file: execute bit, digest and path.
    pub fn file(&mut self, name: &'static str, file: &RecipeFile) {
        let executable = if file.executable { 'x' } else { '-' };
        self.field(name, format_args!("{executable} sha256:{} {}", file.digest, file.path));
    }

    /// The fields in their order.
    pub fn fields(&self) -> &[(&'static str, String)] {
        &self.fields
    }

    /// The key.
    pub fn digest(&self) -> Digest {
        let mut hasher = Hasher::new();
        let mut add = |text: &str| {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        };
        add(self.domain);
        for (name, value) in &self.fields {
            add(name);
            add(value);
        }
        hasher.finish()
    }

    /// The fields that only one of two explanations has: those that are gone with `-`, new ones with `+`.
    pub fn difference<'a>(&'a self, newer: &'a Self) -> Vec<(char, &'static str, &'a str)> {
        let only = |sign, of: &'a Self, other: &'a Self| {
            let fields = of.fields.iter().filter(move |field| !other.fields.contains(field));
            fields.map(move |(name, value)| (sign, *name, value.as_str()))
        };
        only('-', self, newer).chain(only('+', newer, self)).collect()
    }
}

/// The domain, then one field a line.
impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} sha256:{}", self.domain, self.digest())?;
        self.fields.iter().try_for_each(|(name, value)| writeln!(f, "  {name} {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[(&'static str, &str)]) -> Explanation {
        let mut explanation = Explanation::new("test-v1");
        fields.iter().for_each(|(name, value)| explanation.field(name, value));
        explanation
    }

    /// The bytes under the hash, written out: a change of this digest changes every key there is.
    #[test]
    fn the_bytes_of_a_key() {
        let mut bytes = Vec::new();
        for text in ["test-v1", "a", "x y"] {
            bytes.extend([0, 0, 0, 0, 0, 0, 0, text.len() as u8]);
            bytes.extend(text.as_bytes());
        }
        assert_eq!(of(&[("a", "x y")]).digest(), Digest::of(&bytes));
    }

    #[test]
    fn fields_do_not_run_together() {
        assert_ne!(of(&[("a", "bc")]).digest(), of(&[("ab", "c")]).digest());
        assert_ne!(of(&[("a", "b"), ("c", "d")]).digest(), of(&[("c", "d"), ("a", "b")]).digest());
    }

    #[test]
    fn a_difference_names_both_sides() {
        let (old, new) = (of(&[("dep", "zlib"), ("env", "A=1")]), of(&[("dep", "zlib"), ("env", "A=2")]));
        assert_eq!(old.difference(&new), [('-', "env", "A=1"), ('+', "env", "A=2")]);
    }
}
