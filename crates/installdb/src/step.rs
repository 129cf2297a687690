//! What a transaction does to the tree, as it stands in the journal.

use pkgformat::Xattr;
use pkgfs::{Batch, ErrorKind, FileKind, Place, Root, Stat, fd};
use pkgtypes::{Mode, ParseError, PkgPath};
use rusqlite::{Connection, Row, Statement, types::Type};

use crate::error::{DbResult as _, GONE, Result};
use crate::placing::Placing;
use crate::stage::given;

/// One step. Each can be repeated: after it was done, doing it again changes nothing. That is what makes recovery a
/// matter of running the list once more from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// Takes away what is at the path, unless it is a folder.
    Remove(PkgPath),
    /// Takes away the folder at the path, unless something is left in it.
    RemoveDir(PkgPath),
    /// Renames the staged thing of this step's number to the path.
    Place(PkgPath),
    /// Gives something that stays, and is no symbolic link, another mode, and another owner and attributes.
    Attributes { path: PkgPath, mode: Mode, owner: Option<(u32, u32)>, xattrs: Vec<Xattr> },
}

impl Step {
    pub(crate) fn path(&self) -> &PkgPath {
        match self {
            Self::Remove(path) | Self::RemoveDir(path) | Self::Place(path) | Self::Attributes { path, .. } => path,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::Remove(_) => "remove",
            Self::RemoveDir(_) => "remove-dir",
            Self::Place(_) => "place",
            Self::Attributes { .. } => "attributes",
        }
    }
}

/// Where step `n` of transaction `txn` stages what it places at `path`: beside it, so that the rename stays inside one
/// folder, and so inside one file system.
///
/// # Errors
/// The path is so long that the staged name passes the limit of 4095 bytes.
pub(crate) fn staged_path(path: &PkgPath, txn: i64, n: usize) -> Result<PkgPath, ParseError> {
    path.with_file_name(format!(".kista.{txn}.{n}").as_bytes())
}

/// Where transaction `txn` tries names that come into the folder of `path`. No longer than any staged name.
///
/// # Errors
/// As [`staged_path`].
pub(crate) fn trial_path(path: &PkgPath, txn: i64) -> Result<PkgPath, ParseError> {
    path.with_file_name(format!(".kista.{txn}").as_bytes())
}

/// Whether no component of the path can be taken for a staged name.
pub(crate) fn is_reserved(path: &PkgPath) -> bool {
    path.components().any(|component| component.starts_with(b".kista."))
}

/// Writes the list to the journal.
pub(crate) fn save(conn: &Connection, steps: &[Step]) -> Result<()> {
    let insert = |statement: &mut Statement<'_>, n: usize, step: &Step| {
        let (mode, owner, xattrs) = match step {
            Step::Attributes { mode, owner, xattrs, .. } => (Some(mode.bits()), *owner, joined(xattrs)),
            _ => (None, None, None),
        };
        let (uid, gid) = (owner.map(|(uid, _)| uid), owner.map(|(_, gid)| gid));
        statement.execute((n as i64, step.action(), step.path().as_bytes(), mode, uid, gid, xattrs))
    };
    let write = || -> rusqlite::Result<()> {
        let query = "INSERT INTO steps (n, action, path, mode, uid, gid, xattrs) VALUES (?, ?, ?, ?, ?, ?, ?)";
        let mut statement = conn.prepare(query)?;
        for (n, step) in steps.iter().enumerate() {
            insert(&mut statement, n, step)?;
        }
        Ok(())
    };
    write().during("write the journal", conn)
}

