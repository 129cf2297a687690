//! Transactions on a root beside those of dpkg and pacman, in turn, in one run.
//!
//!     cargo run --release -p kista-benches --bin installs -- --debs DIR [--rounds N] [--in DIR] [install|change|growth|remove|questions|verify]..
//!
//! It wants `pkg` beside itself (`cargo build --release` makes it) and dpkg, and takes pacman where it is. The first 300
//! Debian packages of the folder that `--debs` names are converted for `pkg`, and made anew from the same trees for the
//! others, not compressed and without scripts. Nobody runs scripts here.
#![forbid(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "a benchmark arranges scratch trees of its own")]

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kista_benches::{Case, Stage, Words, clear, is_wanted, pkg_beside_us};

fn main() -> Result<()> {
    let mut words = Words::of_process();
    let Some(stage) = Stage::open(&mut words, 5)? else { return Ok(()) };
    let debs = words.option("--debs")?.map(PathBuf::from).context("--debs names a folder of Debian packages")?;
    let steps = words.among(&["install", "change", "growth", "remove", "questions", "verify"]);
    words.end()?;
    let bench = Bench { stage, pkg: pkg_beside_us()? };
    bench.prepare(&debs)?;
    for (step, title, cases) in [
        ("install", "install 300 real packages into an empty root", bench.install()),
        ("change", "upgrade and remove one small package among 300", bench.change()),
        ("questions", "questions to a root of 300 packages", bench.questions()),
        ("verify", "verify a root of 300 packages", bench.verify()),
        ("remove", "remove a package of 15,000 files", bench.remove()),
        ("growth", "upgrade one small package in roots that grow", bench.growth()),
    ] {
        if !is_wanted(&steps, step) {
            continue;
        }
        match step {
            "install" => {}
            "remove" => bench.prepare_large()?,
            "growth" => bench.prepare_growth()?,
            _ => bench.prepare_roots()?,
        }
        bench.stage.run(title, &cases)?;
    }
    Ok(())
}

struct Bench {
    stage: Stage,
    pkg: PathBuf,
}

/// `--force-all` is `--force-unsafe-io`, too, which Debian's containers have in their configuration: no file is synced then.
const DPKG: &str = "dpkg --force-all --refuse-unsafe-io --log=/dev/null";
const PACMAN: &str = "pacman --noconfirm --noscriptlet --noprogressbar -dd --config pacman.conf --overwrite '*'";
/// How many Debian packages are enough.
const DEBS: usize = 300;

/// Writes `.PKGINFO` into the tree `$t` and packs it for pacman, without the folder that is Debian's.
const PACMAN_PACK: &str = "printf 'pkgname = %s\\npkgver = %s-1\\npkgdesc = none\\nurl = none\\nbuilddate = 1\\nsize = 1\\narch = x86_64\\n' $name $version > $t/.PKGINFO \
    && (cd $t && ls -A | grep -vx -e DEBIAN -e .PKGINFO | tar cf ../../pac/$n.pkg.tar .PKGINFO -T -)";

impl Bench {
    fn prepare(&self, debs: &Path) -> Result<()> {
        let pkg = self.pkg.display();
        self.stage.shell(&format!(
            "mkdir tree deb tar kpkg zst pac && printf '[options]\\nArchitecture = auto\\nSigLevel = Never\\nLocalFileSigLevel = Never\\n' > pacman.conf
            {pkg} trust key new key --no-passphrase --owner bench
            find '{}' -name '*.deb' | sort | head -n {DEBS} > debs
            i=1000
            while read deb; do
                i=$((i+1)) n=$i t=tree/$i name=$(dpkg-deb -f $deb Package) version=1
                {pkg} convert -q $deb -o kpkg/$n.kpkg 2>/dev/null && {pkg} convert -q $deb -o zst/$n.kpkg.zst 2>/dev/null || exit 1
                dpkg-deb -R $deb $t && (cd $t/DEBIAN && rm -f preinst postinst prerm postrm triggers config templates) || exit 1
                dpkg-deb -Znone -b $t deb/$n.deb && dpkg-deb --fsys-tarfile deb/$n.deb > tar/$n.tar || exit 1
                {PACMAN_PACK} || exit 1
                rm -rf $t
            done < debs",
            std::path::absolute(debs)?.display()
        ))?;
        self.made("small", 1, 10)?;
        self.made("small", 2, 10)?;
        self.stage.shell(&format!("{pkg} trust sign -q kpkg/*.kpkg zst/*.kpkg.zst *.kpkg --key key && sync -f ."))
    }

