use std::fmt;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use ureq::Body;
use ureq::http::{Response, header};

use crate::http::{Http, content_length};
use crate::{Error, HttpOptions, Reason, Result, Url};

/// Bytes asked for at once at first; a reader that goes on front to back gets more and more, up to [`MOST`].
const LEAST: u64 = 64 << 10;
/// Bytes asked for at once where nobody wants more.
const MOST: u64 = 1 << 20;
/// How many answers are kept: the file's beginning, its end, and what was read last.
const KEPT: usize = 4;

/// A file on a server, to be read.
#[derive(Debug)]
pub enum Remote {
    /// The server gives parts of it.
    Ranges(Ranges),
    /// It gives the file as a whole only.
    Stream(Stream),
}

/// A file on a server that is read in ranges.
///
/// Each request asks for 64 KiB at least, and what came is kept for a while, so small reads near one another are one
/// request. A transfer that breaks off is tried again. A file that another one takes the place of meanwhile is an error,
/// as far as the server tells: by its size, its `ETag`, or its `Last-Modified`.
pub struct Ranges {
    http: Http,
    url: String,
    size: u64,
    version: Version,
    state: Mutex<State>,
}

/// What tells a file from its successor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    tag: Option<String>,
    modified: Option<String>,
}

#[derive(Default)]
struct State {
    /// The one that came last stands last.
    chunks: Vec<Chunk>,
    requests: u64,
    received: u64,
}

struct Chunk {
    offset: u64,
    bytes: Vec<u8>,
}

impl Chunk {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

impl fmt::Debug for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ranges").field("url", &self.url).field("size", &self.size).finish_non_exhaustive()
    }
}

/// A file on a server, read front to back.
pub struct Stream {
    url: String,
    body: ureq::BodyReader<'static>,
    received: u64,
    size: Option<u64>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("url", &self.url).field("received", &self.received).finish_non_exhaustive()
    }
}

impl Remote {
    /// Asks the server for the file's beginning. Only `http:` and `https:` name a server.
    ///
    /// # Errors
    /// [`Error::Remote`] where the server does not have the file or can not be reached; settings that can not be used.
    pub fn open(url: &Url, options: &HttpOptions) -> Result<Self> {
        let Url::Http(url) = url else {
            return Err(Error::Url { text: format!("{url}"), reason: "http or https is expected" });
        };
        let http = Http::new(options)?;
        let failed = |reason| Error::Remote { url: url.clone(), reason };
        let mut tries = http.resumes();
        let (response, bytes) = loop {
            let response = http.range(url, 0, LEAST).map_err(failed)?;
            match response.status().as_u16() {
                206 => {}
                200 => return Ok(Self::Stream(Stream::new(url.clone(), response))),
                status => return Err(failed(refusal(status))),
            }
            let (parts, body) = response.into_parts();
            match read_all(body, LEAST) {
                Ok(bytes) => break (parts, bytes),
                Err(_) if tries > 0 => tries -= 1,
                Err(reason) => return Err(failed(reason)),
            }
        };
        let size = total(&response.headers, 0, bytes.len() as u64).ok_or_else(|| failed(Reason::WrongRange))?;
        let version = Version::of(&response.headers);
        let received = bytes.len() as u64;
        let state = State { chunks: vec![Chunk { offset: 0, bytes }], requests: 1, received };
        Ok(Self::Ranges(Ranges { http, url: url.clone(), size, version, state: Mutex::new(state) }))
    }
}

impl Ranges {
    /// How long the file is.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reads some bytes from `offset` on; 0 only at the end, or where `buffer` is empty.
    ///
    /// # Errors
    /// [`Error::Remote`].
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        if buffer.is_empty() || offset >= self.size {
            return Ok(0);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let holds = |chunk: &Chunk| chunk.offset <= offset && offset < chunk.end();
        let index = match state.chunks.iter().rposition(holds) {
            Some(index) => index,
            None => {
                let (from, length) = plan(&state.chunks, offset, buffer.len() as u64, self.size);
                let bytes = self.bring(&mut state, from, length)?;
                if state.chunks.len() == KEPT {
                    // The beginning stays, because whoever looks around comes back to it.
                    state.chunks.remove(1);
                }
                state.chunks.push(Chunk { offset: from, bytes });
                state.chunks.len() - 1
            }
        };
        let chunk = &state.chunks[index];
        let mut rest = &chunk.bytes[(offset - chunk.offset) as usize..];
        Ok(rest.read(buffer).expect("a slice is read without errors"))
    }

