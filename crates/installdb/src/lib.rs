//! The install database of a root, and the transactions that change what is installed there.
//!
//! A transaction goes through states, each a type of its own: a [`Plan`] says what would be done, a [`Checked`] one was
//! held against the disk, a [`Staged`] one has every new file beside its target, a [`Committed`] one is decided, and
//! then it is [`Done`]. Until it is committed, dropping it takes everything back.
//!
//! ```
//! use installdb::{Incoming, InstallDb, Request, Source};
//! # use pkgformat::{Entry, EntryKind, Limits, Manifest, PackageMeta, PackageRecord, Reader, Writer};
//! # use pkgtypes::{Digest, Mode, PkgPath, Timestamp};
//! # use trust::{Exception, FixedClock, SigArchive, Store, Want};
//! # let scratch = tempfile::tempdir()?;
//! # let root = scratch.path();
//! # let file = EntryKind::File { mode: Mode::from_raw(0o644), size: 2, digest: Digest::of("hi"), elf: None };
//! # let manifest = Manifest::new(vec![Entry::new(PkgPath::new(b"greeting".as_slice())?, file)])?;
//! # let meta = PackageMeta::new("hello".parse()?, "1".parse()?, "1".parse()?, "noarch".parse()?);
//! # let record = PackageRecord::new(meta, manifest)?;
//! # let mut writer = Writer::new(Vec::new(), &record)?;
//! # writer.blob(2, &b"hi"[..])?;
//! # let (package, _) = writer.finish()?;
//! # let now = Timestamp::from_seconds(1_800_000_000);
//! # let exception = Exception { name: record.meta().name.clone(), package_id: record.id() };
//! # let want = Want { exception: Some(exception), ..Want::default() };
//! # let clock = FixedClock(Some(now));
//! # let decision = trust::evaluate(&Store::default(), &want, &record, &SigArchive::new(), &clock);
//! # let verified = decision.into_verified(record)?;
//! let reader = Reader::open(Source::new(&package[..]), Limits::default())?;
//!
//! let mut db = InstallDb::open(root)?;
//! let mut request = Request::new(now);
//! request.install.push(Incoming::new(verified, reader)?);
//! db.plan(request)?.check()?.stage(&mut ())?.commit()?.finish(now)?;
//!
//! assert_eq!(std::fs::read(root.join("greeting"))?, b"hi");
//! assert_eq!(db.owners(&PkgPath::new(b"greeting".as_slice())?)?, ["hello".parse()?]);
//! assert_eq!(db.verify(&[])?.iter().filter(|difference| !difference.expected).count(), 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why an interruption at any moment leaves the old root or the new one
//!
//! 1. The list of steps is written to the journal, and is on the disk before the first of them leaves a trace. So
//!    whoever comes next knows every name that may have been staged.
//! 2. Everything new is made beside its target under a name of ours; a new folder with all that is in it counts as one
//!    thing. What has a name of its own is not touched. An interruption up to here is taken back by removing our names.
//! 3. The file systems are synced, once each. Then one database transaction changes the packages' rows and marks the
//!    journal as committed: one record in sqlite's log, on the disk when the commit returns. *This is the decision.* A
//!    power cut before it leaves the mark `staging`, one after it the mark `committed`, and sqlite's checksums leave
//!    nothing between.
//! 4. The steps are done: what is in the way of another type is removed, staged things are renamed to their targets,
//!    what nobody owns any more is removed. Each step can be repeated: a staged name that is gone was renamed, a path
//!    that is gone, or of another type, was removed. So an interruption here is made good by running the list from its
//!    beginning, however many of its steps reached the disk, and in whatever order.
//! 5. The file systems are synced again, for the renames, and only then the journal is cleared. Where a power cut takes
//!    that back, the steps are repeated and change nothing.
//!
//! A commit that fails may yet stand in the log (its own sync failed). It is settled by writing the opposite there
//! before any staged file is removed; where not even that can be written, the root is left to recovery, which goes by
//! what the log says then ([`Error::InDoubt`]).
//!
//! The syncs are as many for a thousand files as for one.
//!
//! Symbolic links that the administrator put in the place of packages' folders are followed when the change is planned, and
//! never after: staging, the journal and recovery know real paths only.
//!
//! # Scripts
//!
//! A script runs in a clean room with the root as `/`, from memory, for at most ten minutes. It is called with the
//! package's name, the version and release that will be installed (two empty words where none will), and the version and
//! release that are installed, where one is. So a script of a package that goes is called `NAME "" "" VERSION RELEASE`;
//! when another version takes its place, only the scripts of that one run.
//!
//! Scripts *before* a change run when everything is staged and nothing is decided. They see the root read-only and may
//! refuse. Scripts *after* it are rows that the decision itself writes. They run when the change is done: first those of
//! packages that went, what requires others first, then those of packages that came, what is required first. One that was
//! interrupted runs again when the database is opened for writing the next time, with those that ran in the second before
//! it; and what scripts wrote is on the disk before they are forgotten. So each runs at least once. One that
//! fails stays in the list and takes nothing back; [`InstallDb::run_pending_scripts`] tries again, and gives up what fails then,
//! until [`InstallDb::retry_scripts`]. So does one that was asked to
//! end ([`Committed::finish_with`]): it gets SIGTERM, and five seconds later SIGKILL.
//!
//! Scripts of packages that were another package manager's run only with [`Options::foreign_scripts`].
//!
//! *Triggers* are commands that run once, after all scripts, when paths came or went that a pattern of an installed package
//! fits. They read the paths from standard input, and are rows of the decision, too. What all of them said is kept:
//! [`Installed::script_runs`].
//!
//! # Going back
//!
//! What a transaction takes away is kept within the bounds of [`Retention`]. [`Installed::reversal_of`] and
//! [`Installed::reversal_to`] say what brings packages back to what they were; [`Reversal::request`] makes a request of it.
//!
//! # What is installed, afterwards
//!
//! [`Installed::verify`] holds the disk against what packages put there, [`Installed::unowned`] finds what none of them
//! did, and [`InstallDb::fix`] brings back what differs. [`Installed::configs`] says what became of configuration files,
//! and [`InstallDb::accept_configs`] and [`InstallDb::keep_configs`] decide about new versions of them. What changes
//! something is a transaction like an installation. [`Installed::regenerate`] writes an installed package as the file that
//! it was.
//!
//! # What a guarantee can not cover
//!
//! What scripts write in the root.
//!
//! Between the decision and its end, other programs see some paths old and some new. A folder that takes the place of
//! a file, or the reverse, is absent for a moment. What others change in the tree while a transaction runs is not
//! looked at again: an edit of a configuration file between the check and the rename is lost.
//!
//! # What this crate does not do
//!
//! It does not decide what to install, fetch or decompress anything, or judge whom to trust: it takes packages that
//! [`trust`] has verified. It reads no clock, no
//! environment, and prints nothing.
#![forbid(unsafe_code)]

