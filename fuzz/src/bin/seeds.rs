//! Writes what the targets begin with: `seeds FOLDER` makes `FOLDER/TARGET/NAME`.

use std::error::Error;
use std::io::{Cursor, Write};
use std::path::Path;

use codec::{Encoder, Format};
use tar::{EntryType, Header};

#[path = "../../../crates/pkgformat/tests/samples/mod.rs"]
mod samples;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).ok_or("usage: seeds FOLDER")?;
    for (target, name, bytes) in seeds()? {
        let folder = Path::new(&folder).join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)?;
    }
    Ok(())
}

type Seed = (&'static str, String, Vec<u8>);

fn seeds() -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    let mut add = |target, name: &str, bytes| seeds.push((target, format!("seed-{name}"), bytes));

    let (record, contents) = samples::rich();
    add("package_reader", "everything", samples::write(&record, &contents));
    let encoded = record.encode();
    let mut reader = pkgformat::RawReader::open_ended(&*encoded, pkgformat::Limits::default());
    add("manifest", "everything", reader.next_record()?.ok_or("a package has a record")?.into_data()?);

    for format in [Format::Zstd, Format::Xz, Format::Gzip, Format::Bzip2] {
        add("codec", &format.to_string(), packed(b"hello hello hello\n", format)?);
    }
    add("codec", "twice", [packed(b"hello\n", Format::Gzip)?, packed(b"hello\n", Format::Gzip)?].concat());
    add("codec", "lzma", LZMA.to_vec());
    add("codec", "lzip", LZIP.to_vec());

    for (name, tar) in tars()? {
        add("tar", name, tar);
    }
    add("zip", "everything", zip()?);

    let (control, data) = (control()?, plain_tree()?);
    add("deb", "parts", [&(control.len() as u16).to_le_bytes(), &*control, &data].concat());
    add("deb", "whole", fuzz::foreign::sealed_deb(&control, &data));
    Ok(seeds)
}

/// `hello\n` as `xz --format=lzma` packs it.
const LZMA: &[u8] = b"\
    \x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x34\x19\x49\
    \xee\x8d\xdd\x3d\x3a\xdf\xff\xff\xdd\x12\x00\x00";

/// `hello\n` as `lzip` packs it.
const LZIP: &[u8] = b"\
    \x4c\x5a\x49\x50\x01\x17\x00\x34\x19\x49\xee\x8d\xdd\x3d\x3a\xdf\xff\xff\xdd\x12\x00\x00\x20\x30\x3a\
    \x36\x06\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x00\x00\x00\x00";

fn packed(bytes: &[u8], format: Format) -> Result<Vec<u8>> {
    let mut encoder = Encoder::new(Vec::new(), format)?;
    encoder.write_all(bytes)?;
    Ok(encoder.finish()?)
}

type Tar = tar::Builder<Vec<u8>>;

fn header(kind: EntryType, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header
}

fn file(tar: &mut Tar, path: &str, content: &[u8]) -> Result<()> {
    Ok(tar.append_data(&mut header(EntryType::Regular, content.len()), path, content)?)
}

fn tars() -> Result<Vec<(&'static str, Vec<u8>)>> {
    Ok(vec![("tree", plain_tree()?), ("long", long_names()?), ("pax", pax()?), ("special", special()?), ("sparse", sparse())])
}

fn plain_tree() -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    tar.append_data(&mut header(EntryType::Directory, 0), "usr", &b""[..])?;
    file(&mut tar, "usr/hello", b"hello\n")?;
    tar.append_link(&mut header(EntryType::Symlink, 0), "usr/link", "hello")?;
    tar.append_link(&mut header(EntryType::Link, 0), "usr/again", "usr/hello")?;
    Ok(tar.into_inner()?)
}

fn long_names() -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    file(&mut tar, &"long/".repeat(30), b"x")?;
    tar.append_link(&mut header(EntryType::Symlink, 0), "l", "target/".repeat(30))?;
    Ok(tar.into_inner()?)
}

fn pax() -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    let attributes: [(&str, &[u8]); 6] = [
        ("SCHILY.xattr.user.a", b"1"),
        ("mtime", b"-1.5"),
        ("path", b"other"),
        ("size", b"3"),
        ("uid", b"70000"),
        ("uname", b"ann"),
    ];
    tar.append_pax_extensions(attributes)?;
    file(&mut tar, "a", b"abc")?;
    Ok(tar.into_inner()?)
}

fn special() -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    for (kind, name) in [(EntryType::Char, "char"), (EntryType::Block, "block"), (EntryType::Fifo, "fifo")] {
        let mut header = header(kind, 0);
        header.set_device_major(1)?;
        header.set_device_minor(3)?;
        tar.append_data(&mut header, name, &b""[..])?;
    }
    Ok(tar.into_inner()?)
}

/// A file of 2048 bytes of which only the last 512 are there, in GNU's old format.
fn sparse() -> Vec<u8> {
    let mut header = header(EntryType::GNUSparse, 512);
    header.as_mut_bytes()[..6].copy_from_slice(b"sparse");
    let gnu = header.as_gnu_mut().expect("it was made so");
    gnu.sparse[0].offset.copy_from_slice(b"00000003000\0");
    gnu.sparse[0].numbytes.copy_from_slice(b"00000001000\0");
    gnu.realsize.copy_from_slice(b"00000004000\0");
    header.set_cksum();
    [header.as_bytes(), &[b'x'; 512], &[0; 1024][..]].concat()
}

fn zip() -> Result<Vec<u8>> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    writer.add_directory("d/", options)?;
    writer.start_file("d/run", options.unix_permissions(0o755))?;
    writer.write_all(b"echo echo echo echo\n")?;
    writer.start_file("d/stored", options.compression_method(zip::CompressionMethod::Stored))?;
    writer.write_all(b"x")?;
    writer.add_symlink("d/link", "run", options)?;
    Ok(writer.finish()?.into_inner())
}

fn control() -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    let text = "Package: hello\nVersion: 1:2.10-3\nArchitecture: all\nDepends: libc6 (>= 2.34), a | b\n\
                Description: greets\n It says\n .\n hello.\n";
    file(&mut tar, "control", text.as_bytes())?;
    file(&mut tar, "conffiles", b"/etc/hello\n")?;
    file(&mut tar, "postinst", b"#!/bin/sh\nldconfig\n")?;
    Ok(tar.into_inner()?)
}
