//! What an upgrade has to fetch: the bytes of the new package's file that hold what the old one does not have.
//!
//!     cargo run --release -p pkgfile --example upgrade -- OLD.kpkg NEW.kpkg
//!
//! For the new package as it is and compressed it tells what is needed and in how many ranges, then takes just these
//! ranges, rebuilds the package of them and of the old one's contents, and compares it with the original.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "an example reports to whoever runs it")]

use std::error::Error;
use std::fs::File;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use codec::{Bounds, Decoder, Format};
use pkgfile::{CompressOptions, Compressor, PackageFile, Partial, rebuild};
use pkgformat::{Limits, SeekReader};
use pkgtypes::Digest;

/// Ranges nearer than this are fetched as one.
const GAP: u64 = 4 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [old, new] = &args[..] else { return Err("OLD and NEW are expected".into()) };
    let (old, new) = (plain(old.as_ref())?, plain(new.as_ref())?);
    let mut compressor = Compressor::new(Vec::new(), Format::Zstd, &CompressOptions::default())?;
    compressor.write_all(&new)?;
    let compressed = compressor.finish()?;
    println!("| file | size | needed | share | ranges | contents |\n|---|---|---|---|---|---|");
    upgrade(".kpkg", &old, &new, &new)?;
    upgrade(".kpkg.zst", &old, &new, &compressed)
}

fn plain(path: &Path) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut bytes = Vec::new();
    Decoder::new(File::open(path)?, Bounds::default())?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn upgrade(name: &str, old: &[u8], new: &[u8], file: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut old = SeekReader::open(Cursor::new(old), Limits::default())?;
    let remote = PackageFile::open(file, Limits::default(), Bounds::default())?;
    let wanted = remote.wanted(GAP, |digest| old.find(digest).is_some())?;
    println!(
        "| {name} | {} | {} | {:.1} % | {} | {} of {} |",
        wanted.file,
        wanted.bytes(),
        100.0 * wanted.bytes() as f64 / wanted.file as f64,
        wanted.ranges.len(),
        wanted.blobs,
        remote.record().blobs().len()
    );
    let mut fetched = vec![0; file.len()];
    for range in &wanted.ranges {
        let range = usize::try_from(range.start)?..usize::try_from(range.end)?;
        fetched[range.clone()].copy_from_slice(&file[range]);
    }
    let part = Partial::new(fetched, wanted.ranges);
    let mut part = PackageFile::open(part, Limits::default(), Bounds::default())?;
    let local = |digest: &Digest| {
        let Ok(mut blob) = old.blob(digest) else { return Ok(None) };
        let mut content = Vec::new();
        blob.read_to_end(&mut content)?;
        Ok(Some(Cursor::new(content)))
    };
    let (copy, _) = rebuild(remote.record(), &mut part, local, Vec::new())?;
    assert!(copy == new, "what is rebuilt is the original");
    Ok(())
}
