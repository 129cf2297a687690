//! Writing with holes for long runs of zeros.

use std::fs::File;
use std::io;
use std::ops::Range;

/// File systems keep holes in units of this.
const BLOCK: usize = 4096;
/// A run of zeros of 64 KiB covers at least this many whole blocks, wherever it begins.
const RUN: usize = 15;

/// Whether zeros at the ends of a piece of content may go on in the pieces beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Portion {
    /// It is all there is.
    Whole,
    /// It is a part, and begins at a multiple of [`BLOCK`].
    Part,
}

/// Writes `bytes` at `offset` of a new file, long runs of zeros left out. The end of the file is not moved by what is
/// left out.
pub(super) fn write(file: &File, bytes: &[u8], offset: u64, extent: Portion) -> io::Result<()> {
    for range in data_ranges(bytes, extent) {
        pkgfs::fd::write_all_at(file, &bytes[range.clone()], offset + range.start as u64)?;
    }
    Ok(())
}

fn data_ranges(bytes: &[u8], extent: Portion) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    let mut zeros = 0;
    let mut end_of_blocks = 0;
    for block in bytes.chunks_exact(BLOCK) {
        if is_zero(block) {
            zeros += BLOCK;
        } else {
            start = leave_out(&mut ranges, start, end_of_blocks, zeros, extent);
            zeros = 0;
        }
        end_of_blocks += BLOCK;
    }
    let ends_with_zeros = end_of_blocks == bytes.len() && extent == Portion::Part;
    let is_long = zeros >= RUN * BLOCK || (zeros > 0 && ends_with_zeros);
    let end = end_of_blocks - zeros;
    if is_long && start < end {
        ranges.push(start..end);
    }
    let start = if is_long { end_of_blocks } else { start };
    if start < bytes.len() {
        ranges.push(start..bytes.len());
    }
    ranges
}

/// Ends the data before a run of zeros that ends at `at`, when it is long enough; gives where data go on.
fn leave_out(ranges: &mut Vec<Range<usize>>, start: usize, at: usize, zeros: usize, extent: Portion) -> usize {
    let begins = at - zeros;
    let is_edge = begins == 0 && extent == Portion::Part;
    if zeros < RUN * BLOCK && !(is_edge && zeros > 0) {
        return start;
    }
    if start < begins {
        ranges.push(start..begins);
    }
    at
}

fn is_zero(block: &[u8]) -> bool {
    const ZEROS: [u8; BLOCK] = [0; BLOCK];
    // Most blocks that are not zero show it at once.
    block[..8] == ZEROS[..8] && block == &ZEROS[..block.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(parts: &[(u8, usize)], extent: Portion) -> Vec<(usize, usize)> {
        let bytes: Vec<u8> = parts.iter().flat_map(|&(byte, length)| std::iter::repeat_n(byte, length)).collect();
        data_ranges(&bytes, extent).into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn long_runs_are_left_out() {
        let long = RUN * BLOCK;
        assert_eq!(ranges(&[], Portion::Whole), []);
        assert_eq!(ranges(&[(1, 10)], Portion::Whole), [(0, 10)]);
        assert_eq!(ranges(&[(0, 64 << 10)], Portion::Whole), []);
        assert_eq!(
            ranges(&[(1, BLOCK), (0, long), (1, 1)], Portion::Whole),
            [(0, BLOCK), (BLOCK + long, BLOCK + long + 1)]
        );
        assert_eq!(ranges(&[(0, long), (1, BLOCK)], Portion::Whole), [(long, long + BLOCK)]);
        // The run begins inside a block, so the block around its beginning is data.
        assert_eq!(ranges(&[(1, 100), (0, 65536), (1, 100)], Portion::Whole), [(0, BLOCK), (65536, 65736)]);
    }

    #[test]
    fn short_runs_are_data_unless_they_may_go_on() {
        let short = (RUN - 1) * BLOCK;
        let all = 2 * short + BLOCK;
        assert_eq!(ranges(&[(0, short), (1, BLOCK), (0, short)], Portion::Whole), [(0, all)]);
        assert_eq!(ranges(&[(0, short), (1, BLOCK), (0, short)], Portion::Part), [(short, short + BLOCK)]);
        assert_eq!(ranges(&[(1, BLOCK), (0, short), (1, BLOCK)], Portion::Part), [(0, short + 2 * BLOCK)]);
        assert_eq!(ranges(&[(0, short), (0, 10)], Portion::Part), [(0, short + 10)]);
    }
}
