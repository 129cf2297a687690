use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, Builder};

use pkgtypes::Digest;

use crate::apt::{Pin, Pinned};
use crate::error::Failure;
use crate::http::Http;
use crate::part::Part;
use crate::progress::{Relay, Told};
use crate::store::{self, CHUNK};
use crate::{Apt, Attempt, Error, HttpOptions, Progress, Reason, Result, SourceStore, Url};

/// A source that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The file name that it shall have.
    pub name: String,
    /// What it must be; nothing else decides.
    pub digest: Digest,
    /// Where it can be had, in order of preference, as text: see [`Url`].
    pub urls: Vec<String>,
    /// The most bytes to take.
    pub limit: u64,
}

/// Another place for what is at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mirror {
    /// A URL that begins with `of` is also tried with `at` in its place, before itself.
    Prefix {
        /// `https://ftp.example.org/gnu/`
        of: String,
        /// `https://mirror.example.net/gnu/`
        at: String,
    },
    /// A source store that a server shows: `BASE/<digest>/<name>`, tried before everything else.
    Store {
        /// What stands before the digest.
        base: String,
    },
}

/// How sources are fetched.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// How http and https are spoken.
    pub http: HttpOptions,
    /// Ask nothing but the store and files.
    pub offline: bool,
    /// Other places, in order.
    pub mirrors: Vec<Mirror>,
    /// How many servers' files are on the way at once; 0 counts as 1.
    pub parallel: usize,
}

impl Default for FetchOptions {
    fn default() -> Self {
        Self { http: HttpOptions::default(), offline: false, mirrors: Vec::new(), parallel: 4 }
    }
}

/// Brings sources into a [`SourceStore`].
#[derive(Debug)]
pub struct Fetcher {
    store: SourceStore,
    apt: Option<Apt>,
    http: Http,
    options: FetchOptions,
}

/// One source on its way.
struct Job<'w> {
    wanted: &'w Wanted,
    /// Not tried yet, the next one last.
    places: Vec<Url>,
    attempts: Vec<Attempt>,
    answer: Option<Result<PathBuf>>,
}

impl Fetcher {
    /// A fetcher into `store`; `apt:` and `apt-src:` URLs work where an apt is given.
    ///
    /// # Errors
    /// The proxy or the certificates can not be used.
    pub fn new(store: SourceStore, apt: Option<Apt>, options: FetchOptions) -> Result<Self> {
        Ok(Self { store, apt, http: Http::new(&options.http)?, options })
    }

    /// The store.
    pub fn store(&self) -> &SourceStore {
        &self.store
    }

    /// The machine's apt, where one was given.
    pub fn apt(&self) -> Option<&Apt> {
        self.apt.as_ref()
    }

    /// The path of one verified source, from the store or else from the first place that has it.
    ///
    /// # Errors
    /// No place has it; see [`Error`].
    pub fn obtain(&self, wanted: &Wanted, progress: &mut dyn Progress) -> Result<PathBuf> {
        self.obtain_each(std::slice::from_ref(wanted), progress).remove(0)
    }

    /// As [`Fetcher::obtain`] for many, in order. What comes from apt comes by one run of it. Everything that can be
    /// had is in the store afterwards, even when something could not.
    ///
    /// # Errors
    /// The first that could not be had.
    pub fn obtain_all(&self, wanted: &[Wanted], progress: &mut dyn Progress) -> Result<Vec<PathBuf>> {
        self.obtain_each(wanted, progress).into_iter().collect()
    }

    /// As [`Fetcher::obtain_all`], with an answer for each.
    pub fn obtain_each(&self, wanted: &[Wanted], progress: &mut dyn Progress) -> Vec<Result<PathBuf>> {
        Relay::listen(progress, |relay| self.work(wanted, relay)).unwrap_or_else(|error| {
            // The first is told; to the others the same happened.
            let mut first = Some(error);
            let again = || Error::Thread(ErrorKind::WouldBlock.into());
            wanted.iter().map(|_| Err(first.take().unwrap_or_else(again))).collect()
        })
    }

