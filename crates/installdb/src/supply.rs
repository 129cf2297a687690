//! Where the contents of packages that come back are.

use std::collections::{BTreeMap, HashMap};
use std::io;

use pkgformat::{Entry, EntryKind};
use pkgfs::Root;
use pkgtypes::{Digest, PkgPath};

use crate::content::digest_file;
use crate::error::Result;
use crate::layout::{Fate, Layout, What};
use crate::request::Content;
use crate::work::Work;
use crate::{Finding, Installed, kept};

/// The contents that are to be staged of one package: their sizes, and a path that each is for.
type Needed = BTreeMap<Digest, (u64, PkgPath)>;

/// Finds the contents of all returning packages, or says of which package what is missing.
///
/// Each is read and held against its digest, so that what was spoilt meanwhile is missing before anything is changed. Two
/// places are looked into: what was kept, and the files of packages that go. Only where something is missing then,
/// configuration files as they were brought, and the files of all installed packages.
pub(crate) fn locate(db: &Installed, work: &mut Work<'_>, layout: &Layout, findings: &mut Vec<Finding>) -> Result<()> {
    let mut going: Option<HashMap<Digest, Vec<PkgPath>>> = None;
    for package in 0..work.contents.len() {
        if !matches!(work.contents[package], Content::Stock(_)) {
            continue;
        }
        let mut missing = needed(work, layout, package);
        let kept = kept::find_all(db, missing.keys())?;
        let mut places = HashMap::new();
        for ((digest, (size, _)), kept) in missing.iter().zip(kept) {
            let going = going
                .get_or_insert_with(|| files(work.outgoing.iter().flat_map(|old| old.standing.entries(&old.record))));
            let known = kept.into_iter().chain(going.get(digest).into_iter().flatten().cloned());
            places.extend(first_good(&db.root, *digest, *size, known).map(|place| (*digest, place)));
        }
        missing.retain(|digest, _| !places.contains_key(digest));
        let mut originals = HashMap::new();
        for digest in missing.keys() {
            originals.extend(db.original(digest)?.map(|content| (*digest, content)));
        }
        missing.retain(|digest, _| !originals.contains_key(digest));
        places.extend(db.files_with(&missing.keys().copied().collect())?);
        missing.retain(|digest, _| !places.contains_key(digest));
        if let Some((digest, (_, path))) = missing.first_key_value() {
            let (package, more) = (work.incoming[package].record.meta().name.clone(), missing.len() - 1);
            let keeper = kept::keeper(db, *digest)?;
            findings.push(Finding::NotKept { package, path: Some(path.clone()), more, keeper });
        }
        if let Content::Stock(stock) = &mut work.contents[package] {
            stock.supply(places, originals);
        }
    }
    Ok(())
}

/// What of a package is going to be staged and is not empty.
fn needed(work: &Work<'_>, layout: &Layout, package: usize) -> Needed {
    let staged = layout.fates.iter().enumerate().filter(|(_, fate)| matches!(fate, Fate::Staged(_)));
    let beside = layout.stagings.iter().filter_map(|staging| match staging.what {
        What::Beside(node) => Some(node),
        _ => None,
    });
    let mut needed = BTreeMap::new();
    for node in staged.map(|(node, _)| node).chain(beside).map(|node| &work.tree.nodes[node]) {
        let entry = work.packages().entry(node);
        if let EntryKind::File { digest, size, .. } = entry.kind
            && node.source.package == package
            && size > 0
        {
            needed.entry(digest).or_insert_with(|| (size, entry.path.clone()));
        }
    }
    needed
}

fn files<'a>(entries: impl Iterator<Item = &'a Entry>) -> HashMap<Digest, Vec<PkgPath>> {
    let mut files: HashMap<Digest, Vec<PkgPath>> = HashMap::new();
    for entry in entries {
        if let EntryKind::File { digest, .. } = entry.kind {
            files.entry(digest).or_default().push(entry.path.clone());
        }
    }
    files
}

/// The first of these files that has the content.
fn first_good(root: &Root, digest: Digest, size: u64, mut places: impl Iterator<Item = PkgPath>) -> Option<PkgPath> {
    places.find(|place| has_content(root, place, digest, size).unwrap_or(false))
}

fn has_content(root: &Root, place: &PkgPath, digest: Digest, size: u64) -> io::Result<bool> {
    let opened = root.at(place).and_then(|place| place.open_with_stat());
    let (file, stat) = opened.map_err(|error| error.source)?;
    Ok(stat.size == size && digest_file(file)? == digest)
}
