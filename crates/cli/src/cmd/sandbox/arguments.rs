//! Options that come by a descriptor.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use clap::Command;

use super::operations::contents;
use crate::exit;
use crate::failure::Failure;

/// Puts the words that `--args FD` gives in its place, as far as `words` from `first` on are options of `command`.
///
/// # Errors
/// A descriptor that cannot be read.
pub(super) fn expand(words: Vec<OsString>, first: usize, command: &Command) -> Result<Vec<OsString>, Failure> {
    let mut words = words.into_iter().peekable();
    let mut all: Vec<OsString> = words.by_ref().take(first).collect();
    while let Some(word) = words.next() {
        if word == "--args" {
            let number = words.next().ok_or_else(|| Failure::new(exit::USAGE, "--args has no descriptor"))?;
            let given = contents("args", &number)?;
            let given = given.strip_suffix(b"\0").unwrap_or(&given);
            if !given.is_empty() {
                all.extend(given.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())));
            }
            continue;
        }
        let is_option = word.as_bytes().starts_with(b"-") && word != "--";
        let (least, most) = values(command, &word);
        all.push(word);
        if !is_option {
            break;
        }
        for number in 0..most {
            let is_value = |next: &OsString| number < least || !next.as_bytes().starts_with(b"-");
            let Some(value) = words.next_if(is_value) else { break };
            all.push(value);
        }
    }
    all.extend(words);
    Ok(all)
}

/// How many words after this one, at least and at most, are its values.
fn values(command: &Command, word: &OsStr) -> (usize, usize) {
    let name = word.to_str().and_then(|word| word.strip_prefix("--"));
    let found = name.and_then(|name| command.get_arguments().find(|argument| argument.get_long() == Some(name)));
    let Some(argument) = found else { return (0, 0) };
    if !argument.get_action().takes_values() {
        return (0, 0);
    }
    argument.get_num_args().map_or((1, 1), |range| (range.min_values(), range.max_values()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cmd::sandbox::Args;
    use std::io::{Seek, Write};
    use std::os::fd::AsRawFd;

    /// `--args` stands for these words, `FD` for a descriptor that gives them.
    fn expanded(line: &str, given: &[u8]) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(given).unwrap();
        file.rewind().unwrap();
        // As one that came with the program.
        rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty()).unwrap();
        let number = file.as_raw_fd().to_string();
        let words = line.split_whitespace().map(|word| if word == "FD" { number.as_str() } else { word });
        let command = <Args as clap::Args>::augment_args(Command::new("sandbox"));
        let all = expand(words.map(OsString::from).collect(), 2, &command).unwrap();
        all.into_iter().map(|word| word.into_string().unwrap()).collect()
    }

    #[test]
    fn words_come_in_the_place_of_the_option() {
        let all = expanded("pkg sandbox --tmpfs /a --args FD --ro -- true --args 3", b"--setenv\0A\0two words\0");
        let seen =
            ["pkg", "sandbox", "--tmpfs", "/a", "--setenv", "A", "two words", "--ro", "--", "true", "--args", "3"];
        assert_eq!(all, seen);
        assert_eq!(expanded("pkg sandbox --args FD true", b""), ["pkg", "sandbox", "true"]);
    }

    #[test]
    fn values_and_the_command_are_left_as_they_are() {
        for line in [
            "pkg sandbox --setenv A --args true",
            "pkg sandbox true --args FD",
            "pkg sandbox --id-range --ro true --args 9",
            "pkg sandbox --hostname=x -- --args 9",
        ] {
            let all = expanded(line, b"x\0");
            assert_eq!(all.len(), line.split_whitespace().count(), "{all:?}");
        }
        assert_eq!(expanded("pkg sandbox --overlay a b --args FD -- true", b"--ro")[5..], ["--ro", "--", "true"]);
    }
}
