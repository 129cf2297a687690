//! Between trees and packages: pack, unpack, ELF facts, the unpacked store.
#![forbid(unsafe_code)]

mod attributes;
mod elf;
mod error;
mod names;
mod pack;
mod progress;

pub use error::{Error, Result};
pub use names::Names;
pub use pack::{Keep, Owners, PackOptions, Packed, Packer};
pub use progress::Progress;
