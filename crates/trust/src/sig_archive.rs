use std::cmp::Ordering;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use pkgformat::{Limits, Meta, RawReader, RawRecord, RawWriter};
use pkgfs::{Durability, Root};
use pkgtypes::{Arch, Mode, PackageName, PkgPath};

use crate::bounded::Packed;
use crate::wire::{WireReader, put_string};
use crate::{Error, PACKAGE_NAMESPACE, PublicKey, Result, SshSig, Statement};

const HEADING: &str = "signatures";
const STATEMENT: &str = "statement";
const ED25519: u8 = 1;
const FILE_MODE: Mode = Mode::from_raw(0o644);

const MAX_ROWS: u64 = 200_000;
const MAX_SIGNATURES: usize = 16;
/// One length, the longest statement, one count, and the most signatures.
const MAX_ROW: u64 = 4 + Statement::MAX_LEN as u64 + 1 + MAX_SIGNATURES as u64 * 97;

/// A signature in a row, as it stands there: neither its key nor itself is checked. An archive may hold a million of them
/// by keys that nobody here knows, and each check has its price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowSignature {
    /// The 32 bytes of the public key.
    pub key: [u8; 32],
    /// The 64 bytes of the signature.
    pub signature: [u8; 64],
}

impl RowSignature {
    /// The signature as `ssh-keygen -Y verify` takes it.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`].
    pub fn to_sshsig(&self) -> Result<SshSig> {
        Ok(SshSig::new(PublicKey::from_bytes(&self.key)?, PACKAGE_NAMESPACE, self.signature))
    }
}

impl From<&SshSig> for RowSignature {
    fn from(signature: &SshSig) -> Self {
        Self { key: *signature.key().as_bytes(), signature: *signature.signature() }
    }
}

/// A statement and the signatures under it. Nothing here is verified: anybody can put rows together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedStatement {
    statement: Statement,
    signatures: Vec<RowSignature>,
}

impl SignedStatement {
    /// A row with one signature, which must be made for packages and verify.
    ///
    /// # Errors
    /// `E_SIG_BAD`.
    pub fn new(statement: Statement, signature: &SshSig) -> Result<Self> {
        let text = statement.to_string();
        SshSig::new(*signature.key(), PACKAGE_NAMESPACE, *signature.signature()).verify(text.as_bytes())?;
        Ok(Self { statement, signatures: vec![signature.into()] })
    }

    /// What is said.
    pub fn statement(&self) -> &Statement {
        &self.statement
    }

    /// Who is said to have signed it.
    pub fn signatures(&self) -> &[RowSignature] {
        &self.signatures
    }

    fn merge(&mut self, other: Self) -> Result<()> {
        self.signatures.extend(other.signatures);
        self.signatures.sort_unstable();
        self.signatures.dedup();
        check_count("signatures under a statement", self.signatures.len() as u64, MAX_SIGNATURES as u64)
    }

    /// By name, architecture and number; then by the rest of the text.
    fn compare(&self, other: &Self) -> Ordering {
        let (mine, theirs) = (self.statement.subject(), other.statement.subject());
        let order =
            (&mine.name, &mine.arch, self.statement.seq()).cmp(&(&theirs.name, &theirs.arch, other.statement.seq()));
        order.then_with(|| self.statement.to_string().cmp(&other.statement.to_string()))
    }

    fn encode(&self) -> Vec<u8> {
        let text = self.statement.to_string();
        let mut data = Vec::with_capacity(text.len() + 5 + self.signatures.len() * 97);
        put_string(&mut data, text.as_bytes());
        data.push(u8::try_from(self.signatures.len()).expect("a row has at most 16 signatures"));
        for RowSignature { key, signature } in &self.signatures {
            data.push(ED25519);
            data.extend_from_slice(key);
            data.extend_from_slice(signature);
        }
        data
    }

