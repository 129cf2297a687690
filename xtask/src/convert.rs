//! Real foreign packages, converted, unpacked, and compared with what their own tools make of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{BufReader, BufWriter, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use convert::{Converted, LossKind, Options, Scheme};
use pkgformat::{EntryKind, Limits, Manifest, PackageMeta, Reader};
use pkgfs::{Root, fd};
use pkgtree::{Names, Ownership, UnpackOptions, Unpacker};
use pkgtypes::{PkgPath, Timestamp};

/// Converts every package in `folder`, `limit` at most, and compares; every difference is printed.
pub(crate) fn compare(folder: &Path, limit: usize) -> Result<()> {
    ensure!(pkgfs::is_superuser(), "owners and devices can be compared by root alone");
    let packages = packages(folder)?;
    ensure!(!packages.is_empty(), "`{}` holds no .deb, .rpm or .pkg.tar.*", folder.display());
    let names = Names::load(&Root::open("/")?)?;
    let mut total = Total::default();
    for package in packages.iter().take(limit) {
        let scratch = Scratch::new(folder)?;
        let seen = Seen::of(package, &scratch.0, &names).with_context(|| package.display().to_string())?;
        seen.differences.iter().for_each(|line| println!("{}: {line}", package.display()));
        total.add(&seen);
    }
    total.print();
    ensure!(total.differences == 0, "{} differences", total.differences);
    Ok(())
}

/// Lets apt bring up to `count` of the packages that are installed here; false where it can not.
pub(crate) fn fetch(folder: &Path, count: usize) -> Result<bool> {
    fs::create_dir_all(folder)?;
    let folder = fs::canonicalize(folder)?;
    let listed = Command::new("dpkg-query").args(["-W", "-f", "${Package}\\n"]).output();
    let Ok(listed) = listed else { return Ok(false) };
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut others = listed.lines();
    let names: Vec<&str> = others.by_ref().take(count).collect();
    // One name that apt does not know is enough to have it bring none.
    if !download(&folder, &names) {
        let missing = names.iter().filter(|name| !download(&folder, &[name]));
        missing.for_each(|name| println!("apt does not bring `{name}`"));
    }
    // Others in the places of those, unless apt brings nothing at all.
    for name in others {
        let found = packages(&folder)?.len();
        if found == 0 || found >= count {
            break;
        }
        download(&folder, &[name]);
    }
    Ok(!packages(&folder)?.is_empty())
}

fn download(folder: &Path, names: &[&str]) -> bool {
    let options = ["-qq", "-o", "APT::Sandbox::User=root", "download"];
    let status = Command::new("apt-get").args(options).args(names).current_dir(folder).status();
    status.is_ok_and(|status| status.success())
}

fn packages(folder: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut packages: Vec<PathBuf> = listed.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    packages.retain(|path| kind(path).is_some());
    packages.sort();
    Ok(packages)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Deb,
    Rpm,
    Pacman,
}

fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".deb") {
        Some(Kind::Deb)
    } else if name.ends_with(".rpm") {
        Some(Kind::Rpm)
    } else {
        name.contains(".pkg.tar.").then_some(Kind::Pacman)
    }
}

/// A folder that goes when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new(folder: &Path) -> Result<Self> {
        let base = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let name = format!("kista-convert-{}", std::process::id());
        let path = if base.is_dir() { base.join(name) } else { folder.join(name) };
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // The next run would say so, by its name.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[derive(Default)]
struct Total {
    packages: usize,
    paths: usize,
    bytes: u64,
    relations: usize,
    unrestored: usize,
    losses: BTreeMap<LossKind, usize>,
    differences: usize,
}

impl Total {
    fn add(&mut self, seen: &Seen) {
        self.packages += 1;
        self.paths += seen.paths;
        self.bytes += seen.bytes;
        self.relations += seen.relations;
        self.unrestored += seen.unrestored;
        self.differences += seen.differences.len();
        seen.losses.iter().for_each(|kind| *self.losses.entry(*kind).or_default() += 1);
    }

    fn print(&self) {
        println!(
            "{} packages, {} paths, {} bytes of content, {} relations compared; {} differences",
            self.packages, self.paths, self.bytes, self.relations, self.differences
        );
        if self.unrestored > 0 {
            println!("{} folders whose time dpkg-deb lists and does not restore", self.unrestored);
        }
        for (kind, count) in &self.losses {
            println!("not kept, of the kind `{kind}`: {count}");
        }
    }
}

/// What was seen of one package.
#[derive(Default)]
struct Seen {
    /// Folders whose time the reference does not restore; what its own listing says of them counts.
    unrestored: usize,
    paths: usize,
    bytes: u64,
    relations: usize,
    losses: Vec<LossKind>,
    differences: Vec<String>,
}

