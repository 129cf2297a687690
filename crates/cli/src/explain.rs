//! An error, told: what, why, what to do; and its exit code.

use builder::{Error as BuildError, FailedScript};
use installdb::ErrorKind as InstallKind;
use recipe::RecipeError;
use rustix::io::Errno;

use crate::failure::{Failure, Interrupted};
use crate::render::Voice;
use crate::{cmd, exit, signals};

/// Tells an error and gives its exit code.
pub(crate) fn failure(error: &anyhow::Error, voice: &Voice) -> u8 {
    if let Some(interrupted) = find::<Interrupted>(error) {
        return quiet_end(*interrupted);
    }
    if let Some(signal) = signals::pending().filter(|_| error.chain().any(is_stop)) {
        voice.status("stopped; nothing was changed");
        return quiet_end(Interrupted::Signal(signal));
    }
    let mut told = Vec::new();
    for cause in error.chain() {
        let text = text(cause);
        // Some errors say their cause themselves.
        if told.iter().any(|earlier: &String| earlier.ends_with(&text)) {
            continue;
        }
        if told.is_empty() {
            voice.error(&text);
        } else {
            voice.cause(&text);
        }
        told.push(text);
    }
    if let Some(failed) = find::<BuildError>(error) {
        tell_log(failed, voice);
    }
    let further = find::<installdb::Error>(error).map(installdb::Error::further_reasons).unwrap_or_default();
    if voice.verbose {
        further.iter().for_each(|reason| voice.cause(reason));
    } else if !further.is_empty() {
        voice.hint("`-v` names all reasons");
    }
    if let Some(hint) = hint(error) {
        voice.hint(hint);
    }
    code(error)
}

/// A broken pipe is no failure worth a word.
fn quiet_end(interrupted: Interrupted) -> u8 {
    match interrupted {
        Interrupted::BrokenPipe => exit::DONE,
        Interrupted::Signal(signal) => u8::try_from(128 + signal).unwrap_or(exit::FAILED),
    }
}

/// The error's own words; trust's with their stable code before them.
fn text(cause: &(dyn std::error::Error + 'static)) -> String {
    match cause.downcast_ref::<trust::Error>() {
        Some(error) => format!("{}: {error}", error.code()),
        None => cause.to_string(),
    }
}

/// Whether an error only says that work was stopped.
fn is_stop(cause: &(dyn std::error::Error + 'static)) -> bool {
    let inner = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    inner.and_then(|inner| inner.downcast_ref::<Interrupted>()).is_some()
        || matches!(cause.downcast_ref(), Some(pkgtree::Error::Stopped))
        || matches!(cause.downcast_ref(), Some(installdb::Error::Stopped))
        || matches!(cause.downcast_ref(), Some(BuildError::Interrupted))
}

fn find<E: std::error::Error + Send + Sync + 'static>(error: &anyhow::Error) -> Option<&E> {
    error.chain().find_map(|cause| cause.downcast_ref())
}

/// The exit code: the innermost error that knows one decides, since it is the cause.
fn code(error: &anyhow::Error) -> u8 {
    error.chain().filter_map(code_of).last().unwrap_or(exit::FAILED)
}

fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    // What a reader put into an `io::Error` is no link of the chain.
    if let Some(inner) = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return code_of(inner);
    }
    if let Some(failure) = cause.downcast_ref::<Failure>() {
        return Some(failure.code());
    }
    if let Some(error) = cause.downcast_ref::<installdb::Error>() {
        return Some(install_code(error.kind()));
    }
    if let Some(error) = cause.downcast_ref::<pkgformat::Error>() {
        return format_code(error);
    }
    if let Some(pkgtree::Error::Format(error)) = cause.downcast_ref() {
        return format_code(error);
    }
    if let Some(error) = cause.downcast_ref::<RecipeError>() {
        return Some(recipe_code(error));
    }
    if let Some(error) = cause.downcast_ref::<fetch::Error>() {
        return Some(fetch_code(error));
    }
    if let Some(error) = cause.downcast_ref::<BuildError>() {
        return build_code(error);
    }
    if let Some(error) = cause.downcast_ref::<convert::Error>() {
        return convert_code(error);
    }
    if let Some(error) = cause.downcast_ref::<pkgfs::Error>() {
        let busy = matches!(error.kind, pkgfs::ErrorKind::Locked { .. });
        return Some(if busy { exit::BUSY } else { exit::FAILED });
    }
    let distrusted =
        cause.is::<trust::Refusal>() || cause.is::<codec::Exceeded>() || cause.is::<archive::ArchiveError>();
    if distrusted {
        return Some(exit::NOT_TRUSTED);
    }
    cause.downcast_ref::<trust::Error>().map(cmd::trust::exit_code)
}

