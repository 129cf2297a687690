//! Package files as the commands take them: compressed or not, from a file, from standard input, or from a server.

use std::fs::File;
use std::io::{self, Read};
use std::num::NonZeroUsize;
use std::os::fd::AsFd as _;
use std::path::Path;

use anyhow::Context;
use codec::{Bounds, Decoder, Position, ReadAt};
use fetch::{HttpOptions, Remote, Url};
use pkgfile::PackageFile;
use pkgformat::{Limits, PackageRecord, Reader};
use pkgtypes::Digest;
use rustix::fs::{Mode, OFlags};

use crate::failure::Failure;
use crate::on_demand::OnDemand;
use crate::signals::{Awaited, Stoppable};
use crate::{exit, places};

/// A package, read from its first byte on.
pub type Stream = Reader<Box<dyn Read + Send>>;

/// A package that can be read at any place.
pub type Random = PackageFile<Box<dyn ReadAt + Send>>;

/// A package that is looked into.
pub enum Opened {
    /// Where it can be read at any place: a file, or one on a server that gives parts of it.
    Random(Random),
    /// Where it comes once: standard input, a pipe, a server that gives it as a whole.
    Stream(Box<Stream>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("id", &self.record().id()).finish_non_exhaustive()
    }
}

impl Opened {
    /// The package record.
    pub fn record(&self) -> &PackageRecord {
        match self {
            Self::Random(package) => package.record(),
            Self::Stream(package) => package.package(),
        }
    }

    /// One of its contents. From where it comes once, those before it are gone then.
    ///
    /// # Errors
    /// It has none of this digest, or is damaged there.
    pub fn blob(&mut self, digest: &Digest) -> anyhow::Result<Box<dyn Read + '_>> {
        Ok(match self {
            Self::Random(package) => Box::new(package.blob(digest).map_err(plain_error)?),
            Self::Stream(package) => Box::new(find(package, digest)?),
        })
    }
}

/// Goes to a blob.
fn find<'a>(package: &'a mut Stream, digest: &Digest) -> pkgformat::Result<impl Read + 'a> {
    let missing = pkgformat::Error::NoSuchBlob(*digest);
    let Some(index) = package.package().blobs().position(|blob| blob.digest == *digest) else { return Err(missing) };
    for _ in 0..index {
        package.next_blob()?;
    }
    package.next_blob()?.ok_or(missing)
}

/// Opens a package, of which no more is read than its head; `-` is standard input.
///
/// # Errors
/// No such file, or something else than a package in it.
pub fn look(path: &Path) -> anyhow::Result<Opened> {
    look_into(source(path)?).with_context(|| unreadable(path))
}

fn look_into(source: Source) -> anyhow::Result<Opened> {
    let (limits, bounds) = (Limits::default(), Bounds::default());
    match source.at_any_place() {
        Ok(source) => Ok(Opened::Random(PackageFile::open(source, limits, bounds).map_err(plain_error)?)),
        Err(stream) => {
            let plain: Box<dyn Read + Send> = Box::new(Decoder::new(Stoppable(stream), bounds)?);
            Ok(Opened::Stream(Box::new(Reader::open(plain, limits)?)))
        }
    }
}

/// Opens a package file to be read front to back; `-` is standard input.
///
/// # Errors
/// No such file, or something else than a package in it.
pub fn open(path: &Path) -> anyhow::Result<Stream> {
    Reader::open(plain(path)?, Limits::default()).with_context(|| unreadable(path))
}

/// Opens one of so many package files of which only the heads are read now. Until its content is, no file is held open.
///
/// # Errors
/// As [`open`].
pub fn waiting<'p>(path: &Path, files: usize) -> anyhow::Result<Reader<installdb::Source<'p>>> {
    let open = |plain: Box<dyn Read + Send>| Reader::open(installdb::Source::new(plain), Limits::default());
    let reader = match source(path)? {
        Source::File(file) => {
            let file = OnDemand::new(path, file).with_context(|| unreadable(path))?;
            let raw = Stoppable(Position::new(file.clone()));
            let decoder = Decoder::with_threads(raw, Bounds::default(), share(files));
            // Each byte is held against a checksum or digest of the record.
            let reader = open(Box::new(decoder.with_context(|| unreadable(path))?.unchecked()));
            file.close();
            reader
        }
        _ => open(plain(path)?),
    };
    reader.with_context(|| unreadable(path))
}

