//! The sources of a recipe: fetched, checked, unpacked.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use codec::{Bounds, Decoder};
use fetch::{Apt, AptOptions, Candidate, FetchOptions, Fetcher, Progress, SourceStore, Wanted};
use pkgfs::Root;
use pkgtypes::{Mode, PkgPath, Timestamp};
use recipe::{Recipe, Source, SourceDigest, SourceKind};

use crate::unpack::{UnpackError, Unpacker};
use crate::{BuildOptions, Error, Events, Stop, io_error};

/// The most bytes one source may have.
const LIMIT: u64 = 16 << 30;

/// Where sources come from, and where they are kept.
pub(crate) struct Sources {
    fetcher: Fetcher,
}

/// Hands the progress of a download on, and asks whether to stop.
pub(crate) struct Told<'a> {
    pub(crate) events: &'a mut dyn Events,
    pub(crate) stop: Stop<'a>,
}

impl Progress for Told<'_> {
    fn begin(&mut self, name: &str, place: &str) {
        self.events.fetching(name, place);
    }

    fn is_cancelled(&mut self) -> bool {
        (self.stop)()
    }
}

impl Sources {
    pub(crate) fn open(cache: &Path, how: &BuildOptions) -> Result<Self, Error> {
        let store = SourceStore::open(cache.join("sources"))?;
        let apt = Apt::new(AptOptions::new(cache.join("apt")));
        let options = FetchOptions { http: how.http.clone(), offline: how.offline, ..FetchOptions::default() };
        Ok(Self { fetcher: Fetcher::new(store, Some(apt), options)? })
    }

    /// What the machine's apt would install of these packages, from lists brought just now.
    pub(crate) fn candidates(&self, names: &[&str], told: &mut Told<'_>) -> Result<Vec<Candidate>, Error> {
        match self.fetcher.apt() {
            Some(apt) => Ok(apt.candidates(names, told)?),
            None => Ok(Vec::new()),
        }
    }

    /// Takes the sources of these recipes from a folder, as far as it has them.
    pub(crate) fn adopt(&self, recipes: &[Arc<Recipe>], folder: &Path) -> Result<(), Error> {
        let sources = recipes.iter().flat_map(|recipe| recipe.sources());
        let wanted: Vec<_> = sources.filter_map(wish).map(|wanted| wanted.digest).collect();
        self.fetcher.store().adopt_dir(folder, &wanted)?;
        Ok(())
    }

    /// Makes sure that all sources of these recipes are in the store, and says how many there are.
    pub(crate) fn fetch(
        &self,
        recipes: &[Arc<Recipe>],
        events: &mut dyn Events,
        stop: Stop<'_>,
    ) -> Result<usize, Error> {
        let mut wanted = Vec::new();
        let mut askers = Vec::new();
        for recipe in recipes {
            for source in recipe.sources() {
                refuse_unsupported(recipe, source)?;
                if let Some(wish) = wish(source) {
                    wanted.push(wish);
                    askers.push(recipe.id());
                }
            }
        }
        let answers = self.fetcher.obtain_each(&wanted, &mut Told { events, stop });
        for (answer, (asker, wish)) in answers.into_iter().zip(askers.into_iter().zip(&wanted)) {
            answer.map_err(|error| match error {
                fetch::Error::Cancelled => Error::Interrupted,
                error => Error::Source { recipe: Box::new(asker.clone()), source_name: wish.name.clone(), error },
            })?;
        }
        Ok(wanted.len())
    }

    /// Puts the sources of a recipe into `folder` of `root` (`None` is `root` itself), and says when the newest thing
    /// in them was changed.
    pub(crate) fn stage(&self, recipe: &Recipe, root: &Root, folder: Option<PkgPath>) -> Result<Timestamp, Error> {
        let mut newest = Timestamp::EPOCH;
        for source in recipe.sources() {
            let place = inside(folder.as_ref(), source.to.as_ref());
            let mut unpacker = Unpacker::new(root, place);
            let staged = self.stage_one(recipe, source, &mut unpacker)?;
            let done = staged.and_then(|()| unpacker.finish());
            newest = newest.max(done.map_err(|error| error.of(recipe.id(), &source.name))?);
        }
        let mut unpacker = Unpacker::new(root, folder);
        for link in recipe.links() {
            unpacker.link(&link.path, &link.target).map_err(|error| error.of(recipe.id(), &link.path))?;
        }
        Ok(newest)
    }

