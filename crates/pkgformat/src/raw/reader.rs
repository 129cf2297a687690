use std::io::{self, Read, Seek};

use pkgtypes::{Digest, Hasher};

use crate::error::{Error, MetaError, Problem, Result};
use crate::limits::Limits;
use crate::list::Meta;
use crate::record::{self, RecordDigests, Summary, SummaryBuilder};
use crate::source::{CHUNK, Source};

/// Reads a file of records one by one and checks every byte of it.
///
/// ```
/// use pkgformat::{Limits, Meta, RawReader, RawWriter};
///
/// let mut writer = RawWriter::new(Vec::new());
/// writer.record(&Meta::new("note", [("lang", "en")])?, b"hello")?;
/// let (file, _) = writer.finish()?;
///
/// let mut reader = RawReader::new(&*file, Limits::default());
/// while let Some(record) = reader.next_record()? {
///     assert_eq!(record.meta().kind(), "note");
///     assert_eq!(record.into_data()?, b"hello");
/// }
/// assert_eq!(reader.finish()?.records, 2);
/// # Ok::<(), pkgformat::Error>(())
/// ```
#[derive(Debug)]
pub struct RawReader<R> {
    source: Source<R>,
    limits: Limits,
    passed: SummaryBuilder,
    files: u64,
    open_ended: bool,
    state: State,
    /// Of the last record that was read whole.
    last: Option<RecordDigests>,
}

#[derive(Debug)]
enum State {
    /// Before a record.
    Between,
    /// In the data of a record.
    Data(Data),
    /// In records that somebody else checks, so many bytes before their end.
    Unchecked(u64),
    /// After the last record.
    End(Summary),
    /// After an error, which is not repeated.
    Failed,
}

#[derive(Debug)]
struct Data {
    is_blob: bool,
    size: u64,
    remaining: u64,
    head: Digest,
    hasher: Hasher,
    /// The digest that the data must have.
    due: Option<Digest>,
}

/// A record's head, read and checked.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) meta: Meta,
    pub(crate) size: u64,
    pub(crate) digest: Digest,
}

impl<R: Read> RawReader<R> {
    /// Begins to read a file that ends with a summary record.
    pub fn new(reader: R, limits: Limits) -> Self {
        Self { open_ended: false, ..Self::resume(reader, limits, 1, 0) }
    }

    /// Goes on with the record of this number, which begins at `offset`; there is no summary.
    pub(crate) fn resume(reader: R, limits: Limits, number: u64, offset: u64) -> Self {
        Self {
            source: Source::at(reader, offset),
            limits,
            passed: SummaryBuilder::after(number - 1),
            files: 0,
            open_ended: true,
            state: State::Between,
            last: None,
        }
    }

    /// Begins to read a file without a summary, to which records may be added: it ends after any record.
    /// [`RawReader::finish`] then gives what a summary would say, but for itself in the count of records.
    pub fn open_ended(reader: R, limits: Limits) -> Self {
        Self::resume(reader, limits, 1, 0)
    }

