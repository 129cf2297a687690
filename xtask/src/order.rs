//! The order in which the linker lays out the commands' code: that of its first use when a room is launched.
//!
//! A page fault maps 64 KiB of a program around the one page that was missing, and most of what a launch uses of `pkg` are single
//! functions far apart.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// A room on the host's `/`, as most launches want it.
const LAUNCH: &str = "sandbox --ro-bind / / --proc /proc --dev /dev --tmpfs /tmp -- true";

/// Stops until somebody traces it, then goes on as the launch, by the user that is `$1`.
const LAUNCHER: &str =
    r#"kill -STOP $$; user=$1; shift; exec setpriv --reuid "$user" --regid "$user" --clear-groups "$@""#;

const SCRIPT: &str = "crates/cli/order.ld";

const ABOUT: &str = "\
/* Functions in the order in which `pkg sandbox` first uses them: `cargo xtask order PKG` writes this, with PKG from
   `cargo build --release`, by root. `*` stands for what differs between builds: the numbers of crates, references inside of a
   name, and parts of the compiler's. What is here and not in a program does no harm. */
";

/// Launches rooms with `program`, as root and as a user, and writes down what of it they use.
pub(crate) fn write(program: &Path) -> Result<()> {
    let program = program.canonicalize().with_context(|| format!("no {}", program.display()))?;
    let code = Symbols::of(&program)?;
    let mut used = Vec::new();
    for user in [0, 1000] {
        trace(&program, user, &code, &mut used).with_context(|| format!("a launch as user {user}"))?;
    }
    let members = members()?;
    let mut seen = HashSet::new();
    let mut script = format!("{ABOUT}SECTIONS {{\n  .text.first : {{\n");
    for name in used {
        let section = match (name.starts_with("_R"), members.get(name)) {
            // Those that are seldom called are in sections of a longer name.
            (true, _) => format!("*(.text.*{})", pattern(name)),
            (false, Some(member)) => format!("*libc.a:{member}(.text .text.*)"),
            (false, None) => continue,
        };
        if seen.insert(section.clone()) {
            writeln!(script, "    {section}")?;
        }
    }
    script.push_str("  }\n}\nINSERT BEFORE .text;\n");
    std::fs::write(SCRIPT, script).with_context(|| format!("cannot write {SCRIPT}"))?;
    println!("{SCRIPT}: {} functions and members of the C library", seen.len());
    Ok(())
}

/// Where a program's functions begin, and their names.
struct Symbols(Vec<(u64, String)>);

impl Symbols {
    fn of(program: &Path) -> Result<Self> {
        let mut symbols = Vec::new();
        for (address, name) in functions(&nm(["--defined-only".as_ref(), program.as_os_str()])?) {
            symbols.push((u64::from_str_radix(address, 16)?, name.to_owned()));
        }
        ensure!(
            symbols.iter().any(|(_, name)| name.starts_with("_R")),
            "{} has no names of functions",
            program.display()
        );
        symbols.sort_unstable();
        Ok(Self(symbols))
    }

    fn at(&self, address: u64) -> Option<&str> {
        let after = self.0.partition_point(|(begin, _)| *begin <= address);
        Some(&self.0.get(after.checked_sub(1)?)?.1)
    }
}

/// The member of the C library's archive that has a function, where it is one member only.
fn members() -> Result<BTreeMap<String, String>> {
    let archive = Command::new("cc").arg("-print-file-name=libc.a").output()?.stdout;
    let archive = String::from_utf8(archive)?;
    let mut members: BTreeMap<String, Option<String>> = BTreeMap::new();
    // `libc.a:malloc.o:0000000000001f40 T malloc`
    for (place, name) in functions(&nm(["-A", "--defined-only", archive.trim()].map(OsStr::new))?) {
        let member = place.rsplit(':').nth(1).unwrap_or_default();
        members
            .entry(name.to_owned())
            .and_modify(|known| *known = known.take().filter(|known| known == member))
            .or_insert_with(|| Some(member.to_owned()));
    }
    Ok(members.into_iter().filter_map(|(name, member)| Some((name, member?))).collect())
}

/// The functions that `nm` lists, with what stands before their kind.
fn functions(listed: &str) -> impl Iterator<Item = (&str, &str)> {
    listed.lines().filter_map(|line| match line.rsplitn(3, ' ').collect::<Vec<_>>()[..] {
        [name, "t" | "T" | "w" | "W" | "i", place] => Some((place, name)),
        _ => None,
    })
}

fn nm<const N: usize>(words: [&OsStr; N]) -> Result<String> {
    let told = Command::new("nm").args(words).output().context("cannot run nm")?;
    ensure!(told.status.success(), "nm: {}", String::from_utf8_lossy(&told.stderr).trim());
    Ok(String::from_utf8(told.stdout)?)
}

