use std::fmt;
use std::io::{self, Read};

use pkgformat::{PackageRecord, Reader};
use pkgtypes::{PackageName, Timestamp};
use trust::Verified;

use crate::Error;
use crate::error::Result;

/// Where a package's bytes come from, decompressed.
pub struct Source<'p>(Box<dyn Read + 'p>);

impl<'p> Source<'p> {
    /// Takes any reader.
    pub fn new(reader: impl Read + 'p) -> Self {
        Self(Box::new(reader))
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source(..)")
    }
}

/// A package to be installed: its record, on which trust was decided, and its blobs.
#[derive(Debug)]
pub struct Incoming<'p> {
    arriving: Arriving,
    reader: Reader<Source<'p>>,
}

/// What is known of an incoming package before its content comes.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) record: Verified<PackageRecord>,
    pub(crate) wanted: bool,
}

impl<'p> Incoming<'p> {
    /// A package whose first record was read from `reader` and verified; the blobs follow there.
    ///
    /// # Errors
    /// The reader is in another package than the one that was verified.
    pub fn new(record: Verified<PackageRecord>, reader: Reader<Source<'p>>) -> Result<Self> {
        if reader.package().id() != record.id() {
            return Err(Error::OtherPackage { package: record.meta().name.clone() });
        }
        Ok(Self { arriving: Arriving { record, wanted: false }, reader })
    }

    /// The same package, remembered as one that the user asked for.
    #[must_use]
    pub fn wanted(mut self) -> Self {
        self.arriving.wanted = true;
        self
    }

    /// The package's first record.
    pub fn record(&self) -> &PackageRecord {
        &self.arriving.record
    }

    pub(crate) fn into_parts(self) -> (Arriving, Reader<Source<'p>>) {
        (self.arriving, self.reader)
    }
}

/// A change of what is installed, decided by somebody else: the user, or a solver.
#[derive(Debug)]
pub struct Request<'p> {
    /// Packages to install; one of a name that is installed takes its place, whatever the versions are.
    pub install: Vec<Incoming<'p>>,
    /// Packages to remove.
    pub remove: Vec<PackageName>,
    /// When the change is made.
    pub time: Timestamp,
    /// The command that asks for it, for the history.
    pub argv: Vec<Vec<u8>>,
    /// Who asks for it, for the history.
    pub user: Option<User>,
    /// What is done in the cases where more than one thing can be.
    pub options: Options,
}

impl Request<'_> {
    /// A request for nothing, at this time.
    pub fn new(time: Timestamp) -> Self {
        let (install, remove, argv) = (Vec::new(), Vec::new(), Vec::new());
        Self { install, remove, time, argv, user: None, options: Options::default() }
    }
}

/// Somebody who asks for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The number by which the machine knows him.
    pub uid: u32,
    /// His name, where the machine has one for him.
    pub name: Option<String>,
}

/// What is done in the cases where more than one thing can be.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// What is done with something that no package owns where a package puts something else.
    pub unowned: Unowned,
    /// Whether packages may miss what they require, or exclude each other.
    pub ignore_relations: bool,
    /// Whether packages with scripts or triggers are installed without these being run. Users and groups are made.
    pub skip_scripts: bool,
    /// Whether packages for another architecture than this program's are installed, into a root for another machine.
    pub foreign_arch: bool,
}

/// What is done with something that no package owns where a package puts something else. What is identical to the
/// package's is taken over in every case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unowned {
    /// The change is refused.
    #[default]
    Refuse,
    /// It stays, and the package owns it from then on.
    Adopt,
    /// It is replaced.
    Replace,
}
