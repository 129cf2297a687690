use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read};
use std::ops::Deref;

use pkgformat::{PackageRecord, Reader};
use pkgtypes::{Digest, PackageName, Timestamp};
use trust::{Acceptance, Verified};

use crate::accounts::{account_file, is_account_file};
use crate::error::{DbResult as _, Result};
use crate::standing::Standing;
use crate::stock::Stock;
use crate::{Error, Ground, Installed, Retention, User, Wish, acceptance};

/// Where a package's bytes come from, decompressed.
pub struct Source<'p>(Box<dyn Read + Send + 'p>);

impl<'p> Source<'p> {
    /// Takes any reader; another thread is going to read from it.
    pub fn new(reader: impl Read + Send + 'p) -> Self {
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
///
/// For a package that comes from outside there is no way around the decision: only [`trust::Decision::into_verified`] makes a
/// [`Verified`] record, and a record that nobody judged is another type.
///
/// ```compile_fail,E0308
/// use installdb::{Incoming, Source};
/// use pkgformat::{Limits, PackageRecord, Reader};
///
/// fn install_anything(record: PackageRecord, reader: Reader<Source<'_>>) -> installdb::Result<Incoming<'_>> {
///     Incoming::new(record, reader)
/// }
/// ```
///
/// With a verified one the same lines compile:
///
/// ```
/// use installdb::{Incoming, Source};
/// use pkgformat::{Limits, PackageRecord, Reader};
/// use trust::Verified;
///
/// fn install_trusted(record: Verified<PackageRecord>, reader: Reader<Source<'_>>) -> installdb::Result<Incoming<'_>> {
///     Incoming::new(record, reader)
/// }
/// ```
#[derive(Debug)]
pub struct Incoming<'p> {
    arriving: Arriving,
    content: Content<'p>,
}

/// Where the contents of a package come from.
#[derive(Debug)]
pub(crate) enum Content<'p> {
    /// From the package itself.
    Package(Box<Reader<Source<'p>>>),
    /// From what is left of it.
    Stock(Stock),
}

/// What is known of an incoming package before its content comes.
#[derive(Debug)]
pub(crate) struct Arriving {
    pub(crate) record: Accepted,
    pub(crate) wanted: bool,
    /// Whether it comes back to where it was before.
    pub(crate) returns: bool,
    /// Contents that are known before the package is read.
    pub(crate) known: HashMap<Digest, Vec<u8>>,
    pub(crate) standing: Standing,
}

impl Arriving {
    fn new(record: Accepted, returns: bool) -> Self {
        Self { record, wanted: false, returns, known: HashMap::new(), standing: Standing::default() }
    }
}

/// A package record that was accepted: now, or when the package was installed before.
#[derive(Debug)]
pub(crate) struct Accepted {
    record: PackageRecord,
    acceptance: Acceptance,
}

impl Accepted {
    /// What was accepted when it was installed before. Only what the install database says may come here.
    pub(crate) fn again(record: PackageRecord, acceptance: Acceptance) -> Self {
        Self { record, acceptance }
    }

    pub(crate) fn acceptance(&self) -> &Acceptance {
        &self.acceptance
    }
}

impl From<Verified<PackageRecord>> for Accepted {
    fn from(verified: Verified<PackageRecord>) -> Self {
        let (record, acceptance) = verified.into_parts();
        Self { record, acceptance }
    }
}

impl Deref for Accepted {
    type Target = PackageRecord;

    fn deref(&self) -> &PackageRecord {
        &self.record
    }
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
        let arriving = Arriving::new(record.into(), false);
        Ok(Self { arriving, content: Content::Package(Box::new(reader)) })
    }

    /// A package that was installed before, from what is left of it.
    pub(crate) fn returning(record: Accepted, stock: Stock) -> Self {
        Self { arriving: Arriving::new(record, true), content: Content::Stock(stock) }
    }

    /// A package that was installed before, from the package itself.
    pub(crate) fn returning_from(record: Accepted, reader: Reader<Source<'p>>) -> Self {
        let arriving = Arriving::new(record, true);
        Self { arriving, content: Content::Package(Box::new(reader)) }
    }

    /// The same package, remembered as one that the user asked for.
    #[must_use]
    pub fn wanted(mut self) -> Self {
        self.arriving.wanted = true;
        self
    }

    /// Contents that have to be known before the package is read, because the files of other packages may belong to the
    /// users and groups in them. Where [`Incoming::knowing`] is not told, it may have to come by itself.
    pub fn needed_first(&self) -> Vec<Digest> {
        let entries = self.record().manifest().entries().iter();
        entries.filter(|entry| is_account_file(&entry.path)).filter_map(account_file).collect()
    }

    /// The same package, of which this content is known.
    #[must_use]
    pub fn knowing(mut self, content: Vec<u8>) -> Self {
        self.arriving.known.insert(Digest::of(&content), content);
        self
    }

    /// The package's first record.
    pub fn record(&self) -> &PackageRecord {
        &self.arriving.record
    }

    /// Whether this package is installed already: the same content, accepted on the same grounds, and wanted if this one is.
    ///
    /// # Errors
    /// The database can not be read.
    pub fn is_installed(&self, installed: &Installed) -> Result<bool> {
        let record = &self.arriving.record;
        let Some(found) = installed.package(&record.meta().name)? else { return Ok(false) };
        if found.id != record.id() || (self.arriving.wanted && !found.wanted) {
            return Ok(false);
        }
        let grounds =
            acceptance::load(&installed.conn, found.id).during("read why a package was accepted", &installed.conn)?;
        Ok(grounds.as_ref() == Some(record.acceptance()))
    }

    pub(crate) fn into_parts(self) -> (Arriving, Content<'p>) {
        (self.arriving, self.content)
    }
}

/// A change of what is installed, decided by somebody else: the user, or a solver.
#[derive(Debug)]
pub struct Request<'p> {
    /// Packages to install; one of a name that is installed takes its place, whatever the versions are. What need not change
    /// [`Incoming::is_installed`] tells.
    pub install: Vec<Incoming<'p>>,
    /// Packages to remove.
    pub remove: Vec<PackageName>,
    /// What else becomes of the names that the user asked for.
    pub wishes: Vec<Wish>,
    /// What comes back, or gives way again, beside packages; a [`Reversal`](crate::Reversal) knows.
    pub ground: Ground,
    /// How much of the past is kept, from this change on; `None` where that stays as it is.
    pub retention: Option<Retention>,
    /// Whether everything that is kept now is forgotten.
    pub forget: bool,
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
        Self {
            install: Vec::new(),
            remove: Vec::new(),
            wishes: Vec::new(),
            ground: Ground::default(),
            retention: None,
            forget: false,
            time,
            argv: Vec::new(),
            user: None,
            options: Options::default(),
        }
    }
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
    /// Whether the scripts of converted packages are run, as their own package manager would. Those before
    /// the change may write, so what they did stays where the change is refused.
    pub foreign_scripts: bool,
    /// How long a script may run; `None` is ten minutes.
    pub script_limit: Option<std::time::Duration>,
    /// How long is waited for somebody else who edits users and groups; `None` is 15 seconds, as the C library has it.
    pub lock_limit: Option<std::time::Duration>,
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
