//! A zstd file of many frames, decoded on all processors.

use std::cell::Cell;
use std::fmt;
use std::io::{self, Read};
use std::num::NonZeroUsize;

use zstd::zstd_safe::DParameter;

use crate::frame::{self, Most, Next};
use crate::pool::{Pool, Setting, Work};
use crate::source::Source;

/// Frames of more bytes than this, packed or not, are not held whole.
const FRAME: usize = 4 << 20;
/// Bytes that are on their way at most, read, decoded, or waiting to be handed out: for each thread, and in all.
const ON_THE_WAY: (usize, usize) = (4 << 20, 32 << 20);

/// A frame on its way.
#[derive(Debug, Default)]
struct Task {
    packed: Vec<u8>,
    content: Vec<u8>,
    /// How many bytes the content must have.
    size: usize,
    /// How many bytes of the source were used up to the frame's end.
    used: u64,
    /// How many bytes the buffers take, some of which were made for larger frames.
    weight: usize,
    /// Whether the checksum at the frame's end is left alone.
    is_unchecked: bool,
    error: Option<io::Error>,
}

impl Task {
    /// The one with more room.
    fn larger(self, other: Self) -> Self {
        if other.weight > self.weight { other } else { self }
    }

    /// Is going to hold so many bytes of content.
    fn set_size(&mut self, size: usize) {
        self.size = size;
        self.weight = self.packed.capacity() + self.content.capacity().max(size);
    }
}

/// Decodes frames as long as each can be held whole.
pub(crate) struct Frames<R> {
    source: Source<R>,
    pool: Pool<Task>,
    most: Most,
    /// Bytes on their way.
    weight: usize,
    most_weight: usize,
    /// How many frames may be on their way. It grows, so that little is decoded for who wants little.
    ahead: usize,
    /// What is handed out, and how much of it was.
    present: Task,
    given: usize,
    /// How many bytes of the source were used for that.
    used: u64,
    /// Buffers to be used again, but for those that the caller's thread has.
    spare: Vec<Task>,
    /// No threads but the caller's: a frame is decoded when it is wanted, and is still near the processor then.
    is_alone: bool,
    /// The frames' checksums are not computed.
    is_unchecked: bool,
    rest: Rest,
}

/// What follows the frames that were read.
enum Rest {
    Unread,
    End,
    /// Something else than a frame that can be held, and what was read of it.
    Other(Vec<u8>),
    /// The source failed; the error is handed out after what came before it.
    Broken(Option<io::Error>),
}

impl<R> fmt::Debug for Frames<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames").field("pool", &self.pool).finish_non_exhaustive()
    }
}

impl<R: Read> Frames<R> {
    /// Decodes within `memory` bytes, or a little more than twice the bytes of the largest frame that is taken.
    pub(crate) fn new(source: Source<R>, memory: u64, threads: NonZeroUsize) -> Self {
        let bytes = usize::try_from(memory / 4).map_or(FRAME, |most| most.min(FRAME));
        Self {
            source,
            pool: Pool::new(threads, 0, worker),
            most: Most { bytes, window: memory },
            weight: 0,
            most_weight: threads.get().saturating_mul(ON_THE_WAY.0).min(ON_THE_WAY.1),
            ahead: 1,
            present: Task::default(),
            given: 0,
            used: 0,
            spare: Vec::new(),
            is_alone: threads == NonZeroUsize::MIN,
            is_unchecked: false,
            rest: Rest::Unread,
        }
    }

    /// Computes no checksums from here on.
    pub(crate) fn leave_unchecked(&mut self) {
        self.is_unchecked = true;
    }

    pub(crate) fn source(&self) -> &Source<R> {
        &self.source
    }

    pub(crate) fn source_mut(&mut self) -> &mut Source<R> {
        &mut self.source
    }

    /// How many bytes of the source were used for what was handed out.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Whether all of the source was decoded.
    pub(crate) fn at_end(&self) -> bool {
        matches!(self.rest, Rest::End)
    }

    /// Whether the error that was handed out is the source's.
    pub(crate) fn source_failed(&self) -> bool {
        matches!(self.rest, Rest::Broken(None))
    }

    /// The source, at what was not decoded.
    pub(crate) fn into_source(self) -> Source<R> {
        let mut source = self.source;
        if let Rest::Other(beginning) = self.rest {
            source.put_back(beginning);
        }
        source
    }