impl Seen {
    fn of(package: &Path, scratch: &Path, names: &Names) -> Result<Self> {
        let kind = kind(package).context("it is of no known kind")?;
        let converted = convert(package, scratch)?;
        let (ours, theirs) = (scratch.join("ours"), scratch.join("theirs"));
        let mut seen = Self::default();
        write_and_unpack(&converted, scratch, names, &mut seen)?;
        fs::create_dir(&theirs)?;
        unpack_theirs(kind, package, &theirs)?;
        seen.losses = converted.report().losses.iter().map(|loss| loss.kind).collect();
        if kind == Kind::Deb {
            let real = converted.report().losses.iter().filter(|loss| loss.kind != LossKind::Script);
            seen.differences.extend(real.map(|loss| format!("not kept: {} {}: {}", loss.kind, loss.what, loss.why)));
            seen.compare_control(package, converted.record().meta())?;
        }
        let listed = if kind == Kind::Deb { Listed::of(package)? } else { Listed::default() };
        seen.compare_trees(&ours, &theirs, kind, &listed)?;
        if kind == Kind::Rpm {
            seen.compare_header(package, &ours, converted.record().manifest())?;
        }
        Ok(seen)
    }

    fn differ(&mut self, what: impl Into<String>) {
        self.differences.push(what.into());
    }

    fn compare_trees(&mut self, ours: &Path, theirs: &Path, kind: Kind, listed: &Listed) -> Result<()> {
        let (left, right) = (Tree::of(ours)?, Tree::of(theirs)?);
        self.paths += right.files.len();
        for path in left.files.keys().collect::<BTreeSet<_>>().symmetric_difference(&right.files.keys().collect()) {
            let side = if left.files.contains_key(*path) { "only ours" } else { "only theirs" };
            self.differences.push(format!("{side}: {}", path.display()));
        }
        for (path, mine) in &left.files {
            let Some(other) = right.files.get(path) else { continue };
            for what in differences(&ours.join(path), mine, &theirs.join(path), other, kind)? {
                if what.starts_with("time ") && mine.is_dir() && listed.has(path, mine.mtime()) {
                    self.unrestored += 1;
                    continue;
                }
                self.differences.push(format!("{}: {what}", path.display()));
            }
        }
        if left.links() != right.links() {
            self.differ("hard links differ");
        }
        Ok(())
    }

    /// Owners and capabilities, which rpm has in its header and not in its payload.
    fn compare_header(&mut self, package: &Path, ours: &Path, manifest: &Manifest) -> Result<()> {
        let format = "[%{FILENAMES}\\t%{FILEUSERNAME}\\t%{FILEGROUPNAME}\\t%{FILECAPS}\\n]";
        let output = Command::new("rpm").args(["-qp", "--nosignature", "--qf", format]).arg(package).output()?;
        ensure!(output.status.success(), "rpm -qp fails");
        for line in String::from_utf8(output.stdout)?.lines() {
            let [path, user, group, capabilities] = line.split('\t').collect::<Vec<_>>()[..] else {
                bail!("rpm -qp prints {line:?}");
            };
            let path = path.trim_start_matches('/');
            let entry = manifest.find(&PkgPath::new(path.as_bytes())?).with_context(|| format!("{path} is missing"))?;
            // A further name has the owner of the first one.
            let has_owner = !matches!(entry.kind, EntryKind::Hardlink { .. } | EntryKind::Ghost);
            if has_owner && (entry.owner.as_str(), entry.group.as_str()) != (user, group) {
                self.differ(format!("{path}: owner {}:{} instead of {user}:{group}", entry.owner, entry.group));
            }
            let said = if capabilities.is_empty() { String::new() } else { capabilities_of(&ours.join(path))? };
            if said != capabilities {
                self.differ(format!("{path}: capabilities {said:?} instead of {capabilities:?}"));
            }
        }
        Ok(())
    }

