//! Keys, tiers, statements, signatures, and the one decision: may this package be used?
//!
//! A signer makes a [`Statement`] on a package, a short text that names its content, and signs it as `ssh-keygen -Y sign`
//! would ([`SshSig`]). A [`SigArchive`] carries it. The verifier's administrator puts public keys into tiers by folder
//! ([`Store`]). [`evaluate`] decides without I/O, and only its [`Decision`] makes a [`Verified`] record.
//!
//! ```
//! use pkgformat::{Manifest, PackageMeta, PackageRecord};
//! use trust::{
//!     Clock, ReasonCode, SecretKey, SigArchive, SignOptions, Signer, Store, SystemClock, Tier, Want, evaluate, sign_package,
//! };
//!
//! let meta = PackageMeta::new("zlib".parse()?, "1.3.1".parse()?, "2".parse()?, "x86_64".parse()?);
//! let record = PackageRecord::new(meta, Manifest::default())?;
//!
//! // The signer's side.
//! let key = SecretKey::generate("bob")?;
//! let now = SystemClock.now().ok_or("no clock")?;
//! let mut archive = SigArchive::new();
//! archive.insert(sign_package(&record, &key, &SignOptions::local(now))?)?;
//!
//! // The verifier's side: a root that trusts nobody, and then bob.
//! # let scratch = tempfile::tempdir()?;
//! let root = scratch.path();
//! Store::create(root)?;
//! let decision = evaluate(&Store::open(root)?, &Want::default(), &record, &archive, &SystemClock);
//! assert_eq!(decision.code(), ReasonCode::KeyUnknown);
//!
//! Store::add_key(root, key.public_key(), Tier::Junior, &"bob".parse()?, now)?;
//! let decision = evaluate(&Store::open(root)?, &Want::default(), &record, &archive, &SystemClock);
//! let verified = decision.into_verified(record)?;
//! assert_eq!(verified.meta().name.as_str(), "zlib");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The bytes are described in `docs/format/signature.md`, and each attack that this stands against is a file in
//! `tests/attacks`.
//!
//! # Limitations
//! There is one level for a whole root, no snapshot of a repository, no denial of single packages and no promotion.
//! Inside a user namespace that does not map root, the folders above a root belong to nobody and the permission gate
//! refuses them.
//!
//! This crate never opens a network connection, reads no clock but through [`Clock`] and no environment variable, and does
//! not look into a package's content: who unpacks checks it against the verified record.
#![forbid(unsafe_code)]
mod agent;
mod bounded;
mod clock;
mod decision;
mod error;
mod evaluate;
mod floor;
mod gate;
mod key_file;
mod level;
mod moment;
mod policy;
mod public_key;
mod reason;
mod repo_id;
mod secret_key;
mod self_test;
mod sig_archive;
mod sign;
mod signer;
mod sshsig;
mod statement;
mod store;
mod verified;
mod way;
mod wire;

pub use agent::{Agent, AgentKey, AgentSigner};
pub use clock::{Clock, FixedClock, SystemClock};
pub use decision::{Acceptance, Basis, Decision, Exception, Finding, FoundKey, Refusal, Signed};
pub use error::{Error, Result};
pub use evaluate::{Want, evaluate};
pub use floor::TRUST_FOLDERS;
pub use gate::Caller;
pub use key_file::{KeyFile, Owner, Role, Tier};
pub use level::Level;
pub use moment::Moment;
pub use policy::Policy;
pub use public_key::{Fingerprint, PublicKey};
pub use reason::ReasonCode;
pub use repo_id::RepoId;
pub use secret_key::{Protection, SecretKey};
pub use self_test::self_test;
pub use sig_archive::{RowSignature, SigArchive, SignedStatement};
pub use sign::{SignOptions, countersign, next_seq, sign_package, statement_for};
pub use signer::Signer;
pub use sshsig::{PACKAGE_NAMESPACE, SshSig};
pub use statement::{Claim, Statement, Subject, Terms};
pub use store::Store;
pub use verified::Verified;
pub use zeroize::Zeroizing;
