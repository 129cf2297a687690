//! What the install database promises to its users.
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]
#![expect(clippy::unwrap_used, reason = "a test that can not be arranged has failed")]

mod accounts;
mod bad_input;
mod config;
mod database;
mod displaced;
mod faults;
mod fix;
mod full_disk;
mod history;
mod home;
mod interruption;
mod links;
mod medium;
mod model;
mod other_user;
mod preflight;
mod preview;
mod properties;
mod scene;
mod scripts;
mod transaction;
mod triggers;
mod undo;
mod verify;
mod victim;
mod zpkg;
