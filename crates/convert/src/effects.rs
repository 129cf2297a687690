//! What scripts of other systems are known to do, in declarative words. Only what a script says literally counts: a
//! word with a variable in it, or an option that is not known, and the command is left alone.

use std::collections::BTreeSet;

use pkgformat::{Entry, EntryKind, Trigger};

/// Folders the dynamic linker searches by itself.
const LIBRARY_FOLDERS: [&str; 4] = ["lib", "lib64", "usr/lib", "usr/lib64"];

/// One thing that a script makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Effect {
    /// A line of `sysusers.d` for a user.
    User(String),
    /// A line of `sysusers.d` for a group.
    Group(String),
    /// A command for the paths it is about.
    Trigger(Trigger),
}

/// The linker's cache is made again when libraries come or go in a folder that it is about.
pub(crate) fn of_libraries<'a>(entries: impl Iterator<Item = &'a Entry>) -> Vec<Trigger> {
    let mut folders = BTreeSet::new();
    for entry in entries {
        let EntryKind::File { elf: Some(elf), .. } = &entry.kind else { continue };
        if elf.soname.is_none() {
            continue;
        }
        let Some(folder) = entry.path.parent() else { continue };
        let is_usual = |text: &str| LIBRARY_FOLDERS.contains(&text);
        let Ok(text) = std::str::from_utf8(folder.as_bytes()) else { continue };
        let is_multiarch =
            text.rsplit_once('/').is_some_and(|(above, name)| is_usual(above) && name.contains("-linux-"));
        if is_usual(text) || is_multiarch {
            folders.insert(text.to_owned());
        }
    }
    let trigger = |folder| Trigger { glob: format!("{folder}/*.so*"), command: "ldconfig".to_owned() };
    folders.into_iter().map(trigger).collect()
}

/// The effects of a shell script's commands.
pub(crate) fn of_script(text: &str) -> Vec<Effect> {
    let joined = text.replace("\\\n", " ");
    const MOST: usize = 100;
    let mut effects = Vec::new();
    let mut here: Option<String> = None;
    for line in joined.lines() {
        if effects.len() == MOST {
            break;
        }
        if let Some(end) = &here {
            if line.trim_start_matches('\t') == end {
                here = None;
            }
            continue;
        }
        here = heredoc(line);
        for words in commands(line) {
            effects.extend(effect(&words).filter(|effect| !effects.contains(effect)));
        }
    }
    effects
}

/// The word that ends a here-document which begins in this line.
fn heredoc(line: &str) -> Option<String> {
    let (_, after) = line.split_once("<<")?;
    let word = after.trim_start_matches('-').trim_start();
    let word: String = word.chars().take_while(|c| !c.is_whitespace() && !";|&>".contains(*c)).collect();
    Some(word.replace(['"', '\'', '\\'], "")).filter(|word| !word.is_empty())
}

/// The simple commands of a line as words; those with anything but literal words are left out.
fn commands(line: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut words: Vec<String> = Vec::new();
    let mut word: Option<String> = None;
    let mut is_literal = true;
    let mut chars = line.chars().peekable();
    let mut end_command = |words: &mut Vec<String>, is_literal: &mut bool| {
        let words = std::mem::take(words);
        if std::mem::replace(is_literal, true) && !words.is_empty() {
            commands.push(words);
        }
    };
    while let Some(c) = chars.next() {
        match c {
            '\'' | '"' => {
                let text = word.get_or_insert_default();
                let mut closed = false;
                for inner in chars.by_ref() {
                    if inner == c {
                        closed = true;
                        break;
                    }
                    is_literal &= c == '\'' || !"$`\\".contains(inner);
                    text.push(inner);
                }
                is_literal &= closed;
            }
            '#' if word.is_none() => break,
            ';' | '&' | '|' | '(' | ')' => {
                words.extend(word.take());
                end_command(&mut words, &mut is_literal);
            }
            c if c.is_whitespace() => words.extend(word.take()),
            '>' | '<' => {
                // A redirection and the number before it say nothing of what the command makes.
                word.take();
                while chars.next_if(|c| ">&< ".contains(*c)).is_some() {}
                while chars.next_if(|c| !c.is_whitespace() && !";|&".contains(*c)).is_some() {}
            }
            c => {
                is_literal &= !"$`\\*?[{~".contains(c);
                word.get_or_insert_default().push(c);
            }
        }
    }
    words.extend(word.take());
    end_command(&mut words, &mut is_literal);
    commands
}

