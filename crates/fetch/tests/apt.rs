//! What is asked of apt, and what is made of its answers; apt itself is a script here.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests arrange trees of their own, and fail at once"
)]

use std::fs;
use std::path::{Path, PathBuf};

use fetch::{Apt, AptOptions, Error, FetchOptions, Fetcher, Progress, Reason, SourceStore, Wanted};
use pkgtypes::Digest;
use tempfile::TempDir;

struct Machine {
    dir: TempDir,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: TempDir::new().unwrap() };
        for folder in ["pool", "etc/sources.list.d", "lists"] {
            fs::create_dir_all(machine.path(folder)).unwrap();
        }
        machine.write("etc/sources.list", "deb [signed-by=/k.gpg] http://deb.example/debian stable main\n");
        machine.write(
            "etc/sources.list.d/x.sources",
            "Types: deb\nURIs: http://x.example/\nSuites: stable\nComponents: main\n",
        );
        machine.write("madison", "");
        // Links, since a script that was just written can not be run while another test's fork still has it open.
        for name in ["apt-get", "apt-cache"] {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fake-apt").join(name);
            std::os::unix::fs::symlink(script, machine.path(name)).unwrap();
        }
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A package in the pool and, from the next update on, in the lists; its digest is that of `content`.
    fn publish(&self, name: &str, version: &str, content: &str) {
        self.list(name, version);
        self.write(&format!("pool/{name}_{}_all.deb", version.replace(':', "%3a")), content);
    }

    fn list(&self, name: &str, version: &str) {
        let known = fs::read_to_string(self.path("madison")).unwrap();
        self.write("madison", &format!("{known}  {name} |  {version} | http://x stable/main Packages\n"));
    }

    fn options(&self) -> AptOptions {
        AptOptions {
            etc: self.path("etc"),
            machine_lists: Some(self.path("lists")),
            apt_get: self.path("apt-get"),
            apt_cache: self.path("apt-cache"),
            ..AptOptions::new(self.path("state"))
        }
    }

    fn fetcher(&self) -> Fetcher {
        let store = SourceStore::open(self.path("store")).unwrap();
        Fetcher::new(store, Some(Apt::new(self.options())), FetchOptions::default()).unwrap()
    }

    /// The commands that apt-get was given.
    fn log(&self) -> Vec<String> {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().map(|line| line.split(" -q ").nth(1).unwrap().to_owned()).collect()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }
}

fn wanted(url: &str, content: &str) -> Wanted {
    let name = url.replace(['/', ':', '='], "_");
    Wanted { name, digest: Digest::of(content), urls: vec![url.to_owned()], limit: 1 << 20 }
}

fn reason(error: Error) -> Reason {
    match error {
        Error::Nowhere { mut attempts, .. } => attempts.pop().unwrap().reason,
        other => panic!("{other}"),
    }
}

#[test]
fn all_packages_come_by_one_run_of_apt() {
    let machine = Machine::new();
    let all: Vec<Wanted> = (0..40)
        .map(|n| {
            machine.publish(&format!("pkg{n}"), &format!("1:{n}.0-1"), &format!("deb {n}"));
            wanted(&format!("apt:pkg{n}=1:{n}.0-1"), &format!("deb {n}"))
        })
        .collect();
    let paths = machine.fetcher().obtain_all(&all, &mut ()).unwrap();
    assert_eq!(fs::read(&paths[7]).unwrap(), b"deb 7");
    let log = machine.log();
    assert_eq!(log.len(), 2, "{log:?}");
    assert_eq!(log[0], "update");
    assert!(log[1].starts_with("download -- pkg0=1:0.0-1 pkg10=1:10.0-1"), "{log:?}");

    fs::remove_dir_all(machine.path("store")).unwrap();
    machine.fetcher().obtain_all(&all, &mut ()).unwrap();
    assert_eq!(machine.log().len(), 3, "the lists serve again");
}

#[test]
fn the_lists_are_brought_again_when_a_version_is_unknown() {
    let machine = Machine::new();
    machine.publish("old", "1", "old");
    machine.fetcher().obtain(&wanted("apt:old=1", "old"), &mut ()).unwrap();
    machine.publish("new", "2", "new");
    machine.fetcher().obtain(&wanted("apt:new=2", "new"), &mut ()).unwrap();
    assert_eq!(machine.log(), ["update", "download -- old=1", "update", "download -- new=2"]);
}

