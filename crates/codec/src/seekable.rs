//! zstd files of independent frames, with a table that says where each stands.

mod reader;
mod writer;

pub use reader::SeekableReader;
pub use writer::{SeekableEncoder, SeekableOptions};