    /// Every relation as `dpkg-deb` prints it, said in our words a second time.
    fn compare_control(&mut self, package: &Path, meta: &PackageMeta) -> Result<()> {
        let field = |name: &str| -> Result<String> {
            let output = Command::new("dpkg-deb").arg("-f").arg(package).arg(name).output()?;
            ensure!(output.status.success(), "dpkg-deb -f fails");
            Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
        };
        let version = Scheme::Debian.version(&field("Version")?)?;
        if meta.name.as_str() != field("Package")? || meta.version != version {
            self.differ("name or version");
        }
        let summary = field("Description")?.lines().next().unwrap_or_default().trim().to_owned();
        if meta.description.first() != Some(&summary) {
            self.differ("description");
        }
        if meta.url.clone().unwrap_or_default() != field("Homepage")? {
            self.differ("homepage");
        }
        let text = |values: &[String]| values.iter().cloned().collect::<BTreeSet<String>>();
        let ours = [
            ("Depends,Pre-Depends", text(&strings(&meta.requires))),
            ("Recommends", text(&strings(&meta.recommends))),
            ("Suggests", text(&strings(&meta.suggests))),
            ("Provides", text(&strings(&meta.provides))),
            ("Conflicts,Breaks", text(&strings(&meta.conflicts))),
        ];
        for (fields, ours) in ours {
            let mut theirs = BTreeSet::new();
            for name in fields.split(',') {
                let value = field(name)?;
                theirs.extend(
                    value
                        .split(',')
                        .map(str::trim)
                        .filter(|item| !item.is_empty())
                        .map(said)
                        .collect::<Result<Vec<_>>>()?,
                );
            }
            self.relations += theirs.len();
            if ours != theirs {
                self.differ(format!("{fields}: {:?}", ours.symmetric_difference(&theirs).collect::<Vec<_>>()));
            }
        }
        Ok(())
    }
}

/// As `getcap` prints them behind the path.
fn capabilities_of(path: &Path) -> Result<String> {
    let output = Command::new("getcap").arg(path).output()?;
    let text = String::from_utf8(output.stdout)?;
    Ok(text.trim_end().rsplit_once(' ').map(|(_, capabilities)| capabilities.to_owned()).unwrap_or_default())
}

fn strings<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// A Debian relation in our spelling, by replacing words.
fn said(item: &str) -> Result<String> {
    let mut atoms = Vec::new();
    for atom in item.split('|') {
        let atom = atom.replace(['(', ')'], " ").replace("<<", " < ").replace(">>", " > ");
        let spaced = atom.replace(">=", " >= ").replace("<=", " <= ");
        let mut words = spaced.split_whitespace();
        let name = words.next().context("an empty relation")?;
        let name = name.split(':').next().unwrap_or(name);
        atoms.push(match (words.next(), words.next()) {
            (Some(op), Some(version)) => format!("{name} {op} {}", Scheme::Debian.version(version)?),
            _ => name.to_owned(),
        });
    }
    Ok(atoms.join(" | "))
}

fn convert(package: &Path, scratch: &Path) -> Result<Converted> {
    let spool = File::options().read(true).write(true).create_new(true).open(scratch.join("contents"))?;
    Ok(convert::read(BufReader::new(File::open(package)?), spool, &Options::default())?)
}

fn write_and_unpack(converted: &Converted, scratch: &Path, names: &Names, seen: &mut Seen) -> Result<()> {
    let file = scratch.join("package.kpkg");
    converted.write_to(BufWriter::new(File::create(&file)?))?;
    let reader = Reader::open(BufReader::new(File::open(&file)?), Limits::default())?;
    let mut options = UnpackOptions::default();
    options.ownership = Ownership::Set(names.clone());
    let unpacked = Unpacker::new(reader, options).create(&Root::open(scratch)?, &PkgPath::new(*b"ours")?)?;
    seen.bytes += unpacked.summary.bytes;
    if unpacked.not_applied.owners > 0 {
        seen.differ(format!("{} owners are unknown here", unpacked.not_applied.owners));
    }
    Ok(())
}

fn unpack_theirs(kind: Kind, package: &Path, folder: &Path) -> Result<()> {
    let package = fs::canonicalize(package)?;
    let status = match kind {
        Kind::Deb => Command::new("dpkg-deb").arg("-x").arg(&package).arg(folder).status(),
        Kind::Pacman => Command::new("bsdtar")
            .args(["-xpf"])
            .arg(&package)
            .arg("--exclude")
            .arg("./.*")
            .arg("--exclude")
            .args([".[A-Z]*", "-C"])
            .arg(folder)
            .status(),
        Kind::Rpm => {
            let mut rpm = Command::new("rpm2cpio").arg(&package).stdout(Stdio::piped()).spawn()?;
            let stream = rpm.stdout.take().context("rpm2cpio has an output")?;
            let status =
                Command::new("cpio").args(["-idm", "--quiet"]).current_dir(folder).stdin(Stdio::from(stream)).status();
            ensure!(rpm.wait()?.success(), "rpm2cpio fails");
            status
        }
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        other => bail!("its own tool can not unpack it: {other:?}"),
    }
}

/// The times of folders as `tar` lists them. It restores a folder's time when it thinks the folder complete, and forgets
/// it where more comes afterwards.
#[derive(Default)]
struct Listed(BTreeMap<PathBuf, String>);