/// A foreign package that is not what it must be is malformed; a disk that fails is not the package's fault.
fn convert_code(error: &convert::Error) -> Option<u8> {
    match error {
        convert::Error::Package(error) => format_code(error),
        convert::Error::Spool(_) => Some(exit::FAILED),
        convert::Error::Input(source) | convert::Error::Archive(archive::ArchiveError::Io { source, .. })
            if source.raw_os_error().is_some() =>
        {
            Some(exit::FAILED)
        }
        _ => Some(exit::NOT_TRUSTED),
    }
}

fn fetch_code(error: &fetch::Error) -> u8 {
    match error {
        fetch::Error::WrongDigest { .. } | fetch::Error::StaleDigest { .. } => exit::NOT_TRUSTED,
        fetch::Error::Disk(_) | fetch::Error::Settings { .. } | fetch::Error::Read { .. } | fetch::Error::Thread(_) => {
            exit::FAILED
        }
        _ => exit::FETCH,
    }
}

fn install_code(kind: InstallKind) -> u8 {
    match kind {
        InstallKind::NoSolution => exit::NO_SOLUTION,
        InstallKind::Malformed => exit::NOT_TRUSTED,
        InstallKind::Unknown => exit::UNKNOWN,
        InstallKind::Refused => exit::REFUSED,
        InstallKind::Busy => exit::BUSY,
        InstallKind::NoRoom => exit::SANDBOX,
        _ => exit::FAILED,
    }
}

/// A package that is not what it must be is malformed; a disk that fails is not the package's fault.
fn format_code(error: &pkgformat::Error) -> Option<u8> {
    match error {
        pkgformat::Error::Read { problem: pkgformat::Problem::Io(source), .. } if source.raw_os_error().is_some() => {
            Some(exit::FAILED)
        }
        // The server's fault, not the package's.
        pkgformat::Error::Read { problem: pkgformat::Problem::Io(source), .. }
            if source.get_ref().and_then(|inner| inner.downcast_ref::<fetch::Error>()).is_some() =>
        {
            code_of(source)
        }
        pkgformat::Error::Write(_) => Some(exit::FAILED),
        _ => Some(exit::NOT_TRUSTED),
    }
}

fn recipe_code(error: &RecipeError) -> u8 {
    match error {
        RecipeError::Cycle { .. } | RecipeError::Conflict { .. } | RecipeError::Unprovided { .. } => exit::NO_SOLUTION,
        RecipeError::UnknownName { needed_by: None, .. }
        | RecipeError::NoVersion { needed_by: None, .. }
        | RecipeError::UnknownOutput { needed_by: None, .. } => exit::UNKNOWN,
        RecipeError::UnknownName { .. } | RecipeError::NoVersion { .. } | RecipeError::UnknownOutput { .. } => {
            exit::NO_SOLUTION
        }
        _ => exit::FAILED,
    }
}

fn build_code(error: &BuildError) -> Option<u8> {
    match error {
        // The room was there; what should run in it was not.
        BuildError::Room { error: sandbox::Error::Exec { .. }, .. } => Some(exit::FAILED),
        BuildError::Room { .. } => Some(exit::SANDBOX),
        // Transparent ones stand for what is in them.
        BuildError::Recipe(error) => Some(recipe_code(error)),
        BuildError::Fetch(error) => Some(fetch_code(error)),
        BuildError::Failed(_) | BuildError::Result { .. } | BuildError::Unsupported { .. } => Some(exit::FAILED),
        _ => None,
    }
}