fn effect(words: &[String]) -> Option<Effect> {
    const KEYWORDS: [&str; 8] = ["if", "then", "else", "elif", "!", "do", "while", "{"];
    let words: Vec<&str> = words.iter().map(String::as_str).skip_while(|word| KEYWORDS.contains(word)).collect();
    let (program, arguments) = words.split_first()?;
    match program.rsplit('/').next()? {
        "adduser" => adduser(arguments),
        "addgroup" => addgroup(arguments),
        "useradd" => useradd(arguments),
        "groupadd" => groupadd(arguments),
        "update-alternatives" => alternative(arguments),
        _ => None,
    }
}

/// The parts of a line for a user.
#[derive(Default)]
struct User<'a> {
    name: Option<&'a str>,
    id: Option<&'a str>,
    group: Option<&'a str>,
    comment: Option<&'a str>,
    home: Option<&'a str>,
    shell: Option<&'a str>,
}

impl User<'_> {
    fn line(&self, is_system: bool) -> Option<Effect> {
        let name = self.name.filter(|name| is_system && is_principal(name))?;
        let id = self.id.unwrap_or("-");
        let group = self.group.filter(|group| *group != name);
        if !(id == "-" || is_number(id)) || !group.is_none_or(|group| is_principal(group) || is_number(group)) {
            return None;
        }
        let id = group.map_or_else(|| id.to_owned(), |group| format!("{id}:{group}"));
        let comment = match self.comment.filter(|comment| !comment.is_empty()) {
            None => "-".to_owned(),
            Some(comment) if comment.contains(['"', '\\']) => return None,
            Some(comment) => format!("\"{comment}\""),
        };
        let home = self.home.unwrap_or("/nonexistent");
        let is_path = |path: &str| path.starts_with('/') && !path.contains(char::is_whitespace);
        let shell = self.shell.unwrap_or("-");
        let fits = is_path(home) && (shell == "-" || is_path(shell));
        let line = if shell == "-" {
            format!("u {name} {id} {comment} {home}")
        } else {
            format!("u {name} {id} {comment} {home} {shell}")
        };
        fits.then_some(Effect::User(line))
    }
}

/// Options of a program, each with its value where it takes one; what is left stands without a name.
struct Options<'a> {
    words: std::slice::Iter<'a, &'a str>,
}

impl<'a> Options<'a> {
    fn of(words: &'a [&'a str]) -> Self {
        Self { words: words.iter() }
    }

    /// The next option; `--name=value` is parted.
    fn next(&mut self) -> Option<(&'a str, Option<&'a str>)> {
        let word = self.words.next()?;
        match word.split_once('=') {
            Some((name, value)) if word.starts_with("--") => Some((name, Some(value))),
            _ => Some((word, None)),
        }
    }

    fn value(&mut self, given: Option<&'a str>) -> Option<&'a str> {
        given.or_else(|| self.words.next().copied())
    }
}

/// Debian's `adduser`.
fn adduser(arguments: &[&str]) -> Option<Effect> {
    let mut user = User::default();
    let mut is_system = false;
    let mut second = None;
    let mut options = Options::of(arguments);
    while let Some((name, given)) = options.next() {
        match name {
            "--system" => is_system = true,
            "--group"
            | "--quiet"
            | "--no-create-home"
            | "--disabled-login"
            | "--disabled-password"
            | "--force-badname"
            | "--allow-badname"
            | "--allow-bad-names"
            | "-q" => {}
            "--home" => user.home = Some(options.value(given)?),
            "--shell" => user.shell = Some(options.value(given)?),
            "--gecos" | "--comment" => user.comment = Some(options.value(given)?),
            "--uid" => user.id = Some(options.value(given)?),
            "--ingroup" => user.group = Some(options.value(given)?),
            _ if name.starts_with('-') => return None,
            _ if user.name.is_none() => user.name = Some(name),
            _ if second.is_none() => second = Some(name),
            _ => return None,
        }
    }
    match second {
        None => user.line(is_system),
        // `adduser USER GROUP` puts a user into a group.
        Some(group) => {
            let user = user.name.filter(|user| !is_system && is_principal(user) && is_principal(group))?;
            Some(Effect::User(format!("m {user} {group}")))
        }
    }
}

