use std::io::{self, Read};

use codec::{Bounds, Decoder};

use crate::error::shown;
use crate::{ArchiveError, Entry, Options, read_tar};

const CONTAINER: &str = "Debian package";

/// Bytes of `control.tar`'s files together: Debian's largest have some hundred kilobytes, lists of checksums.
const CONTROL_LIMIT: u64 = 16 << 20;

/// A Debian binary package (`.deb`): an `ar` archive of `debian-binary`, `control.tar` and `data.tar`.
pub struct Deb<R> {
    reader: R,
    offset: u64,
    control: DebControl,
}

/// What a Debian package says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DebControl {
    /// The fields of `control` in their order; the lines of a folded field are joined by line feeds.
    pub fields: Vec<(String, String)>,
    /// The other files of `control.tar` (`postinst`, `conffiles`, `md5sums`, ..) by name.
    pub files: Vec<(String, Vec<u8>)>,
}

impl DebControl {
    /// The value of a field; names have no case.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// A file of `control.tar`.
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(file, _)| file == name).map(|(_, bytes)| bytes.as_slice())
    }
}

impl<R: Read> Deb<R> {
    /// Reads up to the end of the control archive.
    ///
    /// # Errors
    /// What is wrong with the package.
    pub fn open(reader: R) -> Result<Self, ArchiveError> {
        let mut deb = Self { reader, offset: 0, control: DebControl::default() };
        let mut magic = [0; 8];
        deb.fill(&mut magic)?;
        if &magic != b"!<arch>\n" {
            return Err(malformed(0, "`!<arch>` is expected at its beginning"));
        }
        deb.read_version()?;
        let member = deb.next_member()?;
        if !member.is("control.tar") {
            return Err(member.unexpected("control.tar"));
        }
        deb.control = deb.read_control(&member)?;
        Ok(deb)
    }

    /// What the package says of itself.
    pub fn control(&self) -> &DebControl {
        &self.control
    }

    /// Reads the package's files; see [`read_tar`].
    ///
    /// # Errors
    /// What is wrong with the package, and what `each` returns.
    pub fn read_files<E: From<ArchiveError>>(
        mut self,
        options: &Options,
        each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
    ) -> Result<(), E> {
        let member = loop {
            let member = self.next_member()?;
            // deb(5): members whose names begin with `_` may stand here and say nothing.
            if !member.name.starts_with('_') {
                break member;
            }
            self.skip(&member)?;
        };
        if !member.is("data.tar") {
            return Err(member.unexpected("data.tar").into());
        }
        let mut data = decode(Body { inner: &mut self.reader, left: member.size }, &member)?;
        read_tar(&mut data, options, each)?;
        drain(&mut data, &member)?;
        Ok(())
    }

    fn read_version(&mut self) -> Result<(), ArchiveError> {
        let member = self.next_member()?;
        if member.name != "debian-binary" || member.size > 1024 {
            return Err(member.unexpected("debian-binary"));
        }
        let mut version = vec![0; usize::try_from(member.padded()).unwrap_or(0)];
        self.fill(&mut version)?;
        if !version.starts_with(b"2.") {
            return Err(malformed(member.offset, "only format 2 is known"));
        }
        Ok(())
    }

    fn read_control(&mut self, member: &Member) -> Result<DebControl, ArchiveError> {
        let mut control = DebControl::default();
        let mut options = Options::default();
        options.limits.bytes = CONTROL_LIMIT;
        options.limits.entries = 1000;
        let mut body = Body { inner: &mut self.reader, left: member.size };
        let mut archive = decode(&mut body, member)?;
        read_tar::<ArchiveError>(&mut archive, &options, |entry, data| {
            let mut bytes = Vec::new();
            data.read_to_end(&mut bytes).map_err(|source| ArchiveError::Io { offset: member.offset, source })?;
            match entry.path.to_string().as_str() {
                "control" => control.fields = parse_fields(&bytes, member.offset)?,
                name if matches!(entry.kind, crate::EntryKind::File { .. }) => {
                    control.files.push((name.to_owned(), bytes));
                }
                _ => {}
            }
            Ok(())
        })?;
        drain(&mut archive, member)?;
        drop(archive);
        let rest = body.left;
        self.advance(member, rest)?;
        if control.fields.is_empty() {
            return Err(malformed(member.offset, "control.tar has no file `control`"));
        }
        Ok(control)
    }

