//! The exit codes, one list for every verb.

/// Done, or nothing to do.
pub const DONE: u8 = 0;
/// Failed: recipe error, build failure, full disk after the checks, missing rights.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// No solution: a requirement that nothing meets, a dependency cycle.
pub const NO_SOLUTION: u8 = 3;
/// Malformed, wrong digest, not verified or not trusted.
pub const NOT_TRUSTED: u8 = 4;
/// An unknown name, or a question without an answer.
pub const UNKNOWN: u8 = 5;
/// A source that is nowhere to be had.
pub const FETCH: u8 = 6;
/// Refused by a check beforehand; nothing was changed.
pub const REFUSED: u8 = 7;
/// `recover` found an interrupted transaction and rolled it back.
pub const ROLLED_BACK: u8 = 8;
/// Somebody else holds the lock.
pub const BUSY: u8 = 9;
/// There are differences (`verify`, `--check`).
pub const DIFFERENT: u8 = 10;
/// A bug of ours.
pub const BUG: u8 = 70;
/// The sandbox could not start.
pub const SANDBOX: u8 = 125;