#[test]
fn other_sources_make_new_lists() {
    let machine = Machine::new();
    machine.publish("foo", "1", "foo");
    machine.publish("bar", "1", "bar");
    machine.fetcher().obtain(&wanted("apt:foo=1", "foo"), &mut ()).unwrap();
    machine.write("etc/sources.list", "deb http://other.example/debian stable main\n");
    machine.fetcher().obtain(&wanted("apt:bar=1", "bar"), &mut ()).unwrap();
    assert_eq!(machine.log().iter().filter(|line| *line == "update").count(), 2);
}

#[test]
fn the_machines_lists_serve_without_an_update() {
    let machine = Machine::new();
    machine.publish("foo", "1", "foo");
    fs::copy(machine.path("madison"), machine.path("lists/x_Packages")).unwrap();
    machine.fetcher().obtain(&wanted("apt:foo=1", "foo"), &mut ()).unwrap();
    assert_eq!(machine.log(), ["download -- foo=1"]);
}

#[test]
fn a_pin_that_has_moved_is_told_with_what_there_is() {
    let machine = Machine::new();
    machine.publish("foo", "1.2-2", "foo");
    machine.publish("foo", "1.3-1", "foo");
    let error = machine.fetcher().obtain(&wanted("apt:foo=1.2-1", "foo"), &mut ()).unwrap_err();
    assert!(error.to_string().contains("apt does not know foo 1.2-1; it knows 1.2-2 1.3-1"), "{error}");
    let Reason::Moved { name, version, candidates } = reason(error) else { panic!() };
    assert_eq!((name.as_str(), version.as_str()), ("foo", "1.2-1"));
    assert_eq!(candidates, ["1.2-2", "1.3-1"]);
}

#[test]
fn one_unknown_or_vanished_package_keeps_no_other_from_coming() {
    let machine = Machine::new();
    machine.publish("good", "1", "good");
    machine.list("vanished", "1");
    let all = [wanted("apt:unknown=1", "x"), wanted("apt:good=1", "good"), wanted("apt:vanished=1", "y")];
    let [unknown, good, vanished] = machine.fetcher().obtain_each(&all, &mut ()).try_into().unwrap();
    good.unwrap();
    assert!(matches!(reason(unknown.unwrap_err()), Reason::Moved { candidates, .. } if candidates.is_empty()));
    assert!(matches!(reason(vanished.unwrap_err()), Reason::Gone { text, .. } if text.contains("404")));
    assert_eq!(machine.log(), ["update", "download -- good=1 vanished=1"]);
}

#[test]
fn one_that_spoils_the_run_is_found_by_asking_singly() {
    let machine = Machine::new();
    let all: Vec<Wanted> = ["a", "bad", "c"]
        .map(|name| {
            machine.publish(name, "1", name);
            wanted(&format!("apt:{name}=1"), name)
        })
        .into();
    machine.write("poison-bad", "");
    let answers = machine.fetcher().obtain_each(&all, &mut ());
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert_eq!(machine.log().len(), 5);
}

#[test]
fn only_the_digest_decides() {
    let machine = Machine::new();
    machine.publish("foo", "1", "something else");
    let error = machine.fetcher().obtain(&wanted("apt:foo=1", "foo"), &mut ()).unwrap_err();
    assert!(
        matches!(error, Error::WrongDigest { found, ref place, .. } if found == Digest::of("something else") && **place == *"apt:foo=1")
    );
    let small = Wanted { limit: 3, ..wanted("apt:foo=1", "something else") };
    let error = machine.fetcher().obtain(&small, &mut ()).unwrap_err();
    assert_eq!(reason(error), Reason::TooLarge { limit: 3 });
}

#[test]
fn apt_is_one_place_among_others() {
    let machine = Machine::new();
    machine.publish("foo", "2", "foo");
    machine.write("here", "foo");
    let file = format!("file://{}", machine.path("here").display());
    for urls in [["apt:foo=1", file.as_str()], ["file:///nowhere/at/all", "apt:foo=2"]] {
        let _ = fs::remove_dir_all(machine.path("store"));
        let urls = urls.map(str::to_owned).into();
        machine.fetcher().obtain(&Wanted { urls, ..wanted("apt:foo=1", "foo") }, &mut ()).unwrap();
    }
}

