//! Real recipes, each built, installed into a root of its own, and run there.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

/// A recipe, a command in a root that holds only its package and what that needs, and what it must print.
struct Proof {
    recipe: &'static str,
    command: &'static [&'static str],
    says: &'static str,
}

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

const PROOFS: [Proof; 10] = [
    Proof { recipe: "tcc", command: &["tcc", "-v"], says: "tcc version 0.9.27" },
    Proof { recipe: "lua", command: &["lua", "-e", "print(_VERSION, 6 * 7)"], says: "Lua 5.4\t42" },
    Proof { recipe: "zlib", command: &[LOADER, "--list", "/usr/lib/libz.so.1"], says: "libc.so.6" },
    Proof { recipe: "hello", command: &["hello"], says: "Hello, world!" },
    Proof { recipe: "m4", command: &["m4", "--version"], says: "m4 (GNU M4) 1.4.19" },
    Proof { recipe: "patch", command: &["patch", "--version"], says: "GNU patch 2.7.6" },
    Proof { recipe: "zstd", command: &["zstd", "--version"], says: "v1.5.4" },
    Proof { recipe: "dash", command: &["dash", "-c", "echo $((6 * 7))"], says: "42" },
    Proof { recipe: "busybox", command: &["busybox", "sh", "-c", "echo $((6 * 7))"], says: "42" },
    Proof { recipe: "musl", command: &["/lib/ld-musl-x86_64.so.1"], says: "Version 1.2.3" },
];

/// Builds, installs and runs the named recipes, or all of them, with the caches in `cache`.
pub(crate) fn prove(cache: &Path, names: &[&str]) -> Result<()> {
    let unknown: Vec<_> = names.iter().filter(|name| !PROOFS.iter().any(|proof| proof.recipe == **name)).collect();
    ensure!(unknown.is_empty(), "no proof is known for {unknown:?}");
    let pkg = build_pkg()?;
    let scratch = cache.join("proofs");
    std::fs::create_dir_all(&scratch).with_context(|| format!("cannot make {}", scratch.display()))?;
    for proof in PROOFS.iter().filter(|proof| names.is_empty() || names.contains(&proof.recipe)) {
        let start = Instant::now();
        prove_one(&pkg, cache, &scratch.join(format!("{}-{}", proof.recipe, std::process::id())), proof)
            .with_context(|| proof.recipe.to_owned())?;
        println!("{}: built, installed and run in {:.1} s", proof.recipe, start.elapsed().as_secs_f64());
    }
    std::fs::remove_dir_all(&scratch).with_context(|| format!("cannot remove {}", scratch.display()))
}

fn build_pkg() -> Result<PathBuf> {
    let status = Command::new("cargo").args(["build", "--release", "--quiet", "--bin", "pkg"]).status()?;
    ensure!(status.success(), "`pkg` does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    Ok(target.join("release/pkg"))
}

fn prove_one(pkg: &Path, cache: &Path, root: &Path, proof: &Proof) -> Result<()> {
    let status = Command::new(pkg)
        .args(["build", proof.recipe, "--quiet", "--into"])
        .arg(root)
        .arg("--cache")
        .arg(cache)
        .stdout(std::process::Stdio::null())
        .status()?;
    ensure!(status.success(), "the build ended with {status}");
    let output = Command::new(pkg).args(["sandbox", "--root"]).arg(root).arg("--").args(proof.command).output()?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    if !said.contains(proof.says) {
        bail!("`{}` says {said:?}, and {:?} is missing", proof.command.join(" "), proof.says);
    }
    Ok(())
}
