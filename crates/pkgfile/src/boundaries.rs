//! Where the records of a package end, found as its bytes pass.

use pkgformat::record::{self, MAGIC, VERSION};
use pkgformat::{Limits, size};
use pkgtypes::Digest;

use crate::{Error, Result};

/// Follows records; it holds back each head until it is whole.
#[derive(Debug, Default)]
pub(crate) struct Boundaries {
    /// How many bytes passed.
    offset: u64,
    head: Head,
    /// What is left of a record after its head.
    body: u64,
}

/// What the next bytes are.
#[derive(Debug)]
pub(crate) enum Step {
    /// So many bytes were taken, and more are needed to tell.
    Head(usize),
    /// So many bytes were taken, and a record begins with what [`Boundaries::take_head`] gives.
    Begin(usize, Begun),
    /// So many of the bytes are of the record's body.
    Body(usize),
    /// So many of the bytes are of the record's body, and it ends with them.
    End(usize),
}

/// A record that begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begun {
    pub(crate) kind: Kind,
    /// Its length, saturated: who writes so much does not see its end.
    pub(crate) length: u64,
}

/// What a record is, as far as it counts for where frames end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The package record, with so many scripts behind it.
    Package { scripts: usize },
    /// The last one.
    Summary,
    /// Another.
    Blob,
}

/// A head that comes in pieces.
#[derive(Debug, Default)]
struct Head {
    bytes: Vec<u8>,
    /// Where the first part begins that was not looked at.
    at: usize,
    stage: Stage,
    kind: Option<Kind>,
    /// The digests of scripts.
    scripts: Vec<Vec<u8>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Stage {
    #[default]
    Magic,
    Entries,
    Size,
}

/// What one look at a head gives.
enum Look {
    /// It must have so many bytes before there is more to see.
    Needs(usize),
    Whole(Begun),
}

impl Boundaries {
    /// Looks at the next bytes, of which there must be some.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> Result<Step> {
        if self.body > 0 {
            let count = usize::try_from(self.body).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.body -= count as u64;
            self.offset += count as u64;
            return Ok(if self.body == 0 { Step::End(count) } else { Step::Body(count) });
        }
        let mut taken = 0;
        loop {
            match self.head.look().map_err(|reason| Error::NoPackage { offset: self.offset, reason })? {
                Look::Whole(begun) => {
                    self.body = begun.length - self.head.bytes.len() as u64;
                    return Ok(Step::Begin(taken, begun));
                }
                Look::Needs(_) if taken == bytes.len() => return Ok(Step::Head(taken)),
                Look::Needs(length) => {
                    let end = bytes.len().min(taken + length - self.head.bytes.len());
                    self.head.bytes.extend_from_slice(&bytes[taken..end]);
                    self.offset += (end - taken) as u64;
                    taken = end;
                }
            }
        }
    }

    /// The head of the record that began.
    pub(crate) fn take_head(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.head).bytes
    }

    /// Sees that nothing is begun.
    pub(crate) fn check_end(&self) -> Result<()> {
        let is_between = self.body == 0 && self.head.bytes.is_empty();
        if is_between { Ok(()) } else { Err(Error::CutOff { offset: self.offset }) }
    }
}

impl Head {
    fn look(&mut self) -> Result<Look, &'static str> {
        loop {
            let rest = &self.bytes[self.at..];
            match self.stage {
                Stage::Magic => {
                    let length = MAGIC.len() + 1;
                    if rest.len() < length {
                        return Ok(Look::Needs(length));
                    }
                    if rest[..MAGIC.len()] != MAGIC || rest[MAGIC.len()] != VERSION {
                        return Err("no record of this version begins");
                    }
                    self.stage = Stage::Entries;
                    self.at = length;
                }
                Stage::Entries => {
                    let (length, tail) = match sized(rest)? {
                        Ok(found) => found,
                        Err(needs) => return Ok(Look::Needs(self.at + needs)),
                    };
                    let start = self.bytes.len() - tail.len();
                    // Metadata may be long, but what no reader takes is not held.
                    let end = (start as u64).saturating_add(length);
                    if end > Limits::default().record_meta {
                        return Err("a record has too much metadata");
                    }
                    let end = end as usize;
                    if self.bytes.len() < end {
                        return Ok(Look::Needs(end));
                    }
                    self.at = end;
                    if length == 0 {
                        self.stage = Stage::Size;
                    } else {
                        self.entry(start..end);
                    }
                }
                Stage::Size => {
                    let (data, tail) = match sized(rest)? {
                        Ok(found) => found,
                        Err(needs) => return Ok(Look::Needs(self.at + needs)),
                    };
                    let head = self.bytes.len() - tail.len();
                    let length = data.saturating_add((head + 2 * Digest::LEN) as u64);
                    return Ok(Look::Whole(Begun { kind: self.kind(), length }));
                }
            }
        }
    }

    fn entry(&mut self, range: std::ops::Range<usize>) {
        let entry = &self.bytes[range];
        let is_first = self.kind.is_none();
        if is_first {
            self.kind = Some(match entry.strip_prefix(b"record=") {
                Some(kind) if kind == record::PACKAGE.as_bytes() => Kind::Package { scripts: 0 },
                Some(kind) if kind == record::SUMMARY.as_bytes() => Kind::Summary,
                _ => Kind::Blob,
            });
        } else if entry.starts_with(b"script.")
            && let Some(equals) = entry.iter().position(|byte| *byte == b'=')
        {
            // One script for two occasions is one blob.
            let digest = &entry[equals..];
            if !self.scripts.iter().any(|other| other == digest) {
                self.scripts.push(digest.to_vec());
            }
        }
    }

    fn kind(&self) -> Kind {
        match self.kind {
            Some(Kind::Package { .. }) => Kind::Package { scripts: self.scripts.len() },
            Some(kind) => kind,
            None => Kind::Blob,
        }
    }
}

/// A size and what follows it, or how many bytes there must be.
fn sized(bytes: &[u8]) -> Result<Result<(u64, &[u8]), usize>, &'static str> {
    let needs = bytes.first().map_or(1, |count| 1 + usize::from(*count));
    if needs > size::MAX_LEN {
        return Err("a size is not as it must be");
    }
    if bytes.len() < needs {
        return Ok(Err(needs));
    }
    size::split(bytes).map(Ok).map_err(|_| "a size is not as it must be")
}
