//! Sources from servers that behave well, badly and worse.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests arrange trees of their own, and fail at once"
)]

mod server;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use fetch::{Error, FetchOptions, Fetcher, HttpOptions, Mirror, Progress, Reason, SourceStore, Wanted};
use pkgtypes::Digest;
use server::{Server, file, head, rest};
use tempfile::TempDir;

const LIMIT: u64 = 1 << 20;

fn body() -> Vec<u8> {
    (0..200_000_u32).flat_map(u32::to_le_bytes).collect()
}

fn wanted(urls: &[String]) -> Wanted {
    Wanted { name: "foo-1.0.tar.gz".into(), digest: Digest::of(body()), urls: urls.to_vec(), limit: LIMIT }
}

fn fetcher(dir: &Path, change: impl FnOnce(&mut FetchOptions)) -> Fetcher {
    let http = HttpOptions {
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        ..HttpOptions::default()
    };
    let mut options = FetchOptions { http, ..FetchOptions::default() };
    change(&mut options);
    Fetcher::new(SourceStore::open(dir).unwrap(), None, options).unwrap()
}

fn plain(dir: &Path) -> Fetcher {
    fetcher(dir, |_| ())
}

/// The reasons of a failure, in order.
fn reasons(error: Error) -> Vec<Reason> {
    match error {
        Error::Nowhere { attempts, .. } => attempts.into_iter().map(|attempt| attempt.reason).collect(),
        other => panic!("{other}"),
    }
}

/// What lies in the store beside its lock files.
fn left(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for folder in [dir.to_owned(), dir.join("part")] {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            names.push(entry.unwrap().file_name().into_string().unwrap());
        }
    }
    names.retain(|name| name != "lock" && name != "part" && !name.ends_with(".lock"));
    names.sort();
    names
}

#[test]
fn a_file_comes_once_and_then_from_the_store() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| file(stream, &body()));
    let fetcher = plain(dir.path());
    let want = wanted(&[server.url("/foo")]);
    let first = fetcher.obtain(&want, &mut ()).unwrap();
    assert_eq!(fs::read(&first).unwrap(), body());
    assert_eq!(first.file_name().unwrap(), "foo-1.0.tar.gz");
    assert_eq!(fetcher.obtain(&want, &mut ()).unwrap(), first);
    assert_eq!(server.asked().len(), 1);
    assert_eq!(left(dir.path()), [want.digest.to_string()]);
}

#[test]
fn names_are_looked_up_by_the_program_that_is_named() {
    let server = Server::new(|_, stream| file(stream, &body()));
    let at = |name: &str| server.url("/foo").replace("127.0.0.1", name);
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-getent/getent");
    let obtain = |names: &Path, name: &str| {
        let dir = TempDir::new().unwrap();
        let fetcher = fetcher(dir.path(), |options| options.http.names = Some(names.to_owned()));
        fetcher.obtain(&wanted(&[at(name)]), &mut ()).map(drop).map_err(reasons)
    };
    obtain(&program, "known.example").unwrap();
    obtain(&program, "127.0.0.1").unwrap();
    let unknown = obtain(&program, "localhost").unwrap_err();
    assert!(matches!(unknown.as_slice(), [Reason::Transfer { text, .. }] if text.contains("not found")), "{unknown:?}");
    // Without such a program the C library knows this one.
    obtain(Path::new("/no/such/program"), "localhost").unwrap();
}

#[test]
fn a_body_without_a_length_or_in_chunks_comes_too() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| {
        if asked.path == "/open" {
            head(stream, "200 OK", &[])?;
            return stream.write_all(b"open");
        }
        head(stream, "200 OK", &[("Transfer-Encoding", "chunked".into())])?;
        stream.write_all(b"3\r\nchu\r\n4\r\nnked\r\n0\r\n\r\n")
    });
    for (path, body) in [("/open", "open"), ("/chunked", "chunked")] {
        let want = Wanted { name: body.into(), digest: Digest::of(body), urls: vec![server.url(path)], limit: LIMIT };
        plain(dir.path()).obtain(&want, &mut ()).unwrap();
    }
}

