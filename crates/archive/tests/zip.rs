//! Zip archives.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::io::{Cursor, Write};

use archive::{ArchiveError, Entry, EntryKind, Limits, Options, read_zip};
use zip::write::SimpleFileOptions;

fn sample() -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    writer.add_directory("top/", options).unwrap();
    writer.start_file("top/run", options.unix_permissions(0o755)).unwrap();
    writer.write_all(&b"echo hello\n".repeat(100)).unwrap();
    writer.start_file("top/empty", options.compression_method(zip::CompressionMethod::Stored)).unwrap();
    writer.add_symlink("top/link", "run", options).unwrap();
    writer.finish().unwrap().into_inner()
}

fn read(bytes: Vec<u8>, options: &Options) -> Result<Vec<(Entry, Vec<u8>)>, ArchiveError> {
    let mut seen = Vec::new();
    read_zip::<ArchiveError>(Cursor::new(bytes), options, |entry, data| {
        let mut content = Vec::new();
        // A broken file is told by `read_zip` itself.
        let _ = data.read_to_end(&mut content);
        seen.push((entry.clone(), content));
        Ok(())
    })?;
    Ok(seen)
}

#[test]
fn files_folders_and_links() {
    let seen = read(sample(), &Options::stripping(1)).unwrap();
    let names: Vec<String> = seen.iter().map(|(entry, _)| entry.path.to_string()).collect();
    assert_eq!(names, ["run", "empty", "link"]);
    assert_eq!((seen[0].0.mode.bits(), seen[0].1.len()), (0o755, 1100));
    assert_eq!(seen[1].0.kind, EntryKind::File { size: 0 });
    assert_eq!(seen[2].0.kind, EntryKind::Symlink { target: b"run".to_vec() });
    let whole = read(sample(), &Options::default()).unwrap();
    assert_eq!((whole[0].0.path.to_string().as_str(), &whole[0].0.kind), ("top", &EntryKind::Dir));
}

#[test]
fn a_wrong_checksum_is_told() {
    let mut bytes = sample();
    let at = bytes.windows(7).position(|window| window == b"top/run").unwrap() + 7;
    bytes[at + 3] ^= 0x55;
    assert!(matches!(read(bytes, &Options::default()), Err(ArchiveError::Malformed { .. } | ArchiveError::Io { .. })));
}

#[test]
fn nothing_leaves_the_folder() {
    let mut bytes = sample();
    for at in 0..bytes.len() - 7 {
        if &bytes[at..at + 7] == b"top/run" {
            bytes[at..at + 7].copy_from_slice(b"../../x");
        }
    }
    let error = read(bytes, &Options::default()).unwrap_err().to_string();
    assert!(error.starts_with("entry `../../x` at byte "), "{error}");
}

#[test]
fn limits() {
    let error = read(sample(), &Options { strip: 0, limits: Limits { bytes: 500, ..Limits::default() } }).unwrap_err();
    assert!(error.to_string().ends_with("the archive has more than 500 bytes"), "{error}");
    let error = read(sample(), &Options { strip: 0, limits: Limits { entries: 2, ..Limits::default() } }).unwrap_err();
    assert!(error.to_string().ends_with("the archive has more than 2 entries"), "{error}");
    assert!(read(sample()[..100].to_vec(), &Options::default()).is_err());
}

/// Entries that share their data: few bytes that stand for very many.
#[test]
fn a_bomb_is_stopped_by_its_ratio() {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    writer.start_file("a000", SimpleFileOptions::default()).unwrap();
    writer.write_all(&vec![0; 1 << 20]).unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    let (start, end) =
        [b"PK\x01\x02", b"PK\x05\x06"].map(|magic| bytes.windows(4).position(|window| window == magic).unwrap()).into();
    let bomb = |entries: u16| {
        let directory: Vec<u8> = (0..entries)
            .flat_map(|number| {
                let mut entry = bytes[start..end].to_vec();
                entry[46..50].copy_from_slice(format!("a{number:03}").as_bytes());
                entry
            })
            .collect();
        let mut last = bytes[end..].to_vec();
        last[8..10].copy_from_slice(&entries.to_le_bytes());
        last[10..12].copy_from_slice(&entries.to_le_bytes());
        last[12..16].copy_from_slice(&(directory.len() as u32).to_le_bytes());
        [&bytes[..start], &directory, &last].concat()
    };
    let unread = |bytes: Vec<u8>| read_zip::<ArchiveError>(Cursor::new(bytes), &Options::default(), |_, _| Ok(()));
    assert!(unread(bomb(64)).is_ok(), "64 MiB are nothing");
    let refusal = unread(bomb(65)).unwrap_err().to_string();
    assert!(refusal.ends_with("the archive has more than 67108864 bytes"), "{refusal}");
}
