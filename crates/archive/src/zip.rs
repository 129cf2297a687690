use std::io::{self, Read, Seek, SeekFrom};

use ::zip::ExtraField;
use ::zip::read::ZipFile;
use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::at::At;
use crate::data::Data;
use crate::error::shown;
use crate::place::place;
use crate::{ArchiveError, Entry, EntryKind, Options};

const CONTAINER: &str = "zip archive";

/// Entries may share their data, so a small archive can have large files without end. Bounded as other compressions are:
/// this many bytes, and this many for each byte of the archive.
const SLACK: u64 = 64 << 20;
const RATIO: u64 = 1000;

/// Reads a zip archive; files are stored or deflated.
///
/// `each` gets every entry in order with the data of a file (nothing for others); it need not read them. An archive made
/// elsewhere than on Unix has no modes: folders get 0755, files 0644.
///
/// # Errors
/// What is wrong with the archive, and what `each` returns.
pub fn read_zip<E: From<ArchiveError>>(
    mut reader: impl Read + Seek,
    options: &Options,
    mut each: impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let malformed = |error: ::zip::result::ZipError| broken(&error);
    let packed = reader.seek(SeekFrom::End(0)).map_err(|source| ArchiveError::Io { offset: 0, source })?;
    let most = options.limits.bytes.min(packed.saturating_mul(RATIO).max(SLACK));
    let mut archive = ::zip::ZipArchive::new(reader).map_err(malformed)?;
    let mut bytes: u64 = 0;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(malformed)?;
        let at = At { container: CONTAINER, entry: shown(file.name_raw()), offset: file.header_start() };
        if index as u64 >= options.limits.entries {
            return Err(at.limit("entries", options.limits.entries).into());
        }
        bytes = bytes.saturating_add(file.size());
        if bytes > most {
            return Err(at.limit("bytes", most).into());
        }
        if let Some(entry) = read_entry(&mut file, options.strip, &at)? {
            let size = if let EntryKind::File { size } = entry.kind { size } else { 0 };
            pass_on(&entry, &mut file, size, &at, &mut each)?;
        }
    }
    Ok(())
}

fn pass_on<E: From<ArchiveError>>(
    entry: &Entry,
    file: &mut dyn Read,
    size: u64,
    at: &At,
    each: &mut impl FnMut(&Entry, &mut dyn Read) -> Result<(), E>,
) -> Result<(), E> {
    let mut data = Data::new(file, size);
    let result = each(entry, &mut data);
    data.finish().map_err(|early| at.early(early))?;
    result?;
    if size == 0 {
        return Ok(());
    }
    // The checksum is compared when the file's end is read; a byte here is one more than the archive promised.
    match file.read(&mut [0]) {
        Ok(0) => Ok(()),
        Ok(_) => Err(at.malformed("the file is longer than its size says").into()),
        Err(error) => Err(at.malformed(error.to_string()).into()),
    }
}

fn read_entry(file: &mut ZipFile<'_, impl Read>, strip: u32, at: &At) -> Result<Option<Entry>, ArchiveError> {
    let name = file.name_raw().to_owned();
    let Some(path) = place(&name, strip).map_err(|source| at.path(&name, source))? else { return Ok(None) };
    let unix = file.unix_mode();
    let kind = if file.is_symlink() {
        EntryKind::Symlink { target: symlink_target(file, at)? }
    } else if file.is_dir() || name.ends_with(b"/") {
        EntryKind::Dir
    } else {
        EntryKind::File { size: file.size() }
    };
    // MS-DOS archives give modes too, made up by the library; they are usual ones.
    let usual = if kind == EntryKind::Dir { 0o755 } else { 0o644 };
    Ok(Some(Entry {
        path,
        kind,
        mode: Mode::from_raw(unix.unwrap_or(usual)),
        mtime: mtime(file),
        uid: 0,
        gid: 0,
        user: None,
        group: None,
        xattrs: Vec::new(),
    }))
}

fn symlink_target(file: &mut ZipFile<'_, impl Read>, at: &At) -> Result<Vec<u8>, ArchiveError> {
    let mut target = Vec::new();
    let read = file.take(PkgPath::MAX_LEN as u64 + 1).read_to_end(&mut target);
    read.map_err(|error: io::Error| at.malformed(error.to_string()))?;
    if target.is_empty() || target.len() > PkgPath::MAX_LEN || target.contains(&0) {
        return Err(at.malformed("a symbolic link has 1 to 4095 bytes and no NUL"));
    }
    Ok(target)
}

/// The time of the extended timestamp field, else MS-DOS time taken as UTC, so that it is the same everywhere.
fn mtime(file: &ZipFile<'_, impl Read>) -> Timestamp {
    let extended = file.extra_data_fields().find_map(|field| match field {
        ExtraField::ExtendedTimestamp(times) => times.mod_time(),
        ExtraField::Ntfs(_) => None,
    });
    if let Some(seconds) = extended {
        return Timestamp::from_seconds(i64::from(seconds));
    }
    let dos = file.last_modified().map(|time| {
        let (year, month, day) = (time.year(), time.month(), time.day());
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    });
    dos.and_then(|text| Timestamp::parse_utc(&text).ok()).unwrap_or(Timestamp::EPOCH)
}

fn broken(error: &::zip::result::ZipError) -> ArchiveError {
    ArchiveError::Malformed { container: CONTAINER, offset: 0, reason: error.to_string() }
}
