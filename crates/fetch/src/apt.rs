//! The machine's own apt, as a place that has packages.

mod area;
mod candidate;
mod child;
mod entries;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pkgfs::{Lock, Root, TempDir};
use pkgtypes::{Mode, PackageName, PkgPath};

use self::area::{Area, Lists, Versions};
pub use self::candidate::Candidate;
use self::child::Output;
use self::entries::Kind;
use crate::error::Failure;
use crate::progress::Relay;
use crate::store::lock_or_wait;
use crate::{Error, Progress, Reason, Result, SourceStore, Url};

/// How the machine's apt is used.
#[derive(Debug, Clone)]
pub struct AptOptions {
    /// A folder of our own for lists, caches and the configuration; kept between runs.
    pub state: PathBuf,
    /// Where the machine's package sources are written down.
    pub etc: PathBuf,
    /// The machine's own lists; where they know a version, ours need not be brought. They are only read.
    pub machine_lists: Option<PathBuf>,
    /// The program.
    pub apt_get: PathBuf,
    /// The program.
    pub apt_cache: PathBuf,
    /// How long a server may be silent.
    pub timeout: Duration,
}

impl AptOptions {
    /// Debian's places, and `state` for what is ours.
    pub fn new(state: impl Into<PathBuf>) -> Self {
        Self {
            state: state.into(),
            etc: "/etc/apt".into(),
            machine_lists: Some("/var/lib/apt/lists".into()),
            apt_get: "apt-get".into(),
            apt_cache: "apt-cache".into(),
            timeout: Duration::from_secs(30),
        }
    }
}

/// The machine's apt, with lists, caches and sources of our own, so that an ordinary user can have packages and the
/// machine's own state stays as it is.
///
/// The machine's configured package sources are used, with source packages beside binary ones; also its keyrings,
/// proxies, passwords and pins. Hooks that run after an update are switched off.
#[derive(Debug)]
pub struct Apt {
    options: AptOptions,
    /// The lists that were brought by this value, and what apt complained of: once is enough.
    refreshed: Mutex<Vec<(Kind, Option<String>)>>,
}

/// A package at one version.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pin<'u> {
    name: &'u str,
    version: &'u str,
    /// One file of a source package; else the binary package is meant.
    file: Option<&'u str>,
}

/// Where in the store's tree apt put the file.
pub(crate) type Pinned = Result<PkgPath, Failure>;

/// A pin that apt has not brought yet, and the latest reason why.
struct Open<'p> {
    index: usize,
    pin: Pin<'p>,
    reason: Option<Reason>,
}

/// Where to look, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// In the machine's lists.
    Machine,
    /// In ours, as they were left.
    Kept,
    /// In ours, brought anew.
    Fresh,
}

/// One stage: the area, what its update complained of, and the versions that it knows.
struct Look<'a> {
    area: Area<'a>,
    complaint: Option<String>,
    known: Versions,
}

/// So many packages are asked for one by one in vain before it is clear that the fault is elsewhere.
const MOST_SINGLE_FAILURES: usize = 3;

impl Apt {
    /// An apt with these settings; nothing is run yet.
    pub fn new(options: AptOptions) -> Self {
        Self { options, refreshed: Mutex::new(Vec::new()) }
    }

