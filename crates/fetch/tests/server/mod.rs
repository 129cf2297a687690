#![allow(dead_code, clippy::allow_attributes, reason = "each test file uses another part of this one")]
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What a client asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) path: String,
    /// The first byte of `Range: bytes=N-` or `bytes=N-M`.
    pub(crate) from: Option<usize>,
    /// The last byte.
    pub(crate) last: Option<usize>,
    /// How many requests came before.
    pub(crate) count: usize,
}

/// A server on the loopback interface for one test; each connection is one request.
pub(crate) struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn new(answer: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (log, end) = (Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    break;
                }
                let mut stream = stream.unwrap();
                if let Some(mut request) = read_request(&stream) {
                    request.count = log.lock().unwrap().len();
                    log.lock().unwrap().push(request.clone());
                    // A client that hangs up is part of some tests.
                    let _ = answer(&request, &mut stream);
                }
            }
        });
        Self { address, asked, stop, thread: Some(thread) }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let ended = self.thread.take().unwrap().join();
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn read_request(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let (mut from, mut last) = (None, None);
    for line in lines.take_while(|line| !line.is_empty()) {
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            let (first, end) = range.split_once('-').unwrap_or((range, ""));
            (from, last) = (first.parse().ok(), end.parse().ok());
        }
    }
    Some(Asked { path, from, last, count: 0 })
}

/// An answer with a status line, headers, and whatever body is written after it.
pub(crate) fn head(stream: &mut TcpStream, status: &str, headers: &[(&str, String)]) -> std::io::Result<()> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status}\r\nConnection: close\r\n{headers}\r\n")
}

/// A whole file.
pub(crate) fn file(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    head(stream, "200 OK", &[("Content-Length", body.len().to_string())])?;
    stream.write_all(body)
}

/// The rest of a file from `start`.
pub(crate) fn rest(stream: &mut TcpStream, body: &[u8], start: usize) -> std::io::Result<()> {
    let range = format!("bytes {start}-{}/{}", body.len() - 1, body.len());
    let length = (body.len() - start).to_string();
    head(stream, "206 Partial Content", &[("Content-Range", range), ("Content-Length", length)])?;
    stream.write_all(&body[start..])
}
