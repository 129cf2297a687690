//! Writes what the targets begin with: `seeds FOLDER` makes `FOLDER/TARGET/NAME`.

use std::error::Error;
use std::io::{Cursor, Write};
use std::path::Path;

use codec::{Format, SeekableEncoder, SeekableOptions};
use fuzz::foreign::packed;
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
        add("codec", &format.to_string(), packed(b"hello hello hello\n", format));
    }
    add("codec", "twice", [packed(b"hello\n", Format::Gzip), packed(b"hello\n", Format::Gzip)].concat());
    add("codec", "lzma", LZMA.to_vec());
    add("codec", "lzip", LZIP.to_vec());

    for (name, tar) in tars()? {
        add("tar", name, tar);
    }
    add("zip", "everything", zip()?);

    let (control, data) = (control()?, plain_tree()?);
    add("deb", "parts", [&(control.len() as u16).to_le_bytes(), &*control, &data].concat());
    add("deb", "whole", fuzz::foreign::sealed_deb(&control, &data));
    let (header, payload) = (rpm_header(), rpm_payload());
    let info = info()?;
    let parts = [&(info.len() as u16).to_le_bytes(), &*info, &data].concat();
    add("apk", "whole", fuzz::foreign::sealed_apk(&info, &data));
    add("apk", "parts", parts.clone());
    add("gpkg", "parts", parts);
    add("gpkg", "whole", fuzz::foreign::sealed_gpkg(&info, &data));
    add("pacman", "plain", pacman("")?);
    let digest = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
    let list = format!(
        "#mtree\n./.PKGINFO\n./usr type=dir\n./usr/hello size=6 sha256digest={digest}\n./usr/l\\040 type=link link=hello\n"
    );
    add("pacman", "list", pacman(&list)?);

    let package = samples::write(&record, &contents);
    for format in [Format::Plain, Format::Zstd, Format::Gzip] {
        let mut compressor = pkgfile::Compressor::new(Vec::new(), format, &pkgfile::CompressOptions::default())?;
        compressor.write_all(&package)?;
        add("package_file", &format.to_string(), compressor.finish()?);
    }
    let mut encoder = SeekableEncoder::new(Vec::new(), &SeekableOptions::default())?;
    for part in ["hello hello hello\n", "", "x"] {
        encoder.write_all(part.as_bytes())?;
        encoder.cut()?;
    }
    let (file, table) = encoder.finish()?;
    add("seekable", "file", file);
    add("seekable", "table", table.encode());

    add("rpm", "parts", [&(header.len() as u16).to_le_bytes(), &*header, &payload].concat());
    add("rpm", "whole", fuzz::foreign::sealed_rpm(&header, &payload));

    add("convert", "deb", [&(control.len() as u16).to_le_bytes(), &*control, &data].concat());
    add("convert", "rpm", [&(header.len() as u16).to_le_bytes(), &*header, &payload].concat());
    add("convert", "tar", data);

    add("zpkg", "everything", zpkg(&samples::write(&record, &contents))?);

    let archive = document(SIGNATURES, "archive");
    let archive: Vec<u8> =
        digits(&archive.lines().map(|line| line.split(';').next().unwrap_or("")).collect::<String>());
    let mut reader = pkgformat::RawReader::new(&*archive, pkgformat::Limits::default());
    reader.next_record()?.ok_or("it has a heading")?;
    add("signatures", "row", reader.next_record()?.ok_or("it has a row")?.into_data()?);
    add("signatures", "archive", archive.clone());
    for part in ["statement", "armored", "key file"] {
        add("signatures", part, document(SIGNATURES, part).into_bytes());
    }
    Ok(seeds)
}

const SIGNATURES: &str = include_str!("../../../docs/format/signature.md");

/// An example of a document: the block after its mark.
fn document(text: &str, mark: &str) -> String {
    let block = text.split(&format!("<!-- {mark} -->\n```text\n")).nth(1).expect("the document has the example");
    block.split("```").next().unwrap_or("").to_owned()
}

fn digits(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect()
}

fn zpkg(package: &[u8]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let reader = pkgformat::Reader::open(package, pkgformat::Limits::default())?;
    let path = pkgtypes::PkgPath::new(&b"it.zpkg"[..])?;
    let root = pkgfs::Root::open(folder.path())?;
    installdb::zpkg::from_kpkg(reader, &root, &path, pkgfs::Durability::Atomic)?;
    Ok(std::fs::read(folder.path().join("it.zpkg"))?)
}

fn info() -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    let text = "# made\npkgname = hello\npkgver = 1:2.10-r3\narch = any\npkgdesc = greets\nbuilddate = 5\nsize = 12\n\
                depend = so:libc.so.1=1 bash\nprovides = cmd:hello=1\ntriggers = /usr/lib\nbackup = etc/hello\n";
    file(&mut tar, ".PKGINFO", text.as_bytes())?;
    file(&mut tar, ".post-install", b"#!/bin/sh\n")?;
    Ok(tar.into_inner()?)
}

