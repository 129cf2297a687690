use std::ops::Deref;

use crate::Acceptance;

/// A value that the administrator's trust covers. Only [`crate::Decision::into_verified`] makes one, so whoever is
/// handed one need not ask again.
///
/// Nobody else can put one together:
///
/// ```compile_fail,E0624
/// fn pretend(record: pkgformat::PackageRecord, acceptance: trust::Acceptance) -> trust::Verified<pkgformat::PackageRecord> {
///     trust::Verified::new(record, acceptance)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Verified<T> {
    value: T,
    acceptance: Acceptance,
}

impl<T> Verified<T> {
    pub(crate) fn new(value: T, acceptance: Acceptance) -> Self {
        Self { value, acceptance }
    }

    /// Why it was accepted, for the install database.
    pub fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }

    /// The value and why it was accepted; the proof ends here.
    pub fn into_parts(self) -> (T, Acceptance) {
        (self.value, self.acceptance)
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}
