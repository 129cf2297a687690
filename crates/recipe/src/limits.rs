//! How large a recipe may be.

/// Bytes of a line.
pub const LINE: usize = 4096;
/// Bytes of a line file such as `deps`.
pub const LINE_FILE: u64 = 1 << 20;
/// Bytes of any one file.
pub const FILE: u64 = 64 << 20;
/// Bytes of all files.
pub const FOLDER: u64 = 256 << 20;
/// Files of a recipe.
pub const FILES: u64 = 20_000;
/// Folders inside one another.
pub const DEPTH: u64 = 32;
