//! Sizes: a count of bytes, then that many bytes, the most significant first and never 0.

/// Longest encoding of a size: the count and eight bytes.
pub const MAX_LEN: usize = 9;

/// Why bytes are no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SizeError {
    /// The bytes end before the size does.
    #[error("the size is cut off")]
    Short,
    /// The first byte claims more than eight bytes.
    #[error("a size of {0} bytes is claimed, 8 is the most")]
    TooLong(u8),
    /// The most significant byte is 0, so the size could be written shorter.
    #[error("the size has a leading zero byte")]
    LeadingZero,
}

/// Appends the one encoding of `size`.
///
/// ```
/// let mut bytes = Vec::new();
/// pkgformat::size::put(&mut bytes, 0);
/// pkgformat::size::put(&mut bytes, 0x1234);
/// assert_eq!(bytes, [0, 2, 0x12, 0x34]);
/// ```
pub fn put(out: &mut Vec<u8>, size: u64) {
    let bytes = size.to_be_bytes();
    let significant = &bytes[zero_bytes(size)..];
    out.push(significant.len() as u8);
    out.extend_from_slice(significant);
}

/// The length of `size`'s encoding, 1 to 9.
pub const fn len(size: u64) -> usize {
    MAX_LEN - zero_bytes(size)
}

const fn zero_bytes(size: u64) -> usize {
    (size.leading_zeros() / 8) as usize
}

/// Takes a size off the front of `bytes`; the rest comes back with it.
///
/// # Errors
/// Any spelling but the one that [`put`] writes.
pub fn split(bytes: &[u8]) -> Result<(u64, &[u8]), SizeError> {
    let (&count, rest) = bytes.split_first().ok_or(SizeError::Short)?;
    check_count(count)?;
    let (digits, rest) = rest.split_at_checked(usize::from(count)).ok_or(SizeError::Short)?;
    Ok((from_digits(digits)?, rest))
}

pub(crate) fn check_count(count: u8) -> Result<(), SizeError> {
    if count > 8 { Err(SizeError::TooLong(count)) } else { Ok(()) }
}

/// The value of at most eight digits, the most significant first.
pub(crate) fn from_digits(digits: &[u8]) -> Result<u64, SizeError> {
    if digits.first() == Some(&0) {
        return Err(SizeError::LeadingZero);
    }
    Ok(digits.iter().fold(0, |size, &digit| size << 8 | u64::from(digit)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(size: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        put(&mut bytes, size);
        bytes
    }

    #[test]
    fn golden() {
        assert_eq!(encoded(0), [0]);
        assert_eq!(encoded(1), [1, 1]);
        assert_eq!(encoded(255), [1, 255]);
        assert_eq!(encoded(256), [2, 1, 0]);
        assert_eq!(encoded(u64::MAX), [8, 255, 255, 255, 255, 255, 255, 255, 255]);
    }

    #[test]
    fn other_spellings_are_refused() {
        assert_eq!(split(&[]), Err(SizeError::Short));
        assert_eq!(split(&[2, 1]), Err(SizeError::Short));
        assert_eq!(split(&[1, 0]), Err(SizeError::LeadingZero));
        assert_eq!(split(&[2, 0, 1]), Err(SizeError::LeadingZero));
        assert_eq!(split(&[9, 1, 0, 0, 0, 0, 0, 0, 0, 0]), Err(SizeError::TooLong(9)));
        assert_eq!(split(&[255]), Err(SizeError::TooLong(255)));
    }

    proptest! {
        #[test]
        fn one_spelling_each(bits in 0u32..=64, size: u64) {
            let size = size.checked_shr(bits).unwrap_or(0);
            let bytes = encoded(size);
            prop_assert_eq!(bytes.len(), len(size));
            prop_assert_eq!(split(&bytes), Ok((size, &[][..])));
        }

        #[test]
        fn what_is_read_would_be_written_so(bytes: [u8; 9]) {
            if let Ok((size, rest)) = split(&bytes) {
                prop_assert_eq!(encoded(size), &bytes[..9 - rest.len()]);
            }
        }
    }
}
