//! Bytes from elsewhere: a source is wanted by its SHA-256, and it does not matter where it comes from.
//!
//! A [`Fetcher`] looks in its [`SourceStore`] first, then at each [`Url`] in turn: servers, files, and the machine's own
//! [`Apt`]. Only what has the wanted digest gets into the store, whatever a server or apt says of it.
//!
//! ```
//! use fetch::{FetchOptions, Fetcher, SourceStore, Wanted};
//! use pkgtypes::Digest;
//!
//! # let scratch = tempfile::tempdir()?;
//! # let place = scratch.path().join("upload");
//! # std::io::Write::write_all(&mut std::fs::File::create(&place)?, b"hello")?;
//! let store = SourceStore::open(scratch.path().join("sources"))?;
//! let fetcher = Fetcher::new(store, None, FetchOptions::default())?;
//! let wanted = Wanted {
//!     name: "hello-1.0.tar.gz".to_owned(),
//!     digest: Digest::of("hello"),
//!     urls: vec!["file:///nowhere/hello-1.0.tar.gz".to_owned(), format!("file://{}", place.display())],
//!     limit: 1 << 20,
//! };
//! let path = fetcher.obtain(&wanted, &mut ())?;
//! assert!(path.ends_with(format!("{}/hello-1.0.tar.gz", wanted.digest)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A [`Remote`] is a file on a server that is read where it lies, in ranges or as a stream.
//!
//! This crate knows nothing of packages or recipes: it neither unpacks what it brings nor decides what is trusted, and
//! it speaks no git. Of programs it runs `apt-get` and `apt-cache` only, and what [`HttpOptions::names`] names; they inherit
//! the environment, which this crate itself does not read.
//!
//! # Limitations
//!
//! - Apt brings every file of a source package, also when one of them is wanted.
//! - Run by root, apt does not become its own user `_apt` while it downloads: the folders it writes to are ours.
//! - Apt is ended with the value that waits for it, but not when this process is killed with SIGKILL.
//! - Waiting for another process that brings the same source can not be stopped through [`Progress`].
//! - Parts of transfers that broke off stay until the source is here or [`SourceStore::clear_parts`] is called.
//! - Whether a file name is another version's is guessed from the name; see [`SourceStore::ask`].

#![forbid(unsafe_code)]

mod apt;
mod error;
mod fetcher;
mod http;
mod names;
mod part;
mod progress;
mod remote;
mod stale;
mod store;
mod url;

pub use apt::{Apt, AptOptions, Candidate};
pub use error::{Attempt, Error, Reason, Result};
pub use fetcher::{FetchOptions, Fetcher, Mirror, Wanted};
pub use http::HttpOptions;
pub use progress::Progress;
pub use remote::{Ranges, Remote, Stream};
pub use store::SourceStore;
pub use url::Url;