/// The threads for each of so many packages that are installed together.
fn share(packages: usize) -> NonZeroUsize {
    NonZeroUsize::new(codec::processors().get() / installdb::readers(packages).max(1)).unwrap_or(NonZeroUsize::MIN)
}

/// The bytes of a package file, decompressed; `-` is standard input.
///
/// # Errors
/// No such file.
pub fn plain(path: &Path) -> anyhow::Result<Box<dyn Read + Send>> {
    Ok(Box::new(Decoder::new(raw(path)?, Bounds::default()).with_context(|| unreadable(path))?))
}

/// The bytes of a file as they are; `-` is standard input.
///
/// # Errors
/// No such file.
pub fn raw(path: &Path) -> anyhow::Result<Stoppable<Box<dyn Read + Send>>> {
    Ok(Stoppable(match source(path)?.at_any_place() {
        Ok(source) => Box::new(Position::new(source)),
        Err(stream) => stream,
    }))
}

/// An error of a package file without what only wraps it.
pub fn plain_error(error: pkgfile::Error) -> anyhow::Error {
    match error {
        pkgfile::Error::Package(error) => error.into(),
        pkgfile::Error::Source(error) => error.into(),
        error => error.into(),
    }
}

/// Where bytes come from.
enum Source {
    File(File),
    /// On a server that gives parts of it.
    Random(Box<dyn ReadAt + Send>),
    Stream(Box<dyn Read + Send>),
}

impl Source {
    /// The source where it can be read at any place, else the stream that it is.
    fn at_any_place(self) -> Result<Box<dyn ReadAt + Send>, Box<dyn Read + Send>> {
        match self {
            Self::File(file) => Ok(Box::new(Stoppable(file))),
            Self::Random(source) => Ok(source),
            Self::Stream(stream) => Err(stream),
        }
    }
}

fn source(path: &Path) -> anyhow::Result<Source> {
    if is_stdin(path) {
        return Ok(Source::Stream(Box::new(stream(path)?)));
    }
    if let Some(url) = path.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
        return on_server(&url.parse()?, &places::http());
    }
    let file = file(path)?;
    // A pipe gives its bytes once.
    match file.metadata() {
        Ok(data) if data.is_file() => Ok(Source::File(file)),
        _ => Ok(Source::Stream(Box::new(Awaited(file)))),
    }
}

fn on_server(url: &Url, options: &HttpOptions) -> anyhow::Result<Source> {
    Ok(match Remote::open(url, options)? {
        Remote::Ranges(ranges) => Source::Random(Box::new(Stoppable(OnServer(ranges)))),
        Remote::Stream(stream) => Source::Stream(Box::new(stream)),
    })
}

/// A file on a server.
struct OnServer(fetch::Ranges);

impl ReadAt for OnServer {
    fn size(&self) -> io::Result<u64> {
        Ok(self.0.size())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset).map_err(io::Error::other)
    }
}

/// The package record alone.
///
/// # Errors
/// As [`open`].
pub fn record(path: &Path) -> anyhow::Result<PackageRecord> {
    Ok(open(path)?.into_package())
}

/// What to call a package file in messages.
pub fn unreadable(path: &Path) -> String {
    format!("cannot read the package {}", shown(path))
}

/// A path for messages.
pub fn shown(path: &Path) -> String {
    if is_stdin(path) { "on standard input".to_owned() } else { format!("`{}`", path.display()) }
}