    /// Checks what is left of the present record and reads the next one's head; `None` after the last record, when the
    /// summary and the end of the file were checked too.
    ///
    /// # Errors
    /// Anything that is not as the format demands; the reader is of no use then.
    pub fn next_record(&mut self) -> Result<Option<RawRecord<'_, R>>> {
        let Some(head) = self.next_head()? else { return Ok(None) };
        Ok(Some(RawRecord { reader: self, meta: head.meta, size: head.size }))
    }

    /// Checks all that is left of the file.
    ///
    /// # Errors
    /// As [`RawReader::next_record`].
    pub fn finish(mut self) -> Result<Summary> {
        while self.next_head()?.is_some() {}
        match self.state {
            State::End(summary) => Ok(summary),
            _ => Err(self.source.error(Problem::Failed)),
        }
    }

    /// The manifest has this many entries, and the summary must say so.
    pub(crate) fn expect_files(&mut self, files: u64) {
        self.files = files;
    }

    /// The checksums of the last record whose data were read to their end.
    pub(crate) fn last(&self) -> Option<RecordDigests> {
        self.last
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(crate) fn source(&self) -> &Source<R> {
        &self.source
    }

    /// `problem` at the present position; nothing more will be read.
    pub(crate) fn fail(&mut self, problem: Problem) -> Error {
        self.state = State::Failed;
        self.source.error(problem)
    }

    /// Like [`RawReader::fail`], at another position.
    pub(crate) fn fail_at(&mut self, offset: u64, problem: Problem) -> Error {
        self.state = State::Failed;
        self.source.error_at(offset, problem)
    }

    pub(crate) fn next_head(&mut self) -> Result<Option<Head>> {
        let head = self.advance();
        if head.is_err() {
            self.state = State::Failed;
        }
        head
    }

    fn advance(&mut self) -> Result<Option<Head>> {
        self.skip_data()?;
        match &self.state {
            State::Failed | State::Data(_) | State::Unchecked(_) => return Err(self.source.error(Problem::Failed)),
            State::End(_) => return Ok(None),
            State::Between => {}
        }
        self.begin_record()?;
        let Some(head) = read_head(&mut self.source, &self.limits, self.open_ended)? else {
            let passed = self.passed.clone().finish(self.files);
            self.state = State::End(Summary { records: passed.records - 1, ..passed });
            return Ok(None);
        };
        if head.meta.kind() == record::SUMMARY {
            if self.open_ended {
                let found = record::SUMMARY.to_owned();
                return Err(self.source.error(Problem::Kind { found, expected: "a record of an open-ended file" }));
            }
            let computed = self.passed.clone().finish(self.files);
            self.read_summary(&head, &computed)?;
            self.state = State::End(computed);
            return Ok(None);
        }
        self.begin_data(&head);
        Ok(Some(head))
    }

    fn begin_record(&mut self) -> Result<()> {
        let number = self.passed.records() + 1;
        if number > self.limits.records {
            let problem = Problem::Limit { what: "records", claimed: number, limit: self.limits.records };
            return Err(self.source.error(problem));
        }
        self.source.begin_record(number);
        Ok(())
    }

    /// Counts the blob record that comes next as one that somebody else checks. Several may follow each other before
    /// any of them is read.
    pub(crate) fn leave_unchecked(&mut self, size: u64, digest: Digest) -> Result<()> {
        let before = match self.state {
            State::Between => 0,
            State::Unchecked(before) => before,
            State::Data(_) | State::End(_) | State::Failed => return Err(self.fail(Problem::Failed)),
        };
        self.begin_record().inspect_err(|_| self.state = State::Failed)?;
        let digests = RecordDigests { head: Digest::of(record::blob_head(size)), data: digest };
        let length = record::blob_len(size).and_then(|length| length.checked_add(before));
        let Some(length) = length.filter(|_| self.passed.blob(&digests, size)) else {
            return Err(self.fail(Problem::TooManyBytes));
        };
        self.state = State::Unchecked(length);
        Ok(())
    }

    /// That nothing of the present record is left.
    pub(crate) fn end_record(&mut self) -> Result<()> {
        self.skip_data()?;
        match self.state {
            State::Between => Ok(()),
            _ => Err(self.fail(Problem::Failed)),
        }
    }

    /// Reads bytes that somebody else checks, as many as there are and `buffer` takes; fewer only at the end of the
    /// file.
    pub(crate) fn read_unchecked(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let State::Unchecked(left) = self.state else { return Ok(0) };
        let most = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        match self.source.read_full(&mut buffer[..most]) {
            Ok(filled) => {
                let left = left - filled as u64;
                self.state = if left == 0 { State::Between } else { State::Unchecked(left) };
                Ok(filled)
            }
            Err(error) => {
                self.state = State::Failed;
                Err(error)
            }
        }
    }

    fn begin_data(&mut self, head: &Head) {
        self.state = State::Data(Data {
            is_blob: head.meta.kind() == record::BLOB,
            size: head.size,
            remaining: head.size,
            head: head.digest,
            hasher: Hasher::new(),
            due: None,
        });
    }

    /// The present record's data must have this digest, whatever checksum is stored with them.
    pub(crate) fn expect_data(&mut self, due: Digest) {
        if let State::Data(data) = &mut self.state {
            data.due = Some(due);
        }
    }

    /// Reads data of the present record; with the last byte comes the checksum, and it is checked before that byte is
    /// handed out. `Ok(0)` only when nothing is left (or `buffer` is empty).
    pub(crate) fn read_data(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let count = self.try_read_data(buffer);
        if count.is_err() {
            self.state = State::Failed;
        }
        count
    }

    fn try_read_data(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let data = match &mut self.state {
            State::Data(data) => data,
            State::Failed => return Err(self.source.error(Problem::Failed)),
            State::Between | State::Unchecked(_) | State::End(_) => return Ok(0),
        };
        let most = usize::try_from(data.remaining).map_or(buffer.len(), |left| left.min(buffer.len()));
        if data.remaining == 0 {
            self.end_data()?;
            return Ok(0);
        }
        if most == 0 {
            return Ok(0);
        }
        let count = self.source.read(&mut buffer[..most])?;
        if count == 0 {
            return Err(self.source.error(Problem::UnexpectedEnd { expected: "the data of a record" }));
        }
        data.hasher.update(&buffer[..count]);
        data.remaining -= count as u64;
        if data.remaining == 0 {
            self.end_data()?;
        }
        Ok(count)
    }

    /// Reads and checks what is left of the present record's data.
    pub(crate) fn skip_data(&mut self) -> Result<()> {
        let skipped = self.try_skip_data();
        if skipped.is_err() {
            self.state = State::Failed;
        }
        skipped
    }

    fn try_skip_data(&mut self) -> Result<()> {
        while let State::Data(data) = &mut self.state {
            if data.remaining == 0 {
                return self.end_data();
            }
            let hasher = &mut data.hasher;
            let count = self.source.take_chunk(data.remaining, |bytes| hasher.update(bytes))?;
            if count == 0 {
                return Err(self.source.error(Problem::UnexpectedEnd { expected: "the data of a record" }));
            }
            data.remaining -= count as u64;
        }
        Ok(())
    }

    /// Compares the data's checksum with the one that follows them, and counts the record.
    fn end_data(&mut self) -> Result<()> {
        let State::Data(data) = std::mem::replace(&mut self.state, State::Failed) else { return Ok(()) };
        let computed = data.hasher.finish();
        let stored = self.source.digest("the checksum of a record's data")?;
        if stored != computed {
            return Err(self.source.error(Problem::DataChecksum { stored, computed }));
        }
        if let Some(expected) = data.due.filter(|due| *due != computed) {
            return Err(self.source.error(Problem::Content { found: computed, expected }));
        }
        let digests = RecordDigests { head: data.head, data: computed };
        if data.is_blob && !self.passed.blob(&digests, data.size) {
            return Err(self.source.error(Problem::TooManyBytes));
        }
        if !data.is_blob {
            self.passed.record(&digests);
        }
        self.last = Some(digests);
        self.state = State::Between;
        Ok(())
    }

    fn read_summary(&mut self, head: &Head, computed: &Summary) -> Result<()> {
        check_summary(&head.meta, computed).map_err(|problem| self.source.error(problem))?;
        if head.size != 0 {
            return Err(self.source.error(Problem::SummaryData { found: head.size }));
        }
        let stored = self.source.digest("the checksum of the summary's data")?;
        let empty = Digest::of([]);
        if stored != empty {
            return Err(self.source.error(Problem::DataChecksum { stored, computed: empty }));
        }
        if !self.source.at_end()? {
            return Err(self.source.error(Problem::TrailingBytes));
        }
        Ok(())
    }

    /// The source is at its end.
    pub(crate) fn at_end(&mut self) -> Result<bool> {
        self.source.at_end()
    }
}

