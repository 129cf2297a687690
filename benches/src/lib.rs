//! Side-by-side runs of commands: the same work done by Kista's commands and by their peers, in turn, in one run.
//!
//! A program that uses it calls [`Stage::open`] first, which also is what makes its own executable the one that measures.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports to whoever runs it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

const MEASURE: &str = "--measure";

/// The words of a command line, options taken out one by one.
#[derive(Debug)]
pub struct Words(Vec<String>);

impl Words {
    /// What this process was started with.
    pub fn of_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Takes out an option and its value.
    ///
    /// # Errors
    /// It has none.
    pub fn option(&mut self, name: &str) -> Result<Option<String>> {
        let Some(at) = self.0.iter().position(|word| word == name) else { return Ok(None) };
        self.0.remove(at);
        ensure!(at < self.0.len(), "{name} wants a value");
        Ok(Some(self.0.remove(at)))
    }

    /// Takes out those words that are among `names`; a step that none of them names is wanted when there are none.
    pub fn among(&mut self, names: &[&str]) -> Vec<String> {
        let (named, rest) = std::mem::take(&mut self.0).into_iter().partition(|word| names.contains(&word.as_str()));
        self.0 = rest;
        named
    }

    /// # Errors
    /// A word nobody asked for is left.
    pub fn end(self) -> Result<()> {
        ensure!(self.0.is_empty(), "what is `{}`?", self.0.join(" "));
        Ok(())
    }
}

/// Whether a step is among the named ones, or none is named.
pub fn is_wanted(named: &[String], step: &str) -> bool {
    named.is_empty() || named.iter().any(|word| word == step)
}

/// One command of a comparison; `reset` runs before each, outside the clock.
#[derive(Debug)]
pub struct Case {
    name: String,
    needs: &'static str,
    reset: String,
    script: String,
}

impl Case {
    /// A case for machines that have the program `needs`.
    pub fn new(
        name: impl Into<String>,
        needs: &'static str,
        reset: impl Into<String>,
        script: impl Into<String>,
    ) -> Self {
        Self { name: name.into(), needs, reset: reset.into(), script: script.into() }
    }

    /// What it runs.
    pub fn script(&self) -> &str {
        &self.script
    }
}

/// The shell's words that make room for a tree of this name, outside the clock.
///
/// On disk the old one is moved aside until the end: ext4 does not give the number of a file again that was deleted a few
/// minutes ago, and looking for another one takes longer than all the rest of making a file.
pub fn clear(tree: &str) -> String {
    format!(
        "if [ ! -e {tree} ]; then :; elif [ $(stat -f -c %T .) = tmpfs ]; then rm -rf {tree}; \
         else mv {tree} $(mktemp -d gone.XXXXXX); fi"
    )
}

/// The folder where commands run, and how often.
#[derive(Debug)]
pub struct Stage {
    scratch: tempfile::TempDir,
    rounds: usize,
}

impl Stage {
    /// A folder of its own in the one that `--in` names, for `--rounds` rounds. `None` when this process is one that was
    /// started to measure a command, and has done so.
    ///
    /// # Errors
    /// Bad options, or no such folder.
    pub fn open(words: &mut Words, rounds: usize) -> Result<Option<Self>> {
        if let Some(script) = words.option(MEASURE)? {
            measure(&script)?;
            return Ok(None);
        }
        let rounds = words.option("--rounds")?.map_or(Ok(rounds), |text| text.parse()).context("--rounds")?;
        let place = words.option("--in")?.map_or_else(std::env::temp_dir, PathBuf::from);
        let scratch = tempfile::Builder::new().prefix("kista-bench.").tempdir_in(place)?;
        Ok(Some(Self { scratch, rounds }))
    }

    /// Where commands run.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs every case once a round, the first round only to warm the caches, and prints a table.
    ///
    /// # Errors
    /// A command failed.
    pub fn run(&self, title: &str, cases: &[Case]) -> Result<()> {
        let (cases, missing): (Vec<&Case>, Vec<&Case>) = cases.iter().partition(|case| has(case.needs));
        for case in missing {
            eprintln!("left out: {} ({} is not installed)", case.name, case.needs);
        }
        let mut figures: Vec<Vec<Figure>> = cases.iter().map(|_| Vec::new()).collect();
        for _ in 0..=self.rounds {
            for (case, figures) in cases.iter().zip(&mut figures) {
                self.shell(&case.reset)?;
                figures.push(self.timed(&case.script).with_context(|| case.name.clone())?);
            }
        }
        println!(
            "\n## {title}\n\n| command | wall, median (min..max) | cpu | peak memory | x first |\n|---|---|---|---|---|"
        );
        let mut first = None;
        for (case, mut runs) in cases.iter().zip(figures) {
            runs.remove(0);
            runs.sort_by(|a, b| a.wall.total_cmp(&b.wall));
            let median = &runs[runs.len() / 2];
            let first = *first.get_or_insert(median.wall);
            println!(
                "| {} | {} ({}..{}) | {} | {:.1} MB | {:.2} |",
                case.name,
                time(median.wall),
                time(runs[0].wall),
                time(runs[runs.len() - 1].wall),
                time(median.cpu),
                median.memory_kib as f64 / 1024.0,
                median.wall / first
            );
        }
        Ok(())
    }

    /// Runs a command in the folder.
    ///
    /// # Errors
    /// It failed.
    pub fn shell(&self, script: &str) -> Result<()> {
        let output = Command::new("sh").args(["-c", script]).current_dir(self.dir()).output()?;
        ensure!(output.status.success(), "`{script}`: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// A process of its own waits for the command, so that its peak memory is that of this one run.
    fn timed(&self, script: &str) -> Result<Figure> {
        let output = Command::new(std::env::current_exe()?).args([MEASURE, script]).current_dir(self.dir()).output()?;
        let text = String::from_utf8(output.stdout)?;
        let fields: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
        match fields[..] {
            [wall, cpu, memory_kib] => Ok(Figure { wall, cpu, memory_kib: memory_kib as u64 }),
            _ => bail!("`{script}`: {}", String::from_utf8_lossy(&output.stderr)),
        }
    }
}

fn time(seconds: f64) -> String {
    if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.3} s") }
}

struct Figure {
    wall: f64,
    cpu: f64,
    memory_kib: u64,
}

fn measure(script: &str) -> Result<()> {
    let start = Instant::now();
    let status = Command::new("sh").args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    let wall = start.elapsed().as_secs_f64();
    ensure!(status.success(), "it ended with {status}");
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN)?;
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    println!("{wall} {} {}", seconds(usage.user_time()) + seconds(usage.system_time()), usage.max_rss());
    Ok(())
}

/// Whether a program can be found.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// The command `pkg` that was built with this benchmark.
///
/// # Errors
/// It was not.
pub fn pkg_beside_us() -> Result<PathBuf> {
    let pkg = std::env::current_exe()?.with_file_name("pkg");
    ensure!(pkg.is_file(), "{} is missing: run `cargo build --release` first", pkg.display());
    Ok(pkg)
}