    fn next_member(&mut self) -> Result<Member, ArchiveError> {
        let offset = self.offset;
        let mut header = [0; 60];
        self.fill(&mut header)?;
        if &header[58..] != b"`\n" {
            return Err(malformed(offset, "the header of an ar member is expected"));
        }
        let text =
            |range: std::ops::Range<usize>| std::str::from_utf8(&header[range]).unwrap_or("").trim_end_matches(' ');
        let digits = text(48..58);
        let size = digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let size = size.ok_or_else(|| malformed(offset, "the size of an ar member is no number"))?;
        let name = text(0..16);
        Ok(Member { name: name.strip_suffix('/').unwrap_or(name).to_owned(), size, offset })
    }

    fn skip(&mut self, member: &Member) -> Result<(), ArchiveError> {
        self.advance(member, member.size)
    }

    /// Passes over the `rest` of a member and its padding.
    fn advance(&mut self, member: &Member, rest: u64) -> Result<(), ArchiveError> {
        let amount = rest + (member.padded() - member.size);
        let copied = io::copy(&mut (&mut self.reader).take(amount), &mut io::sink());
        let copied = copied.map_err(|source| ArchiveError::Io { offset: member.offset, source })?;
        self.offset = member.offset.saturating_add(60).saturating_add(member.padded());
        if copied < amount {
            return Err(malformed(member.offset, "the package ends within this member"));
        }
        Ok(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), ArchiveError> {
        let offset = self.offset;
        self.reader.read_exact(buffer).map_err(|source| match source.kind() {
            io::ErrorKind::UnexpectedEof => malformed(offset, "the package ends too early"),
            _ => ArchiveError::Io { offset, source },
        })?;
        self.offset += buffer.len() as u64;
        Ok(())
    }
}

/// The header of an ar member.
struct Member {
    name: String,
    size: u64,
    /// Where the header is.
    offset: u64,
}

impl Member {
    /// Whether this is `name`, compressed or not.
    fn is(&self, name: &str) -> bool {
        self.name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Members begin at even offsets.
    fn padded(&self) -> u64 {
        self.size.saturating_add(self.size % 2)
    }

    fn unexpected(&self, expected: &str) -> ArchiveError {
        malformed(
            self.offset,
            &format!("the member `{expected}` is expected, but this is `{}`", shown(self.name.as_bytes())),
        )
    }
}

/// The bytes of one member.
struct Body<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Body<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.inner.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the package ends within this member"));
        }
        self.left -= read as u64;
        Ok(read)
    }
}

fn decode<R: Read>(body: R, member: &Member) -> Result<Decoder<R>, ArchiveError> {
    Decoder::new(body, Bounds::default()).map_err(|error| malformed(member.offset, &error.to_string()))
}

/// Reads what follows the tar archive, so that the checksum of the compression is compared.
fn drain(rest: &mut impl Read, member: &Member) -> Result<(), ArchiveError> {
    io::copy(rest, &mut io::sink()).map(drop).map_err(|error| malformed(member.offset, &error.to_string()))
}

fn malformed(offset: u64, reason: &str) -> ArchiveError {
    ArchiveError::Malformed { container: CONTAINER, offset, reason: reason.to_owned() }
}

/// `Name: value` lines; a line that begins with a blank goes on with the field before it.
fn parse_fields(bytes: &[u8], offset: u64) -> Result<Vec<(String, String)>, ArchiveError> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed(offset, "the file `control` is not UTF-8"))?;
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        if line.starts_with([' ', '\t']) {
            let (_, value) =
                fields.last_mut().ok_or_else(|| malformed(offset, "`control` begins with a folded line"))?;
            value.push('\n');
            value.push_str(line.trim());
        } else {
            let (name, value) =
                line.split_once(':').ok_or_else(|| malformed(offset, "a line of `control` has no `:`"))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }
    Ok(fields)
}
