//! The same work done by Kista's commands and by their peers, in turn, in one run.
//!
//!     cargo run --release -p kista-benches --bin peers -- [--rounds N] [--in DIR] [--debs DIR] [pack|compress|unpack|decompress|install|inspect|size|small|large|real]..
//!
//! It wants `pkg` beside itself (`cargo build --release` makes it), tar, sha256sum and dpkg, and takes bsdtar, casync,
//! nix-store, squashfs-tools and zstd where they are; it says what is missing. Figures are medians over the rounds, each
//! round running every case once; the page cache is warm. Of three workloads, the real one is made of the first 300
//! Debian packages in the folder that `--debs` names.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark reports to whoever runs it")]
#![expect(clippy::disallowed_methods, reason = "a benchmark arranges scratch trees of its own")]

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;
use kista_benches::{Case, Stage, Words, clear, has, is_wanted, pkg_beside_us};

fn main() -> Result<()> {
    let mut words = Words::of_process();
    let Some(stage) = Stage::open(&mut words, 7)? else { return Ok(()) };
    let debs = words.option("--debs")?.map(PathBuf::from);
    let workloads = words.among(&["small", "large", "real"]);
    let steps = words.among(&["pack", "compress", "unpack", "decompress", "install", "inspect", "size"]);
    words.end()?;
    let bench = Bench { stage, pkg: pkg_beside_us()? };
    for (name, workload) in [
        ("small", Workload::SMALL),
        ("large", Workload::LARGE),
        ("real", Workload { name: "300 real packages", content: Content::Debs(debs.unwrap_or_default()) }),
    ] {
        let is_missing = matches!(&workload.content, Content::Debs(folder) if folder.as_os_str().is_empty());
        if is_missing || !is_wanted(&workloads, name) {
            continue;
        }
        bench.prepare(&workload)?;
        let is_one = matches!(workload.content, Content::Made { .. });
        for (name, is_possible, cases) in [
            ("pack", true, bench.pack()),
            ("compress", true, bench.compress()),
            ("unpack", true, bench.unpack()),
            ("decompress", true, bench.decompress()),
            ("install", is_one, bench.install()),
            ("inspect", is_one, bench.inspect()),
        ] {
            if is_possible && is_wanted(&steps, name) {
                bench.stage.run(&format!("{name}, {}", workload.name), &cases)?;
            }
        }
        if is_wanted(&steps, "size") {
            bench.sizes(workload.name)?;
        }
    }
    Ok(())
}

/// Trees to work on.
struct Workload {
    name: &'static str,
    content: Content,
}

enum Content {
    /// One tree of so many files.
    Made { files: usize, bytes: fn(usize) -> usize },
    /// The trees of the packages in a folder.
    Debs(PathBuf),
}

impl Workload {
    /// Sizes as in a file system of packages: mostly a few kilobytes, now and then a megabyte.
    const SMALL: Self = Self {
        name: "20,000 files, 180 MB",
        content: Content::Made {
            files: 20_000,
            bytes: |index| if index % 200 == 0 { 800_000 } else { 200 + (index * 7919) % 9_800 },
        },
    };
    const LARGE: Self = Self { name: "3 files, 300 MB", content: Content::Made { files: 3, bytes: |_| 100_000_000 } };
    /// So many real packages are enough.
    const DEBS: usize = 300;
}

/// A command for every tree `$t`, the name of which is `$n`.
fn each(name: &'static str, needs: &'static str, reset: &str, command: &str) -> Case {
    Case::new(name, needs, reset, format!("for t in trees/*; do n=${{t##*/}}; {command} || exit 1; done"))
}

struct Bench {
    stage: Stage,
    pkg: PathBuf,
}

const TO_PACK: &str = "rm -rf out && mkdir out";
const IDENTITY: &str = "-m name=bench -m version=1 -m release=1 -q";

fn to_unpack() -> String {
    format!("{} && mkdir out && sync -f .", clear("out"))
}