/// What a failed build wrote last, and where all of it is.
fn tell_log(error: &BuildError, voice: &Voice) {
    let BuildError::Failed(failed) = error else { return };
    let FailedScript { first_error, tail, log, kept, .. } = &**failed;
    if let Some(first) = first_error.as_ref().filter(|first| !tail.contains(first)) {
        voice.status(format_args!("first error: {first}"));
    }
    voice.status(format_args!("last lines of the log:"));
    tail.iter().for_each(|line| voice.status(format_args!("  {line}")));
    voice.status(format_args!("whole log: {}", log.display()));
    match kept {
        Some(folder) => voice.status(format_args!("the build's folder: {}", folder.display())),
        None => voice.status("the build's folder is gone; `--keep` keeps it"),
    }
    voice.hint("`--shell-on-failure` opens a shell in the room as the script left it, `--shell` one before it runs");
}

fn hint(error: &anyhow::Error) -> Option<String> {
    if let Some(hint) = find::<Failure>(error).and_then(Failure::hint_text) {
        return Some(hint.to_owned());
    }
    if let Some(refusal) = find::<trust::Refusal>(error) {
        return Some(refusal.cure.clone()).filter(|cure| !cure.is_empty());
    }
    if let Some(BuildError::Source { recipe, error: fetch::Error::Nowhere { .. }, .. }) = find(error)
        && recipe.release.0 == 0
    {
        return Some("a seed's pin may have moved: `pkg bootstrap SET --relock` pins what apt has now".to_owned());
    }
    if let Some(BuildError::Source { error: fetch::Error::Offline { .. }, .. }) = find(error) {
        return Some(
            "without `--offline` it would be fetched; `pkg fetch --from-dir DIR` takes it from a folder".to_owned(),
        );
    }
    if find::<pkgformat::Error>(error).is_some_and(is_foreign) {
        return Some("`pkg convert FILE -o NAME.kpkg` makes a package of one of another kind".to_owned());
    }
    if error.chain().any(is_out_of_threads) {
        return Some("raise the limit on processes (`ulimit -u`), or end some, then say it once more".to_owned());
    }
    if error.chain().any(is_out_of_files) {
        return Some("raise the limit on open files (`ulimit -n`)".to_owned());
    }
    match find::<installdb::Error>(error)? {
        installdb::Error::Busy { .. } => Some("wait until the other process is done, then try again".to_owned()),
        installdb::Error::Displaced { .. } => Some(DISPLACED.to_owned()),
        installdb::Error::Interrupted { source, .. } if matches!(**source, installdb::Error::Displaced { .. }) => {
            Some(DISPLACED.to_owned())
        }
        installdb::Error::Interrupted { .. } | installdb::Error::InDoubt { .. } => {
            Some("`pkg recover` goes on once the cause is gone".to_owned())
        }
        installdb::Error::Refused(findings)
            if findings.iter().any(|found| matches!(found, installdb::Finding::Unowned { .. }))
                && !findings.iter().any(|found| matches!(found, installdb::Finding::Reserved { .. })) =>
        {
            Some("`--unowned adopt` keeps such files, `--unowned replace` replaces them".to_owned())
        }
        installdb::Error::Refused(findings) if findings.iter().any(is_kept_by_another) => Some(
            "say it as the user who keeps it; `--cache DIR` takes package files from a folder, `--skip-missing` leaves \
             such packages as they are"
                .to_owned(),
        ),
        installdb::Error::Refused(findings)
            if findings.iter().any(|found| matches!(found, installdb::Finding::NotKept { .. })) =>
        {
            Some(
                "`--cache DIR` takes package files from a folder, `--skip-missing` leaves such packages as they are"
                    .to_owned(),
            )
        }
        installdb::Error::Refused(findings)
            if findings.iter().any(|found| matches!(found, installdb::Finding::Denied { .. })) =>
        {
            Some("say it as root, or as the user whose folder it is, once he may write there (`chmod u+w`)".to_owned())
        }
        installdb::Error::ChangedSince { txn, .. } => {
            Some(format!("`pkg rollback {}` takes all that came after it back, too", txn - 1))
        }
        installdb::Error::Changed { package, .. } => {
            Some(format!("`pkg fix {package} --config --from FILE` brings them back from a package file"))
        }
        installdb::Error::Unrecovered { .. } => Some("`pkg recover` does it, and so does the next change".to_owned()),
        installdb::Error::NoPackages { txn } => Some(format!(
            "`pkg history {txn}` says what it was; `pkg config list` says where earlier versions of files are kept"
        )),
        installdb::Error::NoNewVersion { .. } => Some("`pkg config list` says which files have one".to_owned()),
        installdb::Error::Unfinished { .. } => {
            Some("a later version of this program began it, and goes on with it or gives it up".to_owned())
        }
        installdb::Error::Damaged { .. } => {
            Some("look after the disk, and put the file back from a backup".to_owned())
        }
        installdb::Error::PathTooLong { .. } => {
            Some("mount or bind the root at a shorter path, and name that one".to_owned())
        }
        installdb::Error::NoDatabase { .. } => {
            Some("nothing was installed into this root yet; `--root DIR` names another".to_owned())
        }
        installdb::Error::Unmet(_) => Some(
            "give the package files of what is missing, too, or take out what clashes or needs what goes; \
             `--ignore-relations` goes ahead"
                .to_owned(),
        ),
        installdb::Error::Disk(error)
            if error.operation == "open the tree"
                && matches!(error.kind, pkgfs::ErrorKind::NotFound | pkgfs::ErrorKind::WrongType) =>
        {
            Some("`--root DIR` names a folder that is there".to_owned())
        }
        installdb::Error::Disk(error) if Errno::from_io_error(&error.source) == Some(Errno::FBIG) => Some(
            "raise the limit on the size of files (`ulimit -f`), if it is not the file system that takes no larger ones"
                .to_owned(),
        ),
        installdb::Error::Disk(error) => disk_hint(&error.kind),
        installdb::Error::Sqlite { .. } => {
            Some("look after free space, the quota and the disk, then say it once more".to_owned())
        }
        _ => None,
    }
}

