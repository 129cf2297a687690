use std::collections::BTreeSet;

use pkgtypes::{Mode, ParseError, PkgPath, Timestamp};

use super::Manifest;
use super::check::Checker;
use super::entry::{ElfFacts, Entry, EntryKind, Principal, Use, Xattr};
use crate::error::{ManifestError, MetaError, Problem};
use crate::limits::Limits;
use crate::list::{Item, Items, Skipped, skip_entries};
use crate::text::{self, in_entry, invalid};

/// Takes a manifest's bytes in pieces and keeps only the entries.
#[derive(Debug)]
pub(crate) struct Decoder {
    entry_bytes: u64,
    most_entries: u64,
    entries: Vec<Entry>,
    checker: Checker,
    /// The bytes of entries that have not ended yet.
    pending: Vec<u8>,
    /// How much of `pending` was hopped over already.
    hopped: usize,
    /// Where in the manifest `pending` begins.
    offset: u64,
}

/// What is wrong, and where in the manifest that entry begins.
pub(crate) type Misfit = (u64, Problem);

impl Decoder {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            entry_bytes: limits.record_meta,
            most_entries: limits.entries,
            entries: Vec::new(),
            checker: Checker::default(),
            pending: Vec::new(),
            hopped: 0,
            offset: 0,
        }
    }

    /// Takes more bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Misfit> {
        self.pending.extend_from_slice(bytes);
        let mut start = 0;
        loop {
            let skipped = skip_entries(&self.pending, self.hopped);
            match skipped.map_err(|error| self.misfit(start, self.entry_error(error)))? {
                Skipped::Whole(end) => {
                    self.take_entry(start, end)?;
                    (start, self.hopped) = (end, end);
                }
                Skipped::Unfinished(at) => {
                    self.hopped = at - start;
                    break;
                }
            }
        }
        self.pending.drain(..start);
        self.offset += start as u64;
        self.check_length(self.pending.len()).map_err(|problem| self.misfit(0, problem))
    }

    /// The manifest, when all bytes were taken.
    pub(crate) fn finish(self) -> Result<Manifest, Misfit> {
        if !self.pending.is_empty() {
            return Err(self.misfit(0, self.entry_error(MetaError::CutOff)));
        }
        let mut entries = self.entries;
        entries.shrink_to_fit();
        Ok(Manifest { entries })
    }

    fn take_entry(&mut self, start: usize, end: usize) -> Result<(), Misfit> {
        let entry = self.entry(start, end).map_err(|problem| self.misfit(start, problem))?;
        self.entries.push(entry);
        Ok(())
    }

    fn entry(&mut self, start: usize, end: usize) -> Result<Entry, Problem> {
        let number = self.entries.len() as u64 + 1;
        if number > self.most_entries {
            return Err(Problem::Limit { what: "manifest entries", claimed: number, limit: self.most_entries });
        }
        self.check_length(end - start)?;
        let entry = decode(&self.pending[start..end]).map_err(|error| self.entry_error(error))?;
        self.checker.check(&self.entries, &entry).map_err(Problem::Manifest)?;
        Ok(entry)
    }

    fn check_length(&self, length: usize) -> Result<(), Problem> {
        let (claimed, limit) = (length as u64, self.entry_bytes);
        if claimed > limit {
            return Err(Problem::Limit { what: "bytes of a manifest entry", claimed, limit });
        }
        Ok(())
    }

    fn entry_error(&self, source: MetaError) -> Problem {
        Problem::Manifest(ManifestError::Entry { number: self.entries.len() as u64 + 1, source })
    }

    fn misfit(&self, start: usize, problem: Problem) -> Misfit {
        (self.offset + start as u64, problem)
    }
}

/// The values of an entry as they stand in its list, until its type is known.
#[derive(Default)]
struct Draft<'a> {
    build_id: Option<&'a [u8]>,
    device: Option<&'a [u8]>,
    digest: Option<&'a [u8]>,
    group: Option<&'a [u8]>,
    interpreter: Option<&'a [u8]>,
    mode: Option<&'a [u8]>,
    mtime: Option<&'a [u8]>,
    needed: Vec<&'a [u8]>,
    owner: Option<&'a [u8]>,
    path: Option<&'a [u8]>,
    size: Option<&'a [u8]>,
    soname: Option<&'a [u8]>,
    target: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    uses: BTreeSet<Use>,
    xattrs: Vec<Xattr>,
}

/// Reads the list of one entry. What its type can not have is refused here too, so that nothing is left unread.
fn decode(list: &[u8]) -> Result<Entry, MetaError> {
    let mut draft = Draft::default();
    for item in Items::new(list) {
        draft.take(&item?)?;
    }
    let kind = draft.kind()?;
    let entry = Entry {
        path: required("path", draft.path.take(), PkgPath::new)?,
        kind,
        owner: principal("owner", draft.owner.take())?,
        group: principal("group", draft.group.take())?,
        mtime: time(draft.mtime.take())?,
        xattrs: draft.xattrs,
        uses: draft.uses,
    };
    Ok(entry)
}

impl<'a> Draft<'a> {
    fn take(&mut self, item: &Item<'a>) -> Result<(), MetaError> {
        let slot = match item.name {
            "build-id" => &mut self.build_id,
            "device" => &mut self.device,
            "digest" => &mut self.digest,
            "group" => &mut self.group,
            "interpreter" => &mut self.interpreter,
            "mode" => &mut self.mode,
            "mtime" => &mut self.mtime,
            "owner" => &mut self.owner,
            "path" => &mut self.path,
            "size" => &mut self.size,
            "soname" => &mut self.soname,
            "target" => &mut self.target,
            "type" => &mut self.kind,
            _ => return self.take_list(item),
        };
        match slot.replace(item.value) {
            None => Ok(()),
            Some(_) => Err(MetaError::Repeated(item.name.to_owned())),
        }
    }

