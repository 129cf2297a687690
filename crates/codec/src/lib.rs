//! Compression around whole files: what it is, what it holds, how to make it.
//!
//! ```
//! use std::io::{Read, Write};
//!
//! use codec::{Bounds, Decoder, Encoder, Format};
//!
//! let mut encoder = Encoder::new(Vec::new(), Format::Zstd)?;
//! encoder.write_all(b"hello\n")?;
//! let packed = encoder.finish()?;
//!
//! let mut text = String::new();
//! Decoder::new(&*packed, Bounds::default())?.read_to_string(&mut text)?;
//! assert_eq!(text, "hello\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A [`SeekableEncoder`] writes zstd files that are read from the middle too, by a [`SeekableReader`], and by any other
//! program from the front.
//!
//! Input is taken to be hostile: what comes out is bounded in bytes and in proportion to what went in, and what a
//! decoder may remember is bounded too.
//!
//! This crate knows no package and opens no file. Formats it does not read are passed through as they are.
#![forbid(unsafe_code)]

mod bounds;
mod decoder;
mod encoder;
mod error;
mod format;
mod frame;
mod frames;
mod gzip;
mod pool;
mod read_at;
mod seek_table;
mod seekable;
mod source;

pub use bounds::{Bounds, Exceeded};
pub use decoder::Decoder;
pub use encoder::{Encoder, EncoderOptions};
pub use error::Error;
pub use format::Format;
pub use pool::processors;
pub use read_at::{Position, ReadAt};
pub use seek_table::{Frame, SeekTable};
pub use seekable::{SeekableEncoder, SeekableOptions, SeekableReader};