    /// Has apt bring the packages into the store's tree, and calls `done` once for each, with a file that is gone when
    /// the call returns.
    pub(crate) fn bring(
        &self,
        store: &SourceStore,
        pins: &[Pin<'_>],
        relay: &Relay,
        mut done: impl FnMut(usize, Pinned),
    ) {
        for kind in [Kind::Binary, Kind::Source] {
            let of_kind = pins.iter().enumerate().filter(|(_, pin)| pin.kind() == kind);
            let mut open: Vec<_> = of_kind.map(|(index, &pin)| Open { index, pin, reason: None }).collect();
            if open.is_empty() {
                continue;
            }
            let mut run = Run { apt: self, store, relay, kind, done: &mut done };
            let failure = run.all(&mut open).err();
            for open in open {
                done(open.index, Err(one_failure(failure.as_ref(), open.reason)));
            }
        }
    }

    /// The folder of our own, for us alone.
    fn lock(&self, relay: &Relay) -> Result<(Root, Lock)> {
        let find = |source| Error::Read { operation: "find", path: self.options.state.clone(), source };
        let root = Root::create(std::path::absolute(&self.options.state).map_err(find)?, Mode::from_raw(0o755))?;
        let path = PkgPath::new(b"lock".as_slice()).expect("the name is a constant");
        let lock = lock_or_wait(&root, &path, || relay.waiting("apt"))?;
        Ok((root, lock))
    }

    fn machine_has(&self, kind: Kind) -> bool {
        let lists = self.options.machine_lists.as_ref();
        let Some(Ok(names)) = lists.map(|lists| Root::open(lists).and_then(|lists| lists.read_dir(None))) else {
            return false;
        };
        names.iter().any(|name| String::from_utf8_lossy(name).contains(kind.list_mark()))
    }

    fn was_refreshed(&self, kind: Kind) -> Option<Option<String>> {
        let refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        refreshed.iter().find(|(known, _)| *known == kind).map(|(_, complaint)| complaint.clone())
    }

    /// Brings the lists, once.
    fn refresh(&self, area: &Area<'_>, kind: Kind, relay: &Relay) -> Result<Option<String>, Failure> {
        if let Some(complaint) = self.was_refreshed(kind) {
            return Ok(complaint);
        }
        let complaint = area.update(relay)?;
        let mut refreshed = self.refreshed.lock().unwrap_or_else(PoisonError::into_inner);
        refreshed.push((kind, complaint.clone()));
        Ok(complaint)
    }

    /// What apt would install of these packages, in their order, from lists brought just now.
    ///
    /// # Errors
    /// Apt is missing or fails; it does not know one of the packages.
    pub fn candidates(&self, names: &[&str], progress: &mut dyn Progress) -> Result<Vec<Candidate>> {
        let answer = Relay::listen(progress, |relay| self.ask_candidates(names, relay))?;
        answer.map_err(|failure| match failure {
            Failure::Place(reason) => Error::Apt(reason),
            Failure::Error(error) => error,
        })
    }

    fn ask_candidates(&self, names: &[&str], relay: &Relay) -> Result<Vec<Candidate>, Failure> {
        let unknown = |names: Vec<&str>| Reason::Unknown { names: names.into_iter().map(str::to_owned).collect() };
        if let Some(odd) = names.iter().find(|name| name.parse::<PackageName>().is_err()) {
            return Err(unknown(vec![odd]).into());
        }
        let (state, _lock) = self.lock(relay)?;
        let area = Area::prepare(&self.options, &state, Kind::Binary, Lists::Private)?;
        let complaint = self.refresh(&area, Kind::Binary, relay)?;
        let mut found = Candidate::parse_all(&area.show(names, relay)?.stdout);
        found.retain(|candidate| names.contains(&candidate.name.as_str()));
        found.sort_by_key(|candidate| names.iter().position(|name| *name == candidate.name));
        let is_missing = |name: &&str| !found.iter().any(|candidate| candidate.name == *name);
        let missing: Vec<&str> = names.iter().copied().filter(is_missing).collect();
        match complaint {
            _ if missing.is_empty() => Ok(found),
            Some(text) => Err(Reason::Apt { text }.into()),
            None => Err(unknown(missing).into()),
        }
    }
}

impl<'u> Pin<'u> {
    pub(crate) fn of(url: &'u Url) -> Option<Self> {
        match url {
            Url::Apt { name, version } => Some(Self { name, version, file: None }),
            Url::AptSrc { name, version, file } => Some(Self { name, version, file: Some(file) }),
            Url::Http(_) | Url::File(_) => None,
        }
    }

    fn kind(&self) -> Kind {
        if self.file.is_some() { Kind::Source } else { Kind::Binary }
    }

    fn is_in(&self, known: &Versions) -> bool {
        known.get(self.name).is_some_and(|versions| versions.iter().any(|version| version == self.version))
    }

    /// Its file among those that apt brought.
    fn find<'n>(&self, names: &'n [Box<[u8]>]) -> Option<&'n [u8]> {
        let start = format!("{}_{}_", self.name, self.version.replace(':', "%3a"));
        let is_it = |name: &[u8]| match self.file {
            Some(file) => name == file.as_bytes(),
            None => name.starts_with(start.as_bytes()) && name.ends_with(b".deb"),
        };
        names.iter().map(AsRef::as_ref).find(|name| is_it(name))
    }

    /// Why its file is not among those that apt brought.
    fn why_missing(&self, names: &[Box<[u8]>], output: &Output, known: &Versions) -> Reason {
        let (name, version) = (self.name.to_owned(), self.version.to_owned());
        let mark = format!("/{name}_");
        let own: Vec<&str> = output.complaint_lines().filter(|line| line.contains(&mark)).take(2).collect();
        let start = format!("{name}_");
        let names = names.iter().map(|name| String::from_utf8_lossy(name).into_owned());
        let have: Vec<String> = names.filter(|name| name.starts_with(&start)).collect();
        if let Some(file) = self.file.filter(|_| own.is_empty() && !have.is_empty()) {
            return Reason::NoSuchFile { name, version, file: file.to_owned(), have };
        }
        if own.is_empty() {
            return Reason::Apt { text: output.complaints() };
        }
        let others = known.get(self.name).into_iter().flatten().filter(|other| **other != version);
        Reason::Gone { name, candidates: others.cloned().collect(), version, text: own.join("; ") }
    }
}

/// All pins of one kind, brought with as few runs of apt as possible.
struct Run<'a, D> {
    apt: &'a Apt,
    store: &'a SourceStore,
    relay: &'a Relay,
    kind: Kind,
    done: &'a mut D,
}

