//! A file on a server is read in ranges, where the server has them.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod server;

use std::io::{Read, Write};
use std::net::TcpStream;

use fetch::{Error, HttpOptions, Ranges, Reason, Remote};
use server::{Asked, Server, file, head};

fn body() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

/// Answers a range of the body as a server does, with a tag.
fn part(asked: &Asked, stream: &mut TcpStream, tag: &str) -> std::io::Result<()> {
    let body = body();
    let from = asked.from.unwrap_or(0);
    let last = asked.last.unwrap_or(usize::MAX).min(body.len() - 1);
    let range = format!("bytes {from}-{last}/{}", body.len());
    let length = (last + 1 - from).to_string();
    let headers = [("Content-Range", range), ("Content-Length", length), ("ETag", tag.to_owned())];
    head(stream, "206 Partial Content", &headers)?;
    stream.write_all(&body[from..=last])
}

fn open(server: &Server) -> Result<Remote, Error> {
    Remote::open(&server.url("/x").parse().unwrap(), &HttpOptions::default())
}

fn ranges(server: &Server) -> Ranges {
    match open(server).unwrap() {
        Remote::Ranges(ranges) => ranges,
        Remote::Stream(stream) => panic!("{stream:?}"),
    }
}

fn read(ranges: &Ranges, from: usize, length: usize) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match ranges.read_at(&mut bytes[filled..], (from + filled) as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[test]
fn any_part_comes() {
    let server = Server::new(|asked, stream| part(asked, stream, "1"));
    let (file, body) = (ranges(&server), body());
    assert_eq!(file.size(), body.len() as u64);
    for (from, length) in [(0, 10), (799_990, 10), (400_000, 70_000), (65_530, 20), (1, 300_000), (799_995, 100)] {
        assert!(
            read(&file, from, length).unwrap() == body[from..body.len().min(from + length)],
            "{length} from {from}"
        );
    }
    assert_eq!(file.read_at(&mut [0], 800_000).unwrap(), 0);
}

#[test]
fn small_reads_are_few_requests() {
    let server = Server::new(|asked, stream| part(asked, stream, "1"));
    let file = ranges(&server);
    read(&file, 0, 13).unwrap();
    // A table is found from its end.
    read(&file, 799_991, 9).unwrap();
    read(&file, 799_000, 991).unwrap();
    for at in 0..100 {
        read(&file, 300_000 + at, 1).unwrap();
    }
    assert_eq!(file.requests(), 3);
    assert!(file.received() <= 3 << 16, "{}", file.received());
    assert_eq!(server.asked().len(), 3);
}

#[test]
fn who_goes_on_gets_more_at_once() {
    let server = Server::new(|asked, stream| part(asked, stream, "1"));
    let file = ranges(&server);
    assert!(read(&file, 0, 800_000).unwrap() == body());
    assert!(file.requests() <= 6, "{} requests", file.requests());
    assert_eq!(file.received(), 800_000);
}

#[test]
fn a_server_without_ranges_gives_a_stream() {
    let server = Server::new(|_, stream| file(stream, &body()));
    let Remote::Stream(mut stream) = open(&server).unwrap() else { panic!("it has no ranges") };
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    assert!(bytes == body());
}

#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[("Content-Length", "1000".to_owned())])?;
        stream.write_all(b"short")
    });
    let Remote::Stream(mut stream) = open(&server).unwrap() else { panic!("it has no ranges") };
    assert!(stream.read_to_end(&mut Vec::new()).is_err());
}

fn reason(result: Result<impl Sized, Error>) -> Reason {
    match result.err() {
        Some(Error::Remote { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_that_changes_is_an_error() {
    let server = Server::new(|asked, stream| part(asked, stream, if asked.from == Some(0) { "1" } else { "2" }));
    assert_eq!(reason(read(&ranges(&server), 400_000, 10)), Reason::Changed);
    let server = Server::new(|asked, stream| match asked.from {
        Some(0) => part(asked, stream, "1"),
        _ => file(stream, b"another file"),
    });
    assert_eq!(reason(read(&ranges(&server), 400_000, 10)), Reason::Changed);
}

#[test]
fn a_part_that_breaks_off_comes_again() {
    let server = Server::new(|asked, stream| match asked.from {
        Some(400_000) if asked.count == 1 => {
            let headers = [
                ("Content-Range", "bytes 400000-465535/800000".to_owned()),
                ("Content-Length", "65536".to_owned()),
                ("ETag", "1".to_owned()),
            ];
            head(stream, "206 Partial Content", &headers)?;
            stream.write_all(b"short")
        }
        _ => part(asked, stream, "1"),
    });
    let file = ranges(&server);
    assert!(read(&file, 400_000, 10).unwrap() == body()[400_000..400_010]);
    assert_eq!(file.requests(), 3);
}

#[test]
fn another_part_than_asked_for_is_an_error() {
    for range in ["bytes 1-65536/800000", "bytes 0-65535/*", "bytes 0-65535/1", "bytes 0-9/800000", "0-65535/800000"] {
        let server = Server::new(move |_, stream| {
            let headers = [("Content-Range", range.to_owned()), ("Content-Length", "65536".to_owned())];
            head(stream, "206 Partial Content", &headers)?;
            stream.write_all(&body()[..65_536])
        });
        assert_eq!(reason(open(&server)), Reason::WrongRange, "{range}");
    }
}

#[test]
fn what_is_not_there_is_told() {
    let server = Server::new(|_, stream| head(stream, "404 Not Found", &[("Content-Length", "0".to_owned())]));
    assert_eq!(reason(open(&server)), Reason::NotFound);
    let url = "file:///nowhere".parse().unwrap();
    assert!(matches!(Remote::open(&url, &HttpOptions::default()), Err(Error::Url { .. })));
}
