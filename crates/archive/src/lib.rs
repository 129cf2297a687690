//! Foreign archives as streams of entries
