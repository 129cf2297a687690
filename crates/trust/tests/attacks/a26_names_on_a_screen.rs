//! Nothing from a key file or an archive reaches a terminal unescaped (attacks 26 and 46).

use std::path::Path;

use proptest::prelude::*;
use trust::{KeyFile, Owner, ReasonCode, Statement, Tier};

use crate::fixture::*;

const HOSTILE: [&str; 8] = [
    "bob\u{1b}]0;owned\u{7}",
    "bob\u{202e}gnp",
    "b\u{200b}ob",
    "bob\rann",
    "b\u{430}b",
    "bob\u{9b}31m",
    "\u{feff}bob",
    "bob\u{2066}x",
];

#[test]
fn owners_are_plain_text() {
    for hostile in HOSTILE {
        assert!(hostile.parse::<Owner>().is_err(), "{hostile:?}");
    }
    assert!("bob@example.org".parse::<Owner>().is_ok());
}

#[test]
fn a_key_file_that_would_draw_on_the_screen_is_refused() {
    let line = secret(1).public_line();
    for hostile in HOSTILE.iter().filter(|text| !text.contains('\u{430}')) {
        let text = format!("{line} {hostile}\n");
        let error = KeyFile::parse(text.as_bytes(), Path::new("x.pub"), Tier::Junior).unwrap_err();
        assert_eq!(error.code(), ReasonCode::Parse, "{hostile:?}");
    }
}

#[test]
fn comments_in_new_keys_have_no_controls() {
    for hostile in HOSTILE {
        let line = trust::SecretKey::from_seed(&[1; 32], hostile).unwrap().public_line();
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}

fn is_printable(text: &str) -> bool {
    text.chars().all(|character| !character.is_control())
}

proptest! {
    #[test]
    fn messages_on_hostile_bytes_are_printable(bytes: Vec<u8>, word in "\\PC{0,20}") {
        for message in [
            Statement::parse(&bytes).unwrap_err().to_string(),
            KeyFile::parse(&bytes, Path::new("x.pub"), Tier::Junior).unwrap_err().to_string(),
            trust::SigArchive::read(&*bytes, "x.sigs").unwrap_err().to_string(),
            trust::SshSig::from_armored(&String::from_utf8_lossy(&bytes), "x").unwrap_err().to_string(),
            trust::PublicKey::from_openssh(&String::from_utf8_lossy(&bytes)).unwrap_err().to_string(),
        ] {
            prop_assert!(is_printable(&message), "{message:?}");
        }
        let text = statement(&record("zlib")).to_string();
        let Err(error) = Statement::parse(text.replace("local", &format!("\u{1b}{word}")).as_bytes()) else {
            return Err(TestCaseError::fail("accepted"));
        };
        prop_assert!(is_printable(&error.to_string()));
    }
}
