//! Links the commands with archives instead of libraries that have to be found and loaded: the unwinder in each, and in
//! `pkg-sandbox`, which never resolves a name, the C library, too. Loading them takes a third of the time of a program that does
//! nothing, and whoever puts each command into a room waits for that each time. Where an archive is missing, its library is loaded
//! as ever.
#![expect(clippy::disallowed_methods, reason = "cargo asks build scripts to write into the folder it gives them")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// A library, and the archives that have the same.
type Instead = (&'static str, &'static [&'static str]);

const UNWINDER: [Instead; 1] = [("libgcc_s.so", &["libgcc_eh.a", "libgcc.a"])];
const C_LIBRARY: [Instead; 2] = [("libc.so", &["libc.a", "libgcc_eh.a", "libgcc.a"]), ("libm.so", &["libm.a"])];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| env::var(name).is_ok_and(|found| found.split(',').any(|found| found == value));
    let linux = is("CARGO_CFG_TARGET_OS", "linux") && is("CARGO_CFG_TARGET_ENV", "gnu");
    if !linux || is("CARGO_CFG_TARGET_FEATURE", "crt-static") || !exist(&UNWINDER) {
        return Ok(());
    }
    println!("cargo::rustc-link-arg-bins=-L{}", replaced("unwinder", &UNWINDER)?.display());
    if exist(&C_LIBRARY) {
        println!("cargo::rustc-link-arg-bin=pkg-sandbox=-L{}", replaced("c-library", &C_LIBRARY)?.display());
        println!("cargo::rustc-link-arg-bin=pkg-sandbox=-static-pie");
    }
    Ok(())
}

/// Whether the compiler that links finds all the archives.
fn exist(libraries: &[Instead]) -> bool {
    let linker = env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    libraries.iter().flat_map(|(_, archives)| *archives).all(|name| {
        let found = Command::new(&linker).arg(format!("-print-file-name={name}")).output();
        // Of a name that it does not find it repeats just that.
        found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_absolute())
    })
}

/// A folder where the linker finds the archives by the libraries' names.
fn replaced(name: &str, libraries: &[Instead]) -> io::Result<PathBuf> {
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join(name);
    fs::create_dir_all(&folder)?;
    for (library, archives) in libraries {
        let names: Vec<String> = archives.iter().map(|name| format!("-l:{name}")).collect();
        fs::write(folder.join(library), format!("GROUP({})\n", names.join(" ")))?;
    }
    Ok(folder)
}
