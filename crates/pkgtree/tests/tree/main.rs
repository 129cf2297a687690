//! Packing and unpacking, seen from outside.
#![expect(clippy::unwrap_used, reason = "a test that can not be arranged has failed")]

mod packing;
mod round_trip;
mod sample;
mod unpacking;