/// The bytes of a file, or those on standard input for `-`; the wait for them ends when a signal asks to stop.
///
/// # Errors
/// It can not be opened.
pub fn stream(path: &Path) -> Result<Awaited<File>, Failure> {
    if !is_stdin(path) {
        return Ok(Awaited(opened(path)?));
    }
    // Not the library's, which may hold bytes back that nobody can wait for.
    let own = io::stdin().as_fd().try_clone_to_owned();
    own.map(|own| Awaited(own.into()))
        .map_err(|error| Failure::new(exit::FAILED, format!("standard input can not be read: {error}")))
}

fn opened(path: &Path) -> Result<File, Failure> {
    // Who opens a pipe would wait for somebody who writes, whatever signal comes.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open(path, flags, Mode::empty())
        .map(File::from)
        .map_err(io::Error::from)
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot open {}: {error}", shown(path))))
}

fn file(path: &Path) -> Result<File, Failure> {
    let file = opened(path)?;
    match file.metadata() {
        Ok(data) if data.is_dir() => {
            Err(Failure::new(exit::FAILED, format!("{} is a folder, not a package", shown(path)))
                .hint("`pkg pack` makes a package of a folder"))
        }
        _ => Ok(file),
    }
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use codec::Format;
    use pkgfile::{CompressOptions, Compressor};
    use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, Writer};
    use pkgtypes::{Mode, PkgPath};

    use super::*;

    /// A compressed package with a large content and a small one behind it.
    fn package(large: &[u8], small: &[u8]) -> Vec<u8> {
        let entry = |path: &[u8], content: &[u8]| {
            let (size, digest) = (content.len() as u64, Digest::of(content));
            let kind = EntryKind::File { mode: Mode::from_raw(0o644), size, digest, elf: None };
            Entry::new(PkgPath::new(path).unwrap(), kind)
        };
        let manifest = Manifest::new(vec![entry(b"large", large), entry(b"small", small)]).unwrap();
        let [name, version, release, arch] = ["sample", "1", "1", "any"];
        let meta = PackageMeta::new(
            name.parse().unwrap(),
            version.parse().unwrap(),
            release.parse().unwrap(),
            arch.parse().unwrap(),
        );
        let record = PackageRecord::new(meta, manifest).unwrap();
        let compressor = Compressor::new(Vec::new(), Format::Zstd, &CompressOptions::default()).unwrap();
        let mut writer = Writer::new(compressor, &record).unwrap();
        writer.blob(large.len() as u64, large).unwrap();
        writer.blob(small.len() as u64, small).unwrap();
        writer.finish().unwrap().0.finish().unwrap()
    }

    /// Serves ranges of a file until the process ends, and counts the bytes.
    fn serve(file: Vec<u8>) -> (String, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/sample.kpkg.zst", listener.local_addr().unwrap());
        let sent = Arc::new(Mutex::new(0));
        let count = Arc::clone(&sent);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let lines = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let headers: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
                let range = headers.iter().find_map(|line| line.strip_prefix("range: bytes=")).unwrap();
                let (from, last) = range.split_once('-').unwrap();
                let (from, last): (usize, usize) = (from.parse().unwrap(), last.parse().unwrap());
                let part = &file[from..file.len().min(last + 1)];
                *count.lock().unwrap() += part.len();
                let head = format!(
                    "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\n\r\n",
                    part.len(),
                    from + part.len() - 1,
                    file.len()
                );
                let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(part));
            }
        });
        (url, sent)
    }

    #[test]
    fn of_a_package_on_a_server_only_what_is_wanted_comes() {
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let large: Vec<u8> = noise.take(4 << 20).collect();
        let file = package(&large, b"small");
        let length = file.len();
        let (url, sent) = serve(file);
        let source = on_server(&url.parse().unwrap(), &HttpOptions::default()).unwrap();
        let Opened::Random(mut package) = look_into(source).unwrap() else { panic!("the server has ranges") };
        assert_eq!(package.record().meta().name.as_str(), "sample");
        let mut content = String::new();
        package.blob(&Digest::of("small")).unwrap().read_to_string(&mut content).unwrap();
        assert_eq!(content, "small");
        let sent = *sent.lock().unwrap();
        assert!(sent < length / 10, "{sent} of {length} bytes came");
    }
}
