//! The same work done by Kista's commands and by their peers, in turn, in one run.
//!
//!     cargo run --release -p kista-benches --bin peers -- [--rounds N] [--in DIR] [pack|unpack|install|inspect]..
//!
//! It wants `pkg` beside itself (`cargo build --release` makes it), tar, sha256sum and dpkg, and says which of them are
//! missing. Figures are medians over the rounds, each round running every case once; the page cache is warm.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports to whoever runs it")]
#![expect(clippy::disallowed_methods, reason = "a benchmark arranges scratch trees of its own")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

const MEASURE: &str = "--measure";

fn main() -> Result<()> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.first().is_some_and(|word| word == MEASURE) {
        return measure(&args[1]);
    }
    let rounds = take_option(&mut args, "--rounds")?.map_or(Ok(7), |text| text.parse()).context("--rounds")?;
    let place = take_option(&mut args, "--in")?.map_or_else(std::env::temp_dir, PathBuf::from);
    let scratch = tempfile::Builder::new().prefix("kista-peers.").tempdir_in(place)?;
    let bench = Bench { rounds, pkg: pkg_beside_us()?, dir: scratch.path().to_owned() };
    let wanted = |name: &str| args.is_empty() || args.iter().any(|word| word == name);
    for workload in [Workload::SMALL, Workload::LARGE] {
        bench.prepare(&workload)?;
        for (name, cases) in [
            ("pack", bench.pack()),
            ("unpack", bench.unpack()),
            ("install", bench.install()),
            ("inspect", bench.inspect()),
        ] {
            if wanted(name) {
                bench.run(&format!("{name}, {}", workload.name), &cases)?;
            }
        }
    }
    Ok(())
}

fn take_option(args: &mut Vec<String>, name: &str) -> Result<Option<String>> {
    let Some(at) = args.iter().position(|word| word == name) else { return Ok(None) };
    args.remove(at);
    ensure!(at < args.len(), "{name} wants a value");
    Ok(Some(args.remove(at)))
}

fn pkg_beside_us() -> Result<PathBuf> {
    let pkg = std::env::current_exe()?.with_file_name("pkg");
    ensure!(pkg.is_file(), "{} is missing: run `cargo build --release` first", pkg.display());
    Ok(pkg)
}

/// A tree to work on.
struct Workload {
    name: &'static str,
    files: usize,
    bytes: fn(usize) -> usize,
}

impl Workload {
    /// Sizes as in a file system of packages: mostly a few kilobytes, now and then a megabyte.
    const SMALL: Self = Self {
        name: "20,000 files, 180 MB",
        files: 20_000,
        bytes: |index| if index % 200 == 0 { 800_000 } else { 200 + (index * 7919) % 9_800 },
    };
    const LARGE: Self = Self { name: "3 files, 300 MB", files: 3, bytes: |_| 100_000_000 };
}

/// One command of a comparison; `reset` runs before each, outside the clock.
struct Case {
    name: &'static str,
    needs: &'static str,
    reset: String,
    script: String,
}

fn case(name: &'static str, needs: &'static str, reset: &str, script: String) -> Case {
    Case { name, needs, reset: reset.to_owned(), script }
}

struct Bench {
    rounds: usize,
    pkg: PathBuf,
    dir: PathBuf,
}

impl Bench {
    /// Makes the tree and, from it, what unpack and install start with.
    fn prepare(&self, workload: &Workload) -> Result<()> {
        for name in ["tree", "deb"] {
            let old = self.dir.join(name);
            if old.exists() {
                fs::remove_dir_all(old)?;
            }
        }
        let tree = self.dir.join("tree");
        for index in 0..workload.files {
            let folder = tree.join(format!("usr/share/kista/{:02}/{:02}", index % 23, index / 23 % 41));
            fs::create_dir_all(&folder)?;
            write_noise(&folder.join(format!("file-{index}.dat")), index, (workload.bytes)(index))?;
        }
        let pkg = self.pkg.display();
        let sign =
            format!("{pkg} trust key new key --no-passphrase --owner bench && {pkg} trust sign in.kpkg --key key");
        self.shell(&format!(
            "rm -rf in.* key key.pub && {pkg} pack tree -o in.kpkg -m name=bench -m version=1 -m release=1 -q && tar cf in.tar -C tree . && {sign}"
        ))?;
        if has("dpkg-deb") {
            self.shell(
                "cp -al tree deb && mkdir deb/DEBIAN && printf 'Package: bench\\nVersion: 1\\nArchitecture: all\\nMaintainer: none <none>\\nDescription: bench\\n' \
                 > deb/DEBIAN/control && dpkg-deb -Znone --root-owner-group -b deb in.deb >/dev/null",
            )?;
        }
        Ok(())
    }

    fn pack(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let hash = "find tree -type f -print0 | xargs -0 -P2 -n500 sha256sum > out.sums";
        vec![
            case("tar cf", "tar", "rm -f out.*", "tar cf out.tar -C tree .".to_owned()),
            case(
                "sha256sum of every file, tar cf",
                "sha256sum",
                "rm -f out.*",
                format!("{hash} && tar cf out.tar -C tree ."),
            ),
            case(
                "dpkg-deb -Znone -b",
                "dpkg-deb",
                "rm -f out.*",
                "dpkg-deb -Znone --root-owner-group -b deb out.deb >/dev/null".to_owned(),
            ),
            case("pkg pack", "sh", "rm -f out.*", format!("{pkg} pack tree -o out.kpkg -q")),
        ]
    }