    fn decode(data: &[u8]) -> Result<Self> {
        let malformed = |reason: &str| Error::parse("row of a signature archive", reason);
        let short = || malformed("it is cut off");
        let mut reader = WireReader::new(data);
        let statement = Statement::parse(reader.string().ok_or_else(short)?)?;
        let count = usize::from(reader.byte().ok_or_else(short)?);
        check_count("signatures under a statement", count as u64, MAX_SIGNATURES as u64)?;
        let mut signatures = Vec::with_capacity(count);
        for _ in 0..count {
            if reader.byte().ok_or_else(short)? != ED25519 {
                return Err(Error::KeyType { what: "a signature", found: "an unknown number".to_owned() });
            }
            let key = reader.bytes(PublicKey::LEN).and_then(|key| key.try_into().ok()).ok_or_else(short)?;
            let signature = reader.bytes(64).and_then(|bytes| bytes.try_into().ok()).ok_or_else(short)?;
            signatures.push(RowSignature { key, signature });
        }
        if !reader.is_empty() {
            return Err(malformed("bytes stand after its end"));
        }
        if signatures.is_empty() || !signatures.is_sorted_by(|first, second| first < second) {
            return Err(malformed("its signatures are missing, unsorted or repeated"));
        }
        Ok(Self { statement, signatures })
    }
}

/// Signed statements on any number of packages: the file `*.sigs`, or one beside a package as `PACKAGE.sigs`.
///
/// A mere transport. What is in it is untrusted until [`crate::evaluate`] has verified it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SigArchive {
    rows: Vec<SignedStatement>,
}