fn is_kept_by_another(found: &installdb::Finding) -> bool {
    matches!(found, installdb::Finding::NotKept { keeper: Some(_), .. })
}

/// Whether what stands in a package's place begins as a package of another program does, or as one in a sqlite file.
fn is_foreign(error: &pkgformat::Error) -> bool {
    let pkgformat::Error::Read { problem: pkgformat::Problem::Magic { found }, .. } = error else { return false };
    matches!(found, b"!<ar" | [0xed, 0xab, 0xee, 0xdb] | b".PKG" | b".BUI" | b".MTR" | b".SIG" | b"SQLi")
}

const DISPLACED: &str = "put the folder back, or mount what belongs there, then say `pkg recover`; where it is really \
    gone, make an empty one, and `pkg fix` fills it";

/// Whether no thread could be started.
fn is_out_of_threads(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref(), Some(pkgtree::Error::Thread(_)))
        || matches!(cause.downcast_ref(), Some(installdb::Error::Thread(_)))
        || matches!(cause.downcast_ref(), Some(fetch::Error::Thread(_)))
}

/// Whether no more files could be opened, whoever tried.
fn is_out_of_files(cause: &(dyn std::error::Error + 'static)) -> bool {
    matches!(cause.downcast_ref().and_then(Errno::from_io_error), Some(Errno::MFILE | Errno::NFILE))
}

/// What can be done about a disk that does not play along.
fn disk_hint(kind: &pkgfs::ErrorKind) -> Option<String> {
    let hint = match kind {
        pkgfs::ErrorKind::NoSpace => "make room on that file system, then say it once more",
        pkgfs::ErrorKind::Quota => "make room or have the quota raised, then say it once more",
        pkgfs::ErrorKind::ReadOnly => "mount it so that it can be written, then say it once more",
        pkgfs::ErrorKind::Denied => "say it as a user who may do that",
        pkgfs::ErrorKind::Symlink => "put a file or folder in the place of the link",
        pkgfs::ErrorKind::Other => "look after the disk: the kernel's log (`dmesg`) may say more",
        _ => return None,
    };
    Some(hint.to_owned())
}
