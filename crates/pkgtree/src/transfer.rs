//! Long contents on their way from one file to another: copied in chunks by any thread, and each hashed in its order by
//! one thread at a time, so that several are hashed at once and one is hashed while it is copied.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use pkgtypes::Hasher;

/// Bytes that are copied at a time. Read, written and hashed by one processor, they stay in its cache.
pub(crate) const CHUNK: usize = 512 << 10;
/// However many threads there are, this is the bound on memory: 16 MiB.
const MOST_BUFFERS: usize = 32;

/// The contents that are under way. It has no lock of its own: it belongs to what threads share.
#[derive(Debug)]
pub(crate) struct Transfers<T> {
    active: Vec<Transfer<T>>,
    spare: Vec<Vec<u8>>,
    /// How many more chunks may be held.
    free: usize,
    begun: u64,
}

#[derive(Debug)]
struct Transfer<T> {
    number: u64,
    task: Arc<T>,
    size: u64,
    /// Whether one thread alone copies it, chunk by chunk as they come.
    is_fed: bool,
    /// How much was copied or is being copied.
    taken: u64,
    /// Copied, and waiting for what comes before to be hashed.
    copied: BTreeMap<u64, Vec<u8>>,
    hashed: u64,
    /// With a thread while it hashes.
    hasher: Option<Hasher>,
}

/// A part of a content.
#[derive(Debug)]
pub(crate) struct Chunk<T> {
    number: u64,
    pub(crate) task: Arc<T>,
    /// Where it begins in the content.
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// What a thread can do for a content.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Fill the chunk and write it.
    Copy(Chunk<T>),
    /// Hash the chunk.
    Hash(Chunk<T>, Hasher),
}

impl<T> Transfers<T> {
    pub(crate) fn new(threads: NonZeroUsize) -> Self {
        let free = (2 * threads.get() + 2).min(MOST_BUFFERS);
        Self { active: Vec::new(), spare: Vec::new(), free, begun: 0 }
    }

    /// How many are under way.
    pub(crate) fn len(&self) -> usize {
        self.active.len()
    }

    /// Begins a content of at least one byte, to be copied by all threads.
    pub(crate) fn begin(&mut self, task: T, size: u64) {
        self.add(task, size, false);
    }

    /// Begins a content of at least one byte, to be copied by who has its number.
    pub(crate) fn begin_fed(&mut self, task: T, size: u64) -> u64 {
        self.add(task, size, true)
    }

    fn add(&mut self, task: T, size: u64, is_fed: bool) -> u64 {
        self.begun += 1;
        self.active.push(Transfer {
            number: self.begun,
            task: Arc::new(task),
            size,
            is_fed,
            taken: 0,
            copied: BTreeMap::new(),
            hashed: 0,
            hasher: Some(Hasher::new()),
        });
        self.begun
    }

    /// The next step: what can be hashed first, since that frees memory; then a copy for the content that has the least
    /// waiting, and of those the longest, so that all end together.
    pub(crate) fn step(&mut self) -> Option<Step<T>> {
        let can_hash = |transfer: &&mut Transfer<T>| transfer.hasher.is_some() && transfer.first_is_copied();
        let longest = self.active.iter_mut().filter(can_hash).max_by_key(|transfer| transfer.size - transfer.hashed);
        if let Some(transfer) = longest {
            return transfer.hash();
        }
        let can_copy = self.active.iter().filter(|transfer| !transfer.is_fed && transfer.taken < transfer.size);
        let key =
            |transfer: &&Transfer<T>| (transfer.taken - transfer.hashed, u64::MAX - (transfer.size - transfer.taken));
        let number = can_copy.min_by_key(key)?.number;
        self.copy(number).map(Step::Copy)
    }

    /// What can be hashed, and nothing else.
    pub(crate) fn hash(&mut self) -> Option<Step<T>> {
        self.active.iter_mut().find_map(Transfer::hash)
    }

    /// The next chunk of this content, to be filled and written; `None` when as much as may be held is held.
    pub(crate) fn copy(&mut self, number: u64) -> Option<Chunk<T>> {
        let transfer = self.active.iter_mut().find(|transfer| transfer.number == number)?;
        self.free = self.free.checked_sub(1)?;
        let offset = transfer.taken;
        let length = usize::try_from(transfer.size - offset).map_or(CHUNK, |left| left.min(CHUNK));
        transfer.taken += length as u64;
        let mut bytes = self.spare.pop().unwrap_or_default();
        bytes.resize(length, 0);
        Some(Chunk { number, task: Arc::clone(&transfer.task), offset, bytes })
    }

    /// Takes a chunk that was copied.
    pub(crate) fn copied(&mut self, chunk: Chunk<T>) {
        if let Some(transfer) = self.find(chunk.number) {
            transfer.copied.insert(chunk.offset, chunk.bytes);
        }
    }