impl Bench {
    /// Makes the trees and, from them, what unpack and install start with.
    fn prepare(&self, workload: &Workload) -> Result<()> {
        self.stage.shell("rm -rf trees debs in out key key.pub && mkdir trees debs in")?;
        match &workload.content {
            Content::Made { files, bytes } => self.make_tree(*files, *bytes)?,
            Content::Debs(folder) => self.stage.shell(&format!(
                "i=1000; find '{}' -name '*.deb' | sort | head -n {} | while read deb; do i=$((i+1)); dpkg-deb -x \"$deb\" trees/$i || exit 1; done",
                std::path::absolute(folder)?.display(), Workload::DEBS
            ))?,
        }
        let pkg = self.pkg.display();
        for (needs, command) in [
            ("sh", format!("{pkg} pack $t -o in/$n.kpkg {IDENTITY}")),
            ("sh", format!("{pkg} pack $t -o in/$n.kpkg.zst {IDENTITY}")),
            ("tar", "tar cf in/$n.tar -C $t .".to_owned()),
            ("zstd", "zstd -q -3 in/$n.tar".to_owned()),
            ("nix-store", "nix-store --dump $t > in/$n.nar".to_owned()),
            ("casync", "casync make in/$n.catar $t > /dev/null".to_owned()),
            ("mksquashfs", "mksquashfs $t in/$n.sqfs -noI -noD -noF -noX -no-progress > /dev/null".to_owned()),
            (
                "dpkg-deb",
                "cp -al $t debs/$n && mkdir -m 755 debs/$n/DEBIAN && printf 'Package: bench\\nVersion: 1\\nArchitecture: all\\nMaintainer: none <none>\\nDescription: bench\\n' \
                 > debs/$n/DEBIAN/control && dpkg-deb -Znone --root-owner-group -b debs/$n in/$n.deb > /dev/null".to_owned(),
            ),
        ] {
            if has(needs) {
                self.stage.shell(each("", needs, "", &command).script())?;
            }
        }
        Ok(())
    }

    fn make_tree(&self, files: usize, bytes: fn(usize) -> usize) -> Result<()> {
        for index in 0..files {
            let folder =
                self.stage.dir().join(format!("trees/one/usr/share/kista/{:02}/{:02}", index % 23, index / 23 % 41));
            fs::create_dir_all(&folder)?;
            write_content(&folder.join(format!("file-{index}.dat")), index, bytes(index))?;
        }
        Ok(())
    }

    fn pack(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let hash = "find $t -type f -print0 | xargs -0 -r -P2 -n500 sha256sum > out/$n.sums";
        let tar = "tar cf out/$n.tar -C $t .";
        vec![
            each("tar cf", "tar", TO_PACK, tar),
            each("sha256sum of every file, tar cf", "sha256sum", TO_PACK, &format!("{hash} && {tar}")),
            each(
                "dpkg-deb -Znone -b",
                "dpkg-deb",
                TO_PACK,
                "dpkg-deb -Znone --root-owner-group -b debs/$n out/$n.deb > /dev/null",
            ),
            each("bsdtar cf", "bsdtar", TO_PACK, "bsdtar cf out/$n.tar -C $t ."),
            each("nix-store --dump", "nix-store", TO_PACK, "nix-store --dump $t > out/$n.nar"),
            each("casync make", "casync", TO_PACK, "casync make out/$n.catar $t > /dev/null"),
            each(
                "mksquashfs, not compressed",
                "mksquashfs",
                TO_PACK,
                "mksquashfs $t out/$n.sqfs -noI -noD -noF -noX -no-progress > /dev/null",
            ),
            each("pkg pack", "sh", TO_PACK, &format!("{pkg} pack $t -o out/$n.kpkg {IDENTITY}")),
        ]
    }

    fn compress(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        vec![
            each("tar, zstd -3 -T2", "zstd", TO_PACK, "tar c -C $t . | zstd -q -3 -T2 -o out/$n.tar.zst"),
            each(
                "dpkg-deb -Zzstd -z3 -b",
                "dpkg-deb",
                TO_PACK,
                "dpkg-deb -Zzstd -z3 --root-owner-group -b debs/$n out/$n.deb > /dev/null",
            ),
            each(
                "mksquashfs -comp zstd, level 3",
                "mksquashfs",
                TO_PACK,
                "mksquashfs $t out/$n.sqfs -comp zstd -Xcompression-level 3 -no-progress > /dev/null",
            ),
            each("pkg pack, .zst", "sh", TO_PACK, &format!("{pkg} pack $t -o out/$n.kpkg.zst {IDENTITY}")),
        ]
    }

    fn unpack(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let hash = "find out/$n -type f -print0 | xargs -0 -r -P2 -n500 sha256sum > out/$n.sums";
        let tar = "mkdir out/$n && tar xf in/$n.tar -C out/$n";
        vec![
            each("tar xf", "tar", &to_unpack(), tar),
            each("tar xf, sha256sum of every file", "sha256sum", &to_unpack(), &format!("{tar} && {hash}")),
            each("dpkg-deb -x", "dpkg-deb", &to_unpack(), "dpkg-deb -x in/$n.deb out/$n"),
            each("bsdtar xf", "bsdtar", &to_unpack(), "mkdir out/$n && bsdtar xf in/$n.tar -C out/$n"),
            each("nix-store --restore", "nix-store", &to_unpack(), "nix-store --restore out/$n < in/$n.nar"),
            each("casync extract", "casync", &to_unpack(), "casync extract in/$n.catar out/$n"),
            each(
                "unsquashfs, not compressed",
                "unsquashfs",
                &to_unpack(),
                "unsquashfs -no-progress -d out/$n in/$n.sqfs > /dev/null",
            ),
            each("pkg unpack", "sh", &to_unpack(), &format!("{pkg} unpack in/$n.kpkg -C out/$n -q")),
            each("cat, tar x", "tar", &to_unpack(), "mkdir out/$n && cat in/$n.tar | tar x -C out/$n"),
            each("cat, pkg unpack", "sh", &to_unpack(), &format!("cat in/$n.kpkg | {pkg} unpack - -C out/$n -q")),
        ]
    }

