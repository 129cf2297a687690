//! The record format of packages: read, write, manifest, limits
