//! Compression: sniff, decode within bounds, encode
