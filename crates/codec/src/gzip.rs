use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

/// So many bytes go to the deflater at a time. What it makes may depend on how its input is cut (it does with the
/// backend that another crate in the build can switch on), so the cuts are ours and not the caller's.
const BLOCK: usize = 64 << 10;

/// Writes gzip, the same whatever pieces its input comes in.
pub(crate) struct GzipWriter<W: Write> {
    encoder: GzEncoder<W>,
    block: Vec<u8>,
}

impl<W: Write> GzipWriter<W> {
    pub(crate) fn new(writer: W, level: u32) -> Self {
        Self { encoder: GzEncoder::new(writer, Compression::new(level)), block: Vec::with_capacity(BLOCK) }
    }

    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.pass_block()?;
        self.encoder.finish()
    }

    fn pass_block(&mut self) -> io::Result<()> {
        self.encoder.write_all(&self.block)?;
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.block.len() == BLOCK {
            self.pass_block()?;
        }
        let taken = bytes.len().min(BLOCK - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_block()?;
        self.encoder.flush()
    }
}