    fn take_list(&mut self, item: &Item<'a>) -> Result<(), MetaError> {
        match item.name {
            "needed" => self.needed.push(item.value),
            "use" => {
                let known = text::text(item.value).and_then(str::parse).map_err(|error| in_entry("use", error))?;
                self.uses.insert(known);
            }
            "xattr" => self.xattrs.push(xattr(item.value).map_err(|error| in_entry("xattr", error))?),
            other => return Err(MetaError::Unknown(other.to_owned())),
        }
        Ok(())
    }

    fn kind(&mut self) -> Result<EntryKind, MetaError> {
        let name = self.kind.ok_or(MetaError::Missing("type"))?;
        let kind = match name {
            b"file" => EntryKind::File {
                mode: self.mode()?,
                size: required("size", self.size.take(), text::decimal)?,
                digest: required("digest", self.digest.take(), text::digest)?,
                elf: self.elf()?,
            },
            b"dir" => EntryKind::Dir { mode: self.mode()? },
            b"symlink" => {
                EntryKind::Symlink { target: self.target.take().ok_or(MetaError::Missing("target"))?.to_vec() }
            }
            b"hardlink" => EntryKind::Hardlink { target: required("target", self.target.take(), PkgPath::new)? },
            b"fifo" => EntryKind::Fifo { mode: self.mode()? },
            b"socket" => EntryKind::Socket { mode: self.mode()? },
            b"char" => {
                let (major, minor) = self.device()?;
                EntryKind::Char { mode: self.mode()?, major, minor }
            }
            b"block" => {
                let (major, minor) = self.device()?;
                EntryKind::Block { mode: self.mode()?, major, minor }
            }
            b"ghost" => EntryKind::Ghost,
            _ => return Err(in_entry("type", invalid("entry type", name, "it is not known"))),
        };
        self.check_rest()?;
        Ok(kind)
    }

    /// What the type did not take it can not have.
    fn check_rest(&self) -> Result<(), MetaError> {
        let rest = [
            ("build-id", self.build_id),
            ("device", self.device),
            ("digest", self.digest),
            ("interpreter", self.interpreter),
            ("mode", self.mode),
            ("needed", self.needed.first().copied()),
            ("size", self.size),
            ("soname", self.soname),
            ("target", self.target),
        ];
        match rest.into_iter().find(|(_, value)| value.is_some()) {
            Some((name, _)) => Err(MetaError::Unknown(name.to_owned())),
            None => Ok(()),
        }
    }

    fn mode(&mut self) -> Result<Mode, MetaError> {
        required("mode", self.mode.take(), Mode::parse)
    }

    fn device(&mut self) -> Result<(u32, u32), MetaError> {
        required("device", self.device.take(), |value| {
            let colon = value.iter().position(|&byte| byte == b':');
            let colon = colon.ok_or_else(|| invalid("device", value, "MAJOR:MINOR is expected"))?;
            Ok((text::decimal(&value[..colon])?, text::decimal(&value[colon + 1..])?))
        })
    }

    fn elf(&mut self) -> Result<Option<Box<ElfFacts>>, MetaError> {
        if self.build_id.is_none() && self.interpreter.is_none() && self.needed.is_empty() && self.soname.is_none() {
            return Ok(None);
        }
        let needed = std::mem::take(&mut self.needed);
        let facts = ElfFacts {
            soname: optional("soname", self.soname.take(), string)?,
            needed: needed
                .into_iter()
                .map(string)
                .collect::<Result<_, _>>()
                .map_err(|error| in_entry("needed", error))?,
            interpreter: optional("interpreter", self.interpreter.take(), string)?,
            build_id: optional("build-id", self.build_id.take(), string)?,
        };
        Ok(facts.boxed())
    }
}

fn required<'a, T>(
    name: &'static str,
    value: Option<&'a [u8]>,
    parse: impl FnOnce(&'a [u8]) -> Result<T, ParseError>,
) -> Result<T, MetaError> {
    let value = value.ok_or(MetaError::Missing(name))?;
    parse(value).map_err(|error| in_entry(name, error))
}

fn optional<'a, T>(
    name: &'static str,
    value: Option<&'a [u8]>,
    parse: impl FnOnce(&'a [u8]) -> Result<T, ParseError>,
) -> Result<Option<T>, MetaError> {
    value.map(parse).transpose().map_err(|error| in_entry(name, error))
}

fn string(value: &[u8]) -> Result<String, ParseError> {
    text::text(value).map(str::to_owned)
}

fn principal(name: &'static str, value: Option<&[u8]>) -> Result<Principal, MetaError> {
    let principal = optional(name, value, |value| text::text(value).and_then(Principal::new))?;
    match principal {
        Some(principal) if principal.is_root() => Err(MetaError::Default(name)),
        principal => Ok(principal.unwrap_or_default()),
    }
}

fn time(value: Option<&[u8]>) -> Result<Timestamp, MetaError> {
    match optional("mtime", value, Timestamp::parse_decimal)? {
        Some(Timestamp::EPOCH) => Err(MetaError::Default("mtime")),
        time => Ok(time.unwrap_or_default()),
    }
}

fn xattr(value: &[u8]) -> Result<Xattr, ParseError> {
    let nul = value.iter().position(|&byte| byte == 0);
    let nul = nul.ok_or_else(|| invalid("extended attribute", value, "a name, NUL and a value are expected"))?;
    Ok(Xattr { name: value[..nul].to_vec(), value: value[nul + 1..].to_vec() })
}