impl<'a, D: FnMut(usize, Pinned)> Run<'a, D> {
    fn all(&mut self, open: &mut Vec<Open<'_>>) -> Result<(), Failure> {
        let (state, _lock) = self.apt.lock(self.relay)?;
        for stage in [Stage::Machine, Stage::Kept, Stage::Fresh] {
            if open.is_empty() {
                break;
            }
            let Some(look) = self.look(&state, stage, open)? else { continue };
            look.explain_unknown(open);
            self.download(&look, open)?;
            if stage == Stage::Fresh {
                self.download_singly(&look, open)?;
            }
        }
        Ok(())
    }

    /// What a stage knows of the pins; `None` when there is nothing to look at.
    fn look(&self, state: &Root, stage: Stage, open: &[Open<'_>]) -> Result<Option<Look<'a>>, Failure> {
        let lists = match stage {
            Stage::Machine if !self.apt.machine_has(self.kind) => return Ok(None),
            Stage::Machine => Lists::Machine,
            Stage::Kept | Stage::Fresh => Lists::Private,
        };
        let area = Area::prepare(&self.apt.options, state, self.kind, lists)?;
        let complaint = match stage {
            Stage::Machine => None,
            Stage::Kept if !area.is_complete() || self.apt.was_refreshed(self.kind).is_some() => return Ok(None),
            Stage::Kept => None,
            Stage::Fresh => self.apt.refresh(&area, self.kind, self.relay)?,
        };
        let names: Vec<&str> = open.iter().map(|open| open.pin.name).collect();
        let known = area.versions(&names, self.relay)?;
        Ok(Some(Look { area, complaint, known }))
    }

    /// All that are known, by one run; what it brings is no longer open.
    fn download(&mut self, look: &Look<'_>, open: &mut Vec<Open<'_>>) -> Result<(), Failure> {
        let known = open.iter().map(|open| &open.pin).filter(|pin| pin.is_in(&look.known));
        let mut wanted: Vec<String> = known.map(|pin| format!("{}={}", pin.name, pin.version)).collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let folder = TempDir::new_in(self.store.root(), None)?;
        let output = look.area.download(&wanted, folder.root(), self.relay)?;
        let names = folder.root().read_dir(None)?;
        open.retain_mut(|open| {
            let is_known = open.pin.is_in(&look.known);
            let found = open.pin.find(&names).filter(|_| is_known).and_then(|name| folder.path().join(name).ok());
            match found {
                Some(path) => {
                    (self.done)(open.index, Ok(path));
                    return false;
                }
                None if is_known => open.reason = Some(open.pin.why_missing(&names, &output, &look.known)),
                None => {}
            }
            true
        });
        Ok(())
    }

    /// One bad package can keep apt from bringing any, without a word of the others; gives up when that is not it.
    fn download_singly(&mut self, look: &Look<'_>, open: &mut Vec<Open<'_>>) -> Result<(), Failure> {
        let mut untold =
            open.extract_if(.., |open| open.pin.is_in(&look.known) && open.is_untold()).collect::<Vec<_>>();
        if untold.len() > 1 {
            let mut failures = 0;
            let mut next = 0;
            while next < untold.len() && failures < MOST_SINGLE_FAILURES {
                let mut one = vec![untold.remove(next)];
                let outcome = self.download(look, &mut one);
                if let Some(failed) = one.pop() {
                    untold.insert(next, failed);
                    failures += 1;
                    next += 1;
                }
                if outcome.is_err() {
                    open.append(&mut untold);
                    return outcome;
                }
            }
        }
        open.append(&mut untold);
        Ok(())
    }
}

impl Open<'_> {
    /// Whether apt failed without a word of just this pin.
    fn is_untold(&self) -> bool {
        matches!(self.reason, Some(Reason::Apt { .. }))
    }
}

impl Look<'_> {
    fn explain_unknown(&self, open: &mut [Open<'_>]) {
        for open in open.iter_mut().filter(|open| !open.pin.is_in(&self.known)) {
            let candidates = self.known.get(open.pin.name).cloned().unwrap_or_default();
            open.reason = Some(match &self.complaint {
                // The lists are not all here, so they say nothing.
                Some(text) if candidates.is_empty() => Reason::Apt { text: text.clone() },
                _ => Reason::Moved { name: open.pin.name.to_owned(), version: open.pin.version.to_owned(), candidates },
            });
        }
    }
}

/// What one pin hears when the whole run ended so.
fn one_failure(run: Option<&Failure>, own: Option<Reason>) -> Failure {
    match (run, own) {
        (Some(Failure::Error(Error::Cancelled)), _) => Error::Cancelled.into(),
        (Some(Failure::Error(error)), _) => Reason::Apt { text: error.to_string() }.into(),
        (Some(Failure::Place(reason)), None) => reason.clone().into(),
        (_, Some(reason)) => reason.into(),
        (None, None) => Reason::NotFound.into(),
    }
}
