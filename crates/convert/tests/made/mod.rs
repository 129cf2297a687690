//! Foreign packages, made byte by byte.

use std::io::Write;

use codec::{Encoder, Format};
use tar::{Builder, EntryType, Header};

/// A tar archive in the making.
pub(crate) struct Archive(Builder<Vec<u8>>);

impl Archive {
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    pub(crate) fn dir(self, path: &str, mode: u32) -> Self {
        self.put(path, EntryType::Directory, mode, |_| {}, b"")
    }

    pub(crate) fn file(self, path: &str, mode: u32, content: &[u8]) -> Self {
        self.put(path, EntryType::Regular, mode, |_| {}, content)
    }

    pub(crate) fn owner(self, path: &str, mode: u32, user: &str, group: &str) -> Self {
        let own = |header: &mut Header| {
            header.set_username(user).unwrap();
            header.set_groupname(group).unwrap();
            header.set_uid(1234);
            header.set_gid(1234);
        };
        self.put(path, EntryType::Regular, mode, own, b"owned")
    }

    pub(crate) fn hardlink(self, path: &str, target: &str) -> Self {
        self.put(path, EntryType::Link, 0o644, |header| header.set_link_name(target).unwrap(), b"")
    }

    pub(crate) fn symlink(self, path: &str, target: &str) -> Self {
        self.put(path, EntryType::Symlink, 0o777, |header| header.set_link_name(target).unwrap(), b"")
    }

    pub(crate) fn device(self, path: &str, major: u32, minor: u32) -> Self {
        let number = |header: &mut Header| {
            header.set_device_major(major).unwrap();
            header.set_device_minor(minor).unwrap();
        };
        self.put(path, EntryType::Char, 0o666, number, b"")
    }

    pub(crate) fn xattr(mut self, path: &str, content: &[u8], name: &str, value: &str) -> Self {
        let key = format!("SCHILY.xattr.{name}");
        self.0.append_pax_extensions([(key.as_str(), value.as_bytes())]).unwrap();
        self.file(path, 0o644, content)
    }

    pub(crate) fn build(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }

    fn put(mut self, path: &str, kind: EntryType, mode: u32, set: impl FnOnce(&mut Header), content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(1_600_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        set(&mut header);
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }
}

/// A Debian package in the making.
pub(crate) struct Deb {
    control: Archive,
    data: Archive,
}

impl Deb {
    pub(crate) fn new(control: &str, data: Archive) -> Self {
        Self { control: Archive::new().file("./control", 0o644, control.as_bytes()), data }
    }

    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        self.control = self.control.file(&format!("./{name}"), 0o755, text.as_bytes());
        self
    }

    pub(crate) fn build(self) -> Vec<u8> {
        let mut bytes = b"!<arch>\n".to_vec();
        member(&mut bytes, "debian-binary", b"2.0\n");
        member(&mut bytes, "control.tar.gz", &packed(&self.control.build(), Format::Gzip));
        member(&mut bytes, "data.tar.zst", &packed(&self.data.build(), Format::Zstd));
        bytes
    }
}

fn member(bytes: &mut Vec<u8>, name: &str, content: &[u8]) {
    writeln!(bytes, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, content.len()).unwrap();
    bytes.extend_from_slice(content);
    if content.len() % 2 == 1 {
        bytes.push(b'\n');
    }
}

fn packed(bytes: &[u8], format: Format) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), format).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn with_info(info: &str, files: &[(&str, &str)]) -> Archive {
    files.iter().fold(Archive::new().file(".PKGINFO", 0o644, info.as_bytes()), |archive, (name, text)| {
        archive.file(name, 0o755, text.as_bytes())
    })
}

/// Two gzip streams; the first is cut off before the end of its archive, as apk wants it.
pub(crate) fn apk(info: &str, files: &[(&str, &str)], data: Archive) -> Vec<u8> {
    let control = with_info(info, files).build();
    let control = &control[..control.len() - 1024];
    [packed(control, Format::Gzip), packed(&data.build(), Format::Gzip)].concat()
}

/// One archive that begins with the metadata.
pub(crate) fn pacman(info: &str, files: &[(&str, &str)], data: Archive) -> Vec<u8> {
    let head = with_info(info, files).build();
    packed(&[&head[..head.len() - 1024], &data.build()].concat(), Format::Zstd)
}

/// The container as it was proposed first, which has no checksums: archives of metadata and of files.
pub(crate) fn gpkg(metadata: &[(&str, &str)], data: Archive) -> Vec<u8> {
    let files =
        metadata.iter().fold(Archive::new(), |archive, (name, text)| archive.file(name, 0o644, text.as_bytes()));
    let label = Archive::new().put("gpkg: sample", EntryType::new(b'V'), 0, |_| {}, b"");
    let label = label.file("metadata.tar.gz", 0o644, &packed(&files.build(), Format::Gzip));
    label.file("contents.tar.zst", 0o644, &packed(&data.build(), Format::Zstd)).build()
}
