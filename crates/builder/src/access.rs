//! A tree that its owner has shut parts of.

use std::collections::BTreeMap;

use pkgfs::{FileKind, Root};
use pkgtypes::{Mode, PkgPath};

use crate::Error;

/// Modes as the build left them, of what had to be opened to be read.
pub(crate) type Shut = BTreeMap<PkgPath, Mode>;

/// Lets the owner read every folder and file of a tree, so that a user packs what root could pack, and says what the
/// modes were.
pub(crate) fn open_up(tree: &Root) -> Result<Shut, Error> {
    let mut shut = Shut::new();
    let mut folders: Vec<Option<PkgPath>> = vec![None];
    while let Some(folder) = folders.pop() {
        for name in tree.read_dir(folder.as_ref())? {
            let path = match &folder {
                Some(folder) => folder.join(&name),
                None => PkgPath::new(name),
            };
            // A path longer than packages can hold is the packer's to refuse, with its name.
            let Ok(path) = path else { continue };
            let Some(stat) = tree.stat(&path)? else { continue };
            let needed = match stat.kind {
                FileKind::Dir => 0o700,
                FileKind::File => 0o400,
                _ => continue,
            };
            if stat.mode.bits() & needed != needed {
                tree.set_mode(&path, Mode::from_raw(stat.mode.bits() | needed))?;
                shut.insert(path.clone(), stat.mode);
            }
            if stat.kind == FileKind::Dir {
                folders.push(Some(path));
            }
        }
    }
    Ok(shut)
}
