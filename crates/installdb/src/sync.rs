//! Bringing what was written to the disk, each file system once.

use pkgfs::{Batch, FileKind, Root};
use pkgtypes::PkgPath;

use crate::error::{GONE, Result};
use crate::home::Home;

/// Brings every file system that the paths are on to the disk, and that of the folder of what is `kept`.
pub(crate) fn filesystems<'p>(
    root: &Root,
    paths: impl Iterator<Item = &'p PkgPath>,
    kept: Option<PkgPath>,
) -> Result<()> {
    let mut synced = Vec::new();
    let mut last: Option<Option<PkgPath>> = None;
    let mut folders = Batch::new(root);
    if kept.is_some() {
        sync_once(&mut folders, kept, &mut synced)?;
    }
    for path in paths {
        let folder = path.parent();
        if last.as_ref() == Some(&folder) {
            continue;
        }
        sync_once(&mut folders, folder.clone(), &mut synced)?;
        last = Some(folder);
    }
    Ok(())
}

/// Brings what scripts wrote to the disk, as far as it is where scripts usually write.
pub(crate) fn written(root: &Root, home: &Home) -> Result<()> {
    let (mut folders, mut synced) = (Batch::new(root), Vec::new());
    let usr = PkgPath::new(b"usr".as_slice()).expect("three letters are a path");
    [None, Some(usr), Some(home.folder())].into_iter().try_for_each(|at| sync_once(&mut folders, at, &mut synced))
}

/// Syncs the file system of the folder, or of the nearest one above that exists, unless it is in the list.
fn sync_once(folders: &mut Batch<'_>, folder: Option<PkgPath>, synced: &mut Vec<u64>) -> Result<()> {
    let mut folder = folder;
    while let Some(path) = folder {
        match sync_folder(folders, &path, synced) {
            Err(error) if GONE.contains(&error.kind) => folder = path.parent(),
            answer => return Ok(answer?),
        }
    }
    let device = folders.root().stat_top()?.dev;
    if !synced.contains(&device) {
        folders.root().syncfs()?;
        synced.push(device);
    }
    Ok(())
}

fn sync_folder(folders: &mut Batch<'_>, path: &PkgPath, synced: &mut Vec<u64>) -> pkgfs::Result<()> {
    let there = folders.at(path)?.stat()?.filter(|stat| stat.kind == FileKind::Dir);
    let folder = match there {
        Some(stat) if synced.contains(&stat.dev) => return Ok(()),
        // What is no folder answers as what it is.
        _ => folders.root().sub(path)?,
    };
    folder.syncfs()?;
    synced.push(folder.stat_top()?.dev);
    Ok(())
}