impl<R: Read + Seek> RawReader<R> {
    /// Goes past what somebody else reads and checks.
    pub(crate) fn pass_unchecked(&mut self) -> Result<()> {
        if let State::Unchecked(left) = self.state {
            let end = self.source.offset().checked_add(left);
            let end = end.ok_or_else(|| self.fail(Problem::TooManyBytes))?;
            self.source.seek(end)?;
            self.state = State::Between;
        }
        Ok(())
    }

    /// Goes to the record with this number, which begins at `offset`, and reads its head.
    pub(crate) fn seek_head(&mut self, number: u64, offset: u64) -> Result<Head> {
        self.source.begin_record(number);
        let head = self.source.seek(offset).and_then(|()| read_head(&mut self.source, &self.limits, false));
        let head = head?.ok_or_else(|| self.source.error(Problem::UnexpectedEnd { expected: "a record" }))?;
        self.begin_data(&head);
        Ok(head)
    }

    /// The checksum that stands at `offset`.
    pub(crate) fn seek_checksum(&mut self, offset: u64) -> Result<Digest> {
        self.source.seek(offset)?;
        self.source.digest("the checksum of a record's data")
    }

    /// Holds the summary record with this number, which begins at `offset` and ends the file, against `computed`.
    pub(crate) fn seek_summary(&mut self, number: u64, offset: u64, computed: Summary) -> Result<Summary> {
        let head = self.seek_head(number, offset)?;
        if head.meta.kind() != record::SUMMARY {
            let found = head.meta.kind().to_owned();
            return Err(self.fail(Problem::Kind { found, expected: "the summary" }));
        }
        self.read_summary(&head, &computed)?;
        Ok(computed)
    }
}

