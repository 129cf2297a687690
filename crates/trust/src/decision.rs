use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::path::PathBuf;
use std::str::FromStr;

use pkgformat::PackageRecord;
use pkgtypes::{Digest, PackageId, PackageName, Timestamp};

use crate::statement::utc;
use crate::{
    Error, Fingerprint, Moment, Owner, Policy, ReasonCode, RepoId, Result, SigArchive, Subject, Tier, Verified,
};

/// The one way around a refusal: a package named together with its exact content, `NAME@PACKAGE-ID`, for one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The package's name.
    pub name: PackageName,
    /// Its content.
    pub package_id: PackageId,
}

impl FromStr for Exception {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || {
            let what = format!("exception `{}`", crate::error::shown(text.as_bytes()));
            Error::parse(what, "NAME@ID with the package's whole id (64 hex digits) is expected")
        };
        let (name, id) = text.split_once('@').ok_or_else(malformed)?;
        Ok(Self { name: name.parse().map_err(|_| malformed())?, package_id: id.parse().map_err(|_| malformed())? })
    }
}

/// Why a package was accepted: what the install database keeps of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acceptance {
    /// The accepted content.
    pub package_id: PackageId,
    /// What it rests on.
    pub basis: Basis,
}

/// What an acceptance rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Basis {
    /// A signed statement.
    Signed(Signed),
    /// The user's word for this one time.
    Exception,
}

/// A statement that sufficed, and who signed it. Where several statements were needed, it is the one with the smallest
/// number: what all of them agree to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The repository that the package is for.
    pub repo: RepoId,
    /// The statement's number.
    pub seq: u64,
    /// The digest of the statement's text.
    pub statement: Digest,
    /// When it was made.
    pub issued: Timestamp,
    /// When it ends, or the first of several.
    pub expires: Timestamp,
    /// The highest tier among the signers.
    pub tier: Tier,
    /// The signers whose keys count, each once.
    pub owners: BTreeSet<Owner>,
    /// The statements that count, with the signatures under them: what somebody else needs to judge the same package.
    pub signatures: SigArchive,
}

/// Why a package may not be used: what, by which key, why, and what helps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{subject} is refused ({code}): {cause}")]
pub struct Refusal {
    /// The stable name of the reason.
    pub code: ReasonCode,
    /// Which package.
    pub subject: String,
    /// Why, naming the key where there is one.
    pub cause: String,
    /// What helps.
    pub cure: String,
}

/// What one signature or statement contributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// [`ReasonCode::Accept`] where it counts, otherwise why it does not.
    pub code: ReasonCode,
    /// The key; `None` for a statement that does not fit, whose signatures were not looked at.
    pub key: Option<FoundKey>,
    /// Why, in words that end the sentence that begins with the key or the statement.
    pub cause: String,
    /// What helps.
    pub cure: String,
}

/// The key of a finding, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundKey {
    /// Its short name.
    pub fingerprint: Fingerprint,
    /// Its owner and tier and the file that says so; `None` for an unknown key.
    pub standing: Option<(Owner, Tier, PathBuf)>,
}

impl fmt::Display for FoundKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.standing {
            Some((owner, tier, _)) => write!(f, "{owner} ({tier}, {})", self.fingerprint),
            None => write!(f, "the unknown key {}", self.fingerprint),
        }
    }
}

/// The outcome for one package, with its whole derivation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a decision does nothing by itself"]
pub struct Decision {
    pub(crate) subject: Subject,
    pub(crate) policy: Policy,
    pub(crate) moment: Moment,
    pub(crate) findings: Vec<Finding>,
    pub(crate) unlisted: usize,
    pub(crate) outcome: std::result::Result<Acceptance, Refusal>,
}

impl Decision {
    /// [`ReasonCode::Accept`], or why not.
    pub fn code(&self) -> ReasonCode {
        self.outcome.as_ref().map_or_else(|refusal| refusal.code, |_| ReasonCode::Accept)
    }

    /// The package that was judged.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The time by which it was judged.
    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// What each signature contributed.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Why it was accepted or refused.
    ///
    /// # Errors
    /// The refusal.
    pub fn outcome(&self) -> std::result::Result<&Acceptance, &Refusal> {
        self.outcome.as_ref()
    }

    /// Turns the record that was judged into a verified one.
    ///
    /// # Errors
    /// The refusal; `E_PACKAGE_ID` for another record than the one that was judged.
    pub fn into_verified(self, record: PackageRecord) -> std::result::Result<Verified<PackageRecord>, Refusal> {
        let acceptance = self.outcome?;
        if record.id() != acceptance.package_id {
            return Err(Refusal {
                code: ReasonCode::PackageId,
                subject: self.subject.to_string(),
                cause: format!("content {} was judged, and this is {}", acceptance.package_id, record.id()),
                cure: "judge the record that is to be used".to_owned(),
            });
        }
        Ok(Verified::new(record, acceptance))
    }

    /// The derivation as text, for `pkg trust why`.
    pub fn explain(&self) -> String {
        let mut text = String::new();
        self.write_explanation(&mut text).expect("writing to a string does not fail");
        text
    }

    fn write_explanation(&self, text: &mut String) -> fmt::Result {
        match &self.outcome {
            Ok(acceptance) => write!(text, "{}: ACCEPTED{}", self.subject, acceptance.basis)?,
            Err(refusal) => write!(text, "{}: REFUSED {}", self.subject, refusal.code)?,
        }
        writeln!(
            text,
            "\n rule     one signature by a trusted, senior or junior key whose scope covers it (built in)"
        )?;
        writeln!(text, " subject  package-id {}", self.subject.package_id)?;
        for finding in &self.findings {
            let sign = if finding.code == ReasonCode::Accept { '+' } else { '-' };
            match &finding.key {
                Some(key) => writeln!(text, " {sign} {key}: {} ({})", finding.cause, finding.code)?,
                None => writeln!(text, " {sign} {} ({})", finding.cause, finding.code)?,
            }
            if let Some((_, _, path)) = finding.key.as_ref().and_then(|key| key.standing.as_ref()) {
                writeln!(text, "     key file {}", path.display())?;
            }
        }
        if self.unlisted > 0 {
            writeln!(text, " - {} more signatures that do not count", self.unlisted)?;
        }
        let clock = self.moment.clock().map_or("unset (freeze-unprotected)".to_owned(), utc);
        writeln!(text, " time     clock {clock}, newest signed {}", utc(self.moment.newest_signed()))?;
        if let Err(refusal) = &self.outcome {
            write!(text, " cause    {}\n cure     {}\n", refusal.cause, refusal.cure)?;
        }
        Ok(())
    }
}

impl fmt::Display for Basis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exception => f.write_str(" by the user's exception for exactly this content"),
            Self::Signed(Signed { repo, seq, tier, owners, .. }) => {
                write!(f, " from {repo}, seq {seq}, tier {tier}, by")?;
                owners.iter().try_for_each(|owner| write!(f, " {owner}"))
            }
        }
    }
}
