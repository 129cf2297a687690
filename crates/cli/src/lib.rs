//! The commands pkg, pkg-build and pkg-install
