use pkgformat::PackageRecord;
use pkgtypes::Timestamp;

use crate::sig_archive::SignedStatement;
use crate::signer::sign_then_verify;
use crate::{Claim, PACKAGE_NAMESPACE, RepoId, Result, SigArchive, Signer, Statement, Subject, Terms};

/// What a signer says about a package besides what it is.
#[derive(Debug, Clone)]
pub struct SignOptions {
    /// The repository that it is signed for.
    pub repo: RepoId,
    /// The statement's number; `None` takes [`next_seq`].
    pub seq: Option<u64>,
    /// What the signer did.
    pub claim: Option<Claim>,
    /// How many seconds the statement holds, at most [`Statement::MAX_LIFETIME`].
    pub lifetime: i64,
    /// The time now.
    pub now: Timestamp,
}

impl SignOptions {
    /// 90 days in seconds.
    pub const LIFETIME: i64 = 90 * 24 * 60 * 60;

    /// For the repository `local`, for 90 days from `now`.
    pub fn local(now: Timestamp) -> Self {
        Self { repo: RepoId::local(), seq: None, claim: None, lifetime: Self::LIFETIME, now }
    }
}

/// The text that [`sign_package`] signs, for those who sign with `ssh-keygen -Y sign -n package@v1.kista`.
///
/// # Errors
/// As [`Statement::new`].
pub fn statement_for(record: &PackageRecord, options: &SignOptions) -> Result<Statement> {
    let issued = Timestamp::from_seconds(options.now.seconds());
    let seq = options.seq.unwrap_or_else(|| seconds(issued));
    let expires = issued.saturating_add_seconds(options.lifetime);
    let terms = Terms { repo: options.repo.clone(), seq, claim: options.claim, issued, expires };
    Statement::new(Subject::of(record), terms)
}

/// Signs a statement on the package that begins with `record`. The package's content needs not be at hand: the record
/// commits to it.
///
/// # Errors
/// As [`Statement::new`]; `E_SELFTEST`; a signer that fails or whose signature does not verify.
pub fn sign_package(record: &PackageRecord, signer: &dyn Signer, options: &SignOptions) -> Result<SignedStatement> {
    countersign(&statement_for(record, options)?, signer)
}

/// Signs the very statement that somebody else signed, too.
///
/// # Errors
/// As [`sign_package`].
pub fn countersign(statement: &Statement, signer: &dyn Signer) -> Result<SignedStatement> {
    let signature = sign_then_verify(signer, PACKAGE_NAMESPACE, statement.to_string().as_bytes())?;
    SignedStatement::new(statement.clone(), &signature)
}

/// The number for the next statement by `signer` on this package: the seconds of `now`, and more than any number in
/// `archive`.
pub fn next_seq(archive: &SigArchive, record: &PackageRecord, signer: &dyn Signer, now: Timestamp) -> u64 {
    let meta = record.meta();
    let last = archive.last_seq(&meta.name, &meta.arch, signer.public_key());
    last.map_or(0, |last| last.saturating_add(1)).max(seconds(now))
}

fn seconds(time: Timestamp) -> u64 {
    u64::try_from(time.seconds()).unwrap_or(0)
}