    /// Packages of their own for everybody: `NAME-VERSION.kpkg`, `.deb`, `pac/NAME-VERSION.pkg.tar`.
    fn made(&self, name: &str, version: usize, files: usize) -> Result<()> {
        let full = format!("{name}-{version}");
        for index in 0..files {
            let folder = self.stage.dir().join(format!("tree/{full}/usr/share/{name}/{:02}", index % 50));
            fs::create_dir_all(&folder)?;
            let line = format!("file {index} of {full}\n");
            fs::write(folder.join(format!("{index}.dat")), line.repeat(1 + index * 7919 % 300))?;
        }
        self.stage.shell(&format!(
            "name={name} version={version} n={full} t=tree/{full}
            {pkg} pack $t -o $n.kpkg -q -m name=$name -m version=$version -m release=1 || exit 1
            mkdir $t/DEBIAN && printf 'Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: none <none>\\nDescription: none\\n' $name $version > $t/DEBIAN/control
            dpkg-deb -Znone --root-owner-group -b $t $n.deb && {PACMAN_PACK}",
            pkg = self.pkg.display()
        ))
    }

    /// The shell's words for an empty root that `pkg` may install into, with the names that packages give files to.
    fn empty(&self, root: &str) -> String {
        format!(
            "{} && mkdir -p {root}/etc && cp /usr/share/base-passwd/passwd.master {root}/etc/passwd && cp /usr/share/base-passwd/group.master {root}/etc/group \
             && {} trust key add key.pub --tier trusted --root {root} && sync -f .",
            clear(root),
            self.pkg.display()
        )
    }

    fn pkg_install(&self, root: &str) -> String {
        format!("{} install -q -y --ignore-relations --skip-scripts --root {root}", self.pkg.display())
    }

    fn install(&self) -> Vec<Case> {
        // Also where the system forgets within minutes what nobody reads.
        let warm = |root: String, packages: &str| format!("{root} && cat {packages} > /dev/null");
        let install = self.pkg_install("out");
        vec![
            Case::new(
                "tar xf of all, sync -f",
                "tar",
                warm(format!("{} && mkdir out && sync -f .", clear("out")), "tar/*.tar"),
                "for t in tar/*.tar; do tar xf $t -C out || exit 1; done; sync -f out",
            ),
            Case::new(
                "pkg install, .kpkg",
                "sh",
                warm(self.empty("out"), "kpkg/*.kpkg"),
                format!("{install} kpkg/*.kpkg"),
            ),
            Case::new(
                "pkg install, .kpkg.zst",
                "sh",
                warm(self.empty("out"), "zst/*.kpkg.zst"),
                format!("{install} zst/*.kpkg.zst"),
            ),
            Case::new(
                "dpkg --unpack",
                "dpkg",
                warm(dpkg_root("out"), "deb/*.deb"),
                format!("{DPKG} --root=out --unpack deb/*.deb"),
            ),
            Case::new(
                "dpkg --unpack --force-unsafe-io",
                "dpkg",
                warm(dpkg_root("out"), "deb/*.deb"),
                format!("{DPKG} --force-unsafe-io --root=out --unpack deb/*.deb"),
            ),
            Case::new(
                "pacman -U (no sync)",
                "pacman",
                warm(pacman_root("out"), "pac/1*.pkg.tar"),
                format!("{PACMAN} --root out --dbpath out/var/lib/pacman -U pac/1*.pkg.tar"),
            ),
        ]
    }

    fn prepare_roots(&self) -> Result<()> {
        if self.stage.dir().join("ours").exists() {
            return Ok(());
        }
        for script in [
            format!("{} && {} kpkg/*.kpkg", self.empty("ours"), self.pkg_install("ours")),
            format!("{} && {DPKG} --force-unsafe-io --root=dpkg --unpack deb/*.deb", dpkg_root("dpkg")),
            format!(
                "{} && {PACMAN} --root pacman --dbpath pacman/var/lib/pacman -U pac/1*.pkg.tar",
                pacman_root("pacman")
            ),
        ] {
            self.stage.shell(&script)?;
        }
        self.stage.shell("sync -f .")
    }

    fn change(&self) -> Vec<Case> {
        let (install, pkg) = (self.pkg_install("ours"), self.pkg.display());
        let dpkg = format!("{DPKG} --root=dpkg");
        let pacman = format!("{PACMAN} --root pacman --dbpath pacman/var/lib/pacman");
        let old = |command: &str| format!("{command}; sync -f .");
        vec![
            Case::new("true", "sh", "true", "exec true"),
            Case::new(
                "pkg install, upgrade",
                "sh",
                old(&format!("{install} small-1.kpkg")),
                format!("exec {install} small-2.kpkg"),
            ),
            Case::new(
                "pkg remove",
                "sh",
                old(&format!("{install} small-1.kpkg")),
                format!("exec {pkg} remove -q -y --root ours small"),
            ),
            Case::new(
                "dpkg -i, upgrade",
                "dpkg",
                old(&format!("{dpkg} -i small-1.deb")),
                format!("exec {dpkg} -i small-2.deb"),
            ),
            Case::new(
                "dpkg --purge",
                "dpkg",
                old(&format!("{dpkg} -i small-1.deb")),
                format!("exec {dpkg} --purge small"),
            ),
            Case::new(
                "pacman -U, upgrade (no sync)",
                "pacman",
                old(&format!("{pacman} -U pac/small-1.pkg.tar")),
                format!("exec {pacman} -U pac/small-2.pkg.tar"),
            ),
            Case::new(
                "pacman -R (no sync)",
                "pacman",
                old(&format!("{pacman} -U pac/small-1.pkg.tar")),
                "exec pacman --noconfirm --noscriptlet -dd --config pacman.conf --root pacman --dbpath pacman/var/lib/pacman -R small",
            ),
        ]
    }

