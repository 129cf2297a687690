//! `pkg build SPEC..`.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context;
use builder::{BuildOptions, Builder, BuiltPackage};
use installdb::Options;
use pkgformat::PackageRecord;
use pkgfs::{Durability, Root};
use pkgtypes::{Mode, PkgPath};
use recipe::{DepSpec, PackageRef};
use serde_json::json;
use trust::{SigArchive, SignOptions, Signer, next_seq, sign_package};

use crate::building::Told;
use crate::change::{self, Change, Install, Manner};
use crate::failure::Failure;
use crate::options::{Workshop, size};
use crate::render::{self, Voice};
use crate::{exit, keys, packages, places, signals};

/// What to build, and what becomes of it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example: pkg build lua --into ./root\nSPEC is NAME, NAME/VERSION, NAME/VERSION/RELEASE or NAME>=VERSION."
)]
pub struct Args {
    /// Recipes to build, with all that they need.
    #[arg(required = true, value_name = "SPEC")]
    specs: Vec<DepSpec>,
    #[command(flatten)]
    workshop: Workshop,
    /// Put the packages, signed, into this folder.
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Install into this root, which is made, and told to trust the key, when it is new.
    #[arg(long, value_name = "ROOT")]
    into: Option<PathBuf>,
    /// Sign with this key: a file, or SHA256:.. of a key in the ssh-agent.
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    /// Jobs that make may run at once.
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// End a script when its processes use more memory (K, M, G, T are powers of 1024).
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory: Option<u64>,
    /// End a script when its build folder and its output have grown by more than this.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    disk: Option<u64>,
    /// Build again what was built before.
    #[arg(long)]
    rebuild: bool,
    /// Keep the folder of a failed build.
    #[arg(long)]
    keep: bool,
    /// Open a shell in the room instead of running the build.
    #[arg(long, conflicts_with_all = ["into", "output"])]
    shell: bool,
    /// When a script fails, open a shell in its room as the script left it.
    #[arg(long, conflicts_with = "shell")]
    shell_on_failure: bool,
    /// Fetch nothing.
    #[arg(long)]
    offline: bool,
    /// Tell events as JSON, one a line.
    #[arg(long)]
    json: bool,
}

/// Builds packages and everything they need; prints the paths of the packages.
///
/// # Errors
/// A recipe that is wrong, a source that can not be had, a build that fails, a root that refuses the packages.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let tree = args.workshop.recipes()?;
    let stop = || signals::pending().is_some();
    let mut options = BuildOptions {
        rebuild: args.rebuild,
        keep_failed: args.keep,
        shell_on_failure: args.shell_on_failure,
        offline: args.offline,
        ..BuildOptions::default()
    };
    options.jobs = args.jobs.unwrap_or(options.jobs);
    (options.limits.memory, options.limits.disk) = (args.memory, args.disk);
    let wanted: Vec<PackageRef> =
        args.specs.iter().map(|spec| tree.find_package(spec, None, None)).collect::<Result<_, _>>()?;
    let mut builder = args.workshop.builder(&tree, options, &stop)?;
    let mut told = Told::new(voice, args.json);
    if args.shell {
        let [package] = &wanted[..] else {
            return Err(Failure::new(exit::USAGE, "a shell is opened for one recipe").into());
        };
        return Ok(builder.shell(&package.recipe, &mut told)?.code());
    }
    // What would fail after a long build is found out before it.
    let output = args.output.as_deref().map(folder_to_write).transpose()?;
    let into = args.into.as_deref().map(folder_to_write).transpose()?;
    let signer = (output.is_some() || into.is_some()).then(|| keys::signer(args.key.as_deref(), voice)).transpose()?;
    builder.build(&wanted, &mut told)?;
    told.finish();
    let mut built: Vec<BuiltPackage> = wanted.iter().flat_map(|package| builder.packages(&package.recipe)).collect();
    built.dedup_by(|a, b| a.package == b.package);
    if let Some((folder, signer)) = output.as_ref().zip(signer.as_deref()) {
        for package in &mut built {
            package.path = give_away(package, folder, signer)?;
        }
    }
    for package in &built {
        if args.json {
            let line = json!({ "reason": "package", "name": package.package.output.as_str(), "id": package.id.to_string(), "path": package.path.display().to_string(), "built": package.fresh });
            render::json(&line)?;
        } else {
            render::data(package.path.display())?;
        }
    }
    if let Some((root, signer)) = into.as_ref().zip(signer.as_deref()) {
        let manner = Manner { yes: true, dry_run: false, json: args.json };
        install(&builder, &wanted, root.path(), signer, manner, voice)?;
    }
    Ok(exit::DONE)
}