    fn work(&self, wanted: &[Wanted], relay: &Relay) -> Vec<Result<PathBuf>> {
        let mut jobs: Vec<Job<'_>> = wanted.iter().map(|wanted| self.begin(wanted)).collect();
        while jobs.iter().any(|job| job.answer.is_none()) {
            let open = jobs.iter_mut().filter(|job| job.answer.is_none());
            let (pinned, plain): (Vec<_>, Vec<_>) = open.partition(|job| job.places.last().is_some_and(Url::is_apt));
            let pinned = Mutex::new(Some(pinned).filter(|pinned| !pinned.is_empty()));
            let ask_apt = || {
                let pinned = pinned.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(pinned) = pinned {
                    self.ask_apt(pinned, relay);
                }
            };
            thread::scope(|scope| {
                // Without another thread one after the other.
                let _ = Builder::new().spawn_scoped(scope, ask_apt);
                self.ask_servers(plain, relay);
                ask_apt();
            });
        }
        jobs.into_iter().map(|job| job.answer.expect("no job is open any more")).collect()
    }

    fn begin<'w>(&self, wanted: &'w Wanted) -> Job<'w> {
        let mut job = Job { wanted, places: Vec::new(), attempts: Vec::new(), answer: None };
        job.answer = self.store.ask(wanted.digest, &wanted.name).transpose();
        if job.answer.is_none() {
            match self.places(wanted) {
                Ok(places) => job.places = places,
                Err(error) => job.answer = Some(Err(error)),
            }
        }
        job
    }

    /// Every place, the first one last.
    fn places(&self, wanted: &Wanted) -> Result<Vec<Url>> {
        let mut places = Vec::new();
        for mirror in &self.options.mirrors {
            if let Mirror::Store { base } = mirror {
                let base = base.trim_end_matches('/');
                places.push(format!("{base}/{}/{}", wanted.digest, escape(&wanted.name)).parse()?);
            }
        }
        for url in &wanted.urls {
            for mirror in &self.options.mirrors {
                if let Mirror::Prefix { of, at } = mirror
                    && let Some(rest) = url.strip_prefix(of.as_str())
                {
                    places.push(format!("{at}{rest}").parse()?);
                }
            }
            places.push(url.parse()?);
        }
        places.reverse();
        Ok(places)
    }

    fn ask_servers(&self, jobs: Vec<&mut Job<'_>>, relay: &Relay) {
        let workers = self.options.parallel.max(1).min(jobs.len());
        let queue = Mutex::new(jobs.into_iter());
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
        let work = || {
            while let Some(job) = next() {
                self.ask_next(job, relay);
            }
        };
        thread::scope(|scope| {
            for _ in 1..workers {
                // As many as can be had.
                let _ = Builder::new().spawn_scoped(scope, work);
            }
            work();
        });
    }

    /// Asks the next place, which is not apt.
    fn ask_next(&self, job: &mut Job<'_>, relay: &Relay) {
        let Some(place) = job.places.pop() else {
            job.answer = Some(Err(self.in_vain(job)));
            return;
        };
        let outcome = match &place {
            Url::Http(_) if self.options.offline => Err(Reason::Offline.into()),
            _ => self.bring(job.wanted, &place, relay),
        };
        job.take(&place, outcome);
    }

    fn bring(&self, wanted: &Wanted, place: &Url, relay: &Relay) -> Result<PathBuf, Failure> {
        let mut part = self.store.part(wanted.digest, wanted.limit, || relay.waiting(&wanted.name))?;
        // Whoever had the part before may have brought it to its end.
        if let Some(path) = self.store.ask(wanted.digest, &wanted.name)? {
            return Ok(path);
        }
        let told = relay.begin(&wanted.name, &place.to_string());
        let resumed = part.length() > 0;
        self.transfer(place, &mut part, &told)?;
        if part.digest() != wanted.digest && resumed {
            // The old beginning and the new end may be of two files.
            part.restart()?;
            self.transfer(place, &mut part, &told)?;
        }
        let found = part.digest();
        if found != wanted.digest {
            return Err(Reason::WrongDigest { found }.into());
        }
        Ok(part.finish(&wanted.name, wanted.digest)?)
    }

    fn transfer(&self, place: &Url, part: &mut Part<'_>, told: &Told<'_>) -> Result<(), Failure> {
        let outcome = match place {
            Url::File(path) => copy(path, part, told),
            Url::Http(url) => self.http.get(url, part, told),
            Url::Apt { .. } | Url::AptSrc { .. } => Err(Reason::AptUnused.into()),
        };
        let broke = matches!(outcome, Err(Failure::Place(Reason::Transfer { .. }) | Failure::Error(Error::Cancelled)));
        part.keep(broke);
        outcome
    }

    fn ask_apt(&self, mut jobs: Vec<&mut Job<'_>>, relay: &Relay) {
        if jobs.is_empty() {
            return;
        }
        let places: Vec<Url> = jobs.iter_mut().filter_map(|job| job.places.pop()).collect();
        let Some(apt) = self.apt.as_ref().filter(|_| !self.options.offline) else {
            let reason = if self.options.offline { Reason::Offline } else { Reason::AptUnused };
            jobs.iter_mut().zip(&places).for_each(|(job, place)| job.take(place, Err(reason.clone().into())));
            return;
        };
        let pins: Vec<Pin<'_>> = places.iter().filter_map(Pin::of).collect();
        apt.bring(&self.store, &pins, relay, |index, pinned| {
            let outcome = self.settle(jobs[index].wanted, pinned);
            jobs[index].take(&places[index], outcome);
        });
    }

    /// Moves a file that apt put into the store's tree to its place.
    fn settle(&self, wanted: &Wanted, pinned: Pinned) -> Result<PathBuf, Failure> {
        let path = pinned?;
        // Two of the wanted may be one file, which the first has moved.
        if let Some(path) = self.store.ask(wanted.digest, &wanted.name)? {
            return Ok(path);
        }
        let unreadable = |error: std::io::Error| Reason::Unreadable { text: error.to_string() };
        let mut file = self.store.root().open_file(&path)?;
        if file.metadata().map_err(unreadable)?.len() > wanted.limit {
            return Err(Reason::TooLarge { limit: wanted.limit }.into());
        }
        let found = store::hash(&mut file).map_err(unreadable)?;
        if found != wanted.digest {
            return Err(Reason::WrongDigest { found }.into());
        }
        Ok(self.store.insert(&path, &wanted.name, wanted.digest)?)
    }

    fn in_vain(&self, job: &mut Job<'_>) -> Error {
        let (name, digest) = (job.wanted.name.clone(), job.wanted.digest);
        let mut attempts = std::mem::take(&mut job.attempts);
        let wrong = attempts.iter().position(|attempt| matches!(attempt.reason, Reason::WrongDigest { .. }));
        if let Some(Attempt { place, reason: Reason::WrongDigest { found } }) = wrong.map(|at| attempts.remove(at)) {
            return Error::WrongDigest { name, wanted: digest, found, place: place.into(), others: attempts.into() };
        }
        if self.options.offline {
            return Error::Offline { name, digest, store: self.store.path().to_owned(), attempts };
        }
        Error::Nowhere { name, digest, attempts }
    }
}

impl Job<'_> {
    fn take(&mut self, place: &Url, outcome: Result<PathBuf, Failure>) {
        match outcome {
            Ok(path) => self.answer = Some(Ok(path)),
            Err(Failure::Place(reason)) => self.attempts.push(Attempt { place: place.to_string(), reason }),
            Err(Failure::Error(error)) => self.answer = Some(Err(error)),
        }
    }
}

fn copy(path: &Path, part: &mut Part<'_>, told: &Told<'_>) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Reason::NotFound,
        _ => Reason::Unreadable { text: error.to_string() },
    };
    part.restart()?;
    let mut file = store::open_regular(path).map_err(unreadable)?;
    let total = file.metadata().map_err(unreadable)?.len();
    let mut chunk = vec![0; CHUNK];
    loop {
        if !told.advance(part.length(), Some(total)) {
            return Err(Error::Cancelled.into());
        }
        match store::read_chunk(&mut file, &mut chunk).map_err(unreadable)? {
            0 => return Ok(()),
            length => part.write(&chunk[..length])?,
        }
    }
}

/// A file name as the last part of a URL.
fn escape(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+".contains(&byte);
    let bytes = name.bytes();
    bytes.map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}
