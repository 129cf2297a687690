//! What the fuzz targets share: a target is one property, stated with the public interface of a crate.
#![forbid(unsafe_code)]

pub mod foreign;
pub mod order;
pub mod package;
pub mod signatures;