/// A folder, made where it is missing.
fn folder_to_write(path: &Path) -> anyhow::Result<Root> {
    Ok(Root::create(places::absolute(path)?, Mode::from_raw(0o755))?)
}

/// Copies a package into a folder and puts its signature beside it.
fn give_away(package: &BuiltPackage, root: &Root, signer: &dyn Signer) -> anyhow::Result<PathBuf> {
    let name = PkgPath::from_os(package.path.file_name().unwrap_or_default())?;
    let mut source = std::fs::File::open(&package.path).with_context(|| packages::unreadable(&package.path))?;
    let target = pkgfs::TempFile::new_for(root, &name, Mode::from_raw(0o644))?;
    std::io::copy(&mut source, &mut target.file())
        .with_context(|| format!("cannot copy a package to `{}`", root.path().display()))?;
    target.persist(Durability::Atomic)?;
    let path = root.path().join(name.as_path());
    let record = packages::record(&path)?;
    SigArchive::update(SigArchive::path_beside(&path), |archive| sign(&record, signer, archive))?;
    Ok(path)
}

/// Adds a signature for a package to an archive.
fn sign(record: &PackageRecord, signer: &dyn Signer, archive: &mut SigArchive) -> trust::Result<()> {
    let now = keys::now();
    let options = SignOptions { seq: Some(next_seq(archive, record, signer, now)), ..SignOptions::local(now) };
    archive.insert(sign_package(record, signer, &options)?)
}

/// Signs the packages and all that they need to run, and installs what the root does not have yet.
fn install(
    builder: &Builder<'_>,
    wanted: &[PackageRef],
    root: &Path,
    signer: &dyn Signer,
    manner: Manner,
    voice: &Voice,
) -> anyhow::Result<()> {
    if let Some(file) = keys::trust_in_new_root(root, signer)? {
        voice.status(format_args!("the new root trusts your key and nothing else: `{}`", file.display()));
    }
    let mut needed: Vec<BuiltPackage> = Vec::new();
    for package in wanted {
        for other in builder.runtime(package)? {
            if !needed.iter().any(|known| known.package == other.package) {
                needed.push(other);
            }
        }
    }
    let installed = installed_ids(root)?;
    let is_new = |package: &&BuiltPackage| !installed.contains(&package.id);
    let archives: Vec<(PathBuf, bool, SigArchive)> = needed
        .iter()
        .filter(is_new)
        .map(|package| {
            let mut archive = SigArchive::new();
            sign(&packages::record(&package.path)?, signer, &mut archive)?;
            Ok((package.path.clone(), wanted.contains(&package.package), archive))
        })
        .collect::<anyhow::Result<_>>()?;
    if archives.is_empty() {
        voice.status(format_args!("`{}` has all of it already", root.display()));
    } else {
        let install = archives.iter().map(|(path, wanted, archive)| Install {
            path: path.clone(),
            wanted: *wanted,
            signatures: Some(archive),
        });
        let change = Change { install: install.collect(), options: Options::default(), ..Change::default() };
        change::run(root, change, manner, voice)
            .with_context(|| format!("cannot install into `{}`", root.display()))?;
    }
    tell_how_to_run(&needed, wanted, root, voice)
}

fn installed_ids(root: &Path) -> anyhow::Result<Vec<pkgtypes::PackageId>> {
    match installdb::Installed::open(root) {
        Ok(db) => Ok(db.list(&[])?.into_iter().map(|package| package.id).collect()),
        Err(installdb::Error::NoDatabase { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// The first command of what was asked for, as a line to copy.
fn tell_how_to_run(needed: &[BuiltPackage], wanted: &[PackageRef], root: &Path, voice: &Voice) -> anyhow::Result<()> {
    for package in needed.iter().filter(|package| wanted.contains(&package.package)) {
        let record = packages::record(&package.path)?;
        let commands: Vec<&str> =
            record.meta().provides.iter().filter_map(|offer| offer.capability.as_str().strip_prefix("cmd:")).collect();
        let own = commands.iter().find(|command| **command == package.package.output.as_str()).or(commands.first());
        if let Some(command) = own {
            voice.status(format_args!("run it: pkg sandbox --root {} -- {command}", shell_word(root)));
        }
    }
    Ok(())
}

/// A path as a shell takes it for one word.
fn shell_word(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.chars().all(|c| c.is_alphanumeric() || "/._-+,@:".contains(c));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