    /// How many requests were made.
    pub fn requests(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).requests
    }

    /// How many bytes of the file came.
    pub fn received(&self) -> u64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).received
    }

    fn bring(&self, state: &mut State, from: u64, length: u64) -> Result<Vec<u8>> {
        let mut tries = self.http.resumes();
        loop {
            state.requests += 1;
            match self.ask(from, length) {
                Ok(bytes) => {
                    state.received += bytes.len() as u64;
                    return Ok(bytes);
                }
                Err(Reason::Transfer { .. }) if tries > 0 => tries -= 1,
                Err(reason) => return Err(Error::Remote { url: self.url.clone(), reason }),
            }
        }
    }

    fn ask(&self, from: u64, length: u64) -> Result<Vec<u8>, Reason> {
        let response = self.http.range(&self.url, from, length)?;
        match response.status().as_u16() {
            206 => {}
            // The server gave ranges before.
            200 | 416 => return Err(Reason::Changed),
            status => return Err(refusal(status)),
        }
        let (parts, body) = response.into_parts();
        if Version::of(&parts.headers) != self.version {
            return Err(Reason::Changed);
        }
        match total(&parts.headers, from, length) {
            Some(size) if size == self.size => {}
            Some(_) => return Err(Reason::Changed),
            None => return Err(Reason::WrongRange),
        }
        let bytes = read_all(body, length)?;
        if bytes.len() as u64 == length { Ok(bytes) } else { Err(broken_off(bytes.len() as u64)) }
    }
}

/// What to ask for, so that `wanted` bytes at `offset` come and the next requests are few.
fn plan(chunks: &[Chunk], offset: u64, wanted: u64, size: u64) -> (u64, u64) {
    let goes_on = chunks.last().filter(|last| last.end() == offset);
    let ahead = goes_on.map_or(LEAST, |last| (2 * last.bytes.len() as u64).clamp(LEAST, MOST));
    // What was kept needs not come again.
    let next = chunks.iter().map(|chunk| chunk.offset).filter(|start| *start > offset).min().unwrap_or(size);
    let end = offset.saturating_add(wanted.min(MOST).max(ahead)).min(size).min(next);
    // Who reads the end comes back to read what stands before it: a table is found from its end.
    let from = if end == size { offset.min(size.saturating_sub(LEAST)) } else { offset };
    (from, end - from)
}

fn refusal(status: u16) -> Reason {
    if matches!(status, 404 | 410) { Reason::NotFound } else { Reason::Status { status } }
}

fn broken_off(received: u64) -> Reason {
    Reason::Transfer { text: "the connection was closed before the end".to_owned(), received }
}

/// Reads a body of at most `most` bytes; what a server sends beyond is not taken.
fn read_all(body: Body, most: u64) -> Result<Vec<u8>, Reason> {
    let mut bytes = Vec::new();
    match body.into_reader().take(most).read_to_end(&mut bytes) {
        Ok(_) => Ok(bytes),
        Err(error) => Err(Reason::Transfer { text: error.to_string(), received: bytes.len() as u64 }),
    }
}

impl Version {
    fn of(headers: &header::HeaderMap) -> Self {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { tag: text(header::ETAG), modified: text(header::LAST_MODIFIED) }
    }
}

/// The size of the whole file where the answer is the range that was asked for: `bytes FROM-LAST/SIZE`.
fn total(headers: &header::HeaderMap, from: u64, length: u64) -> Option<u64> {
    let (range, size) =
        headers.get(header::CONTENT_RANGE)?.to_str().ok()?.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    let [first, last, size] = [first, last, size].map(|number| number.trim().parse::<u64>().ok());
    let is_asked = first? == from && last?.checked_sub(from)?.checked_add(1)? == length && last? < size?;
    size.filter(|_| is_asked)
}

impl Stream {
    fn new(url: String, response: Response<Body>) -> Self {
        let size = content_length(&response);
        Self { url, body: response.into_body().into_reader(), received: 0, size }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let failed = |reason| io::Error::other(Error::Remote { url: self.url.clone(), reason });
        let count = self
            .body
            .read(buffer)
            .map_err(|error| failed(Reason::Transfer { text: error.to_string(), received: self.received }))?;
        self.received += count as u64;
        if count == 0 && !buffer.is_empty() && self.size.is_some_and(|size| self.received < size) {
            return Err(failed(broken_off(self.received)));
        }
        Ok(count)
    }
}
