//! Files of records of any kind: what packages, signature archives and indexes have in common.

mod reader;
mod writer;

pub use reader::{RawReader, RawRecord};
pub use writer::RawWriter;

pub(crate) use reader::Head;
