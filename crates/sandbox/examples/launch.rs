//! How long a room takes from spawn to end, beside a bare process and, where it is installed, bubblewrap.
//!
//! `cargo run --release -p sandbox --example launch [ROUNDS]`; `chrt -f 10` before it gives steadier numbers on a busy machine.
#![expect(clippy::print_stdout, reason = "prints its result")]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sandbox::{Access, Net, Output, Owner, Room, Root};

/// A name, and one launch.
type Case<'a> = (&'a str, Box<dyn FnMut() + 'a>);

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

fn room(root: Root, net: Net) -> Room {
    let mut room = Room::new(root, "/usr/bin/true");
    (room.stdout, room.stderr, room.net) = (Output::Null, Output::Null, net);
    room
}

fn main() {
    let rounds: usize = std::env::args().nth(1).and_then(|text| text.parse().ok()).unwrap_or(200);
    let host = || Root::Dir { path: "/".into(), access: Access::Ro, owner: Owner::Host };
    // A root of ten layers: links to a merged /usr, and nine more.
    let dir = tempfile::TempDir::new().expect("a temporary directory");
    let layers: Vec<_> = (0..10)
        .map(|index| {
            let layer = dir.path().join(index.to_string());
            rustix::fs::mkdir(&layer, 0o755.into()).expect("a directory");
            for name in ["bin", "lib", "lib64"] {
                rustix::fs::symlink(format!("usr/{name}"), layer.join(name)).expect("a link");
            }
            layer
        })
        .collect();
    let mut overlay = room(Root::layers(layers), Net::Loopback);
    overlay.mounts.push(sandbox::Mount::Bind {
        source: "/usr".into(),
        target: "/usr".into(),
        access: Access::Ro,
        owner: Owner::Host,
    });
    let rooms = [
        ("room on /", room(host(), Net::Loopback)),
        ("room on /, host's network", room(host(), Net::Host)),
        ("room on ten layers", overlay),
    ];
    let ballast = vec![1u8; 500 << 20];
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
        "/usr/bin/true",
    ];
    let mut cases: Vec<Case<'_>> = vec![("bare process", Box::new(|| assert!(command(&["/usr/bin/true"]))))];
    for (name, room) in &rooms {
        cases.push((name, Box::new(|| assert!(room.run(|_, _| Ok(())).expect("a room").success()))));
    }
    if command(&bwrap) {
        cases.push(("bubblewrap on /", Box::new(|| assert!(command(&bwrap)))));
    }
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); cases.len()];
    for _ in 0..rounds {
        for ((_, run), times) in cases.iter_mut().zip(&mut times) {
            times.push(time(run));
        }
    }
    println!("{:28} {:>9} {:>9} {:>9}", "microseconds", "min", "p10", "median");
    for ((name, _), times) in cases.iter().zip(&mut times) {
        times.sort();
        println!(
            "{name:28} {:9} {:9} {:9}",
            times[0].as_micros(),
            times[rounds / 10].as_micros(),
            times[rounds / 2].as_micros()
        );
    }
    assert_eq!(ballast[ballast.len() - 1], 1);
}
