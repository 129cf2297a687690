//! Links the commands as static position-independent programs: the C library and the unwinder come from archives and not from
//! libraries that have to be found, loaded and bound. That takes as long as a short question takes to answer, and whoever puts each
//! command into a room waits for it each time. The addresses that a program corrects when it starts are packed, where the C library
//! can read them packed. Where an archive is missing all is loaded as ever.
//!
//! What a launch of a room needs of their code lies together, in the order of its use, where the linker can do that.
#![expect(clippy::disallowed_methods, reason = "cargo asks build scripts to write into the folder it gives them")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io};

/// A library, and the archives that have the same.
type Instead = (&'static str, &'static [&'static str]);

const ORDER: &str = "order.ld";

const LIBRARIES: [Instead; 3] = [
    ("libc.so", &["libc.a", "libgcc_eh.a", "libgcc.a"]),
    ("libm.so", &["libm.a"]),
    ("libgcc_s.so", &["libgcc_eh.a", "libgcc.a"]),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found.split(',').any(|found| found == value));
    let linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    let all = LIBRARIES.iter().flat_map(|(_, archives)| *archives).all(|name| found(name).is_some());
    if !linux || is("CARGO_CFG_TARGET_FEATURE", "crt-static") || !all {
        return Ok(());
    }
    println!("cargo::rustc-link-arg-bins=-L{}", replaced(&LIBRARIES)?.display());
    println!("cargo::rustc-link-arg-bins=-static-pie");
    if reads_packed() {
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
    println!("cargo::rerun-if-changed={ORDER}");
    // Beside what cargo keeps of this, which goes with it when the checkout is moved.
    let order = kept(ORDER);
    fs::copy(ORDER, &order)?;
    if env::var_os("OPT_LEVEL").is_some_and(|level| level != "0") && links_with(&order) {
        println!("cargo::rustc-link-arg-bins=-T{}", order.display());
    }
    Ok(())
}

/// Where the compiler that links finds a library.
fn found(name: &str) -> Option<PathBuf> {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let told = Command::new(&linker).arg(format!("-print-file-name={name}")).output().ok()?;
    // Of a name that it does not find it repeats just that.
    Some(PathBuf::from(String::from_utf8_lossy(&told.stdout).trim())).filter(|place| place.is_absolute())
}

/// Whether the C library is one that corrects packed addresses; the loader of the same release says so by a name.
fn reads_packed() -> bool {
    const NAME: &[u8] = b"GLIBC_ABI_DT_RELR\0";
    let library = found("libc.so.6").and_then(|place| fs::read(place).ok());
    library.is_some_and(|bytes| bytes.windows(NAME.len()).any(|name| name == NAME))
}

/// Whether the linker takes a script, as it will be called.
fn links_with(script: &Path) -> bool {
    let told = |name: &str| env::var(name).unwrap_or_default();
    let flags = told("CARGO_ENCODED_RUSTFLAGS");
    let mut trial = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    trial.args(flags.split('\x1f').filter(|flag| !flag.is_empty())).args(["--target", &told("TARGET")]);
    trial.args(env::var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    trial.arg(format!("-Clink-arg=-T{}", script.display()));
    trial.args(["--crate-name", "trial", "--out-dir", &told("OUT_DIR"), "-"]);
    // A program that does nothing.
    let program = trial.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    program.is_ok_and(|mut compiler| {
        let written = compiler.stdin.take().is_some_and(|mut source| source.write_all(b"fn main() {}").is_ok());
        compiler.wait().is_ok_and(|status| status.success()) && written
    })
}

/// Where a file or folder that is made here is kept.
fn kept(name: &str) -> PathBuf {
    PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join(name)
}

/// A folder where the linker finds the archives by the libraries' names.
fn replaced(libraries: &[Instead]) -> io::Result<PathBuf> {
    let folder = kept("archives");
    fs::create_dir_all(&folder)?;
    for (library, archives) in libraries {
        let names: Vec<String> = archives.iter().map(|name| format!("-l:{name}")).collect();
        fs::write(folder.join(library), format!("GROUP({})\n", names.join(" ")))?;
    }
    Ok(folder)
}