#[test]
fn the_bytes_are_taken_as_they_are_sent() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[("Content-Encoding", "gzip".into()), ("Content-Length", body().len().to_string())])?;
        stream.write_all(&body())
    });
    plain(dir.path()).obtain(&wanted(&[server.url("/")]), &mut ()).unwrap();
}

#[test]
fn a_broken_transfer_goes_on_where_it_broke() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.from {
        Some(start) => rest(stream, &body(), start),
        None => {
            head(stream, "200 OK", &[("Content-Length", body().len().to_string())])?;
            stream.write_all(&body()[..100_000])
        }
    });
    plain(dir.path()).obtain(&wanted(&[server.url("/")]), &mut ()).unwrap();
    let asked: Vec<_> = server.asked().into_iter().map(|asked| asked.from).collect();
    assert_eq!(asked, [None, Some(100_000)]);
}

#[test]
fn what_came_before_a_break_serves_a_later_run_and_another_place() {
    let dir = TempDir::new().unwrap();
    let digest = Digest::of(body());
    let broken = Server::new(|asked, stream| match asked.from {
        Some(_) => head(stream, "503 Service Unavailable", &[("Content-Length", "0".into())]),
        None => {
            head(stream, "200 OK", &[("Content-Length", body().len().to_string())])?;
            stream.write_all(&body()[..5])
        }
    });
    let once = fetcher(dir.path(), |options| options.http.resumes = 0);
    let error = once.obtain(&wanted(&[broken.url("/")]), &mut ()).unwrap_err();
    assert!(matches!(reasons(error)[..], [Reason::Transfer { received: 5, .. }]));
    drop(once);
    assert_eq!(left(dir.path()), [digest.to_string()], "the part is kept");

    let good = Server::new(|asked, stream| rest(stream, &body(), asked.from.unwrap()));
    plain(dir.path()).obtain(&wanted(&[good.url("/")]), &mut ()).unwrap();
    assert_eq!(good.asked()[0].from, Some(5));
    assert_eq!(left(dir.path()), [digest.to_string()], "and gone, now that the file is here");
    assert_eq!(fs::read(dir.path().join(digest.to_string()).join("foo-1.0.tar.gz")).unwrap(), body());
}

#[test]
fn a_server_without_ranges_sends_all_again() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.from {
        Some(_) => file(stream, &body()),
        None => {
            head(stream, "200 OK", &[("Content-Length", body().len().to_string())])?;
            stream.write_all(&body()[..100])
        }
    });
    plain(dir.path()).obtain(&wanted(&[server.url("/")]), &mut ()).unwrap();
}

#[test]
fn a_beginning_of_another_file_is_thrown_away() {
    let dir = TempDir::new().unwrap();
    let broken = Server::new(|_, stream| {
        head(stream, "200 OK", &[("Content-Length", "1000".into())])?;
        stream.write_all(b"something else")
    });
    let once = fetcher(dir.path(), |options| options.http.resumes = 0);
    let good = Server::new(|asked, stream| match asked.from {
        Some(start) => rest(stream, &body(), start),
        None => file(stream, &body()),
    });
    once.obtain(&wanted(&[broken.url("/"), good.url("/")]), &mut ()).unwrap();
    assert_eq!(good.asked().iter().map(|asked| asked.from).collect::<Vec<_>>(), [Some(14), None]);
}

#[test]
fn a_range_that_does_not_fit_is_not_taken() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.from {
        Some(start) if asked.path == "/early" => rest(stream, &body(), start - 1),
        Some(_) => head(stream, "416 Range Not Satisfiable", &[("Content-Length", "0".into())]),
        None => file(stream, &body()),
    });
    for path in ["/early", "/unsatisfiable"] {
        let part = dir.path().join("part");
        fs::create_dir_all(&part).unwrap();
        fs::write(part.join(Digest::of(body()).to_string()), &body()[..10]).unwrap();
        let fetcher = plain(dir.path());
        fetcher.obtain(&wanted(&[server.url(path)]), &mut ()).unwrap();
        fs::remove_dir_all(dir.path().join(Digest::of(body()).to_string())).unwrap();
    }
}