/// Debian's `addgroup`.
fn addgroup(arguments: &[&str]) -> Option<Effect> {
    let (mut is_system, mut id, mut group) = (false, None, None);
    let mut options = Options::of(arguments);
    while let Some((name, given)) = options.next() {
        match name {
            "--system" => is_system = true,
            "--quiet" | "--force-badname" | "--allow-bad-names" | "-q" => {}
            "--gid" => id = Some(options.value(given)?),
            _ if name.starts_with('-') || group.is_some() => return None,
            _ => group = Some(name),
        }
    }
    group_line(group.filter(|_| is_system)?, id)
}

/// `useradd` of the shadow suite.
fn useradd(arguments: &[&str]) -> Option<Effect> {
    let mut user = User { home: Some("/"), ..User::default() };
    let mut is_system = false;
    let mut options = Options::of(arguments);
    while let Some((name, given)) = options.next() {
        match name {
            "-r" | "--system" => is_system = true,
            "-M" | "--no-create-home" | "-N" | "--no-user-group" | "-U" | "--user-group" | "-l" | "--no-log-init" => {}
            "-d" | "--home-dir" | "--home" => user.home = Some(options.value(given)?),
            "-s" | "--shell" => user.shell = Some(options.value(given)?),
            "-c" | "--comment" => user.comment = Some(options.value(given)?),
            "-u" | "--uid" => user.id = Some(options.value(given)?),
            "-g" | "--gid" => user.group = Some(options.value(given)?),
            _ if name.starts_with('-') || user.name.is_some() => return None,
            _ => user.name = Some(name),
        }
    }
    user.line(is_system)
}

/// `groupadd` of the shadow suite.
fn groupadd(arguments: &[&str]) -> Option<Effect> {
    let (mut is_system, mut id, mut group) = (false, None, None);
    let mut options = Options::of(arguments);
    while let Some((name, given)) = options.next() {
        match name {
            "-r" | "--system" => is_system = true,
            "-f" | "--force" => {}
            "-g" | "--gid" => id = Some(options.value(given)?),
            _ if name.starts_with('-') || group.is_some() => return None,
            _ => group = Some(name),
        }
    }
    group_line(group.filter(|_| is_system)?, id)
}

fn group_line(group: &str, id: Option<&str>) -> Option<Effect> {
    let id = id.unwrap_or("-");
    (is_principal(group) && (id == "-" || is_number(id))).then(|| Effect::Group(format!("g {group} {id}")))
}

/// `update-alternatives --install`: said again whenever the program comes, taken back when it goes.
fn alternative(arguments: &[&str]) -> Option<Effect> {
    let words: Vec<&str> = arguments.iter().copied().filter(|word| *word != "--quiet" && *word != "--force").collect();
    let [first, _, name, path, priority, ..] = words[..] else { return None };
    let is_plain = |word: &&str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._+-@:".contains(&byte))
    };
    if first != "--install" || !path.starts_with('/') || !is_number(priority) || !words.iter().all(is_plain) {
        return None;
    }
    let glob = path.trim_start_matches('/').to_owned();
    let command = format!(
        "if [ -e {path} ]; then update-alternatives {}; else update-alternatives --remove {name} {path}; fi",
        words.join(" ")
    );
    Some(Effect::Trigger(Trigger { glob, command }))
}