    /// As [`Transfers::copied`], and gives what of this content can be hashed: most often this very chunk, which is
    /// still in the processor's cache.
    pub(crate) fn hash_copied(&mut self, chunk: Chunk<T>) -> Option<Step<T>> {
        let number = chunk.number;
        self.copied(chunk);
        self.find(number)?.hash()
    }

    /// Takes a chunk that was hashed; with the last one the content is complete.
    pub(crate) fn hashed(&mut self, chunk: Chunk<T>, hasher: Hasher) -> Option<(Arc<T>, Hasher)> {
        let Chunk { number, task, bytes, .. } = chunk;
        let length = bytes.len() as u64;
        self.spare.push(bytes);
        self.free += 1;
        let transfer = self.find(number)?;
        transfer.hashed += length;
        if transfer.hashed < transfer.size {
            transfer.hasher = Some(hasher);
            return None;
        }
        self.active.retain(|transfer| transfer.number != number);
        Some((task, hasher))
    }

    /// Forgets all of them.
    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    fn find(&mut self, number: u64) -> Option<&mut Transfer<T>> {
        self.active.iter_mut().find(|transfer| transfer.number == number)
    }
}

impl<T> Transfer<T> {
    fn first_is_copied(&self) -> bool {
        self.copied.contains_key(&self.hashed)
    }

    fn hash(&mut self) -> Option<Step<T>> {
        let copied = self.copied.first_entry().filter(|chunk| *chunk.key() == self.hashed)?;
        let hasher = self.hasher.take()?;
        let (offset, bytes) = copied.remove_entry();
        Some(Step::Hash(Chunk { number: self.number, task: Arc::clone(&self.task), offset, bytes }, hasher))
    }
}

#[cfg(test)]
mod tests {
    use pkgtypes::Digest;

    use super::*;

    fn two() -> NonZeroUsize {
        NonZeroUsize::new(2).unwrap()
    }

    /// Runs all steps, one at a time, each copy filled with its content's number.
    fn run(transfers: &mut Transfers<u8>) -> Vec<(u8, Digest)> {
        let mut done = Vec::new();
        while let Some(step) = transfers.step() {
            match step {
                Step::Copy(mut chunk) => {
                    chunk.bytes.fill(*chunk.task);
                    transfers.copied(chunk);
                }
                Step::Hash(chunk, mut hasher) => {
                    hasher.update(&chunk.bytes);
                    done.extend(transfers.hashed(chunk, hasher).map(|(task, hasher)| (*task, hasher.finish())));
                }
            }
        }
        done
    }

    #[test]
    fn every_content_is_hashed_whole() {
        let sizes = [1, CHUNK, CHUNK + 1, 20 * CHUNK - 1];
        let mut transfers = Transfers::new(two());
        for (number, size) in (0..).zip(sizes) {
            transfers.begin(number, size as u64);
        }
        let mut done = run(&mut transfers);
        done.sort_unstable();
        let expected: Vec<_> =
            (0..).zip(sizes).map(|(number, size)| (number, Digest::of(vec![number; size]))).collect();
        assert_eq!(done, expected);
        assert_eq!(transfers.len(), 0);
    }

    #[test]
    fn chunks_that_are_copied_out_of_order_are_hashed_in_order() {
        let mut transfers = Transfers::new(two());
        transfers.begin(7, 3 * CHUNK as u64);
        let mut chunks = Vec::new();
        while let Some(Step::Copy(chunk)) = transfers.step() {
            chunks.push(chunk);
        }
        let mut hashed = Vec::new();
        for mut chunk in chunks.into_iter().rev() {
            chunk.bytes.fill(u8::try_from(chunk.offset / CHUNK as u64).unwrap());
            let mut next = transfers.hash_copied(chunk);
            while let Some(Step::Hash(chunk, mut hasher)) = next {
                hashed.push(chunk.offset);
                hasher.update(&chunk.bytes);
                transfers.hashed(chunk, hasher);
                next = transfers.hash();
            }
        }
        assert_eq!(hashed, [0, CHUNK as u64, 2 * CHUNK as u64]);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let mut transfers = Transfers::new(NonZeroUsize::new(1000).unwrap());
        transfers.begin((), u64::MAX);
        let steps: Vec<_> = std::iter::from_fn(|| transfers.step()).collect();
        assert_eq!(steps.len(), MOST_BUFFERS);
    }

    #[test]
    fn two_threads_take_two_contents() {
        let mut transfers = Transfers::new(two());
        transfers.begin("a", 10 * CHUNK as u64);
        transfers.begin("b", 10 * CHUNK as u64);
        let (Some(Step::Copy(first)), Some(Step::Copy(second))) = (transfers.step(), transfers.step()) else {
            panic!("both can be copied");
        };
        assert_ne!(first.task, second.task);
    }
}
