//! What staging would find out without a trace on the disk: whether packages hold what they promise, and whether their
//! scripts can run.

use pkgformat::{Reader, ScriptKind};
use pkgtypes::Digest;

use crate::brought::{Aside, Findings, Script};
use crate::error::Result;
use crate::layout::Layout;
use crate::request::{Content, Source};
use crate::stage::read_whole;
use crate::stage::runnable;
use crate::work::Work;
use crate::{Error, Event, InstallDb, Progress};

/// Reads every package to its end.
pub(crate) fn run(db: &InstallDb, mut work: Work<'_>, layout: &Layout, progress: &mut dyn Progress) -> Result<()> {
    let mut scripts = Vec::new();
    for (package, content) in std::mem::take(&mut work.contents).into_iter().enumerate() {
        let meta = work.incoming[package].record.meta();
        let kinds: Vec<(ScriptKind, Digest)> = meta.scripts.iter().collect();
        match content {
            Content::Package(reader) => {
                let malformed = |source| Error::Package { package: meta.name.clone(), source };
                scripts.extend(read(package, &kinds, *reader).map_err(malformed)?);
            }
            Content::Stock(stock) => scripts.extend(kinds.iter().filter_map(|(kind, digest)| {
                let content = stock.scripts.get(digest)?.clone();
                Some(Script { package, kind: *kind, digest: *digest, content })
            })),
        }
        if progress.report(Event::Verified { package: &meta.name }).is_break() {
            return Err(Error::Stopped);
        }
    }
    if !work.options.skip_scripts {
        let aside = Aside { scripts, ..Aside::default() };
        runnable(db, &work, layout, &Findings { aside, ..Findings::default() })?;
    }
    Ok(())
}

/// The package's scripts.
fn read(
    package: usize,
    kinds: &[(ScriptKind, Digest)],
    mut reader: Reader<Source<'_>>,
) -> pkgformat::Result<Vec<Script>> {
    let mut scripts = Vec::new();
    while let Some(mut blob) = reader.next_blob()? {
        let digest = blob.digest();
        let mut kinds = kinds.iter().filter(|(_, known)| *known == digest).peekable();
        if kinds.peek().is_none() {
            std::io::copy(&mut blob, &mut std::io::sink())?;
            continue;
        }
        let content = read_whole(blob)?;
        scripts.extend(kinds.map(|(kind, digest)| Script {
            package,
            kind: *kind,
            digest: *digest,
            content: content.clone(),
        }));
    }
    Ok(scripts)
}
