//! What hostile packages may do: nothing.

use std::fmt::Debug;

/// Holds a reader to it that each cut and each changed byte gives an error or the same content.
pub(crate) fn is_harmless<T: PartialEq + Debug, E>(bytes: &[u8], read: impl Fn(&[u8]) -> Result<T, E>) {
    let Ok(whole) = read(bytes) else { panic!("the whole package can not be read") };
    for length in 0..bytes.len() {
        if let Ok(content) = read(&bytes[..length]) {
            assert_eq!(content, whole, "cut after {length} of {} bytes", bytes.len());
        }
    }
    let mut damaged = bytes.to_vec();
    for at in 0..bytes.len() {
        for flip in [0x01, 0xff] {
            damaged[at] = bytes[at] ^ flip;
            if let Ok(content) = read(&damaged) {
                assert_eq!(content, whole, "byte {at} is {:#04x} instead of {:#04x}", damaged[at], bytes[at]);
            }
        }
        damaged[at] = bytes[at];
    }
}
