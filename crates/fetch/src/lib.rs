//! Bytes from elsewhere: http, file, apt
