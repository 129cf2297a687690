use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::error::shown;
use crate::{Claim, Error, Owner, Result, Tier};

/// Most alternatives, and most terms in each.
const MAX_PARTS: usize = 8;

/// How many voices of which tiers a package needs: `1 trusted or 1 senior + 2 junior`.
///
/// ```text
/// level       = alternative { " or " alternative }     at most 8
/// alternative = term { " + " term }                    at most 8
/// term        = count " " tier [ ":" claim ]           count 1 to 9; tier trusted, senior or junior
/// ```
/// A tier alone stands for one of it. Every voice of an alternative is another owner's; a higher tier serves for a lower
/// one; and no number of juniors makes a senior.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level(Vec<Vec<Term>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Term {
    count: u8,
    tier: Tier,
    claim: Option<Claim>,
}

/// What one signature says for a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Voice {
    pub(crate) owner: Owner,
    pub(crate) tier: Tier,
    pub(crate) claim: Claim,
}

impl Level {
    /// One voice of this tier.
    pub fn one(tier: Tier) -> Self {
        Self(vec![vec![Term { count: 1, tier, claim: None }]])
    }

    /// Whether some alternative can give each of its places to another owner.
    pub(crate) fn is_met_by<'a>(&self, voices: impl IntoIterator<Item = &'a Voice>) -> bool {
        let mut owners: BTreeMap<&Owner, Vec<&Voice>> = BTreeMap::new();
        for voice in voices {
            owners.entry(&voice.owner).or_default().push(voice);
        }
        let owners: Vec<Vec<&Voice>> = owners.into_values().collect();
        self.0.iter().any(|alternative| Seating::new(alternative, &owners).seats_everybody())
    }
}

impl Term {
    fn fits(&self, voice: &Voice) -> bool {
        voice.tier >= self.tier && self.claim.is_none_or(|claim| claim == voice.claim)
    }
}

/// The places of an alternative and the owners who may take them. Taking the first that fits can fail where an
/// assignment exists, so owners move over for each other along augmenting paths (Kuhn's algorithm).
struct Seating<'a> {
    places: Vec<&'a Term>,
    owners: &'a [Vec<&'a Voice>],
    taken: Vec<Option<usize>>,
}

