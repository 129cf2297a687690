//! One file for each verb: its arguments, and what it does with them.

pub mod bootstrap;
pub mod build;
pub mod cat;
pub mod convert;
pub mod db;
pub mod doctor;
pub mod fetch;
pub mod files;
pub mod info;
pub mod inspect;
pub mod install;
pub mod list;
pub mod log;
pub mod owner;
pub mod pack;
pub mod recipe;
pub mod recover;
pub mod remove;
pub mod sandbox;
pub mod trust;
pub mod unpack;
pub mod verify;
