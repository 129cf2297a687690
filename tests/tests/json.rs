//! Every verb speaks JSON.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "the steps of a test fail as the test does")]

use std::collections::BTreeSet;
use std::fs;

use e2e::Env;
use e2e::pack::Pack;
use serde_json::Value;

/// The words of every verb that does something, below this command.
fn verbs(command: &clap::Command, words: &str) -> BTreeSet<String> {
    let below = command.get_subcommands().map(|verb| (verb, format!("{words} {}", verb.get_name())));
    let mut all: BTreeSet<String> = below.flat_map(|(verb, words)| verbs(verb, words.trim())).collect();
    // What has verbs below it and arguments beside them, as `history` has, does something by itself.
    if all.is_empty() || command.get_positionals().next().is_some() {
        all.insert(words.to_owned());
    }
    all
}

struct Asker {
    env: Env,
    verbs: BTreeSet<String>,
    asked: BTreeSet<String>,
}

impl Asker {
    fn new() -> Self {
        let mut command = cli::command();
        // The descriptions of verbs come when they are needed.
        command.build();
        let mut verbs = verbs(&command, "");
        verbs.retain(|words| words.split(' ').all(|word| word != "help"));
        Self { env: Env::new(env!("CARGO_BIN_EXE_pkg-e2e")), verbs, asked: BTreeSet::new() }
    }

    /// Runs a line that begins with a verb, with `--json`. What it prints is JSON, one a line, and says what it is.
    fn ask(&mut self, line: &str, code: i32) -> Vec<Value> {
        let fits = |verb: &&String| line == verb.as_str() || line.starts_with(&format!("{verb} "));
        let verb = self.verbs.iter().filter(fits).max_by_key(|verb| verb.len());
        let verb = verb.unwrap_or_else(|| panic!("`{line}` begins with no verb")).clone();
        let rest: Vec<&str> = line[verb.len()..].split_whitespace().collect();
        let words: Vec<&str> = verb.split(' ').chain(["--json"]).chain(rest).collect();
        let events = self.env.pkg(&words).code(code).events();
        for event in &events {
            let is_document = event["format_version"] == 1 && events.len() == 1;
            assert!(is_document || event["reason"].is_string(), "`{line}` said {event}");
        }
        assert!(!events.is_empty() || !matches!(code, 0 | 10), "`{line}` said {events:?}");
        self.asked.insert(verb);
        events
    }
}

/// The content that events tell.
fn content(events: &[Value]) -> String {
    assert_eq!(events.last().unwrap()["reason"], "finished");
    events.iter().filter_map(|event| event["text"].as_str()).collect()
}

#[test]
fn every_verb_answers_in_json() {
    let mut asker = Asker::new();
    recipes(&mut asker);
    packages(&mut asker);
    signatures(&mut asker);
    root(&mut asker);
    past(&mut asker);
    steps(&mut asker);
    let missed: Vec<_> = asker.verbs.difference(&asker.asked).collect();
    assert!(missed.is_empty(), "nothing is said here of {missed:?}");
}

fn recipes(asker: &mut Asker) {
    for name in ["data", "toolchain-data"] {
        let folder = format!("recipes/ga/{name}/1/1");
        asker.env.write(&format!("{folder}/type"), "binary noarch\n");
        asker.env.write(&format!("{folder}/sources"), "dir tree -\n");
        asker.env.write(&format!("{folder}/tree/share/{name}"), "content\n");
    }
    asker.ask("recipe lint --recipes recipes", 1);
    asker.ask("recipe hash data --recipes recipes", 0);
    asker.ask("recipe graph data --recipes recipes", 0);
    asker.ask("fetch data --offline --recipes recipes --cache cache", 0);
    asker.ask("bootstrap data --offline --recipes recipes --cache cache", 0);
    asker.ask("build data --recipes recipes --cache cache -o out", 0);
    let said = asker.ask("log data --path --recipes recipes --cache cache", 0);
    let log = said[0]["path"].as_str().unwrap().replace("ENV/", "");
    asker.env.write(&log, "what a build\nsaid\n");
    let told = asker.ask("log data --recipes recipes --cache cache", 0);
    assert_eq!(content(&told), "what a build\nsaid\n");
    asker.ask("doctor", 0);
    asker.ask("sandbox --ro-bind / / -- /bin/echo hej", 0);
}

fn packages(asker: &mut Asker) {
    asker.env.write("one-tree/share/one", "the same\n");
    asker.ask("pack one-tree -o one.kpkg -m version=1", 0);
    asker.ask("inspect one.kpkg --files --check", 0);
    assert_eq!(content(&asker.ask("cat one.kpkg share/one", 0)), "the same\n");
    asker.ask("cat one.kpkg share/two", 5);
    asker.ask("unpack one.kpkg -C unpacked", 0);
    asker.ask("convert one.kpkg -o one.zpkg", 0);
}