/// Reads the list back from the journal.
pub(crate) fn load(conn: &Connection) -> Result<Vec<Step>> {
    let read = || -> rusqlite::Result<Vec<Step>> {
        let mut statement = conn.prepare("SELECT action, path, mode, uid, gid, xattrs FROM steps ORDER BY n")?;
        statement.query_map([], from_row)?.collect()
    };
    read().during("read the journal", conn)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Step> {
    let path = crate::column::path_column(row, 1)?;
    Ok(match row.get_ref(0)?.as_str()? {
        "remove" => Step::Remove(path),
        "remove-dir" => Step::RemoveDir(path),
        "place" => Step::Place(path),
        "attributes" => {
            let owner = row.get::<_, Option<u32>>(3)?.zip(row.get::<_, Option<u32>>(4)?);
            let xattrs = row.get::<_, Option<Vec<u8>>>(5)?.map_or_else(Vec::new, |bytes| split(&bytes));
            Step::Attributes { path, mode: Mode::from_raw(row.get(2)?), owner, xattrs }
        }
        other => {
            let reason = format!("`{other}` is no step of a journal");
            return Err(rusqlite::Error::FromSqlConversionFailure(0, Type::Text, reason.into()));
        }
    })
}

/// Stages one more name, which is going to be `target`, for the file at `source`; nothing where that is a name of it already:
/// a rename of one name of a file to another leaves both.
pub(crate) fn stage_name(root: &Root, source: &PkgPath, target: &PkgPath, staged: &PkgPath) -> Result<()> {
    let identity = |path| root.stat(path).map(|stat| stat.map(|stat| (stat.dev, stat.ino)));
    if identity(source)? != identity(target)? {
        root.hard_link(source, staged)?;
    }
    Ok(())
}

/// The mode that lets a folder's owner make and remove names in it.
pub(crate) fn opened(mode: Mode) -> Mode {
    Mode::from_raw(mode.bits() | 0o200)
}

/// The folders that a list begins with opening for their owner, and the modes that it gives them back.
fn shut(steps: &[Step]) -> Vec<(&PkgPath, Mode)> {
    let attributes = |step: &'_ Step| matches!(step, Step::Attributes { .. });
    let (opening, rest) = steps.split_at(steps.iter().take_while(|step| attributes(step)).count());
    if opening.is_empty() {
        return Vec::new();
    }
    let closing: Vec<&Step> = rest.iter().filter(|step| attributes(step)).collect();
    let closed = |open: &Step| {
        closing.iter().find_map(|close| match (open, close) {
            (Step::Attributes { path, mode: open, .. }, Step::Attributes { path: same, mode, .. })
                if path == same && mode != open && opened(*mode) == *open =>
            {
                Some((same, *mode))
            }
            _ => None,
        })
    };
    opening.iter().filter_map(closed).collect()
}

/// Opens for their owner what the list begins with opening, so that something can be staged there.
pub(crate) fn open(root: &Root, steps: &[Step]) -> Result<()> {
    let mut folders = Batch::new(root);
    shut(steps).into_iter().try_for_each(|(path, mode)| set_mode(&mut folders, path, mode, opened(mode)))
}

/// Gives a folder another mode, unless somebody did.
fn set_mode(folders: &mut Batch<'_>, path: &PkgPath, from: Mode, to: Mode) -> Result<()> {
    match standing(folders, path)? {
        Some((place, stat)) if stat.kind == FileKind::Dir && stat.mode == from => Ok(place.set_mode(to)?),
        _ => Ok(()),
    }
}

/// Does all steps that are still to do.
pub(crate) fn run(root: &Root, conn: &Connection, txn: i64, steps: &[Step]) -> Result<()> {
    let (mut folders, placing) = (Batch::new(root), Placing::new(root, conn, txn));
    let shut = shut(steps);
    for (n, step) in steps.iter().enumerate() {
        match step {
            Step::Attributes { path, mode, .. } if shut.contains(&(path, *mode)) => {
                set_mode(&mut folders, path, opened(*mode), *mode)?;
            }
            Step::Remove(path) => remove(&mut folders, path)?,
            Step::RemoveDir(path) => remove_dir(&mut folders, path)?,
            Step::Place(path) => placing.place(&mut folders, path, &checked_staged_path(path, txn, n))?,
            Step::Attributes { path, mode, owner, xattrs } => attributes(&mut folders, path, *mode, *owner, xattrs)?,
        }
    }
    Ok(())
}

fn checked_staged_path(path: &PkgPath, txn: i64, n: usize) -> PkgPath {
    staged_path(path, txn, n).expect("a path too long to be staged was refused before it came into a journal")
}

/// Takes away all that was staged.
pub(crate) fn discard(root: &Root, txn: i64, steps: &[Step]) -> Result<()> {
    for (n, step) in steps.iter().enumerate() {
        if let Step::Place(path) = step {
            ignore(root.remove_tree(&checked_staged_path(path, txn, n)), &GONE)?;
            if let Ok(trial) = trial_path(path, txn).map(|trial| root.remove_tree(&trial)) {
                ignore(trial, &GONE)?;
            }
        }
    }
    let mut folders = Batch::new(root);
    shut(steps).into_iter().try_for_each(|(path, mode)| set_mode(&mut folders, path, opened(mode), mode))
}

fn ignore(answer: pkgfs::Result<()>, kinds: &[ErrorKind]) -> Result<()> {
    match answer {
        Err(error) if kinds.contains(&error.kind) => Ok(()),
        other => Ok(other?),
    }
}

fn remove(folders: &mut Batch<'_>, path: &PkgPath) -> Result<()> {
    ignore(folders.at(path).and_then(|place| place.remove_file()), &GONE)
}

fn remove_dir(folders: &mut Batch<'_>, path: &PkgPath) -> Result<()> {
    let [absent, type_, link] = GONE;
    // Something may be mounted on it.
    let stays = [absent, type_, link, ErrorKind::NotEmpty, ErrorKind::InUse];
    ignore(folders.at(path).and_then(|place| place.remove_dir()), &stays)
}

/// Owner first, since a change of owner takes capabilities and setid bits away.
fn attributes(
    folders: &mut Batch<'_>,
    path: &PkgPath,
    mode: Mode,
    owner: Option<(u32, u32)>,
    xattrs: &[Xattr],
) -> Result<()> {
    let Some((place, stat)) = standing(folders, path)? else { return Ok(()) };
    if let Some((uid, gid)) = owner {
        place.set_owner(uid, gid)?;
    }
    if !xattrs.is_empty() {
        let file = if stat.kind == FileKind::Dir { place.open_dir() } else { place.open_file() }?;
        for xattr in xattrs {
            given(fd::set_xattr(&file, &xattr.name, &xattr.value))
                .map_err(|error| pkgfs::Error::new("set an extended attribute of", place.full_path(), error))?;
        }
    }
    Ok(place.set_mode(mode)?)
}

/// What stands at the path, unless nothing does, or a link.
fn standing<'a>(folders: &'a mut Batch<'_>, path: &'a PkgPath) -> Result<Option<(Place<'a>, Stat)>> {
    match folders.at(path).and_then(|place| Ok((place.stat()?, place))) {
        Ok((Some(stat), place)) if stat.kind != FileKind::Symlink => Ok(Some((place, stat))),
        Err(error) if !GONE.contains(&error.kind) => Err(error.into()),
        _ => Ok(None),
    }
}

/// Each name and each value with its length before it, in four bytes; nothing where there are none.
fn joined(xattrs: &[Xattr]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    for part in xattrs.iter().flat_map(|xattr| [&xattr.name, &xattr.value]) {
        bytes.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        bytes.extend(part);
    }
    (!bytes.is_empty()).then_some(bytes)
}

fn split(mut bytes: &[u8]) -> Vec<Xattr> {
    let mut part = || {
        let (length, rest) = bytes.split_first_chunk()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        bytes = rest;
        Some(part.to_vec())
    };
    std::iter::from_fn(|| Some(Xattr { name: part()?, value: part()? })).collect()
}