    /// Decodes some bytes; 0 where no frame that can be held whole follows.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.present.content.len() {
            self.read_ahead();
            let Some(next) = self.pool.next() else { return self.end() };
            self.weight -= next.weight;
            self.ahead += usize::from(!self.is_alone);
            (self.used, self.present) = (next.used, next);
            if let Some(error) = self.present.error.take() {
                return Err(error);
            }
        }
        let count = (&self.present.content[self.given..]).read(buffer)?;
        self.given += count;
        if self.given == self.present.content.len() {
            // A file may wait between its first frame and the others, with thousands beside it.
            self.given = 0;
            let last = std::mem::take(&mut self.present);
            self.put_by(last);
        }
        Ok(count)
    }

    /// Keeps buffers to be used again.
    fn put_by(&mut self, mut task: Task) {
        task.content.clear();
        if self.is_alone {
            Hands::lend(|hands| hands.spare = std::mem::take(&mut hands.spare).larger(task));
        } else {
            self.spare.push(task);
        }
    }

    fn spare(&mut self) -> Task {
        if self.is_alone {
            Hands::lend(|hands| std::mem::take(&mut hands.spare))
        } else {
            self.spare.pop().unwrap_or_default()
        }
    }

    fn end(&mut self) -> io::Result<usize> {
        self.used = self.source.used();
        match &mut self.rest {
            Rest::Broken(error) => error.take().map_or(Ok(0), Err),
            _ => Ok(0),
        }
    }

    /// Puts frames on their way.
    fn read_ahead(&mut self) {
        while matches!(self.rest, Rest::Unread) && self.pool.pending() < self.ahead && self.weight < self.most_weight {
            let mut task = self.spare();
            self.rest = match frame::read(&mut self.source, &mut task.packed, self.most) {
                Ok(Next::Frame(whole)) => {
                    task.set_size(whole.content);
                    task.used = self.source.used();
                    task.is_unchecked = self.is_unchecked;
                    self.weight += task.weight;
                    if self.ahead == 1 {
                        // Who wants no more than the first frame needs no threads.
                        task.error = Hands::lend(|hands| decode(&mut hands.decoder, &mut task)).err();
                        self.pool.submit_done(task);
                    } else {
                        self.pool.submit(task);
                    }
                    continue;
                }
                Ok(Next::Skipped) => {
                    self.put_by(task);
                    continue;
                }
                Ok(Next::End) => {
                    self.put_by(task);
                    Rest::End
                }
                Ok(Next::Other) => Rest::Other(task.packed),
                Err(error) => Rest::Broken(Some(error)),
            };
        }
    }
}

type Decompressor = zstd::bulk::Decompressor<'static>;

/// What a thread decodes with itself. It stays for the next frame and the next file, and ends with the thread: to make it
/// anew, with buffers that the system clears, takes longer than to decode a small package.
#[derive(Default)]
struct Hands {
    decoder: Option<Decompressor>,
    spare: Task,
}

impl Hands {
    /// Those of this thread, or new ones where it is about to end.
    fn lend<T>(work: impl FnOnce(&mut Self) -> T) -> T {
        thread_local! {
            static HANDS: Cell<Hands> = Cell::default();
        }
        let mut hands = HANDS.try_with(Cell::take).unwrap_or_default();
        let answer = work(&mut hands);
        // An ending thread has no use for them.
        let _ = HANDS.try_with(|place| place.set(hands));
        answer
    }
}

fn worker(_: Setting) -> Work<Task> {
    let mut decoder = None;
    Box::new(move |task| {
        if let Err(error) = decode(&mut decoder, task) {
            task.error = Some(error);
        }
    })
}

fn decode(decoder: &mut Option<Decompressor>, task: &mut Task) -> io::Result<()> {
    let decoder = match decoder {
        Some(decoder) => decoder,
        None => decoder.insert(Decompressor::new()?),
    };
    decoder.set_parameter(DParameter::ForceIgnoreChecksum(task.is_unchecked))?;
    task.content.clear();
    task.content.reserve_exact(task.size);
    // What is larger than the claim does not fit, and zstd refuses what is smaller.
    decoder.decompress_to_buffer(&task.packed, &mut task.content)?;
    Ok(())
}
