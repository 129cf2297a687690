//! The first hundred bytes: what sqlite would believe of them is looked at before it gets them.

use super::ZpkgProblem;

/// `application_id` of a package as a sqlite file: "KZP1".
pub const ZPKG_APPLICATION_ID: u32 = 0x4B5A_5031;
/// The version of its tables, `user_version`.
pub const ZPKG_USER_VERSION: u32 = 1;
/// How many bytes [`is_zpkg`] wants to see.
pub const ZPKG_MAGIC_LEN: usize = 72;

/// The length of a sqlite header.
pub(super) const LEN: usize = 100;
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Whether a file that begins so is a package as a sqlite file.
///
/// ```
/// assert!(!installdb::zpkg::is_zpkg(b"\xABKPK"));
/// ```
pub fn is_zpkg(start: &[u8]) -> bool {
    start.starts_with(MAGIC) && start.get(68..72) == Some(&ZPKG_APPLICATION_ID.to_be_bytes())
}

/// Checks all that such a file's header says, of a file of this length.
pub(super) fn check(header: &[u8; LEN], len: u64) -> Result<(), ZpkgProblem> {
    let foreign = |reason: &str| Err(ZpkgProblem::Foreign(reason.to_owned()));
    let damaged = |reason: String| Err(ZpkgProblem::Damaged(reason));
    let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if !header.starts_with(MAGIC) {
        return foreign("it does not begin as sqlite files do");
    }
    if word(68) != ZPKG_APPLICATION_ID {
        return Err(ZpkgProblem::Foreign(format!("its application id is {:#010x}", word(68))));
    }
    match word(60) {
        ZPKG_USER_VERSION => {}
        found if found > ZPKG_USER_VERSION => {
            return Err(ZpkgProblem::Newer { found, known: ZPKG_USER_VERSION });
        }
        _ => return damaged("it has no version".to_owned()),
    }
    // In the order of sqlite's description of its format: versions for writing and reading (a rollback journal, no log),
    // reserved bytes, fractions, format of the schema, no vacuum pages, UTF-8, nothing else.
    let fixed = header[18..24] == [1, 1, 0, 64, 32, 32]
        && word(44) == 4
        && word(52) == 0
        && word(56) == 1
        && word(64) == 0
        && header[72..92].iter().all(|&byte| byte == 0);
    if !fixed {
        return damaged("its header has settings that no such file has".to_owned());
    }
    let page_size = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65536,
        size if size >= 512 && size.is_power_of_two() => u64::from(size),
        size => return damaged(format!("{size} is no page size")),
    };
    let expected = page_size * u64::from(word(28));
    if expected != len {
        return damaged(format!("{len} bytes are there, {expected} are expected"));
    }
    Ok(())
}
