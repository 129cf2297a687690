//! What programs and libraries say of themselves.

use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;

use object::elf::{self, FileHeader32, FileHeader64};
use object::read::ReadCacheOps;
use object::read::StringTable;
use object::read::elf::{Dyn, FileHeader, ProgramHeader};
use object::{Endianness, ReadCache, ReadRef};
use pkgformat::ElfFacts;

/// A table that is larger than this is none of an honest program's, and is not read.
const MAX_TABLE: u64 = 1 << 20;
/// More libraries than this are not listed.
const MAX_NEEDED: usize = 4096;

/// Whether a file that begins so says that it is ELF.
pub(crate) fn is_elf(start: &[u8]) -> bool {
    start.starts_with(&elf::ELFMAG)
}

/// The facts of a file; none when it is no ELF program or library, or says nothing that can be read.
///
/// Read are the program headers, the dynamic section, its strings and the notes, each up to a limit; nothing else of
/// the file, whatever its size.
///
/// ```
/// assert!(pkgtree::elf_facts(std::io::Cursor::new("no program")).is_none());
/// ```
pub fn elf_facts(mut file: impl Read + Seek) -> Option<Box<ElfFacts>> {
    let mut ident = [0; 5];
    file.seek(SeekFrom::Start(0)).ok()?;
    file.read_exact(&mut ident).ok()?;
    if !is_elf(&ident) {
        return None;
    }
    let cache = ReadCache::new(file);
    let data = Bounded(&cache);
    let facts = match ident[4] {
        elf::ELFCLASS32 => read::<FileHeader32<Endianness>, _>(data),
        elf::ELFCLASS64 => read::<FileHeader64<Endianness>, _>(data),
        _ => None,
    };
    facts?.boxed()
}

fn read<'a, H: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(data: R) -> Option<ElfFacts> {
    let header = H::parse(data).ok()?;
    let endian = header.endian().ok()?;
    if ![elf::ET_EXEC, elf::ET_DYN].contains(&header.e_type(endian)) {
        return None;
    }
    let segments = header.program_headers(endian, data).ok()?;
    let mut facts = ElfFacts::default();
    for segment in segments {
        if let Ok(Some(interpreter)) = segment.interpreter(endian, data) {
            facts.interpreter = facts.interpreter.or_else(|| text(interpreter));
        }
        if let Ok(Some(dynamic)) = segment.dynamic(endian, data) {
            read_dynamic::<H, R>(endian, data, segments, dynamic, &mut facts);
        }
        if facts.build_id.is_none() {
            facts.build_id = build_id::<H, R>(endian, data, segment);
        }
    }
    Some(facts)
}

fn read_dynamic<'a, H: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(
    endian: Endianness,
    data: R,
    segments: &[H::ProgramHeader],
    dynamic: &[H::Dyn],
    facts: &mut ElfFacts,
) {
    let tag = |entry: &H::Dyn| -> u64 { entry.d_tag(endian).into() };
    let value = |entry: &H::Dyn| -> u64 { entry.d_val(endian).into() };
    let dynamic = || dynamic.iter().take_while(|entry| tag(entry) != u64::from(elf::DT_NULL));
    let find = |wanted: u32| dynamic().find(|entry| tag(entry) == u64::from(wanted)).map(value);
    let (Some(address), Some(length)) = (find(elf::DT_STRTAB), find(elf::DT_STRSZ)) else { return };
    let Some(place) = file_range::<H>(endian, segments, address, length) else { return };
    let strings = StringTable::new(data, place.start, place.end);
    let string = |offset: u64| text(strings.get(u32::try_from(offset).ok()?).ok()?);
    facts.soname = find(elf::DT_SONAME).and_then(string);
    let needed = dynamic().filter(|entry| tag(entry) == u64::from(elf::DT_NEEDED));
    facts.needed = needed.take(MAX_NEEDED).filter_map(|entry| string(value(entry))).collect();
}

/// Where in the file the loader's addresses from `address` on stand.
fn file_range<H: FileHeader<Endian = Endianness>>(
    endian: Endianness,
    segments: &[H::ProgramHeader],
    address: u64,
    length: u64,
) -> Option<Range<u64>> {
    segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD).find_map(|segment| {
        let inside = address.checked_sub(segment.p_vaddr(endian).into())?;
        let left = segment.p_filesz(endian).into().checked_sub(inside)?;
        let start = inside.checked_add(segment.p_offset(endian).into())?;
        Some(start..start.checked_add(length.min(left))?)
    })
}

fn build_id<'a, H: FileHeader<Endian = Endianness>, R: ReadRef<'a>>(
    endian: Endianness,
    data: R,
    segment: &H::ProgramHeader,
) -> Option<String> {
    let mut notes = segment.notes(endian, data).ok()??;
    while let Ok(Some(note)) = notes.next() {
        if note.name() == elf::ELF_NOTE_GNU && note.n_type(endian) == elf::NT_GNU_BUILD_ID {
            let id = note.desc();
            let fits = (1..=64).contains(&id.len());
            return fits.then(|| id.iter().map(|byte| format!("{byte:02x}")).collect());
        }
    }
    None
}

/// A name as a manifest can hold it.
fn text(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let fits = !text.is_empty() && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

/// Refuses long reads, so that no header makes us hold more than a little.
struct Bounded<'a, R: ReadCacheOps>(&'a ReadCache<R>);

impl<R: ReadCacheOps> Clone for Bounded<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R: ReadCacheOps> Copy for Bounded<'_, R> {}

impl<'a, R: ReadCacheOps> ReadRef<'a> for Bounded<'a, R> {
    fn len(self) -> Result<u64, ()> {
        self.0.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        if size > MAX_TABLE { Err(()) } else { self.0.read_bytes_at(offset, size) }
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        self.0.read_bytes_at_until(range, delimiter)
    }
}
