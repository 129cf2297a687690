use std::fmt;

/// The stable name of an outcome; scripts and tests compare these, people read the message beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ReasonCode {
    /// The package may be used.
    Accept,
    /// Nothing says anything about this package.
    Unsigned,
    /// Valid signatures are there, but none that suffices for this repository and name.
    Quorum,
    /// The only signatures are by keys that stand in no tier.
    KeyUnknown,
    /// The key's `not-after` has passed.
    KeyExpired,
    /// The key stands in `keys/untrusted`.
    KeyUntrusted,
    /// A key that is not canonical, of small order or with a torsion part.
    KeyWeak,
    /// One key with two tiers or two owners.
    KeyAmbiguous,
    /// A key or signature of another kind than ssh-ed25519.
    KeyType,
    /// The signature does not belong to this statement and key.
    SigBad,
    /// A signature made for something else.
    Namespace,
    /// A signature over another hash than SHA-512.
    Hash,
    /// Bytes that are not what they claim to be.
    Parse,
    /// What the package does in a root needs a signature of a higher tier.
    Floor,
    /// The statement's time is over.
    Expired,
    /// The statement is issued in the future.
    Future,
    /// What was asked for, what is signed and what is in the package are not the same.
    SubjectMismatch,
    /// The statement is for another repository.
    RepoMismatch,
    /// The statement is about other content.
    PackageId,
    /// A limit is exceeded.
    TooLarge,
    /// A compressed archive that grows more than signatures can.
    Ratio,
    /// A name that may not stand there.
    Name,
    /// Somebody else could change the trust directory.
    TrustdirPerm,
    /// The trust directory cannot be read.
    TrustdirIo,
    /// A policy that cannot be followed.
    Policy,
    /// This program's own cryptography fails its test.
    Selftest,
}

impl ReasonCode {
    /// All of them.
    pub const ALL: [Self; 26] = [
        Self::Accept,
        Self::Unsigned,
        Self::Quorum,
        Self::KeyUnknown,
        Self::KeyExpired,
        Self::KeyUntrusted,
        Self::KeyWeak,
        Self::KeyAmbiguous,
        Self::KeyType,
        Self::SigBad,
        Self::Namespace,
        Self::Hash,
        Self::Parse,
        Self::Floor,
        Self::Expired,
        Self::Future,
        Self::SubjectMismatch,
        Self::RepoMismatch,
        Self::PackageId,
        Self::TooLarge,
        Self::Ratio,
        Self::Name,
        Self::TrustdirPerm,
        Self::TrustdirIo,
        Self::Policy,
        Self::Selftest,
    ];

    /// The code's text, for example `E_SIG_BAD`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accept => "ACCEPT",
            Self::Unsigned => "E_UNSIGNED",
            Self::Quorum => "E_QUORUM",
            Self::KeyUnknown => "E_KEY_UNKNOWN",
            Self::KeyExpired => "E_KEY_EXPIRED",
            Self::KeyUntrusted => "E_KEY_UNTRUSTED",
            Self::KeyWeak => "E_KEY_WEAK",
            Self::KeyAmbiguous => "E_KEY_AMBIGUOUS",
            Self::KeyType => "E_KEY_TYPE",
            Self::SigBad => "E_SIG_BAD",
            Self::Namespace => "E_NAMESPACE",
            Self::Hash => "E_HASH",
            Self::Parse => "E_PARSE",
            Self::Floor => "E_FLOOR",
            Self::Expired => "E_EXPIRED",
            Self::Future => "E_FUTURE",
            Self::SubjectMismatch => "E_SUBJECT_MISMATCH",
            Self::RepoMismatch => "E_REPO_MISMATCH",
            Self::PackageId => "E_PACKAGE_ID",
            Self::TooLarge => "E_TOO_LARGE",
            Self::Ratio => "E_RATIO",
            Self::Name => "E_NAME",
            Self::TrustdirPerm => "E_TRUSTDIR_PERM",
            Self::TrustdirIo => "E_TRUSTDIR_IO",
            Self::Policy => "E_POLICY",
            Self::Selftest => "E_SELFTEST",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
