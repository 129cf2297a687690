//! `pkg unpack FILE -C DIR`.

use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::Context;
use codec::Format;
use pkgformat::{Limits, Reader};
use pkgfs::Root;
use pkgtree::{Ownership, UnpackOptions, Unpacked, Unpacker};
use pkgtypes::{Mode, PkgPath};
use serde_json::json;

use crate::failure::Failure;
use crate::render::{self, Voice};
use crate::signals::Watch;
use crate::{exit, packages, places};

/// What to unpack, and where.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The package, compressed or not; `-` is standard input.
    file: PathBuf,
    /// The folder to unpack into; it is made when it is missing.
    #[arg(short = 'C', long = "directory", value_name = "DIR")]
    directory: PathBuf,
    /// Unpack into a folder that is not empty.
    #[arg(long)]
    into_existing: bool,
    /// Print what was unpacked as JSON.
    #[arg(long)]
    json: bool,
}

/// Unpacks a package, every checksum verified.
///
/// # Errors
/// A damaged package, a folder that is not empty, a full disk; a folder that was made is gone again then.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    let unpacked = match plain_file(&args.file)? {
        Some(file) => {
            let reader =
                file.try_clone().map_err(pkgformat::Error::from).and_then(|file| Reader::open(file, Limits::default()));
            let reader = reader.with_context(|| packages::unreadable(&args.file))?;
            unpack(args, &mut Watch, |options| Unpacker::of_file(reader, file, options))?
        }
        None => {
            let reader = packages::open(&args.file)?;
            unpack(args, &mut Watch, |options| Unpacker::new(reader, options))?
        }
    };
    report(args, &unpacked, voice)?;
    Ok(exit::DONE)
}

/// A package that is a file and not compressed: it can be read by all threads at once.
fn plain_file(path: &Path) -> anyhow::Result<Option<File>> {
    // A pipe gives its bytes once.
    let is_file = path.as_os_str() != "-" && std::fs::metadata(path).is_ok_and(|data| data.is_file());
    let Some(mut file) = is_file.then(|| File::open(path).ok()).flatten() else { return Ok(None) };
    let mut head = Vec::with_capacity(Format::MAGIC_LEN);
    let read = (&mut file).take(Format::MAGIC_LEN as u64).read_to_end(&mut head);
    read.and_then(|_| file.rewind()).with_context(|| packages::unreadable(path))?;
    Ok((Format::sniff(&head) == Format::Plain).then_some(file))
}

fn unpack<'a, R: Read>(
    args: &Args,
    watch: &'a mut Watch,
    unpacker: impl FnOnce(UnpackOptions) -> Unpacker<'a, R>,
) -> anyhow::Result<Unpacked> {
    let target = places::absolute(&args.directory)?;
    let cannot = || format!("cannot unpack {} into `{}`", packages::shown(&args.file), args.directory.display());
    let exists = std::fs::symlink_metadata(&target).is_ok();
    if exists {
        let root = Root::open(&target)?;
        if !args.into_existing && !root.read_dir(None)?.is_empty() {
            let what = format!("`{}` is not empty", args.directory.display());
            return Err(Failure::new(exit::REFUSED, what).hint("say `--into-existing` to add to what is there").into());
        }
        let options = options(&root)?;
        unpacker(options).progress(watch).into_existing(&root).with_context(cannot)
    } else {
        let (folder, name) = target
            .parent()
            .zip(target.file_name())
            .ok_or_else(|| Failure::new(exit::USAGE, "the folder has no name"))?;
        let root = Root::create(folder, Mode::from_raw(0o755))?;
        let options = options(&root)?;
        unpacker(options).progress(watch).create(&root, &PkgPath::from_os(name)?).with_context(cannot)
    }
}

fn options(root: &Root) -> anyhow::Result<UnpackOptions> {
    let mut options = UnpackOptions::default();
    options.ownership = Ownership::of_user(root)?;
    Ok(options)
}

fn report(args: &Args, unpacked: &Unpacked, voice: &Voice) -> anyhow::Result<()> {
    let missed = &unpacked.not_applied;
    if args.json {
        let devices: Vec<String> = missed.devices.iter().map(ToString::to_string).collect();
        let attributes: Vec<String> = missed.attributes.iter().map(ToString::to_string).collect();
        let special: Vec<String> = missed.special.iter().map(ToString::to_string).collect();
        return render::json(&json!({
            "format_version": 1,
            "id": unpacked.record.id().to_string(),
            "files": unpacked.summary.files,
            "bytes": unpacked.summary.bytes,
            "not_applied": { "owners": missed.owners, "devices": devices, "attributes": attributes, "special": special },
        }));
    }
    for device in &missed.devices {
        voice.warning(format_args!("the device `{device}` was not made: only root can"));
    }
    for path in &missed.attributes {
        voice.warning(format_args!("`{path}` lacks an attribute that this user or file system can not set"));
    }
    for path in &missed.special {
        voice.warning(format_args!("`{path}` runs with nobody's rights: it does not belong to whom the package says"));
    }
    if missed.owners > 0 {
        let paths = render::count(missed.owners, "path");
        voice.warning(format_args!(
            "not given to its owner, who is unknown here or to whom only root can give: {paths}"
        ));
    }
    let summary = &unpacked.summary;
    voice.status(format_args!(
        "unpacked {}, {}, into `{}`",
        render::count(summary.files, "path"),
        render::size(summary.bytes),
        args.directory.display()
    ));
    Ok(())
}
