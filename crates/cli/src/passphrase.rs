//! Passphrases, asked on the terminal and shown nowhere.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios};
use trust::{Protection, Zeroizing};

use crate::exit;
use crate::failure::Failure;

/// Asks twice for the passphrase of a new key.
///
/// # Errors
/// No terminal, an empty passphrase, two different ones.
pub fn for_new_key() -> Result<Protection, Failure> {
    let none = || {
        Failure::new(exit::FAILED, "no passphrase was given for the new key")
            .hint("`--no-passphrase` makes one without")
    };
    let passphrase = ask("Passphrase for the new key: ").filter(|text| !text.is_empty()).ok_or_else(none)?;
    let again = ask("The same again: ").ok_or_else(none)?;
    if *passphrase != *again {
        return Err(Failure::new(exit::FAILED, "the two passphrases differ"));
    }
    Ok(Protection::Passphrase { passphrase, rounds: Protection::ROUNDS })
}

/// Asks for the passphrase of a key file; `None` without a terminal.
pub fn of_key(path: &Path) -> Option<Zeroizing<String>> {
    ask(&format!("Passphrase for {}: ", path.display()))
}

/// Asks on the terminal, without showing the answer; `None` without a terminal or when the user broke off.
fn ask(question: &str) -> Option<Zeroizing<String>> {
    let terminal = File::options().read(true).write(true).open("/dev/tty").ok()?;
    let silence = Silence::new(&terminal)?;
    (&terminal).write_all(question.as_bytes()).ok()?;
    let line = line(&terminal);
    drop(silence);
    // The end of the line was not shown either.
    (&terminal).write_all(b"\n").ok()?;
    let text = std::str::from_utf8(line.as_deref()?).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

/// Byte by byte: what comes after the line is not ours, and an interrupted read is the user's wish to stop.
fn line(mut terminal: &File) -> Option<Zeroizing<Vec<u8>>> {
    const LONGEST: usize = 1024;
    let mut line = Zeroizing::new(Vec::with_capacity(LONGEST));
    let mut byte = [0];
    while terminal.read(&mut byte).ok()? == 1 && byte[0] != b'\n' {
        if line.len() == LONGEST {
            return None;
        }
        line.push(byte[0]);
    }
    Some(line)
}

/// A terminal that does not show what is typed, until this is dropped.
struct Silence<'a> {
    terminal: &'a File,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn new(terminal: &'a File) -> Option<Self> {
        let before = rustix::termios::tcgetattr(terminal).ok()?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        rustix::termios::tcsetattr(terminal, OptionalActions::Flush, &silent).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // The terminal is gone then, and with it what it would show.
        let _ = rustix::termios::tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