    fn stage_one(
        &self,
        recipe: &Recipe,
        source: &Source,
        unpacker: &mut Unpacker<'_>,
    ) -> Result<Result<(), UnpackError>, Error> {
        let options = archive::Options::stripping(source.strip);
        let path = self.path(recipe, source);
        if source.kind == SourceKind::Dir {
            return Ok(copy_folder(recipe, source, unpacker));
        }
        let file = File::open(&path).map_err(io_error("open", &path))?;
        let put = |entry: &archive::Entry, data: &mut dyn std::io::Read| unpacker.put(entry, data);
        Ok(match source.kind {
            SourceKind::Tar => {
                let plain = Decoder::new(file, Bounds::default()).map_err(io_error("read", &path))?;
                archive::read_tar(plain, &options, put)
            }
            SourceKind::Zip => archive::read_zip(BufReader::new(file), &options, put),
            SourceKind::Deb => archive::Deb::open(BufReader::new(file))
                .map_err(UnpackError::from)
                .and_then(|deb| deb.read_files(&options, put)),
            SourceKind::File => copy_file(source, file, unpacker),
            SourceKind::Dir | SourceKind::Git | SourceKind::Patch => {
                unreachable!("a folder was copied; fetching refused the others")
            }
        })
    }

    /// The file of a source: in the store, or in the recipe's folder.
    fn path(&self, recipe: &Recipe, source: &Source) -> PathBuf {
        let stored = match &source.digest {
            SourceDigest::Sha256(digest) => self.fetcher.store().find(*digest),
            SourceDigest::Commit(_) | SourceDigest::Resource => None,
        };
        stored.unwrap_or_else(|| recipe.folder().join(source.name.as_path()))
    }
}

fn refuse_unsupported(recipe: &Recipe, source: &Source) -> Result<(), Error> {
    let what = match source.kind {
        SourceKind::Git => "a `git` source can not be fetched by this builder; name an archive of the commit as `tar`",
        SourceKind::Patch => {
            "a `patch` source is not applied by this builder; name it as `file` and call `patch` in `build`"
        }
        SourceKind::Tar | SourceKind::Zip | SourceKind::File | SourceKind::Dir | SourceKind::Deb => return Ok(()),
    };
    Err(Error::Unsupported { recipe: Box::new(recipe.id().clone()), what: format!("{}: {what}", source.position) })
}

fn wish(source: &Source) -> Option<Wanted> {
    let SourceDigest::Sha256(digest) = source.digest else { return None };
    let urls = source.urls.iter().map(|url| url.as_str().to_owned()).collect();
    Some(Wanted { name: source.name.to_string(), digest, urls, limit: LIMIT })
}

fn inside(folder: Option<&PkgPath>, to: Option<&PkgPath>) -> Option<PkgPath> {
    match (folder, to) {
        (Some(folder), Some(to)) => PkgPath::new([folder.as_bytes(), b"/", to.as_bytes()].concat()).ok(),
        (folder, to) => folder.or(to).cloned(),
    }
}

fn copy_file(source: &Source, mut file: File, unpacker: &mut Unpacker<'_>) -> Result<(), UnpackError> {
    let mode = source.mode.unwrap_or(Mode::from_raw(0o644));
    // A single file has no date that everybody shares, so it gets none.
    let entry = entry(PkgPath::new(source.name.file_name()).expect("a file name is a path"), mode);
    unpacker.put(&entry, &mut file)
}

/// A folder of the recipe, file by file in path order.
fn copy_folder(recipe: &Recipe, source: &Source, unpacker: &mut Unpacker<'_>) -> Result<(), UnpackError> {
    for resource in recipe.files().iter().filter(|file| file.path.is_within(&source.name)) {
        let path = recipe.folder().join(resource.path.as_path());
        let open = |path: &Path| File::open(path).map_err(|error| pkgfs::Error::new("open", path, error));
        let below = &resource.path.as_bytes()[source.name.as_bytes().len() + 1..];
        let mode = Mode::from_raw(if resource.executable { 0o755 } else { 0o644 });
        let entry = entry(PkgPath::new(below).expect("the rest of a path is a path"), mode);
        unpacker.put(&entry, &mut open(&path)?)?;
    }
    Ok(())
}

fn entry(path: PkgPath, mode: Mode) -> archive::Entry {
    archive::Entry {
        path,
        kind: archive::EntryKind::File { size: 0 },
        mode,
        mtime: Timestamp::EPOCH,
        uid: 0,
        gid: 0,
        user: None,
        group: None,
        xattrs: Vec::new(),
    }
}