    fn decompress(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        vec![
            each("zstd -d, tar x", "zstd", &to_unpack(), "mkdir out/$n && zstd -dcq in/$n.tar.zst | tar x -C out/$n"),
            each("pkg unpack, .zst", "sh", &to_unpack(), &format!("{pkg} unpack in/$n.kpkg.zst -C out/$n -q")),
            each(
                "cat, pkg unpack, .zst",
                "sh",
                &to_unpack(),
                &format!("cat in/$n.kpkg.zst | {pkg} unpack - -C out/$n -q"),
            ),
        ]
    }

    fn sizes(&self, workload: &str) -> Result<()> {
        println!("\n## size, {workload}\n\n| file | bytes, all together | x tar.zst |\n|---|---|---|");
        let mut sums = std::collections::BTreeMap::<String, u64>::new();
        for entry in fs::read_dir(self.stage.dir().join("in"))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = name.split_once('.').map_or("", |(_, kind)| kind).to_owned();
            *sums.entry(kind).or_default() += entry.metadata()?.len();
        }
        let first = sums.get("tar.zst").copied().unwrap_or_default();
        for (kind, bytes) in &sums {
            println!("| .{kind} | {bytes} | {:.3} |", *bytes as f64 / first as f64);
        }
        Ok(())
    }

    fn install(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let dpkg = &format!(
            "{} && mkdir -p out/var/lib/dpkg/info out/var/lib/dpkg/updates && touch out/var/lib/dpkg/status && sync -f .",
            clear("out")
        );
        let install = "dpkg --root=out --force-not-root --force-script-chrootless --force-bad-path --refuse-unsafe-io --log=/dev/null -i in/one.deb >/dev/null";
        let trust = format!(
            "[ -f key ] || {pkg} trust key new key --no-passphrase --owner bench && {pkg} trust sign in/one.kpkg --key key && {} && mkdir out && {pkg} trust key add key.pub --tier trusted --root out && sync -f .",
            clear("out")
        );
        vec![
            Case::new(
                "tar xf, sync -f",
                "tar",
                format!("{} && sync -f .", clear("out")),
                "mkdir out && tar xf in/one.tar -C out && sync -f out".to_owned(),
            ),
            Case::new("dpkg -i", "dpkg", dpkg, install.to_owned()),
            Case::new(
                "dpkg -i --force-unsafe-io",
                "dpkg",
                dpkg,
                install.replace("-i in/one.deb", "--force-unsafe-io -i in/one.deb"),
            ),
            Case::new("pkg install", "sh", &trust, format!("{pkg} install -q -y --root out in/one.kpkg")),
        ]
    }

    fn inspect(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        vec![
            Case::new("true", "true", "true", "exec true".to_owned()),
            Case::new("tar tf", "tar", "true", "tar tf in/one.tar > /dev/null".to_owned()),
            Case::new("dpkg-deb -c", "dpkg-deb", "true", "dpkg-deb -c in/one.deb > /dev/null".to_owned()),
            Case::new(
                "pkg inspect --files",
                "sh",
                "true",
                format!("exec {pkg} inspect --files in/one.kpkg > /dev/null"),
            ),
        ]
    }
}

/// Bytes that are the same in every run: of odd numbers such that no tool can shorten, of even ones lines of words.
fn write_content(path: &Path, seed: usize, bytes: usize) -> Result<()> {
    let mut state = seed as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for _ in 0..bytes.div_ceil(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let word = state.to_le_bytes();
        if seed % 2 == 1 {
            file.write_all(&word)?;
        } else {
            // 1,024 words in use, the first ones more often.
            let number = (state >> 32) % 32 * ((state >> 40) % 32);
            write!(file, "{:07x}{}", number * 0x1f_03b1 % 0xfff_ffff, if word[7] < 32 { '\n' } else { ' ' })?;
        }
    }
    file.flush()?;
    // Whole words may be more than is wanted.
    Ok(file.get_ref().set_len(bytes as u64)?)
}
