use std::io;
use std::ops::Range;

use codec::ReadAt;

/// A file of which only some ranges are here, each at its place: a sparse file that downloads were written to.
///
/// What is not here can not be read by mistake: it is a [`NotFetched`] inside an [`io::Error`].
///
/// ```
/// use codec::ReadAt;
///
/// let file = pkgfile::Partial::new(b"..cd..".to_vec(), [2..4]);
/// let mut bytes = [0; 6];
/// assert_eq!(file.read_at(&mut bytes, 2)?, 2);
/// assert!(file.read_at(&mut bytes, 4).is_err());
/// assert_eq!(file.missing(&[1..3, 5..6]), [1..2, 5..6]);
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Partial<S> {
    source: S,
    /// Sorted, apart from one another, none empty.
    present: Vec<Range<u64>>,
}

/// A part of a file that is not here was to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the package file was not fetched")]
pub struct NotFetched {
    /// The first byte of it.
    pub offset: u64,
}

impl<S> Partial<S> {
    /// Of `source`, which is as long as the whole file, these ranges are here.
    pub fn new(source: S, present: impl IntoIterator<Item = Range<u64>>) -> Self {
        Self { source, present: joined(present, 0) }
    }

    /// The parts of `ranges` that are not here.
    pub fn missing(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        for range in joined(ranges.iter().cloned(), 0) {
            let mut at = range.start;
            let first = self.present.partition_point(|present| present.end <= at);
            for present in self.present[first..].iter().take_while(|present| present.start < range.end) {
                if at < present.start {
                    missing.push(at..present.start);
                }
                at = present.end;
            }
            if at < range.end {
                missing.push(at..range.end);
            }
        }
        missing
    }
}

impl<S: ReadAt> ReadAt for Partial<S> {
    fn size(&self) -> io::Result<u64> {
        self.source.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size()? || buffer.is_empty() {
            return Ok(0);
        }
        let next = self.present.get(self.present.partition_point(|present| present.end <= offset));
        let Some(present) = next.filter(|present| present.start <= offset) else {
            return Err(io::Error::other(NotFetched { offset }));
        };
        let most = usize::try_from(present.end - offset).map_or(buffer.len(), |most| most.min(buffer.len()));
        self.source.read_at(&mut buffer[..most], offset)
    }
}

/// The ranges in order, those that touch or lie within `gap` bytes of one another as one.
pub(crate) fn joined(ranges: impl IntoIterator<Item = Range<u64>>, gap: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.into_iter().filter(|range| range.start < range.end).collect();
    sorted.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(gap) => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_near_one_another_become_one() {
        assert_eq!(joined([5..7, 1..2, 2..3, 6..6, 9..10], 0), [1..3, 5..7, 9..10]);
        assert_eq!(joined([5..7, 1..2, 2..3, 9..10, 20..30], 2), [1..10, 20..30]);
        assert_eq!(joined([0..10, 2..3, 20..30], 0), [0..10, 20..30]);
    }
}