    fn unpack(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let reset = "rm -rf out && sync -f .";
        vec![
            case("tar xf", "tar", reset, "mkdir out && tar xf in.tar -C out".to_owned()),
            case(
                "tar xf, sha256sum of every file",
                "sha256sum",
                reset,
                "mkdir out && tar xf in.tar -C out && find out -type f -print0 | xargs -0 -P2 -n500 sha256sum > out.sums".to_owned(),
            ),
            case("dpkg-deb -x", "dpkg-deb", reset, "dpkg-deb -x in.deb out".to_owned()),
            case("pkg unpack", "sh", reset, format!("{pkg} unpack in.kpkg -C out -q")),
        ]
    }

    fn install(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let dpkg = "rm -rf out && mkdir -p out/var/lib/dpkg/info out/var/lib/dpkg/updates && touch out/var/lib/dpkg/status && sync -f .";
        let install = "dpkg --root=out --force-not-root --force-script-chrootless --force-bad-path --log=/dev/null -i in.deb >/dev/null";
        let trust =
            format!("rm -rf out && mkdir out && {pkg} trust key add key.pub --tier trusted --root out && sync -f .");
        vec![
            case(
                "tar xf, sync -f",
                "tar",
                "rm -rf out && sync -f .",
                "mkdir out && tar xf in.tar -C out && sync -f out".to_owned(),
            ),
            case("dpkg -i", "dpkg", dpkg, install.to_owned()),
            case(
                "dpkg -i --force-unsafe-io",
                "dpkg",
                dpkg,
                install.replace("-i in.deb", "--force-unsafe-io -i in.deb"),
            ),
            case("pkg install", "sh", &trust, format!("{pkg} install -q -y --root out in.kpkg")),
        ]
    }

    fn inspect(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        vec![
            case("true", "true", "true", "exec true".to_owned()),
            case("tar tf", "tar", "true", "tar tf in.tar > /dev/null".to_owned()),
            case("dpkg-deb -c", "dpkg-deb", "true", "dpkg-deb -c in.deb > /dev/null".to_owned()),
            case("pkg inspect --files", "sh", "true", format!("exec {pkg} inspect --files in.kpkg > /dev/null")),
        ]
    }

    fn run(&self, title: &str, cases: &[Case]) -> Result<()> {
        let (cases, missing): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| has(case.needs));
        for case in missing {
            eprintln!("left out: {} ({} is not installed)", case.name, case.needs);
        }
        let mut figures: Vec<Vec<Figure>> = cases.iter().map(|_| Vec::new()).collect();
        for _ in 0..=self.rounds {
            for (case, figures) in cases.iter().zip(&mut figures) {
                self.shell(&case.reset)?;
                figures.push(self.timed(&case.script).with_context(|| case.name.to_owned())?);
            }
        }
        println!(
            "\n## {title}\n\n| command | wall, median (min..max) | cpu | peak memory | x first |\n|---|---|---|---|---|"
        );
        let mut first = None;
        for (case, mut runs) in cases.iter().zip(figures) {
            // The first round only warms the caches.
            runs.remove(0);
            runs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
            let median = &runs[runs.len() / 2];
            let first = *first.get_or_insert(median.wall);
            println!(
                "| {} | {:.3} s ({:.3}..{:.3}) | {:.2} s | {:.1} MB | {:.2} |",
                case.name,
                median.wall,
                runs[0].wall,
                runs[runs.len() - 1].wall,
                median.cpu,
                median.memory_kib as f64 / 1024.0,
                median.wall / first
            );
        }
        Ok(())
    }

    fn shell(&self, script: &str) -> Result<()> {
        let output = Command::new("sh").args(["-c", script]).current_dir(&self.dir).output()?;
        ensure!(output.status.success(), "`{script}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A process of its own waits for the command, so that its peak memory is that of this one run.
    fn timed(&self, script: &str) -> Result<Figure> {
        let output = Command::new(std::env::current_exe()?).args([MEASURE, script]).current_dir(&self.dir).output()?;
        let text = String::from_utf8(output.stdout)?;
        let fields: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        match fields[..] {
            [wall, cpu, memory_kib] => Ok(Figure { wall, cpu, memory_kib: memory_kib as u64 }),
            _ => bail!("`{script}`: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

struct Figure {
    wall: f64,
    cpu: f64,
    memory_kib: u64,
}

fn measure(script: &str) -> Result<()> {
    let start = Instant::now();
    let status = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).status()?;
    let wall = start.elapsed().as_secs_f64();
    ensure!(status.success(), "it ended with {status}");
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    println!("{wall} {} {}", seconds(usage.user_time()) + seconds(usage.system_time()), usage.max_rss());
    Ok(())
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Bytes that no tool can shorten and that are the same in every run.
fn write_noise(path: &Path, seed: usize, bytes: usize) -> Result<()> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for _ in 0..bytes.div_ceil(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    Ok(file.flush()?)
}
