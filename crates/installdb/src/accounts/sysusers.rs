//! Lines of `sysusers.d`: the users and groups that a package needs.

/// What one line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// `u`: a user, and the group of its name unless it is to be in another one.
    User(User),
    /// `g`: a group.
    Group { name: String, gid: Option<u32> },
    /// `m`: a user becomes a member of a group.
    Member { user: String, group: String },
}

/// A user as a line describes it; `None` where it leaves the choice to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: Option<u32>,
    pub(crate) group: Option<Primary>,
    pub(crate) comment: Option<String>,
    pub(crate) home: Option<String>,
    pub(crate) shell: Option<String>,
    /// `u!`: nobody can become this user, with whatever credential.
    pub(crate) locked: bool,
}

/// The group that a user's files get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Primary {
    Id(u32),
    Name(String),
}

/// Reads a line.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn parse(text: &str) -> Result<Line, &'static str> {
    let fields = fields(text)?;
    let field = |index: usize| fields.get(index).map(String::as_str).filter(|text| !matches!(*text, "" | "-"));
    let name = field(1).ok_or("a name is expected").and_then(principal)?;
    let most = match fields.first().map_or("", String::as_str) {
        "u" | "u!" => 6,
        "g" | "m" => 3,
        "r" => return Err("ranges of ids are not chosen from here"),
        _ => return Err("`u`, `u!`, `g` or `m` is expected first"),
    };
    if (most..fields.len()).any(|index| field(index).is_some()) {
        return Err("it has more fields than its type knows");
    }
    Ok(match fields[0].as_str() {
        "g" => Line::Group { name, gid: field(2).map(id).transpose()? },
        "m" => Line::Member { user: name, group: field(2).ok_or("a group is expected").and_then(principal)? },
        kind => {
            let (uid, group) = ids(field(2))?;
            let path = |index| field(index).map(path).transpose();
            let comment = field(3).map(comment).transpose()?;
            Line::User(User { name, uid, group, comment, home: path(4)?, shell: path(5)?, locked: kind == "u!" })
        }
    })
}

/// Words, which quotes keep together; a backslash takes the next character as it is.
fn fields(text: &str) -> Result<Vec<String>, &'static str> {
    let mut fields = Vec::new();
    let mut field: Option<String> = None;
    let mut quote = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            _ if quote == Some(c) => quote = None,
            '\\' if quote != Some('\'') => {
                field.get_or_insert_default().push(chars.next().ok_or("nothing follows the `\\`")?);
            }
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                field.get_or_insert_default();
            }
            '%' => match chars.next() {
                Some('%') => field.get_or_insert_default().push('%'),
                _ => return Err("`%` names something of the running machine, which a package can not know"),
            },
            c if c.is_ascii_whitespace() && quote.is_none() => fields.extend(field.take()),
            c => field.get_or_insert_default().push(c),
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    fields.extend(field);
    Ok(fields)
}

/// A name that all programs take for one, and none for a number.
fn principal(text: &str) -> Result<String, &'static str> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let begins = text.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    match begins && !is_number && text.len() <= 31 && text.bytes().all(fits) {
        true => Ok(text.to_owned()),
        false => Err("a name has at most 31 letters, digits, `_`, `-` and `.`, and begins with none of the last two"),
    }
}

fn id(text: &str) -> Result<u32, &'static str> {
    let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    // Both stand for "no id" somewhere.
    number.filter(|number| ![u32::MAX, 0xffff].contains(number)).ok_or("an id is a number, and not 65535 or 4294967295")
}

/// `-`, `uid`, `uid:gid`, `uid:group`; the owner of a path would depend on what is on the disk.
fn ids(field: Option<&str>) -> Result<(Option<u32>, Option<Primary>), &'static str> {
    let Some(text) = field else { return Ok((None, None)) };
    let (uid, group) = text.split_once(':').map_or((text, None), |(uid, group)| (uid, Some(group)));
    let uid = if uid == "-" { None } else { Some(id(uid)?) };
    let group = group.map(|group| match group.bytes().all(|byte| byte.is_ascii_digit()) {
        true => id(group).map(Primary::Id),
        false => principal(group).map(Primary::Name),
    });
    Ok((uid, group.transpose()?))
}

fn comment(text: &str) -> Result<String, &'static str> {
    match text.contains(|c: char| c == ':' || c.is_control()) {
        true => Err("a comment has no `:` and no control characters"),
        false => Ok(text.to_owned()),
    }
}

fn path(text: &str) -> Result<String, &'static str> {
    match text.starts_with('/') && !text.contains(|c: char| c == ':' || c.is_control()) {
        true => Ok(text.to_owned()),
        false => Err("home and shell are absolute paths without `:`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str, change: impl FnOnce(&mut User)) -> Result<Line, &'static str> {
        let mut user = User { name: name.to_owned(), ..User::default() };
        change(&mut user);
        Ok(Line::User(user))
    }

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        assert_eq!(parse("u bus"), user("bus", |_| ()));
        assert_eq!(
            parse("u!  bus 81:adm \"System \\\"Message\\\" Bus\" /run/bus /bin/false"),
            user("bus", |user| {
                user.uid = Some(81);
                user.group = Some(Primary::Name("adm".into()));
                user.comment = Some("System \"Message\" Bus".into());
                user.home = Some("/run/bus".into());
                user.shell = Some("/bin/false".into());
                user.locked = true;
            })
        );
        assert_eq!(
            parse("u a -:7 '50%%' - -"),
            user("a", |user| {
                user.group = Some(Primary::Id(7));
                user.comment = Some("50%".into());
            })
        );
        assert_eq!(parse("g shadow 42"), Ok(Line::Group { name: "shadow".into(), gid: Some(42) }));
        assert_eq!(parse("g www-data -"), Ok(Line::Group { name: "www-data".into(), gid: None }));
        assert_eq!(parse("m avahi netdev"), Ok(Line::Member { user: "avahi".into(), group: "netdev".into() }));
    }

    #[test]
    fn what_can_not_be_carried_out_is_refused() {
        for bad in [
            "",
            "u",
            "u -",
            "x name",
            "r - 500-900",
            "m user",
            "g x 1 2",
            "u ../x",
            "u 12",
            "u -x",
            "u x -1",
            "u x +1",
            "u x 65535",
            "u x 4294967295",
            "u x 1:",
            "u x /etc/passwd",
            "u x - a:b",
            "u x - - home",
            "u x - - /a:b",
            "u x - 'open",
            "u x - %m",
            "u x - \\",
            "u a\u{e4}",
            "u x - \"a\u{7}\"",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}: {:?}", parse(bad));
        }
        assert!(parse(&format!("u {}", "x".repeat(32))).is_err());
    }
}
