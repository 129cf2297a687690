//! The install database and the transactional installer