fn pacman(list: &str) -> Result<Vec<u8>> {
    let mut tar = Tar::new(Vec::new());
    file(
        &mut tar,
        ".PKGINFO",
        b"pkgname = hello\npkgver = 2.10-3\narch = any\ndepend = glibc>=2.38\nbackup = etc/hello\n",
    )?;
    if list.is_empty() {
        file(&mut tar, ".INSTALL", b"post_install() { :; }\n")?;
    } else {
        file(&mut tar, ".MTREE", list.as_bytes())?;
    }
    tar.append_data(&mut header(EntryType::Directory, 0), "usr", &b""[..])?;
    file(&mut tar, "usr/hello", b"hello\n")?;
    tar.append_link(&mut header(EntryType::Symlink, 0), "usr/l ", "hello")?;
    Ok(tar.into_inner()?)
}

/// The number of tags, their index and their values.
fn rpm_header() -> Vec<u8> {
    let strings = |values: &[&str]| values.iter().flat_map(|value| [value.as_bytes(), b"\0"].concat()).collect();
    let words = words_of;
    let shorts = |values: &[u16]| values.iter().flat_map(|value| value.to_be_bytes()).collect();
    let tags: [(u32, u32, u32, Vec<u8>); 19] = [
        (1000, 6, 1, strings(&["hello"])),
        (1001, 6, 1, strings(&["1.0"])),
        (1002, 6, 1, strings(&["3"])),
        (1003, 4, 1, words(&[2])),
        (1004, 9, 1, strings(&["greets"])),
        (1022, 6, 1, strings(&["x86_64"])),
        (1024, 6, 1, strings(&["ldconfig"])),
        (1028, 4, 4, words(&[0, 1, 1, 1])),
        (1030, 3, 4, shorts(&[0o040_755, 0o100_755, 0o100_755, 0o120_777])),
        (1034, 4, 4, words(&[1; 4])),
        (1036, 8, 4, strings(&["", "", "", "a"])),
        (1037, 4, 4, words(&[0, 17, 17, 0])),
        (1039, 8, 4, strings(&["root", "bin", "bin", "root"])),
        (1048, 4, 2, words(&[12, 0])),
        (1049, 8, 2, strings(&["libc", "/bin/sh"])),
        (1050, 8, 2, strings(&["2.34", ""])),
        (1096, 4, 4, words(&[1, 2, 2, 3])),
        (1116, 4, 4, words(&[0, 1, 1, 1])),
        (1117, 8, 4, strings(&["usr", "a", "b", "l"])),
    ];
    let folders = (1118, 8, 2, strings(&["/", "/usr/"]));
    let (mut index, mut values) = (vec![20], Vec::new());
    for (tag, kind, count, value) in tags.into_iter().chain([folders]) {
        values.resize(usize::next_multiple_of(values.len(), 4), 0);
        index.extend(words_of(&[tag, kind, values.len() as u32, count]));
        values.extend(value);
    }
    [index, values].concat()
}

fn words_of(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_be_bytes()).collect()
}

fn rpm_payload() -> Vec<u8> {
    let member = |name: &str, mode: u32, data: &[u8]| {
        let fields = [0, mode, 0, 0, 1, 0, data.len() as u32, 0, 0, 0, 0, name.len() as u32 + 1, 0];
        let mut bytes = b"070701".to_vec();
        bytes.extend(fields.iter().flat_map(|field| format!("{field:08x}").into_bytes()));
        for part in [&[name.as_bytes(), b"\0"].concat(), data] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    };
    let members = [
        member("./usr", 0o040_755, b""),
        member("./usr/a", 0o100_755, b""),
        member("./usr/b", 0o100_755, b"x"),
        member("./usr/l", 0o120_777, b"a"),
        member("TRAILER!!!", 0, b""),
    ];
    members.concat()
}

/// `hello\n` as `xz --format=lzma` packs it.
const LZMA: &[u8] = b"\
    \x5d\x00\x00\x80\x00\xff\xff\xff\xff\xff\xff\xff\xff\x00\x34\x19\x49\
    \xee\x8d\xdd\x3d\x3a\xdf\xff\xff\xdd\x12\x00\x00";

/// `hello\n` as `lzip` packs it.
const LZIP: &[u8] = b"\
    \x4c\x5a\x49\x50\x01\x17\x00\x34\x19\x49\xee\x8d\xdd\x3d\x3a\xdf\xff\xff\xdd\x12\x00\x00\x20\x30\x3a\
    \x36\x06\x00\x00\x00\x00\x00\x00\x00\x2a\x00\x00\x00\x00\x00\x00\x00";

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
    Ok(vec![
        ("tree", plain_tree()?),
        ("long", long_names()?),
        ("pax", pax()?),
        ("special", special()?),
        ("sparse", sparse()),
    ])
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
