//! A clean room of Linux namespaces, used like std::process::Command
mod census; mod child; mod error; mod filter; mod outcome; mod plan; mod probe; mod room; mod spawn; mod sys;
pub use child::Child;
pub use error::Error;
pub use outcome::{Exit, Limit, Limits, Outcome, Stream, Usage};
pub use probe::{Finding, Probe, probe};
pub use room::*;