#[test]
fn a_short_file_that_claims_to_be_whole_is_not_taken() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| file(stream, &body()[..1000]));
    let error = plain(dir.path()).obtain(&wanted(&[server.url("/")]), &mut ()).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { found, .. } if found == Digest::of(&body()[..1000])));
    assert!(left(dir.path()).is_empty());
}

#[test]
fn too_much_is_refused_before_it_comes() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| head(stream, "200 OK", &[("Content-Length", (LIMIT + 1).to_string())]));
    let error = plain(dir.path()).obtain(&wanted(&[server.url("/")]), &mut ()).unwrap_err();
    assert_eq!(reasons(error), [Reason::TooLarge { limit: LIMIT }]);
}

#[test]
fn an_endless_body_is_cut_at_the_limit() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[])?;
        loop {
            stream.write_all(&[0; 4096])?;
        }
    });
    let error = plain(dir.path()).obtain(&wanted(&[server.url("/")]), &mut ()).unwrap_err();
    assert_eq!(reasons(error), [Reason::TooLarge { limit: LIMIT }]);
    assert!(left(dir.path()).is_empty(), "nothing of it is kept");
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/file" => file(stream, &body()),
        "/here" => head(stream, "302 Found", &[("Location", "/file".into()), ("Content-Length", "0".into())]),
        _ => head(stream, "302 Found", &[("Location", "/loop".into()), ("Content-Length", "0".into())]),
    });
    let error = plain(dir.path()).obtain(&wanted(&[server.url("/loop")]), &mut ()).unwrap_err();
    assert!(matches!(&reasons(error)[..], [Reason::Transfer { text, .. }] if text.contains("redirect")));
    assert!(server.asked().len() < 12);
    plain(dir.path()).obtain(&wanted(&[server.url("/here")]), &mut ()).unwrap();
}

#[test]
fn the_next_place_serves_when_one_does_not() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/missing" => head(stream, "404 Not Found", &[("Content-Length", "0".into())]),
        "/wrong" => file(stream, b"wrong"),
        "/error" => head(stream, "500 Oh", &[("Content-Length", "0".into())]),
        _ => file(stream, &body()),
    });
    let urls = ["/missing", "/wrong", "/error", "/good"].map(|path| server.url(path));
    plain(dir.path()).obtain(&wanted(&urls), &mut ()).unwrap();
    assert_eq!(server.asked().len(), 4);
}

#[test]
fn a_failure_names_every_place_and_reason() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/wrong" => file(stream, b"wrong"),
        "/error" => head(stream, "500 Oh", &[("Content-Length", "0".into())]),
        _ => head(stream, "404 Not Found", &[("Content-Length", "0".into())]),
    });
    let nothing = format!("file://{}/nothing", dir.path().display());
    let urls = [server.url("/missing"), server.url("/error"), nothing.clone(), "apt:foo=1".into()];
    let error = plain(dir.path()).obtain(&wanted(&urls), &mut ()).unwrap_err();
    let text = error.to_string();
    assert!(urls.iter().all(|url| text.contains(url.as_str())), "{text}");
    assert_eq!(reasons(error), [Reason::NotFound, Reason::Status { status: 500 }, Reason::NotFound, Reason::AptUnused]);

    let error =
        plain(dir.path()).obtain(&wanted(&[server.url("/missing"), server.url("/wrong")]), &mut ()).unwrap_err();
    let Error::WrongDigest { wanted, found, place, others, .. } = error else { panic!("{error}") };
    assert_eq!((wanted, found), (Digest::of(body()), Digest::of("wrong")));
    assert_eq!(*place, *server.url("/wrong"));
    assert_eq!(others.len(), 1);
}