impl Listed {
    fn of(package: &Path) -> Result<Self> {
        let mut deb = Command::new("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn()?;
        let stream = deb.stdout.take().context("dpkg-deb has an output")?;
        let list = ["--list", "--verbose", "--full-time", "--utc", "--quoting-style=literal", "--file", "-"];
        let output = Command::new("tar").args(list).stdin(Stdio::from(stream)).output()?;
        ensure!(deb.wait()?.success() && output.status.success(), "tar can not list the package");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Self(text.lines().filter_map(Self::folder).collect()))
    }

    /// `drwxr-xr-x root/root 0 2022-09-20 15:27:27 ./usr/bin/`
    fn folder(line: &str) -> Option<(PathBuf, String)> {
        let mut words = line.strip_prefix('d')?.split_whitespace().skip(3);
        let (day, clock, path) = (words.next()?, words.next()?, words.next()?);
        let path = path.trim_start_matches("./").trim_end_matches('/');
        Some((PathBuf::from(path), format!("{day}T{clock}Z")))
    }

    fn has(&self, path: &Path, seconds: i64) -> bool {
        let listed = self.0.get(path);
        listed.is_some() && listed.cloned() == Timestamp::from_seconds(seconds).to_utc()
    }
}

/// A tree of files, by path.
struct Tree {
    files: BTreeMap<PathBuf, Metadata>,
}

impl Tree {
    fn of(root: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(root.join(&folder))? {
                let path = folder.join(entry?.file_name());
                let data = fs::symlink_metadata(root.join(&path))?;
                if data.is_dir() {
                    folders.push(path.clone());
                }
                files.insert(path, data);
            }
        }
        Ok(Self { files })
    }

    /// The paths that are one file, of files with more than one.
    fn links(&self) -> BTreeSet<Vec<&PathBuf>> {
        let mut files: BTreeMap<(u64, u64), Vec<&PathBuf>> = BTreeMap::new();
        for (path, data) in self.files.iter().filter(|(_, data)| data.is_file() && data.nlink() > 1) {
            files.entry((data.dev(), data.ino())).or_default().push(path);
        }
        files.into_values().collect()
    }
}

fn differences(left: &Path, mine: &Metadata, right: &Path, other: &Metadata, kind: Kind) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    let mut differ = |what: &str, mine: String, other: String| {
        if mine != other {
            differences.push(format!("{what} {mine} instead of {other}"));
        }
    };
    differ("type", format!("{:?}", mine.file_type()), format!("{:?}", other.file_type()));
    if mine.file_type() != other.file_type() {
        return Ok(differences);
    }
    differ("mode", format!("{:o}", mine.mode()), format!("{:o}", other.mode()));
    // The numbers in rpm's payload are not those that rpm uses: it goes by the names in its header.
    if kind != Kind::Rpm {
        differ("owner", format!("{}:{}", mine.uid(), mine.gid()), format!("{}:{}", other.uid(), other.gid()));
    }
    // cpio does not restore the time of a link, and sets that of a folder before it fills it.
    if kind != Kind::Rpm || mine.is_file() {
        let time = |data: &Metadata| format!("{}.{:09}", data.mtime(), data.mtime_nsec());
        differ("time", time(mine), time(other));
    }
    if mine.is_symlink() {
        let target = |path: &Path| -> Result<OsString> { Ok(fs::read_link(path)?.into_os_string()) };
        let (mine, other) = (target(left)?, target(right)?);
        differ("target", mine.as_bytes().escape_ascii().to_string(), other.as_bytes().escape_ascii().to_string());
    } else if mine.file_type().is_char_device() || mine.file_type().is_block_device() {
        differ("device", mine.rdev().to_string(), other.rdev().to_string());
    } else if mine.is_file() || mine.is_dir() {
        // rpm's attributes stand in its header.
        if kind != Kind::Rpm {
            let attributes = |path: &Path| -> Result<String> { attributes(&File::open(path)?) };
            differ("attributes", attributes(left)?, attributes(right)?);
        }
    }
    if mine.is_file() && !is_same(left, right)? {
        differences.push("content".to_owned());
    }
    Ok(differences)
}

fn attributes(file: &File) -> Result<String> {
    let mut names = fd::xattr_names(file)?;
    names.sort();
    let mut text = String::new();
    for name in names {
        let value = fd::xattr(file, &name)?.unwrap_or_default();
        text.push_str(&format!("{}={} ", name.escape_ascii(), value.escape_ascii()));
    }
    Ok(text)
}

fn is_same(left: &Path, right: &Path) -> Result<bool> {
    let mut files = (File::open(left)?, File::open(right)?);
    let mut buffers = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let count = files.0.read(&mut buffers.0)?;
        if count == 0 {
            return Ok(files.1.read(&mut buffers.1)? == 0);
        }
        // A file that ends early is another one.
        if files.1.read_exact(&mut buffers.1[..count]).is_err() || buffers.0[..count] != buffers.1[..count] {
            return Ok(false);
        }
    }
}