fn signatures(asker: &mut Asker) {
    asker.ask("trust selftest", 0);
    asker.ask("trust key new key --owner ann --no-passphrase", 0);
    fs::create_dir(asker.env.path("root")).unwrap();
    asker.ask("trust key add key.pub --tier trusted --root root", 0);
    asker.ask("trust key list --root root", 0);
    asker.ask("trust sign one.kpkg --key key", 0);
    assert!(asker.ask("trust statement one.kpkg", 0)[0]["signature"].is_null());
    let signed = asker.ask("trust statement one.kpkg --signature", 0);
    asker.env.write("signed", signed[0]["statement"].as_str().unwrap());
    asker.env.write("signed.sig", signed[0]["signature"].as_str().unwrap());
    fs::remove_file(asker.env.path("one.kpkg.sigs")).unwrap();
    asker.ask("trust verify one.kpkg --root root", 4);
    asker.ask("trust attach one.kpkg signed.sig", 0);
    asker.ask("trust verify one.kpkg --root root", 0);
    asker.ask("trust why one.kpkg --root root", 0);
}

fn root(asker: &mut Asker) {
    for (name, version) in [("one", "1"), ("two", "1"), ("one", "2")] {
        let share = format!("share/{name}");
        let pack = Pack::new(name, version).file(&share, 0o644, "the same\n");
        let config = |file: &str| format!("etc/{name}/{file}");
        pack.config(&config("a"), version).config(&config("b"), version).write(&asker.env);
    }
    asker.ask("install -n --root root one-1.kpkg", 0);
    asker.ask("install -y --root root one-1.kpkg two-1.kpkg", 0);
    for question in [
        "list",
        "info one",
        "files one",
        "owner /share/one",
        "requires one",
        "provides one",
        "what-provides one",
        "why one",
        "search one",
        "config list",
        "config diff",
        "history",
        "history 1",
    ] {
        asker.ask(&format!("{question} --root root"), 0);
    }
    asker.ask("what-requires none --root root", 5);
    asker.env.write("root/share/one", "another\n");
    asker.ask("verify --unowned --root root", 10);
    asker.ask("fix -n --root root --cache cache", 0);
    asker.ask("fix -y --root root --cache cache", 0);
    asker.ask("pack --installed one -o again.kpkg --root root", 0);
    asker.env.write("root/etc/one/a", "mine\n");
    asker.env.write("root/etc/one/b", "mine\n");
    asker.ask("install -y --root root one-2.kpkg", 0);
    asker.ask("config merge -n /etc/one/a --root root", 7);
    asker.ask("config accept /etc/one/a --root root", 0);
    asker.ask("config keep /etc/one/b --root root", 0);
}

fn past(asker: &mut Asker) {
    asker.ask("remove two -y --root root", 0);
    asker.ask("undo -n --root root --cache cache", 0);
    asker.ask("undo -y --root root --cache cache", 0);
    asker.ask("rollback 0 -y --root root --cache cache", 0);
    asker.ask("history diff 0 1 --root root", 0);
    asker.ask("gc --all -y --root root", 0);
    asker.ask("recover --root root", 0);
}

fn steps(asker: &mut Asker) {
    asker.ask("db create made.zpkg -m name=made", 0);
    let added = asker.ask("db add-blob made.zpkg one-tree/share/one", 0);
    let blob = added[0]["blobs"][0]["digest"].as_str().unwrap().to_owned();
    asker.ask("db add-path made.zpkg made", 0);
    asker.ask(&format!("db associate made.zpkg made --blob {blob} --package made"), 0);
    asker.ask("db elf made.zpkg", 0);
    asker.ask("db add-package made.zpkg one.kpkg", 0);
    asker.ask("db compress made.zpkg", 0);
    asker.ask("db uncompress made.zpkg", 0);
    asker.ask(&format!("db extract made.zpkg {blob} -o extracted"), 0);
    assert_eq!(content(&asker.ask(&format!("db extract made.zpkg {blob} -o -"), 0)), "the same\n");
    asker.ask(&format!("db compare made.zpkg {blob} extracted"), 0);
    asker.ask(&format!("db compare made.zpkg {blob} key.pub"), 10);
    asker.ask("db list made.zpkg --blobs --paths", 0);
    asker.ask("db check made.zpkg", 0);
    asker.ask("db to-kpkg made.zpkg --package made -o made.kpkg", 0);
}