/// A line of a `passwd` file as one of `sysusers.d`.
pub(crate) fn of_passwd(line: &str) -> Option<String> {
    let [name, _, uid, gid, comment, home, shell] = line.split(':').collect::<Vec<_>>()[..] else { return None };
    let (name, comment) = (Some(name), Some(comment));
    let user = User { name, id: Some(uid), group: Some(gid), comment, home: Some(home), shell: Some(shell) };
    match user.line(is_number(gid))? {
        Effect::User(line) => Some(line),
        _ => None,
    }
}

/// A line of a `group` file as one of `sysusers.d`.
pub(crate) fn of_group(line: &str) -> Option<String> {
    let [name, _, gid, _] = line.split(':').collect::<Vec<_>>()[..] else { return None };
    match group_line(name, Some(gid))? {
        Effect::Group(line) => Some(line),
        _ => None,
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A name that `sysusers.d` takes.
fn is_principal(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    let begins = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    begins && name.len() <= 31 && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(line: &str) -> Effect {
        Effect::User(line.to_owned())
    }

    #[test]
    fn literal_commands_are_understood() {
        let script = "#!/bin/sh\nset -e\nif ! getent passwd messagebus >/dev/null; then\n  adduser --system \\\n  --quiet --home /nonexistent \
            --no-create-home --disabled-password --group messagebus 2>&1 || true\nfi\naddgroup --system --gid 42 shadow;adduser --quiet avahi netdev\n\
            /usr/sbin/useradd -r -g adm -d /var/spool/mail -s /sbin/nologin -c 'Mail User' mail >/dev/null 2>&1 || :\n";
        let group = Effect::Group("g shadow 42".to_owned());
        assert_eq!(
            of_script(script),
            [
                user("u messagebus - - /nonexistent"),
                group,
                user("m avahi netdev"),
                user("u mail -:adm \"Mail User\" /var/spool/mail /sbin/nologin"),
            ]
        );
    }

    #[test]
    fn what_is_not_literal_is_left_alone() {
        for script in [
            "adduser --system $USER",
            "adduser --system \"$USER\"",
            "adduser --system `id`",
            "adduser alice",
            "adduser --system --unknown x",
            "adduser --system a b c",
            "# adduser --system x",
            "echo adduser --system x",
            "cat <<EOF\nadduser --system x\nEOF\n",
            "adduser --system '../x'",
            "adduser --system --home 'a b' x",
            "groupadd users",
            "update-alternatives --install /usr/bin/awk awk /usr/bin/m* 5",
            "update-alternatives --remove awk /usr/bin/mawk",
            "adduser --system 'x",
        ] {
            assert_eq!(of_script(script), [], "{script}");
        }
    }

    #[test]
    fn lines_of_passwd_and_group_are_users_and_groups() {
        let line = "www-data:*:33:34:Web, all:/var/www:/usr/sbin/nologin";
        assert_eq!(of_passwd(line).as_deref(), Some("u www-data 33:34 \"Web, all\" /var/www /usr/sbin/nologin"));
        assert_eq!(of_passwd("_apt:*:4:5::/nonexistent:/bin/sh").as_deref(), Some("u _apt 4:5 - /nonexistent /bin/sh"));
        assert_eq!(of_group("shadow:*:42:").as_deref(), Some("g shadow 42"));
        for bad in ["", "# x", "a:*:1:2:x:home:/bin/sh", "a:*:x:2::/:/bin/sh", "a:*:1:y::/:/bin/sh", "a:b:*:1:2::/:/"] {
            assert_eq!((of_passwd(bad), of_group(bad)), (None, None), "{bad}");
        }
    }

    #[test]
    fn an_alternative_comes_and_goes_with_its_program() {
        let script = "update-alternatives --quiet --install /usr/bin/awk awk /usr/bin/mawk 5 \\\n  --slave /usr/bin/nawk nawk /usr/bin/mawk\n";
        let [Effect::Trigger(trigger)] = &of_script(script)[..] else { panic!("one trigger is expected") };
        assert_eq!(trigger.glob, "usr/bin/mawk");
        assert_eq!(
            trigger.command,
            "if [ -e /usr/bin/mawk ]; then update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5 --slave /usr/bin/nawk nawk \
             /usr/bin/mawk; else update-alternatives --remove awk /usr/bin/mawk; fi"
        );
    }
}
