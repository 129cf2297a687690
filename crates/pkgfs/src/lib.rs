//! The only code that changes directory trees