    fn questions(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        let pacman = "exec pacman --config pacman.conf --root pacman --dbpath pacman/var/lib/pacman";
        let ask = |name: &str, needs, script: String| Case::new(name, needs, "true", format!("{script} >/dev/null"));
        vec![
            ask("true", "sh", "exec true".to_owned()),
            ask("pkg list", "sh", format!("exec {pkg} list --root ours")),
            ask("pkg owner", "sh", format!("exec {pkg} owner --root ours /bin/bash")),
            ask("pkg info", "sh", format!("exec {pkg} info --root ours bash")),
            Case::new(
                "pkg install, nothing to do",
                "sh",
                format!("{} small-1.kpkg", self.pkg_install("ours")),
                format!("exec {} small-1.kpkg", self.pkg_install("ours")),
            ),
            ask("dpkg -l", "dpkg-query", "exec dpkg-query --admindir=dpkg/var/lib/dpkg -l".to_owned()),
            ask("dpkg -S", "dpkg-query", "exec dpkg-query --admindir=dpkg/var/lib/dpkg -S /bin/bash".to_owned()),
            ask("pacman -Q", "pacman", format!("{pacman} -Q")),
            ask("pacman -Qo", "pacman", format!("{pacman} -Qo pacman/bin/bash")),
        ]
    }

    fn verify(&self) -> Vec<Case> {
        let pkg = self.pkg.display();
        vec![
            Case::new(
                "sha256sum of every file, two at a time",
                "sha256sum",
                "true",
                "find ours -type f -print0 | xargs -0 -P2 -n500 sha256sum > /dev/null",
            ),
            Case::new("pkg verify", "sh", "true", format!("{pkg} verify --root ours")),
            Case::new("dpkg --verify", "dpkg", "true", "dpkg --root=dpkg --verify > /dev/null || true"),
        ]
    }

    fn prepare_large(&self) -> Result<()> {
        self.made("large", 1, 15_000)?;
        self.stage.shell(&format!("{} trust sign -q large-1.kpkg --key key", self.pkg.display()))
    }

    fn remove(&self) -> Vec<Case> {
        vec![
            Case::new(
                "pkg remove",
                "sh",
                format!("{} && {} large-1.kpkg && sync -f .", self.empty("out"), self.pkg_install("out")),
                format!("{} remove -q -y --root out large", self.pkg.display()),
            ),
            Case::new(
                "dpkg --purge",
                "dpkg",
                format!("{} && {DPKG} --root=out -i large-1.deb && sync -f .", dpkg_root("out")),
                format!("{DPKG} --root=out --purge large"),
            ),
            Case::new(
                "pacman -R (no sync)",
                "pacman",
                format!(
                    "{} && {PACMAN} --root out --dbpath out/var/lib/pacman -U pac/large-1.pkg.tar && sync -f .",
                    pacman_root("out")
                ),
                "pacman --noconfirm --noscriptlet -dd --config pacman.conf --root out --dbpath out/var/lib/pacman -R large",
            ),
        ]
    }

    /// Roots of 100 and of 3,000 packages with ten files each.
    fn prepare_growth(&self) -> Result<()> {
        let pkg = self.pkg.display();
        self.stage.shell(&format!(
            "mkdir many && for i in $(seq 3000); do
                t=tree/many-$i/usr/share/many/$i && mkdir -p $t && for f in 1 2 3 4 5 6 7 8 9 10; do echo $f of $i > $t/$f; done
                {pkg} pack tree/many-$i -o many/$i.kpkg -q -m name=many-$i -m version=1 -m release=1 || exit 1
            done
            {pkg} trust sign -q many/*.kpkg --key key"
        ))?;
        for root in GROWTH {
            self.stage.shell(&format!(
                "{} && {} $(ls many/*.kpkg | head -n {root}) && sync -f .",
                self.empty(&format!("of-{root}")),
                self.pkg_install(&format!("of-{root}"))
            ))?;
        }
        Ok(())
    }

    fn growth(&self) -> Vec<Case> {
        let case = |packages: &usize| {
            let install = self.pkg_install(&format!("of-{packages}"));
            Case::new(
                format!("pkg install, upgrade among {packages}"),
                "sh",
                format!("{install} small-1.kpkg && sync -f ."),
                format!("exec {install} small-2.kpkg"),
            )
        };
        GROWTH.iter().map(case).collect()
    }
}

const GROWTH: [usize; 3] = [100, 1_000, 3_000];

fn dpkg_root(root: &str) -> String {
    format!(
        "{} && mkdir -p {root}/var/lib/dpkg/info {root}/var/lib/dpkg/updates && touch {root}/var/lib/dpkg/status && sync -f .",
        clear(root)
    )
}

fn pacman_root(root: &str) -> String {
    format!("{} && mkdir -p {root}/var/lib/pacman {root}/var/cache {root}/etc && sync -f .", clear(root))
}
