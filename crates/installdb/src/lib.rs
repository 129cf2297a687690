//! The install database.
#![forbid(unsafe_code)]

mod database;
mod error;
mod finding;
mod header;
mod installed;
mod journal;
mod place;
mod recover;
mod rows;
mod schema;
mod step;

pub use database::InstallDb;
pub use error::{Error, ErrorKind, Result};
pub use finding::{Finding, Unmet};
pub use installed::Installed;
pub use recover::{Outcome, Recovery};
pub use schema::{APPLICATION_ID, USER_VERSION};
