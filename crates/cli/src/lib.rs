//! The commands `pkg`, `pkg-build`, `pkg-install` and `pkg-sandbox`: argument types, rendering, exit codes.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     cli::main()
//! }
//! ```
//!
//! Nothing is decided here: every verb parses its arguments, calls one library, and shows what it answered.
#![forbid(unsafe_code)]

mod app;
pub mod aspects;
pub mod building;
pub mod cached;
pub mod caller;
pub mod change;
pub mod cmd;
pub mod content;
pub mod exit;
mod explain;
pub mod failure;
pub mod keys;
pub mod not_given;
mod on_demand;
pub mod options;
pub mod output;
pub mod packages;
pub mod passphrase;
pub mod patterns;
pub mod places;
pub mod render;
pub mod reversal;
pub mod signals;

pub use app::{alone, command, main};
