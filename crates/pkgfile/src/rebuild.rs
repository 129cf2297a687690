use std::io::{self, Read, Write};

use codec::ReadAt;
use pkgformat::{PackageRecord, Summary, Writer};
use pkgtypes::Digest;

use crate::{Error, PackageFile, Result};

/// Writes the package that `record` describes, not compressed, of contents at hand and those of `file`.
///
/// `local` gives a content that is at hand, or nothing; what it gives is held against its digest. The rest comes from
/// `file`, of which only the ranges need to be there that [`PackageFile::wanted`] names. Before this returns, every
/// content had its digest; since there is one way to write a package, what was written is the original, byte for byte.
/// After an error it is of no use.
///
/// ```
/// # use pkgformat::{Entry, EntryKind, Manifest, PackageMeta, PackageRecord, Writer};
/// # use pkgtypes::{Digest, Mode, PkgPath};
/// use codec::Bounds;
/// use pkgfile::{PackageFile, Partial, rebuild};
/// use pkgformat::Limits;
/// # let entry = |path: &str, text: &str| {
/// #     let (size, digest) = (text.len() as u64, Digest::of(text));
/// #     let kind = EntryKind::File { mode: Mode::from_raw(0o644), size, digest, elf: None };
/// #     Ok::<_, Box<dyn std::error::Error>>(Entry::new(PkgPath::new(path.as_bytes())?, kind))
/// # };
/// # let manifest = Manifest::new(vec![entry("a", "old")?, entry("b", "new")?])?;
/// # let meta = PackageMeta::new("hello".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
/// # let record = PackageRecord::new(meta, manifest)?;
/// # let mut writer = Writer::new(Vec::new(), &record)?;
/// # writer.blob(3, &b"old"[..])?;
/// # writer.blob(3, &b"new"[..])?;
/// # let (package, _) = writer.finish()?;
///
/// let at_hand = |digest: &Digest| *digest == Digest::of("old");
/// let remote = PackageFile::open(&package, Limits::default(), Bounds::default())?;
/// let wanted = remote.wanted(0, at_hand)?;
/// assert!(wanted.bytes() < package.len() as u64);
///
/// // What `wanted` names is all that is fetched.
/// let fetched = Partial::new(&package, wanted.ranges);
/// let mut file = PackageFile::open(fetched, Limits::default(), Bounds::default())?;
/// let local = |digest: &Digest| Ok(at_hand(digest).then_some(&b"old"[..]));
/// let (copy, _) = rebuild(remote.record(), &mut file, local, Vec::new())?;
/// assert_eq!(copy, package);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// `file` holds another package; a content that is not what its digest says, or can not be read; `output` fails.
pub fn rebuild<S: ReadAt, R: Read, W: Write>(
    record: &PackageRecord,
    file: &mut PackageFile<S>,
    mut local: impl FnMut(&Digest) -> io::Result<Option<R>>,
    output: W,
) -> Result<(W, Summary)> {
    let (expected, found) = (record.id(), file.record().id());
    if expected != found {
        return Err(Error::OtherPackage { expected, found });
    }
    let mut writer = Writer::new(output, record)?;
    while let Some(due) = writer.due() {
        let digest = due.digest;
        // The manifest says nothing of the size of a script; a head in the file does.
        let size = due.size.or_else(|| file.size_of(&digest));
        let at_hand = match size {
            Some(size) => local(&digest).map_err(Error::Source)?.map(|content| (size, content)),
            None => None,
        };
        match at_hand {
            Some((size, content)) => {
                writer.blob(size, content).map_err(|source| Error::Local { digest, source })?;
            }
            None => {
                let blob = file.blob(&digest)?;
                writer.blob(blob.size(), blob)?;
            }
        }
    }
    Ok(writer.finish()?)
}
