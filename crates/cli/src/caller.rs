//! Who runs the command, for the history.

use std::path::Path;

use installdb::User;

/// The user; behind `sudo`, the one who called it.
pub fn user() -> User {
    let own = rustix::process::getuid().as_raw();
    let behind = std::env::var("SUDO_UID").ok().and_then(|uid| uid.parse().ok()).filter(|_| own == 0);
    let uid = behind.unwrap_or(own);
    User { uid, name: name(uid) }
}

/// The name that this machine has for a user.
fn name(uid: u32) -> Option<String> {
    let users = std::fs::read(Path::new("/etc/passwd")).ok()?;
    name_in(&users, uid)
}

/// Lines `name:password:id:..`; others say nothing.
fn name_in(users: &[u8], uid: u32) -> Option<String> {
    let lines = users.split(|&byte| byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    lines
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_first_name_of_the_number() {
        let users = b"root:x:0:0::/:/bin/sh\n\xff:x:7:7\n#\nann:x:7:7\ntwin:x:7:7\n";
        assert_eq!(name_in(users, 7).as_deref(), Some("ann"));
        assert_eq!(name_in(users, 8), None);
    }
}
