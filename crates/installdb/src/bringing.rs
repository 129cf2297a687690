//! The files with users and groups that packages bring themselves, and that others of the same change want users in.

use std::collections::HashMap;

use pkgformat::{Entry, Use};
use pkgfs::{FileKind, Root};
use pkgtypes::{Digest, PkgPath};

use crate::accounts::{FILES, account_file};
use crate::content::{content, digest_of};
use crate::displaced::Manner;
use crate::error::{GONE, Result};
use crate::request::{Content, Unowned};
use crate::tree::{Before, Node};
use crate::work::Work;
use crate::{Installed, home};

/// What packages are going to put there, where that is known beforehand.
pub(crate) fn find(db: &Installed, work: &Work<'_>) -> Result<HashMap<PkgPath, Vec<u8>>> {
    let mut found = HashMap::new();
    for file in FILES {
        let packages = work.packages();
        let file = home::found(&db.root, file)?;
        let place = work.tree.nodes.binary_search_by(|node| packages.entry(node).path.cmp(&file));
        let Some(node) = place.ok().map(|place| &work.tree.nodes[place]) else { continue };
        let entry = packages.entry(node);
        if let Some(digest) = account_file(entry)
            && comes(&db.root, work, node, entry)?
            && let Some(content) = known(db, work, node.source.package, digest)?
        {
            found.insert(entry.path.clone(), content);
        }
    }
    Ok(found)
}

/// Whether the package's is going to stand there. Where the survey comes to another answer, the change is refused.
fn comes(root: &Root, work: &Work<'_>, node: &Node, entry: &Entry) -> Result<bool> {
    let stat = match root.stat(&entry.path) {
        Err(error) if GONE.contains(&error.kind) => None,
        stat => stat?,
    };
    let Some(stat) = stat else { return Ok(true) };
    if stat.kind != FileKind::File {
        return Ok(false);
    }
    let disk = Some(digest_of(root, &entry.path)?);
    let replaces = work.options.unowned == Unowned::Replace
        || work.options.unowned == Unowned::Refuse && work.ground.again(&entry.path) == Some(Manner::Replaced);
    Ok(match node.before {
        Before::Nobody => replaces || disk == content(entry),
        Before::Outgoing(old) if entry.uses.contains(&Use::Config) => {
            disk == content(entry) || disk == content(work.packages().old_entry(old))
        }
        Before::Outgoing(_) => true,
        Before::Staying { .. } => false,
    })
}

fn known(db: &Installed, work: &Work<'_>, package: usize, digest: Digest) -> Result<Option<Vec<u8>>> {
    if let Some(content) = work.incoming[package].known.get(&digest) {
        return Ok(Some(content.clone()));
    }
    match work.contents[package] {
        Content::Stock(_) => db.original(&digest),
        Content::Package(_) => Ok(None),
    }
}
