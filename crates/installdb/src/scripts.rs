//! Packages' scripts: how they are run, what came of them, and which are still to be run. Which ones a transaction runs is
//! its own affair.

pub(crate) mod call;
pub(crate) mod foreign;
pub(crate) mod pending;
pub(crate) mod run;