#[test]
fn a_file_of_a_source_package_is_picked() {
    let machine = Machine::new();
    machine.list("foo", "1:1.0-1");
    machine.write("pool/foo_1.0.orig.tar.gz", "orig");
    machine.write("pool/foo_1.0-1.dsc", "dsc");
    let all = [
        wanted("apt-src:foo=1:1.0-1/foo_1.0.orig.tar.gz", "orig"),
        wanted("apt-src:foo=1:1.0-1/foo_1.0-1.dsc", "dsc"),
        wanted("apt-src:foo=1:1.0-1/foo_1.0.orig.tar.xz", "xz"),
    ];
    let [orig, dsc, none] = machine.fetcher().obtain_each(&all, &mut ()).try_into().unwrap();
    orig.unwrap();
    dsc.unwrap();
    let Reason::NoSuchFile { have, .. } = reason(none.unwrap_err()) else { panic!() };
    assert_eq!(have, ["foo_1.0-1.dsc", "foo_1.0.orig.tar.gz"]);
    assert_eq!(machine.log()[1], "source --download-only --only-source -- foo=1:1.0-1");
    assert!(machine.file("state/sources/sources.d/machine.list").starts_with("deb-src [signed-by=/k.gpg"));
    assert!(machine.file("state/sources/sources.d/machine.sources").starts_with("Types: deb-src\n"));
}

#[test]
fn nothing_of_the_machines_own_is_written() {
    let machine = Machine::new();
    machine.publish("foo", "1", "foo");
    machine.fetcher().obtain(&wanted("apt:foo=1", "foo"), &mut ()).unwrap();
    let conf = machine.file("state/debs/apt.conf");
    let state = machine.path("state");
    for line in conf.lines().filter(|line| line.starts_with("Dir::")) {
        let value = line.split('"').nth(1).unwrap();
        let fine = !value.starts_with('/') || value == "/dev/null" || Path::new(value).starts_with(&state);
        assert!(fine, "{line}");
    }
    assert!(conf.contains("#clear APT::Update::Post-Invoke;"), "hooks would run as the machine's own");
    assert_eq!(machine.file("state/debs/status"), "");
}

#[test]
fn a_network_that_is_down_is_told_so() {
    let machine = Machine::new();
    machine.write("unreachable", "");
    let error = machine.fetcher().obtain(&wanted("apt:foo=1", "foo"), &mut ()).unwrap_err();
    assert!(matches!(reason(error), Reason::Apt { text } if text.contains("Could not resolve")));
    assert!(!machine.path("state/debs/complete").exists());
}

#[test]
fn a_machine_without_apt_is_told_so() {
    let machine = Machine::new();
    let options = AptOptions { apt_get: "/nonexistent/apt-get".into(), ..machine.options() };
    let store = SourceStore::open(machine.path("store")).unwrap();
    let fetcher = Fetcher::new(store, Some(Apt::new(options)), FetchOptions::default()).unwrap();
    let error = fetcher.obtain(&wanted("apt:foo=1", "foo"), &mut ()).unwrap_err();
    assert_eq!(reason(error), Reason::AptMissing { program: "/nonexistent/apt-get".into() });
}

#[test]
fn a_stopped_fetch_stops_apt() {
    struct OnceStarted(PathBuf);
    impl Progress for OnceStarted {
        fn is_cancelled(&mut self) -> bool {
            fs::read_to_string(&self.0).is_ok_and(|pid| pid.ends_with('\n'))
        }
    }
    let machine = Machine::new();
    machine.publish("foo", "1", "foo");
    machine.write("hang", "");
    let mut progress = OnceStarted(machine.path("pid"));
    let error = machine.fetcher().obtain(&wanted("apt:foo=1", "foo"), &mut progress).unwrap_err();
    assert!(matches!(error, Error::Cancelled));
    let pid = machine.file("pid");
    assert!(!Path::new("/proc").join(pid.trim()).exists(), "the child is gone");
}

#[test]
fn candidates_come_from_fresh_lists_in_the_order_asked() {
    let machine = Machine::new();
    let digest = Digest::of("deb");
    for name in ["one", "two"] {
        machine.write(&format!("show-{name}"), &format!(
            "Package: {name}\nVersion: 1:2-3\nArchitecture: all\nDepends: libc6 (>= 2), a | b\nFilename: pool/{name}.deb\nSize: 3\nSHA256: {digest}\nDescription: It\n\n"
        ));
    }
    let apt = Apt::new(machine.options());
    let found = apt.candidates(&["two", "one"], &mut ()).unwrap();
    assert_eq!(found.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["two", "one"]);
    assert_eq!((found[0].version.as_str(), found[0].size, found[0].sha256), ("1:2-3", 3, digest));
    assert_eq!(found[0].depends, "libc6 (>= 2), a | b");
    apt.candidates(&["one"], &mut ()).unwrap();
    assert_eq!(machine.log(), ["update"]);
    let error = apt.candidates(&["one", "three", "four"], &mut ()).unwrap_err();
    assert!(matches!(error, Error::Apt(Reason::Unknown { ref names }) if *names == ["three", "four"]), "{error}");
    assert!(matches!(apt.candidates(&["--help"], &mut ()), Err(Error::Apt(Reason::Unknown { .. }))));
}
