use std::io;

use pkgtypes::{Digest, ParseError, PkgPath};

use crate::size::SizeError;

/// The result of reading or writing records.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a package could not be read, made or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What was read is not what the format demands.
    #[error("record {record}, byte {offset}: {problem}")]
    Read {
        /// The record's number in the file, from 1.
        record: u64,
        /// Where in the file the wrong thing begins, or where it was found out.
        offset: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// A meta list can not be made of these values.
    #[error(transparent)]
    Meta(#[from] MetaError),
    /// A manifest can not be made of these entries.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Writing failed.
    #[error("the package can not be written: {0}")]
    Write(#[source] io::Error),
    /// The source of a blob failed.
    #[error("blob {number} can not be written because its source can not be read: {source}")]
    BlobSource {
        /// The blob's number in the package, from 1.
        number: u64,
        /// What the source says.
        source: io::Error,
    },
    /// A blob's source is not what the manifest says.
    #[error("blob {number} is not what the manifest says: {problem}")]
    BlobContent {
        /// The blob's number in the package, from 1.
        number: u64,
        /// What is wrong.
        problem: Problem,
    },
    /// A record of this kind is written by the writer itself.
    #[error("a `{0}` record can not be written here")]
    ReservedKind(String),
    /// The writer failed before; what it wrote is of no use.
    #[error("the writer failed before")]
    WriterFailed,
    /// No blob with this digest is in the package.
    #[error("no blob {0} is in the package")]
    NoSuchBlob(Digest),
}

impl From<io::Error> for Error {
    /// Gets back the error that a [`BlobReader`](crate::BlobReader) put into an [`io::Error`]; another one is taken as a
    /// failure to write.
    fn from(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(error) => error,
            Err(error) => Self::Write(error),
        }
    }
}

impl From<Error> for io::Error {
    /// The error inside an [`io::Error`] of the fitting kind; [`Error::from`] gets it out again.
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Write(source) | Error::BlobSource { source, .. } => source.kind(),
            Error::Read { problem: Problem::Io(source), .. } => source.kind(),
            Error::Read { problem: Problem::UnexpectedEnd { .. }, .. } => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// What is wrong at one place of a file of records.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The source failed.
    #[error("reading failed: {0}")]
    Io(#[source] io::Error),
    /// The file is cut off.
    #[error("the file ends where {expected} is expected")]
    UnexpectedEnd {
        /// What should have come.
        expected: &'static str,
    },
    /// No record begins here.
    #[error("the bytes {} stand where a record's magic AB 4B 50 4B is expected", hex(.found))]
    Magic {
        /// The four bytes.
        found: [u8; 4],
    },
    /// A version that this program does not know.
    #[error("record format version {found} is not known, 1 is expected")]
    FormatVersion {
        /// The version byte.
        found: u8,
    },
    /// A size in another than its one spelling.
    #[error("{what}: {source}")]
    Size {
        /// The size of what.
        what: &'static str,
        /// The rule that it breaks.
        source: SizeError,
    },
    /// The head was changed.
    #[error("the record's head does not have its checksum: {stored} is stored, {computed} computed")]
    HeadChecksum {
        /// The checksum in the file.
        stored: Digest,
        /// The checksum of what is in the file.
        computed: Digest,
    },
    /// The data were changed.
    #[error("the record's data do not have their checksum: {stored} is stored, {computed} computed")]
    DataChecksum {
        /// The checksum in the file.
        stored: Digest,
        /// The checksum of what is in the file.
        computed: Digest,
    },
    /// A limit of [`Limits`](crate::Limits) is passed.
    #[error("{what}: {claimed} is more than the limit of {limit}")]
    Limit {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much the file holds or claims to hold, as far as it was read.
        claimed: u64,
        /// How much is accepted.
        limit: u64,
    },
    /// A meta list is not what it must be.
    #[error("{0}")]
    Meta(#[source] MetaError),
    /// The manifest is not what it must be.
    #[error("{0}")]
    Manifest(#[source] ManifestError),
    /// A record of another kind is due here.
    #[error("a record of kind `{found}` stands where {expected} is expected")]
    Kind {
        /// The kind in the file.
        found: String,
        /// The kinds that may stand here.
        expected: &'static str,
    },
    /// The head of a blob was changed, in a length inside it.
    #[error("the record's head is not that of the blob that is due")]
    BlobHead,
    /// A blob of another size is due here.
    #[error("a blob of {found} bytes stands where blob {expected} of {size} bytes is expected")]
    BlobSize {
        /// The blob that is due.
        expected: Digest,
        /// Its size.
        size: u64,
        /// The size of the blob in the file.
        found: u64,
    },
    /// A source with another number of bytes than was announced.
    #[error("its source has {} bytes than the {size} that were announced ({found} were read)", if found < size { "fewer" } else { "more" })]
    Length {
        /// The bytes that were read before this was found out.
        found: u64,
        /// The bytes that were announced.
        size: u64,
    },
    /// Another content than was announced.
    #[error("its content has the digest {found}, {expected} was announced")]
    Content {
        /// The digest of what was read.
        found: Digest,
        /// The digest that was announced.
        expected: Digest,
    },
    /// A blob that neither the manifest nor a script names.
    #[error("blob {found} is not referenced; {expected} is expected")]
    UnreferencedBlob {
        /// The blob that is due.
        expected: Digest,
        /// The blob in the file.
        found: Digest,
    },
    /// A blob that stood before.
    #[error("blob {found} stands here again; {expected} is expected")]
    RepeatedBlob {
        /// The blob that is due.
        expected: Digest,
        /// The blob in the file.
        found: Digest,
    },
    /// A blob that is due later.
    #[error("blob {found} is out of order; {expected} is expected")]
    BlobOrder {
        /// The blob that is due.
        expected: Digest,
        /// The blob in the file.
        found: Digest,
    },
    /// A blob after the last one.
    #[error("a blob follows although all {blobs} blobs of the package have come")]
    ExtraBlob {
        /// How many there are.
        blobs: u64,
    },
    /// The end before the last blob.
    #[error("blob {expected} is missing")]
    MissingBlob {
        /// The blob that is due.
        expected: Digest,
    },
    /// The sizes of the blobs together are no 64-bit number.
    #[error("the blobs together have more than 2^64 - 1 bytes")]
    TooManyBytes,
    /// The summary says something else than the records before it.
    #[error("the summary says {name}={found}, but it is {computed}")]
    Summary {
        /// The name of the entry.
        name: &'static str,
        /// What the file says.
        found: String,
        /// What its records say.
        computed: String,
    },
    /// The summary has data.
    #[error("the summary has {found} bytes of data, none are expected")]
    SummaryData {
        /// The size of the data.
        found: u64,
    },
    /// Blobs that were handed out to be checked, of which nobody said that they were.
    #[error("nobody has said of {blobs} blobs that they were checked")]
    Unchecked {
        /// How many.
        blobs: u64,
    },
    /// Bytes after the end.
    #[error("bytes follow where the end of the file is expected")]
    TrailingBytes,
    /// The reader failed before.
    #[error("the reader failed before")]
    Failed,
}

fn hex(bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    digits.join(" ")
}

/// Why entries are no meta list, or not the one that is expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetaError {
    /// The length of an entry is no size.
    #[error("the length of an entry: {0}")]
    Length(#[from] SizeError),
    /// An entry or the end of the list is missing.
    #[error("the list is cut off")]
    CutOff,
    /// An entry without `=`.
    #[error("the entry `{0}` has no `=`")]
    NoEquals(String),
    /// A name outside the grammar.
    #[error("`{0}` is no name: [a-z][a-z0-9.:-]{{0,63}} is expected")]
    Name(String),
    /// The first entry of a record does not give its kind.
    #[error("the first entry is `{0}`, `record=KIND` is expected")]
    NoKind(String),
    /// `record` in another place than the first.
    #[error("`record` stands again")]
    SecondKind,
    /// Names that are not sorted.
    #[error("`{name}` stands after `{previous}`: names must be sorted")]
    Unsorted {
        /// The name that comes too late.
        name: String,
        /// The name before it.
        previous: String,
    },
    /// A list whose values are not sorted.
    #[error("the values of `{0}` are not sorted")]
    UnsortedValues(String),
    /// A list with a value twice.
    #[error("`{0}` has the same value twice")]
    RepeatedValue(String),
    /// A name with more than one value that can have only one.
    #[error("`{0}` stands more than once")]
    Repeated(String),
    /// A name that must be there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A name that has no place in this list.
    #[error("`{0}` has no place here")]
    Unknown(String),
    /// A default that is written out.
    #[error("`{0}` has its default value, which is never written")]
    Default(&'static str),
    /// A value outside its grammar.
    #[error("`{name}`: {source}")]
    Value {
        /// The name of the entry.
        name: String,
        /// What is wrong with the value.
        source: ParseError,
    },
    /// A digest in the metadata that no blob has.
    #[error("`{name}` names {digest}, which is no blob of the package")]
    NoSuchBlob {
        /// The name of the entry.
        name: &'static str,
        /// The digest.
        digest: Digest,
    },
    /// A record longer than a size can say.
    #[error("there are more bytes than 64 bits can count")]
    TooLong,
}

/// Why entries are no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// An entry that is none in itself.
    #[error("manifest entry {number}: {source}")]
    Entry {
        /// The entry's number, from 1.
        number: u64,
        /// What is wrong.
        source: MetaError,
    },
    /// Something that an entry of this type can not have.
    #[error("`{path}` is a {kind} and can have no `{name}`")]
    Misplaced {
        /// The entry.
        path: PkgPath,
        /// Its type.
        kind: &'static str,
        /// What it can not have.
        name: &'static str,
    },
    /// A value outside its grammar.
    #[error("`{path}`, `{name}`: {reason}")]
    Value {
        /// The entry.
        path: PkgPath,
        /// The name of the value.
        name: &'static str,
        /// The rule that it breaks.
        reason: &'static str,
    },
    /// Entries that are not sorted.
    #[error("`{path}` stands after `{previous}`: entries must be sorted by path, `/` counted as byte 0")]
    Unsorted {
        /// The entry that comes too late.
        path: PkgPath,
        /// The entry before it.
        previous: PkgPath,
    },
    /// A path twice.
    #[error("`{path}` is listed twice")]
    Repeated {
        /// The path.
        path: PkgPath,
    },
    /// An entry whose folder is not listed.
    #[error("`{path}` is listed, but `{parent}` is not")]
    MissingParent {
        /// The entry.
        path: PkgPath,
        /// The folder.
        parent: PkgPath,
    },
    /// An entry inside something that is no folder.
    #[error("`{path}` is listed, but `{parent}` is no dir")]
    ParentNotDir {
        /// The entry.
        path: PkgPath,
        /// What is no folder.
        parent: PkgPath,
    },
    /// A hard link to something that is not the first entry of a file.
    #[error("`{path}` is a hard link to `{target}`: {reason}")]
    HardlinkTarget {
        /// The entry.
        path: PkgPath,
        /// Its target.
        target: PkgPath,
        /// Why it can not be the target.
        reason: &'static str,
    },
    /// One digest with two sizes.
    #[error("`{path}` has the digest of `{first}` but another size")]
    SizeConflict {
        /// The entry.
        path: PkgPath,
        /// The first entry with that digest.
        first: PkgPath,
    },
    /// More bytes than can be counted.
    #[error("the files together have more than 2^64 - 1 bytes")]
    TooManyBytes,
}
