//! Portage's relations: `>=dev-libs/a-1.2:0=[ssl] || ( b c ) !d flag? ( e )`.

use std::fmt;

use pkgtypes::Op;

use super::{LABEL, split_version};
use crate::draft::Target;
use crate::{Comparison, Scheme, name};

/// The deepest nesting that is read.
const DEPTH: u32 = 16;

/// One part of a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Depend {
    /// A package.
    Needs(Atom),
    /// A package that must not be there.
    Blocks(Atom),
    /// `( .. )`: all of them.
    All(Vec<Depend>),
    /// `|| ( .. )`: one of them.
    Any(Vec<Depend>),
    /// `flag? ( .. )`
    When(String, Vec<Depend>),
}

/// A package by category and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Atom {
    /// As it is written.
    text: String,
    name: String,
    bound: Option<(Comparison, String)>,
    /// `0` or `0/3`.
    slot: Option<String>,
    /// What stands in square brackets.
    uses: Option<String>,
}

/// Reads words.
pub(super) struct Parser<'a> {
    words: std::iter::Peekable<std::str::SplitWhitespace<'a>>,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { words: text.split_whitespace().peekable() }
    }

    /// All parts; `None` where it is not of the grammar.
    pub(super) fn all(mut self) -> Option<Vec<Depend>> {
        let parts = self.parts(0)?;
        self.words.next().is_none().then_some(parts)
    }

    fn parts(&mut self, depth: u32) -> Option<Vec<Depend>> {
        let mut parts = Vec::new();
        while self.words.peek().is_some_and(|word| *word != ")") {
            parts.push(self.part(depth)?);
        }
        Some(parts)
    }

    fn part(&mut self, depth: u32) -> Option<Depend> {
        let word = self.words.next()?;
        if word == "(" {
            return self.group(depth).map(Depend::All);
        }
        if word == "||" {
            self.words.next_if_eq(&"(")?;
            return self.group(depth).map(Depend::Any);
        }
        if let Some(flag) = word.strip_suffix('?') {
            self.words.next_if_eq(&"(")?;
            return self.group(depth).map(|parts| Depend::When(flag.to_owned(), parts));
        }
        match word.trim_start_matches('!') {
            atom if atom.len() == word.len() => Atom::parse(atom).map(Depend::Needs),
            atom => Atom::parse(atom).map(Depend::Blocks),
        }
    }

    fn group(&mut self, depth: u32) -> Option<Vec<Depend>> {
        if depth == DEPTH {
            return None;
        }
        let parts = self.parts(depth + 1)?;
        self.words.next_if_eq(&")")?;
        Some(parts)
    }
}

impl Atom {
    fn parse(text: &str) -> Option<Self> {
        let (rest, uses) = match text.split_once('[') {
            Some((rest, uses)) => (rest, Some(uses.strip_suffix(']')?.to_owned())),
            None => (text, None),
        };
        let rest = rest.split_once("::").map_or(rest, |(rest, _)| rest);
        let (rest, slot) = match rest.split_once(':') {
            // `=` and `*` say what happens when another slot comes, which is of no concern to what is built already.
            Some((rest, slot)) => {
                (rest, Some(slot.trim_end_matches(['=', '*']).to_owned()).filter(|slot| !slot.is_empty()))
            }
            None => (rest, None),
        };
        let signs = [
            (">=", Comparison::Op(Op::GreaterEqual)),
            ("<=", Comparison::Op(Op::LessEqual)),
            (">", Comparison::Op(Op::Greater)),
            ("<", Comparison::Op(Op::Less)),
            ("=", Comparison::Op(Op::Equal)),
            ("~", Comparison::AnyRevision),
        ];
        let sign = signs.into_iter().find(|(sign, _)| rest.starts_with(sign));
        let (name, bound) = match sign {
            None => (rest, None),
            Some((sign, comparison)) => {
                let whole = &rest[sign.len()..];
                let (whole, comparison) = match whole.strip_suffix('*') {
                    Some(whole) if sign == "=" => (whole, Comparison::Beginning),
                    _ => (whole, comparison),
                };
                let (name, version) = split_version(whole)?;
                (name, Some((comparison, version.to_owned())))
            }
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+_-./".contains(&byte);
        let is_name = name.split('/').count() == 2 && !name.starts_with('/') && !name.ends_with('/');
        (is_name && name.bytes().all(fits)).then(|| Self {
            text: text.to_owned(),
            name: name.to_owned(),
            bound,
            slot,
            uses,
        })
    }

    /// The capability that packages offer for it, and the bounds.
    pub(super) fn target(&self) -> Option<Target> {
        let wanted = match &self.slot {
            Some(slot) => format!("{}:{slot}", self.name),
            None => self.name.clone(),
        };
        let constraints = match &self.bound {
            Some((comparison, version)) => Scheme::Gentoo.constraints(*comparison, version).ok()?,
            None => Vec::new(),
        };
        Some(Target { capability: name::labelled(LABEL, &wanted)?, constraints })
    }
}

impl Depend {
    /// Lists of alternatives that hold together; `None` where they would have to be multiplied out, or are none.
    pub(super) fn alternatives(&self) -> Option<Vec<Vec<Target>>> {
        match self {
            Self::Needs(atom) => Some(vec![vec![atom.target()?]]),
            Self::All(parts) => {
                let all: Option<Vec<_>> = parts.iter().map(Self::alternatives).collect();
                Some(all?.into_iter().flatten().collect())
            }
            Self::Any(parts) => {
                let mut any = Vec::new();
                for part in parts {
                    let mut all = part.alternatives()?;
                    let one = all.pop().filter(|_| all.is_empty())?;
                    any.extend(one);
                }
                Some(if any.is_empty() { Vec::new() } else { vec![any] })
            }
            Self::Blocks(_) | Self::When(..) => None,
        }
    }