/// Reads a head; `None` where the file ends and may.
fn read_head<R: Read>(source: &mut Source<R>, limits: &Limits, may_end: bool) -> Result<Option<Head>> {
    let start = source.offset();
    let Some(mut head) = read_magic(source, may_end)? else { return Ok(None) };
    let list = head.len();
    read_list(source, &mut head, limits)?;
    let list = list..head.len();
    let size = source.size(&mut head, "the size of a record's data")?;
    let computed = Digest::of(&head);
    let stored = source.digest("the checksum of a record's head")?;
    if stored != computed {
        return Err(source.error(Problem::HeadChecksum { stored, computed }));
    }
    let list_at = start + list.start as u64;
    let meta = Meta::decode(head[list].to_vec())
        .map_err(|(position, error)| source.error_at(list_at + position as u64, Problem::Meta(error)))?;
    Ok(Some(Head { meta, size, digest: computed }))
}

fn read_magic<R: Read>(source: &mut Source<R>, may_end: bool) -> Result<Option<Vec<u8>>> {
    let start = source.offset();
    let mut magic = [0; record::MAGIC.len()];
    let filled = source.read_full(&mut magic)?;
    if filled == 0 && may_end {
        return Ok(None);
    }
    if magic[..filled] != record::MAGIC[..filled] {
        return Err(source.error_at(start, Problem::Magic { found: magic }));
    }
    let mut version = [0];
    if filled < magic.len() {
        return Err(source.error(Problem::UnexpectedEnd { expected: "a record" }));
    }
    source.read_exact(&mut version, "the version of a record")?;
    if version[0] != record::VERSION {
        return Err(source.error_at(source.offset() - 1, Problem::FormatVersion { found: version[0] }));
    }
    Ok(Some([&magic[..], &version].concat()))
}

/// Appends the bytes of a meta list, its end included.
fn read_list<R: Read>(source: &mut Source<R>, head: &mut Vec<u8>, limits: &Limits) -> Result<()> {
    let start = head.len();
    loop {
        let length = source.size(head, "the length of a meta entry")?;
        if length == 0 {
            return Ok(());
        }
        let claimed = length.saturating_add((head.len() - start) as u64);
        if claimed > limits.record_meta {
            let problem = Problem::Limit { what: "bytes of metadata", claimed, limit: limits.record_meta };
            return Err(source.error(problem));
        }
        source.append(head, length, "a meta entry")?;
    }
}

/// Holds a summary's entries against what was counted.
fn check_summary(meta: &Meta, computed: &Summary) -> Result<(), Problem> {
    let mut entries = meta.entries();
    for (name, value) in computed.values() {
        let Some((found_name, found)) = entries.next() else {
            return Err(Problem::Meta(MetaError::Missing(name)));
        };
        if found_name != name {
            return Err(Problem::Meta(if found_name < name {
                MetaError::Unknown(found_name.to_owned())
            } else {
                MetaError::Missing(name)
            }));
        }
        if found != value.as_bytes() {
            return Err(Problem::Summary { name, found: crate::list::shown(found), computed: value });
        }
    }
    match entries.next() {
        Some((name, _)) => Err(Problem::Meta(MetaError::Unknown(name.to_owned()))),
        None => Ok(()),
    }
}

/// A record whose head was checked and whose data can be read.
///
/// It reads like a file. The data's checksum is checked before the last byte is handed out, so whoever has read
/// everything has what was written; the bytes before the last one are not to be trusted until then.
#[derive(Debug)]
pub struct RawRecord<'a, R> {
    reader: &'a mut RawReader<R>,
    meta: Meta,
    size: u64,
}

impl<R: Read> RawRecord<'_, R> {
    /// The record's kind and entries.
    pub fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The size of the data as the head gives it: a claim until the data have been read.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads all data into memory, as much as [`Limits::record_data`] permits.
    ///
    /// # Errors
    /// Data longer than the limit, cut off or changed.
    pub fn into_data(self) -> Result<Vec<u8>> {
        let limit = self.reader.limits.record_data;
        if self.size > limit {
            return Err(self.reader.fail(Problem::Limit { what: "bytes of data", claimed: self.size, limit }));
        }
        let mut data = Vec::new();
        loop {
            let filled = data.len();
            let missing = self.size - filled as u64;
            data.resize(filled + usize::try_from(missing).map_or(CHUNK, |missing| missing.min(CHUNK)), 0);
            let count = self.reader.read_data(&mut data[filled..])?;
            data.truncate(filled + count);
            if count == 0 {
                return Ok(data);
            }
        }
    }
}

impl<R: Read> Read for RawRecord<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(self.reader.read_data(buffer)?)
    }
}
