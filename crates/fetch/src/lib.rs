//! Bytes from elsewhere.

mod apt;
mod error;
mod fetcher;
mod http;
mod part;
mod progress;
mod stale;
mod store;
mod url;

pub use apt::{Apt, AptOptions, Candidate};
pub use error::{Attempt, Error, Reason, Result};
pub use fetcher::{FetchOptions, Fetcher, Mirror, Wanted};
pub use http::HttpOptions;
pub use progress::Progress;
pub use store::SourceStore;
pub use url::Url;