    /// Atoms with conditions in square brackets.
    pub(super) fn used_conditions(&self) -> Vec<&str> {
        match self {
            Self::Needs(atom) | Self::Blocks(atom) => atom.uses.iter().map(|_| atom.text.as_str()).collect(),
            Self::All(parts) | Self::Any(parts) | Self::When(_, parts) => {
                parts.iter().flat_map(Self::used_conditions).collect()
            }
        }
    }
}

impl fmt::Display for Depend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let group = |f: &mut fmt::Formatter<'_>, parts: &[Self]| {
            f.write_str("(")?;
            parts.iter().try_for_each(|part| write!(f, " {part}"))?;
            f.write_str(" )")
        };
        match self {
            Self::Needs(atom) => f.write_str(&atom.text),
            Self::Blocks(atom) => write!(f, "!{}", atom.text),
            Self::All(parts) => group(f, parts),
            Self::Any(parts) => {
                f.write_str("|| ")?;
                group(f, parts)
            }
            Self::When(flag, parts) => {
                write!(f, "{flag}? ")?;
                group(f, parts)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relations_are_read_and_said() {
        let said = |text: &str| -> Option<String> {
            let all: Option<Vec<_>> = Parser::new(text).all()?.iter().map(Depend::alternatives).collect();
            let any = |any: &Vec<Target>| {
                let words = any.iter().map(|target| {
                    let bounds: Vec<String> =
                        target.constraints.iter().map(|bound| format!("{}{}", bound.op, bound.bound)).collect();
                    format!("{}{}", target.capability, bounds.concat())
                });
                words.collect::<Vec<_>>().join("|")
            };
            Some(all?.iter().flatten().map(any).collect::<Vec<_>>().join(" "))
        };
        for (text, expected) in [
            ("dev-libs/a", Some("gentoo:dev-libs/a")),
            (">=dev-libs/a-1.2-r1:0/3=::gentoo[ssl]", Some("gentoo:dev-libs/a:0/3>=1.2^1")),
            ("dev-libs/a:= x/b:*", Some("gentoo:dev-libs/a gentoo:x/b")),
            ("=x/b-1.2* ~x/c-1", Some("gentoo:x/b>=1.2~~<1.2_ gentoo:x/c>=1<1^^")),
            ("|| ( x/a <x/b-2 )", Some("gentoo:x/a|gentoo:x/b<2")),
            ("( x/a || ( x/b ) )", Some("gentoo:x/a gentoo:x/b")),
            ("|| ( ( x/a x/b ) x/c )", None),
            ("ssl? ( x/a )", None),
            ("!x/a", None),
            ("|| x/a", None),
            ("( x/a", None),
            ("x/a )", None),
            ("a", None),
            ("=x/a", None),
        ] {
            assert_eq!(said(text).as_deref(), expected, "{text}");
        }
        assert_eq!(
            Parser::new("!!x/a[b] f? ( || ( x/c ) )")
                .all()
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            ["!x/a[b]", "f? ( || ( x/c ) )"]
        );
        assert_eq!(Parser::new(&"( ".repeat(100)).all(), None);
    }
}