/// Steps through a launch, and through the processes that it begins until they are other programs. Names what is not in `used`.
fn trace<'a>(program: &Path, user: u32, code: &'a Symbols, used: &mut Vec<&'a str>) -> Result<()> {
    let mut known: HashSet<&str> = used.iter().copied().collect();
    let launcher = Command::new("sh")
        .args(["-c", LAUNCHER, "sh", &user.to_string()])
        .arg(program)
        .args(LAUNCH.split(' '))
        .current_dir("/")
        .spawn()?;
    let launcher = Pid::from_raw(launcher.id().try_into()?);
    waitpid(launcher, Some(WaitPidFlag::WUNTRACED))?;
    let branches = Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_TRACEFORK | Options::PTRACE_O_TRACEVFORK;
    ptrace::seize(launcher, branches | Options::PTRACE_O_TRACEEXEC | Options::PTRACE_O_EXITKILL)?;
    let mut start = None;
    loop {
        // A process may be killed while it is stopped.
        let _ = match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(pid, code) if pid == launcher => {
                ensure!(code == 0, "exit code {code}");
                return Ok(());
            }
            WaitStatus::Signaled(pid, signal, _) if pid == launcher => bail!("ended by {signal}"),
            WaitStatus::PtraceEvent(pid, _, nix::libc::PTRACE_EVENT_EXEC) if start.is_some() => {
                ptrace::detach(pid, None)
            }
            WaitStatus::PtraceEvent(pid, _, nix::libc::PTRACE_EVENT_EXEC) => {
                start = loaded(pid, program)?;
                if start.is_some() { ptrace::step(pid, None) } else { ptrace::cont(pid, None) }
            }
            WaitStatus::Stopped(pid, nix::sys::signal::Signal::SIGTRAP) => {
                let now = ptrace::syscall_info(pid)
                    .ok()
                    .zip(start)
                    .map(|(at, start)| at.instruction_pointer.wrapping_sub(start));
                if let Some(name) = now.and_then(|address| code.at(address))
                    && known.insert(name)
                {
                    used.push(name);
                }
                ptrace::step(pid, None)
            }
            WaitStatus::PtraceEvent(pid, ..) if start.is_some() => ptrace::step(pid, None),
            WaitStatus::PtraceEvent(pid, ..) => ptrace::cont(pid, None),
            WaitStatus::Stopped(pid, signal) => ptrace::step(pid, signal),
            _ => Ok(()),
        };
    }
}

/// Where a process has `program` in its memory.
fn loaded(pid: Pid, program: &Path) -> Result<Option<u64>> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))?;
    let mut begins =
        maps.lines().filter(|line| line.ends_with(&*program.to_string_lossy())).map(|line| line.split('-').next());
    Ok(begins.next().flatten().map(|begin| u64::from_str_radix(begin, 16)).transpose()?)
}

/// A function's name without what differs between builds: in `Cs8kPq2LbW1vZ_4core` the number of the crate `core`, in `B4_` the
/// place in the name that is meant again, and what the compiler adds behind a dot, or not.
fn pattern(name: &str) -> String {
    let (mut pattern, mut rest) = (String::new(), name.split('.').next().unwrap_or_default());
    while let Some(at) = rest.find(['C', 'B']) {
        let tag = if rest[at..].starts_with("Cs") { "Cs" } else { &rest[at..=at] };
        let (before, after) = (&rest[..at], &rest[at + tag.len()..]);
        let digits = after.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(after.len());
        let is_number = match tag {
            "Cs" => (8..=13).contains(&digits),
            "B" => digits <= 3,
            _ => false,
        };
        pattern.extend([before, tag]);
        rest = after;
        if is_number && after[digits..].starts_with('_') {
            pattern.push('*');
            rest = &after[digits..];
        }
    }
    pattern + rest + "*"
}

#[cfg(test)]
mod tests {
    use super::pattern;

    #[test]
    fn names_fit_what_another_build_calls_the_same_function() {
        let names = [
            ("_RNvNtCsgcpiD7K9E3s_3cli3app4main", "_RNvNtCs*_3cli3app4main*"),
            (
                "_RNvMs0_NtCs4QK3vYaI8y3_7sandbox5blankNtB5_5Begun5begin",
                "_RNvMs0_NtCs*_7sandbox5blankNtB*_5Begun5begin*",
            ),
            ("_RNvMNtCs4QK3vYaI8y3_7sandbox4CaseNtB2_4Case3new.llvm.17", "_RNvMNtCs*_7sandbox4CaseNtB*_4Case3new*"),
            (
                "_RINvNtCsgEmfK2I1SDS_4core3ptr13drop_in_placeINtNtBL_6borrow3CoweEECs4QK3vYaI8y3_7sandbox",
                "_RINvNtCs*_4core3ptr13drop_in_placeINtNtB*_6borrow3CoweEECs*_7sandbox*",
            ),
            ("_RNvCs_4Base", "_RNvCs_4Base*"),
        ];
        for (name, expected) in names {
            assert_eq!(pattern(name), expected);
        }
    }
}