#[test]
fn offline_asks_files_and_nothing_else() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| file(stream, &body()));
    let store = dir.path().join("store");
    let offline = fetcher(&store, |options| options.offline = true);
    let error = offline.obtain(&wanted(&[server.url("/"), "apt:foo=1".into()]), &mut ()).unwrap_err();
    assert!(matches!(error, Error::Offline { ref attempts, .. } if attempts.len() == 2), "{error}");
    assert!(server.asked().is_empty());

    let source = dir.path().join("a file");
    fs::write(&source, body()).unwrap();
    let url = format!("file://{}", source.to_str().unwrap().replace(' ', "%20"));
    offline.obtain(&wanted(&[url]), &mut ()).unwrap();
}

#[test]
fn many_come_at_once_each_with_its_own_answer() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/7" => head(stream, "404 Not Found", &[("Content-Length", "0".into())]),
        path => file(stream, path.as_bytes()),
    });
    let want = |n: usize| {
        let digest = Digest::of(format!("/{n}"));
        Wanted { name: format!("file{n}"), digest, urls: vec![server.url(&format!("/{n}"))], limit: LIMIT }
    };
    let all: Vec<Wanted> = (0..20).map(want).collect();
    let fetcher = plain(dir.path());
    for (n, answer) in fetcher.obtain_each(&all, &mut ()).into_iter().enumerate() {
        assert_eq!(answer.is_ok(), n != 7, "{n}");
    }
    assert!(matches!(fetcher.obtain_all(&all, &mut ()), Err(Error::Nowhere { name, .. }) if name == "file7"));
}

#[test]
fn mirrors_are_asked_before_the_place_itself() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|asked, stream| match asked.path.as_str() {
        "/origin/foo.gz" => file(stream, &body()),
        _ => head(stream, "404 Not Found", &[("Content-Length", "0".into())]),
    });
    let fetcher = fetcher(dir.path(), |options| {
        options.mirrors = vec![
            Mirror::Prefix { of: server.url("/origin/"), at: server.url("/near/") },
            Mirror::Store { base: server.url("/store/") },
        ];
    });
    fetcher.obtain(&wanted(&[server.url("/origin/foo.gz")]), &mut ()).unwrap();
    let stored = format!("/store/{}/foo-1.0.tar.gz", Digest::of(body()));
    let asked: Vec<String> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(asked, [stored.as_str(), "/near/foo.gz", "/origin/foo.gz"]);
}

#[test]
fn a_caller_who_wants_to_stop_is_heard() {
    struct Impatient(u64);
    impl Progress for Impatient {
        fn advance(&mut self, _: &str, done: u64, _: Option<u64>) {
            self.0 = done;
        }
        fn is_cancelled(&mut self) -> bool {
            self.0 > 0
        }
    }
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[])?;
        loop {
            stream.write_all(&[0; 4096])?;
        }
    });
    let want = Wanted { limit: u64::MAX, ..wanted(&[server.url("/")]) };
    assert!(matches!(plain(dir.path()).obtain(&want, &mut Impatient(0)), Err(Error::Cancelled)));
}

#[test]
fn a_silent_server_is_given_up() {
    let dir = TempDir::new().unwrap();
    let server = Server::new(|_, stream| {
        head(stream, "200 OK", &[("Content-Length", "10".into())])?;
        stream.write_all(b"12345")?;
        // Until the client goes.
        std::io::copy(stream, &mut std::io::sink()).map(drop)
    });
    let fetcher = fetcher(dir.path(), |options| {
        options.http.idle_timeout = Duration::from_millis(50);
        options.http.resumes = 0;
    });
    let error = fetcher.obtain(&wanted(&[server.url("/")]), &mut ()).unwrap_err();
    assert!(matches!(reasons(error)[..], [Reason::Transfer { received: 5, .. }]));
}
