use std::io::{self, Read};

/// Where a file with holes has data: offset and length of each part.
pub(super) struct Holes {
    parts: Vec<(u64, u64)>,
    /// Bytes of the file, holes filled.
    pub(super) size: u64,
}

impl Holes {
    /// The map of a file of `size` bytes of which `stored` are in the archive; `None` where it is none.
    pub(super) fn new(parts: Vec<(u64, u64)>, size: u64, stored: u64) -> Option<Self> {
        let (mut end, mut sum) = (0, 0);
        for (offset, length) in &parts {
            if *offset < end {
                return None;
            }
            end = offset.checked_add(*length)?;
            // Not more than the end, which did not overflow.
            sum += length;
        }
        (end <= size && sum == stored).then_some(Self { parts, size })
    }

    /// The file's bytes out of those that are stored.
    pub(super) fn fill<'a>(&'a self, stored: &'a mut dyn Read) -> Filled<'a> {
        Filled { stored, parts: &self.parts, position: 0, size: self.size }
    }
}

/// A file with zeros in its holes.
pub(super) struct Filled<'a> {
    stored: &'a mut dyn Read,
    parts: &'a [(u64, u64)],
    position: u64,
    size: u64,
}

impl Read for Filled<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((&(offset, length), rest)) = self.parts.split_first() {
            if self.position < offset + length {
                break;
            }
            self.parts = rest;
        }
        let (is_hole, end) = match self.parts.first() {
            Some((offset, _)) if self.position < *offset => (true, *offset),
            Some((offset, length)) => (false, offset + length),
            None => (true, self.size),
        };
        let most = buffer.len().min(usize::try_from(end - self.position).unwrap_or(usize::MAX));
        let read = if is_hole {
            buffer[..most].fill(0);
            most
        } else {
            self.stored.read(&mut buffer[..most])?
        };
        self.position += read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled() {
        let holes = Holes::new(vec![(2, 2), (4, 1), (7, 0)], 9, 3).unwrap();
        let mut bytes = Vec::new();
        holes.fill(&mut &b"abc"[..]).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, b"\0\0abc\0\0\0\0");
    }

    #[test]
    fn maps_that_are_none() {
        for (parts, size, stored) in [
            (vec![(0, 2)], 1, 2),
            (vec![(0, 2)], 2, 1),
            (vec![(2, 1), (0, 1)], 9, 2),
            (vec![(0, 2), (1, 1)], 9, 3),
            (vec![(u64::MAX, 1)], u64::MAX, 1),
        ] {
            assert!(Holes::new(parts.clone(), size, stored).is_none(), "{parts:?}");
        }
    }
}
