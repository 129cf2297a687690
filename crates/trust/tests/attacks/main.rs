//! One file for each attack of the trust study that applies, with the code that answers it.

#![expect(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![expect(clippy::disallowed_methods, reason = "tests arrange trees of their own")]

#[path = "../fixture/mod.rs"]
mod fixture;

mod a01_arbitrary_software;
mod a02_wrong_software;
mod a05_bombs;
mod a06_signature_flooding;
mod a15_too_few_honest_keys;
mod a16_duplicate_signatures;
mod a21_stripped_signatures;
mod a24_cross_protocol;
mod a26_names_on_a_screen;
mod a27_path_tricks;
mod a28_malleable_signatures;
mod a29_weak_keys;
mod a33_clocks;
mod a38_tampered_trust_dir;
mod a39_unreadable_trust_dir;
mod a44_content_floor;
mod a47_hash_downgrade;