impl SigArchive {
    /// An archive without statements.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows: sorted by name, architecture, number and text.
    pub fn rows(&self) -> &[SignedStatement] {
        &self.rows
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row; signatures on a statement that stands here already join the ones there.
    ///
    /// # Errors
    /// `E_TOO_LARGE` for more than 200 000 rows or 16 signatures under one statement.
    pub fn insert(&mut self, row: SignedStatement) -> Result<()> {
        match self.rows.binary_search_by(|other| other.compare(&row)) {
            Ok(index) => self.rows[index].merge(row),
            Err(index) => {
                check_count("the archive", self.rows.len() as u64 + 1, MAX_ROWS)?;
                self.rows.insert(index, row);
                Ok(())
            }
        }
    }

    /// The largest number that `key` signed for this name and architecture.
    pub fn last_seq(&self, name: &PackageName, arch: &Arch, key: &PublicKey) -> Option<u64> {
        let rows = self.rows_named(name).iter().rev();
        let mut signed = rows.filter(|row| {
            row.statement.subject().arch == *arch && row.signatures.iter().any(|by| by.key == *key.as_bytes())
        });
        signed.next().map(|row| row.statement.seq())
    }

    /// The rows on packages of this name, in order.
    pub(crate) fn rows_named(&self, name: &PackageName) -> &[SignedStatement] {
        let start = self.rows.partition_point(|row| row.statement.subject().name < *name);
        let end = self.rows.partition_point(|row| row.statement.subject().name <= *name);
        &self.rows[start..end]
    }

    /// Reads an archive, compressed or not; `what` names it in messages. No more than the limits is ever in memory,
    /// whatever the archive claims.
    ///
    /// # Errors
    /// `E_TOO_LARGE`, `E_RATIO`, and `E_PARSE` for anything that is not exactly as the format demands.
    pub fn read(reader: impl Read, what: &str) -> Result<Self> {
        let packed = Packed::default();
        let failed = |source| packed.explain(source, what);
        let source = packed.open(reader).map_err(|error| failed(error.into()))?;
        let limits = Limits { record_meta: 1024, records: MAX_ROWS + 2, record_data: MAX_ROW, ..Limits::default() };
        let mut records = RawReader::new(source, limits);
        let heading = records.next_record().map_err(failed)?;
        if !heading.is_some_and(|record| is_plain(&record, HEADING) && record.size() == 0) {
            return Err(Error::parse(what, "it does not begin as a signature archive"));
        }
        let mut rows: Vec<SignedStatement> = Vec::new();
        while let Some(record) = records.next_record().map_err(failed)? {
            if !is_plain(&record, STATEMENT) {
                return Err(Error::parse(what, "only statements may stand in a signature archive"));
            }
            let row = SignedStatement::decode(&record.into_data().map_err(failed)?)?;
            if rows.last().is_some_and(|last| last.compare(&row).is_ge()) {
                return Err(Error::parse(what, "its rows are unsorted or repeated"));
            }
            rows.push(row);
        }
        Ok(Self { rows })
    }

    /// Reads the archive at `path`; one that is not there says nothing about anything.
    ///
    /// # Errors
    /// As [`SigArchive::read`]; a file that cannot be read.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let failed = |source| Error::Io { path: path.to_owned(), what: "the signatures cannot be read", source };
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::new()),
            opened => opened.map_err(failed)?,
        };
        // A folder can be opened like a file, and fails only when it is read.
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        Self::read(file, &path.display().to_string())
    }

    /// Changes the archive at `path` in one step: what others add at the same time is kept, because each waits for the
    /// one before. An archive that is not there is an empty one; when `change` fails, nothing is written.
    ///
    /// The lock is on the folder, so that no further file is left beside the package.
    ///
    /// # Errors
    /// As [`SigArchive::load`] and [`SigArchive::save`]; what `change` answers.
    pub fn update<T>(path: impl AsRef<Path>, change: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let path = path.as_ref();
        let folder = folder_of(path);
        let failed = |source| Error::Io { path: folder.to_owned(), what: "the folder cannot be locked", source };
        let lock = File::open(folder).map_err(failed)?;
        lock.lock().map_err(failed)?;
        let mut archive = Self::load(path)?;
        let answer = change(&mut archive)?;
        archive.save(path)?;
        Ok(answer)
    }

    /// Where the signatures on the package file at `package` are looked for: `PACKAGE.sigs`.
    pub fn path_beside(package: impl AsRef<Path>) -> PathBuf {
        let mut path = package.as_ref().as_os_str().to_owned();
        path.push(".sigs");
        path.into()
    }

    /// Writes the archive. The same rows are always the same bytes.
    ///
    /// # Errors
    /// A writer that fails.
    pub fn write<W: Write>(&self, writer: W) -> Result<W> {
        let failed = |source| Error::Records { what: "signature archive".to_owned(), source: Box::new(source) };
        let meta = |kind| Meta::new::<&str, &str>(kind, []).expect("the kind is in the grammar");
        let mut records = RawWriter::new(writer);
        records.record(&meta(HEADING), &[]).map_err(failed)?;
        for row in &self.rows {
            records.record(&meta(STATEMENT), &row.encode()).map_err(failed)?;
        }
        records.finish().map(|(writer, _)| writer).map_err(failed)
    }

    /// Writes the archive to `path` in one step; an archive that is there is replaced, whatever others put into it since
    /// it was read. To add to one, use [`SigArchive::update`].
    ///
    /// # Errors
    /// The disk.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| PkgPath::from_os(name).ok());
        let name = name.ok_or_else(|| Error::parse(path.display().to_string(), "it does not name a file"))?;
        let bytes = self.write(Vec::new())?;
        Root::open(folder_of(path))?.write_file(&name, FILE_MODE, &bytes, Durability::Synced)?;
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn is_plain<R: Read>(record: &RawRecord<'_, R>, kind: &str) -> bool {
    record.meta().kind() == kind && record.meta().entries().next().is_none()
}

fn check_count(what: &str, count: u64, limit: u64) -> Result<()> {
    if count <= limit {
        return Ok(());
    }
    Err(Error::TooLarge { what: what.to_owned(), limit, unit: "rows or signatures" })
}