impl<'a> Seating<'a> {
    fn new(alternative: &'a [Term], owners: &'a [Vec<&'a Voice>]) -> Self {
        let places = alternative.iter().flat_map(|term| std::iter::repeat_n(term, usize::from(term.count))).collect();
        Self { places, owners, taken: vec![None; owners.len()] }
    }

    fn seats_everybody(mut self) -> bool {
        self.places.len() <= self.owners.len()
            && (0..self.places.len()).all(|place| self.seat(place, &mut vec![false; self.owners.len()]))
    }

    fn seat(&mut self, place: usize, asked: &mut Vec<bool>) -> bool {
        for owner in 0..self.owners.len() {
            if asked[owner] || !self.owners[owner].iter().any(|voice| self.places[place].fits(voice)) {
                continue;
            }
            asked[owner] = true;
            if self.taken[owner].is_none_or(|sitting| self.seat(sitting, asked)) {
                self.taken[owner] = Some(place);
                return true;
            }
        }
        false
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = |reason: String| Error::parse(format!("level `{}`", shown(text.as_bytes())), reason);
        if let Some(tier) = positive_tier(text) {
            return Ok(Self::one(tier));
        }
        let terms = |alternative: &str| alternative.split(" + ").map(term).collect::<std::result::Result<Vec<_>, _>>();
        let alternatives = text.split(" or ").map(terms).collect::<std::result::Result<Vec<_>, _>>();
        let alternatives = alternatives.map_err(malformed)?;
        if alternatives.len() > MAX_PARTS || alternatives.iter().any(|terms| terms.len() > MAX_PARTS) {
            return Err(malformed(format!("at most {MAX_PARTS} alternatives of {MAX_PARTS} terms are accepted")));
        }
        Ok(Self(alternatives))
    }
}

fn term(text: &str) -> std::result::Result<Term, String> {
    let malformed = || format!("`{}` is not `COUNT TIER` or `COUNT TIER:CLAIM`", shown(text.as_bytes()));
    let (count, rest) = text.split_once(' ').ok_or_else(malformed)?;
    let (tier, claim) = rest.split_once(':').map_or((rest, None), |(tier, claim)| (tier, Some(claim)));
    let count = match count.as_bytes() {
        [digit @ b'1'..=b'9'] => digit - b'0',
        _ => return Err(format!("{}: the count is a number from 1 to 9", malformed())),
    };
    let tier = positive_tier(tier).ok_or_else(|| format!("{}: tiers are trusted, senior and junior", malformed()))?;
    let claim = claim.map(str::parse).transpose().map_err(|error: Error| error.to_string())?;
    Ok(Term { count, tier, claim })
}

fn positive_tier(text: &str) -> Option<Tier> {
    text.parse().ok().filter(|tier| *tier != Tier::Untrusted)
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, alternative) in self.0.iter().enumerate() {
            let joiner = if index == 0 { "" } else { " or " };
            f.write_str(joiner)?;
            for (index, Term { count, tier, claim }) in alternative.iter().enumerate() {
                let joiner = if index == 0 { "" } else { " + " };
                write!(f, "{joiner}{count} {tier}")?;
                if let Some(claim) = claim {
                    write!(f, ":{}", claim.as_str())?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn level(text: &str) -> Level {
        text.parse().unwrap()
    }

    /// `ann:senior bob:junior:rebuilt`
    fn voices(text: &str) -> Vec<Voice> {
        let voice = |word: &str| {
            let mut parts = word.split(':');
            let mut next = || parts.next();
            Voice {
                owner: next().unwrap().parse().unwrap(),
                tier: next().unwrap().parse().unwrap(),
                claim: next().map_or(Claim::Built, |claim| claim.parse().unwrap()),
            }
        };
        text.split_whitespace().map(voice).collect()
    }

    fn met(expression: &str, by: &str) -> bool {
        level(expression).is_met_by(&voices(by))
    }

    #[test]
    fn higher_tiers_serve_for_lower_ones() {
        assert!(met("junior", "a:junior") && met("junior", "a:trusted") && met("1 senior", "a:trusted"));
        assert!(!met("senior", "a:junior") && !met("trusted", "a:senior"));
    }

    #[test]
    fn juniors_do_not_add_up() {
        assert!(!met("1 senior", "a:junior b:junior c:junior d:junior e:junior"));
    }

    #[test]
    fn an_owner_is_one_voice() {
        assert!(!met("2 junior", "a:junior a:senior a:trusted"));
        assert!(met("2 junior", "a:junior b:senior"));
    }

    /// Whoever takes the first that fits gives the only senior's place away.
    #[test]
    fn owners_move_over_for_each_other() {
        assert!(met("1 junior + 1 senior", "a:senior b:junior"));
        assert!(met("1 senior + 1 senior:rebuilt", "a:senior:rebuilt b:senior"));
        assert!(met("1 junior + 1 junior:reviewed + 1 trusted", "a:trusted b:trusted:reviewed c:junior"));
        assert!(!met("1 senior + 1 senior:rebuilt", "a:senior:rebuilt b:junior"));
    }

    #[test]
    fn one_alternative_is_enough() {
        for by in ["a:trusted", "a:senior b:junior"] {
            assert!(met("1 trusted or 1 senior + 1 junior", by), "{by}");
        }
        assert!(!met("1 trusted or 1 senior + 1 junior", "a:senior"));
    }

    /// Attack 18: a threshold of nothing.
    #[test]
    fn what_asks_for_nothing_is_refused() {
        for bad in [
            "",
            " ",
            "0 senior",
            "-1 senior",
            "01 senior",
            "10 senior",
            "senior + junior",
            "1 untrusted",
            "untrusted",
            "none",
            "1 senior or ",
            " or 1 senior",
            "1 senior +",
            "1  senior",
            "1 senior:copied",
            "1 senior@14d",
            "1 rebuild",
            "1 senior OR 1 junior",
        ] {
            assert!(bad.parse::<Level>().is_err(), "{bad:?}");
        }
        assert!(["1 junior"; 9].join(" or ").parse::<Level>().is_err());
        assert!(["1 junior"; 9].join(" + ").parse::<Level>().is_err());
    }

    fn any_voice() -> impl Strategy<Value = Voice> {
        (0u8..5, 0usize..3, 0usize..2).prop_map(|(owner, tier, claim)| Voice {
            owner: format!("o{owner}").parse().unwrap(),
            tier: [Tier::Junior, Tier::Senior, Tier::Trusted][tier],
            claim: [Claim::Built, Claim::Reviewed][claim],
        })
    }

    fn any_level() -> impl Strategy<Value = Level> {
        let term = (1u8..3, 0usize..3, 0usize..3).prop_map(|(count, tier, claim)| Term {
            count,
            tier: [Tier::Junior, Tier::Senior, Tier::Trusted][tier],
            claim: [None, Some(Claim::Built), Some(Claim::Reviewed)][claim],
        });
        prop::collection::vec(prop::collection::vec(term, 1..4), 1..3).prop_map(Level)
    }

    /// The same question by trying everything.
    fn met_by_trying(places: &[&Term], voices: &[Voice], used: &mut Vec<Owner>) -> bool {
        let Some((first, rest)) = places.split_first() else { return true };
        voices.iter().any(|voice| {
            if !first.fits(voice) || used.contains(&voice.owner) {
                return false;
            }
            used.push(voice.owner.clone());
            let fits = met_by_trying(rest, voices, used);
            used.pop();
            fits
        })
    }

    proptest! {
        #[test]
        fn text_round_trips(level in any_level()) {
            prop_assert_eq!(level.to_string().parse::<Level>().unwrap(), level);
        }

        #[test]
        fn the_assignment_is_found_when_there_is_one(level in any_level(), voices in prop::collection::vec(any_voice(), 0..7)) {
            let expected = level.0.iter().any(|alternative| {
                let places: Vec<_> = Seating::new(alternative, &[]).places;
                met_by_trying(&places, &voices, &mut Vec::new())
            });
            prop_assert_eq!(level.is_met_by(&voices), expected);
        }

        #[test]
        fn a_further_voice_or_alternative_never_hurts(
            level in any_level(), other in any_level(), voices in prop::collection::vec(any_voice(), 0..7), further in any_voice(),
        ) {
            if level.is_met_by(&voices) {
                prop_assert!(level.is_met_by(voices.iter().chain([&further])));
                prop_assert!(Level([level.0, other.0].concat()).is_met_by(&voices));
            }
        }

        /// Attack 15: with fewer honest owners than an alternative has places nothing is accepted.
        #[test]
        fn too_few_owners_never_suffice(level in any_level(), voices in prop::collection::vec(any_voice(), 0..7)) {
            let fewest = level.0.iter().map(|terms| terms.iter().map(|term| usize::from(term.count)).sum::<usize>()).min();
            let owners: std::collections::BTreeSet<_> = voices.iter().map(|voice| &voice.owner).collect();
            if owners.len() < fewest.unwrap() {
                prop_assert!(!level.is_met_by(&voices));
            }
        }
    }
}
