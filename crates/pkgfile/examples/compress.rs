//! Compresses a package to standard output, or tells how small it gets and how long that takes.
//!
//!     cargo run --release -p pkgfile --example compress -- [--level N] [--group BYTES] [--frame BYTES] FILE..
//!
//! For each setting one line: bytes in, bytes out, seconds to compress, seconds to decompress. The files are read into
//! memory first, so the figures are of the compression alone.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example reports to whoever runs it")]

use std::error::Error;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use codec::{Bounds, Decoder, Format};
use pkgfile::{CompressOptions, Compressor};

fn main() -> Result<(), Box<dyn Error>> {
    let mut options = CompressOptions::default();
    let mut args = std::env::args().skip(1).peekable();
    while let Some(word) = args.next_if(|word| word.starts_with("--")) {
        let value = args.next().ok_or("a value is missing")?.parse::<usize>()?;
        match word.as_str() {
            "--level" => options.level = Some(u32::try_from(value)?),
            "--group" => options.group = value,
            "--frame" => options.frame = value,
            "--threads" => options.threads = value.try_into()?,
            _ => return Err(format!("{word} is no option").into()),
        }
    }
    let (mut given, mut taken) = (0, 0);
    let (mut packing, mut unpacking) = (Duration::ZERO, Duration::ZERO);
    for path in args {
        let plain = std::fs::read(&path)?;
        let start = Instant::now();
        let mut compressor = Compressor::new(Vec::with_capacity(plain.len()), Format::Zstd, &options)?;
        compressor.write_all(&plain)?;
        let file = compressor.finish()?;
        packing += start.elapsed();
        let start = Instant::now();
        let length = io::copy(&mut Decoder::new(&*file, Bounds::default())?, &mut io::sink())?;
        unpacking += start.elapsed();
        assert_eq!(length, plain.len() as u64, "what went in comes out");
        given += plain.len();
        taken += file.len();
    }
    println!("{given} -> {taken} bytes, {:.3} s, back {:.3} s", packing.as_secs_f64(), unpacking.as_secs_f64());
    Ok(())
}
