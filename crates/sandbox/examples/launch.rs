//! How long a room takes from spawn to end, beside a bare process and, where it is installed, bubblewrap.
//!
//! `cargo run --release -p sandbox --example launch [ROUNDS [BALLAST_MIB [PROGRAMS]]]`: all cases take turns, so that they see
//! the same machine; BALLAST_MIB is memory of the caller; PROGRAMS is a folder whose `pkg-sandbox` and `pkg` are timed as well.
//! On a busy machine `chrt -f 10` before it gives steadier numbers. The columns beside the median are its ratio to the bare process and to
//! bubblewrap.
#![expect(clippy::print_stdout, reason = "prints its result")]

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;
use sandbox::{Access, Mount, Net, Output, Owner, Room, Root, Stock};

const PROGRAM: &str = "/usr/bin/true";

/// A name, and one launch.
type Case<'a> = (&'static str, Box<dyn FnMut() + 'a>);

fn time(run: &mut dyn FnMut()) -> Duration {
    let begin = Instant::now();
    run();
    begin.elapsed()
}

fn command(words: &[&str]) -> bool {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn room(root: Root) -> Room {
    let mut room = Room::new(root, PROGRAM);
    (room.stdout, room.stderr) = (Output::Null, Output::Null);
    room
}

fn bind(source: &str, target: &str) -> Mount {
    Mount::Bind { source: source.into(), target: target.into(), access: Access::Ro, owner: Owner::Host }
}

/// A root of ten layers: links to a merged /usr and, as roots have it, what spares a program looking for its libraries; and nine
/// more.
fn layers(dir: &tempfile::TempDir) -> Vec<PathBuf> {
    let make = |index: usize| {
        let layer = dir.path().join(index.to_string());
        rustix::fs::mkdir(&layer, 0o755.into()).expect("a directory");
        for name in ["bin", "lib", "lib64"] {
            rustix::fs::symlink(format!("usr/{name}"), layer.join(name)).expect("a link");
        }
        layer
    };
    let layers: Vec<PathBuf> = (0..10).map(make).collect();
    if let Ok(mut known) = std::fs::File::open("/etc/ld.so.cache") {
        rustix::fs::mkdir(layers[0].join("etc"), 0o755.into()).expect("a directory");
        let flags = OFlags::CREATE | OFlags::WRONLY;
        let copy = rustix::fs::open(layers[0].join("etc/ld.so.cache"), flags, 0o644.into()).expect("a file");
        std::io::copy(&mut known, &mut std::fs::File::from(copy)).expect("a copy");
    }
    layers
}

fn main() {
    let argument = |number: usize| std::env::args().nth(number);
    let number = |place, default| argument(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (rounds, ballast) = (number(1, 200).max(1), vec![1u8; number(2, 0) << 20]);
    let dir = tempfile::TempDir::new().expect("a temporary directory");

    let host = room(Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host });
    let mut shared = host.clone();
    shared.net = Net::Host;
    let mut overlay = room(Root::layers(layers(&dir)));
    overlay.mounts.push(bind("/usr", "/usr"));
    let stock = Stock::new(2);
    let run = |room: &Room| assert!(room.run(|_, _| Ok(())).expect("a room").success());
    let ready = |room: &Room| assert!(stock.run(room, |_, _| Ok(())).expect("a room").success());

    let bwrap = [
        "bwrap",
        "--unshare-all",
        "--ro-bind",
        "/",
        "/",
        "--proc",
        "/proc",
        "--dev",
        "/dev",
        "--tmpfs",
        "/tmp",
        PROGRAM,
    ];
    let programs = argument(3).unwrap_or_default();
    let (small, whole) = (format!("{programs}/pkg-sandbox"), format!("{programs}/pkg"));
    let line = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--", PROGRAM];
    let small = [&[small.as_str()], line.as_slice()].concat();
    let whole = [&[whole.as_str(), "sandbox"], line.as_slice()].concat();
    println!("first launch of this process: {} microseconds", time(&mut || run(&host)).as_micros());
    let mut cases: Vec<Case<'_>> = vec![
        ("bare process", Box::new(|| assert!(command(&[PROGRAM])))),
        ("room on /", Box::new(|| run(&host))),
        ("room on /, from stock", Box::new(|| ready(&host))),
        ("room on /, host's network", Box::new(|| ready(&shared))),
        ("room on ten layers", Box::new(|| run(&overlay))),
        ("room on ten layers, from stock", Box::new(|| ready(&overlay))),
    ];
    if command(&bwrap) {
        cases.push(("bwrap --unshare-all on /", Box::new(|| assert!(command(&bwrap)))));
    }
    for (name, words) in [("pkg-sandbox on /", &small), ("pkg sandbox on /", &whole)] {
        if command(words) {
            cases.push((name, Box::new(|| assert!(command(words)))));
        }
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for ((_, run), times) in cases.iter_mut().zip(&mut times) {
            times.push(time(run));
        }
    }
    times.iter_mut().for_each(|times| times.sort());
    let median = |times: &[Duration]| times[rounds / 2].as_secs_f64() * 1e6;
    let bare = median(&times[0]);
    let peer = cases.iter().position(|(name, _)| name.starts_with("bwrap")).map(|place| median(&times[place]));
    println!("{:32} {:>7} {:>7} {:>7} {:>7} {:>8}", "microseconds", "min", "p10", "median", "x bare", "x bwrap");
    for ((name, _), times) in cases.iter().zip(&times) {
        let (middle, low, tenth) = (median(times), times[0].as_micros(), times[rounds / 10].as_micros());
        let peer = peer.map(|peer| format!("{:8.2}", middle / peer)).unwrap_or_default();
        println!("{name:32} {low:7} {tenth:7} {middle:7.0} {:7.2} {peer}", middle / bare);
    }
    assert!(ballast.iter().all(|byte| *byte == 1));
}