mod acceptance;
mod accounts;
mod amend;
mod arrivals;
mod author;
mod bringing;
mod brought;
mod check;
mod column;
mod commit;
mod config;
mod content;
mod database;
mod displaced;
mod error;
mod finding;
mod fix;
mod folding;
mod follow;
mod header;
mod held;
mod history;
mod home;
mod installed;
mod interference;
mod interpreter;
mod journal;
mod kept;
mod layout;
mod links;
mod log;
mod memory;
mod notice;
mod operation;
mod order;
mod originals;
mod outgoing;
mod past;
mod placing;
mod plan;
mod progress;
mod query;
mod recover;
mod regenerate;
mod rehearsal;
mod relations;
mod request;
mod retention;
mod reversal;
mod rights;
mod rows;
mod schedule;
mod schema;
mod scripts;
mod space;
mod stage;
mod standing;
mod step;
mod stock;
mod supply;
mod sync;
mod threads;
mod tree;
mod trigger;
mod unowned;
mod unset;
mod verify;
mod words;
mod work;
pub mod zpkg;

pub use author::{Author, User};
pub use check::Checked;
pub use commit::{Committed, Done};
pub use config::{ConfigFile, ConfigState, NewVersion};
pub use database::InstallDb;
pub use displaced::Ground;
pub use error::{Error, ErrorKind, Result};
pub use finding::{Finding, LinkProblem, Unmet};
pub use fix::{Fix, Obstacle, Repair};
pub use history::{PastPackage, Transaction, Wish};
pub use installed::Installed;
pub use interference::Interference;
pub use kept::Forgotten;
pub use notice::{NotBack, Notice};
pub use operation::{Operation, OperationKind, PackageVersion};
pub use plan::Plan;
pub use progress::{Event, Progress};
pub use query::Package;
pub use recover::{Outcome, Recovery};
pub use request::{Incoming, Options, Request, Source, Unowned};
pub use retention::Retention;
pub use reversal::Reversal;
pub use schema::{APPLICATION_ID, USER_VERSION};
pub use scripts::pending::PendingScript;
pub use scripts::run::ScriptRun;
pub use stage::{Staged, readers};
pub use unowned::Unowneds;
pub use unset::{NotGiven, Unset};
pub use verify::{Aspect, Difference, Facts, Ownership, VerifyOptions};
