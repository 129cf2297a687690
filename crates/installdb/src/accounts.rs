//! The users and groups that the packages of a transaction need, and the root's files with those that are missing.
//!
//! Who is there already is taken as he is, whatever a package says of him. Nobody is ever taken away again: his files may
//! outlive the package, and whoever got his number next would own them.

pub(crate) mod account_file;
pub(crate) mod principals;
mod sysusers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use pkgformat::{Entry, EntryKind, PackageMeta, Use};
use pkgfs::{ErrorKind as DiskError, RecordLock, Root};
use pkgtypes::{Digest, PackageName, PkgPath, Timestamp};

use self::account_file::AccountFile;
use self::principals::Principals;
use self::sysusers::{Line, Primary, User};
use crate::error::Result;
use crate::{Error, Finding, Notice, home};

/// From which numbers those are chosen that a package leaves open: the highest that is free for both users and groups,
/// as systemd does it; the lower ones are given out by distributions.
const CHOICE: std::ops::RangeInclusive<u32> = 100..=999;
/// What a password file has where no password fits.
const LOCKED: &str = "!*";

/// The users and groups of a root, and those that a transaction adds.
#[derive(Debug)]
pub(crate) struct Accounts {
    passwd: AccountFile,
    group: AccountFile,
    /// Both are `None` where the root does without, or nobody is asked for: not everybody who asks nothing of them may read
    /// them.
    shadow: Option<AccountFile>,
    gshadow: Option<AccountFile>,
    users: BTreeMap<String, u32>,
    groups: BTreeMap<String, u32>,
    pub(crate) notices: Vec<Notice>,
}

/// What is asked for under one name, and by whom first.
#[derive(Debug, Clone)]
struct Wish<T> {
    package: PackageName,
    what: T,
}

/// All that the packages ask for.
#[derive(Debug, Default)]
struct Wishes {
    users: BTreeMap<String, Wish<User>>,
    groups: BTreeMap<String, Wish<Option<u32>>>,
    members: BTreeMap<(String, String), PackageName>,
}

/// The files in which they stand.
pub(crate) const FILES: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];
/// The lock of all programs that edit them.
const LOCK: &str = "etc/.pwd.lock";
/// What is larger is no such file.
const LARGEST_BROUGHT: u64 = 1 << 20;

/// Whether it is one of them, as packages name them.
pub(crate) fn is_account_file(path: &PkgPath) -> bool {
    FILES.iter().any(|file| file.as_bytes() == path.as_bytes())
}

/// The content of an entry at such a place that may be added to: a configuration file, or one that the system writes.
pub(crate) fn account_file(entry: &Entry) -> Option<Digest> {
    match entry.kind {
        EntryKind::File { digest, size, .. } if size <= LARGEST_BROUGHT => {
            (entry.uses.contains(&Use::Config) || entry.uses.contains(&Use::Mutable)).then_some(digest)
        }
        _ => None,
    }
}

/// How long the C library waits for the lock.
const PATIENCE: Duration = Duration::from_secs(15);

/// Keeps other programs that edit users and groups out while some of these paths are replaced (`lckpwdf(3)`).
///
/// # Errors
/// [`Error::AccountsBusy`].
pub(crate) fn lock<'a>(
    root: &Root,
    paths: impl IntoIterator<Item = &'a PkgPath>,
    patience: Option<Duration>,
) -> Result<Option<RecordLock>> {
    let files = FILES.map(|file| home::found(root, file));
    if !paths.into_iter().any(|path| files.iter().any(|file| file.as_ref().is_ok_and(|file| file == path))) {
        return Ok(None);
    }
    let path = home::found(root, LOCK)?;
    root.record_lock(&path, patience.unwrap_or(PATIENCE)).map_err(|error| match error.kind {
        DiskError::Locked { .. } => Error::AccountsBusy { path },
        _ => error.into(),
    })
}

impl Accounts {
    /// Reads the root's files, or those that packages put in their places, and adds whom the packages need.
    pub(crate) fn plan<'a>(
        root: &Root,
        packages: impl Iterator<Item = &'a PackageMeta>,
        mut brought: HashMap<PkgPath, Vec<u8>>,
        time: Timestamp,
        findings: &mut Vec<Finding>,
    ) -> Result<Self> {
        let wishes = Wishes::gather(packages, findings);
        let mut load = |path, mode| {
            let mut file = AccountFile::load(root, path, mode)?;
            file.brought = brought.remove(&file.path);
            Ok::<_, Error>(file)
        };
        let (passwd, group) = (load("etc/passwd", 0o644)?, load("etc/group", 0o644)?);
        // A new root has passwords where everybody expects them; one that did without goes on so.
        let mut hidden = |path, open: &AccountFile| match wishes.are_none() {
            true => Ok(None),
            false => load(path, 0o600).map(|file| Some(file).filter(|file| file.is_there() || !open.is_there())),
        };
        let mut accounts = Self {
            shadow: hidden("etc/shadow", &passwd)?,
            gshadow: hidden("etc/gshadow", &group)?,
            passwd,
            group,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            notices: Vec::new(),
        };
        accounts.users = accounts.passwd.numbers();
        accounts.groups = accounts.group.numbers();
        Making { accounts: &mut accounts, wishes: &wishes, findings, time }.all();
        accounts.give_to_shadow();
        Ok(accounts)
    }

    pub(crate) fn principals(&self) -> Principals {
        Principals { users: self.users.clone(), groups: self.groups.clone() }
    }

    /// The files that get another content.
    pub(crate) fn changed(&self) -> impl Iterator<Item = &AccountFile> {
        let files = [&self.passwd, &self.group].into_iter().chain(&self.shadow).chain(&self.gshadow);
        files.filter(|file| file.is_changed())
    }

    /// Programs that check passwords are this group's, where there is one.
    fn give_to_shadow(&mut self) {
        let Some(gid) = self.groups.get("shadow").filter(|_| rustix::process::geteuid().is_root()) else { return };
        for file in [&mut self.shadow, &mut self.gshadow].into_iter().flatten().filter(|file| !file.is_there()) {
            file.give_to_group(*gid);
        }
    }

    /// The highest number that is nobody's and nobody's wish.
    fn choose(&self, wishes: &Wishes) -> Option<u32> {
        let known = self.users.values().chain(self.groups.values()).copied();
        let used: BTreeSet<u32> = known.chain(wishes.numbers()).collect();
        CHOICE.rev().find(|id| !used.contains(id))
    }
}

impl Wishes {
    /// Reads what all packages ask for, in the order of their names, so that the same packages make the same users in
    /// whatever order they are named.
    fn gather<'a>(packages: impl Iterator<Item = &'a PackageMeta>, findings: &mut Vec<Finding>) -> Self {
        let mut packages: Vec<&PackageMeta> = packages.collect();
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        let mut wishes = Self::default();
        for meta in packages {
            for text in meta.sysgroups.iter().chain(&meta.sysusers) {
                match sysusers::parse(text) {
                    Ok(line) => wishes.add(&meta.name, line, findings),
                    Err(reason) => {
                        let (package, line) = (meta.name.clone(), text.clone());
                        findings.push(Finding::BadAccount { package, line, reason });
                    }
                }
            }
        }
        wishes.imply();
        wishes
    }

    fn add(&mut self, package: &PackageName, line: Line, findings: &mut Vec<Finding>) {
        match line {
            Line::Group { name, gid } => self.add_group(package, name, gid, findings),
            Line::Member { user, group } => drop(self.members.entry((group, user)).or_insert(package.clone())),
            Line::User(user) => self.add_user(package, user, findings),
        }
    }

    fn add_group(&mut self, package: &PackageName, name: String, gid: Option<u32>, findings: &mut Vec<Finding>) {
        let wish = Wish { package: package.clone(), what: gid };
        let known = self.groups.entry(name.clone()).or_insert(wish);
        if let (Some(first), Some(second)) = (known.what, gid)
            && first != second
        {
            let second = package.clone();
            findings.push(Finding::AccountClash { what: "group", name, first: known.package.clone(), second });
        }
        known.what = known.what.or(gid);
    }

    /// What one line leaves open another one may say; the first one counts. A number has to be agreed upon.
    fn add_user(&mut self, package: &PackageName, user: User, findings: &mut Vec<Finding>) {
        let Some(known) = self.users.get_mut(&user.name) else {
            self.users.insert(user.name.clone(), Wish { package: package.clone(), what: user });
            return;
        };
        let first = &mut known.what;
        if first.uid.zip(user.uid).is_some_and(|(first, second)| first != second) {
            let (first, second) = (known.package.clone(), package.clone());
            findings.push(Finding::AccountClash { what: "user", name: user.name, first, second });
            return;
        }
        let User { name: _, uid, group, comment, home, shell, locked } = user;
        first.uid = first.uid.or(uid);
        first.group = first.group.take().or(group);
        first.comment = first.comment.take().or(comment);
        first.home = first.home.take().or(home);
        first.shell = first.shell.take().or(shell);
        first.locked |= locked;
    }

    fn are_none(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// The numbers that are asked for.
    fn numbers(&self) -> impl Iterator<Item = u32> {
        let of_user = |user: &User| match user.group {
            Some(Primary::Id(gid)) => [user.uid, Some(gid)],
            _ => [user.uid, None],
        };
        let users = self.users.values().flat_map(move |wish| of_user(&wish.what)).flatten();
        users.chain(self.groups.values().filter_map(|wish| wish.what))
    }

    /// Who is named by a line and described by none is made nevertheless.
    fn imply(&mut self) {
        for ((group, user), package) in &self.members {
            let blank = || Wish { package: package.clone(), what: User { name: user.clone(), ..User::default() } };
            self.users.entry(user.clone()).or_insert_with(blank);
            self.groups.entry(group.clone()).or_insert_with(|| Wish { package: package.clone(), what: None });
        }
        for wish in self.users.values() {
            if let Some(Primary::Name(group)) = &wish.what.group {
                let blank = || Wish { package: wish.package.clone(), what: None };
                self.groups.entry(group.clone()).or_insert_with(blank);
            }
        }
    }
}

/// Adds to the accounts what is missing.
struct Making<'a> {
    accounts: &'a mut Accounts,
    wishes: &'a Wishes,
    findings: &'a mut Vec<Finding>,
    time: Timestamp,
}

impl Making<'_> {
    /// Given numbers first, so that no chosen one takes them away, and in their order, so that root is the first line.
    fn all(mut self) {
        let wishes = self.wishes;
        let fixed = wishes.groups.iter().filter_map(|(name, wish)| Some((wish.what?, name, &wish.package)));
        for (gid, name, package) in fixed.collect::<BTreeSet<_>>() {
            self.group(name, gid, package);
        }
        let (mut fixed, open): (Vec<_>, Vec<_>) = wishes.users.values().partition(|wish| wish.what.uid.is_some());
        fixed.sort_by_key(|wish| wish.what.uid);
        for wish in fixed {
            self.user(wish);
        }
        for (name, wish) in wishes.groups.iter().filter(|(_, wish)| wish.what.is_none()) {
            if !self.accounts.groups.contains_key(name)
                && let Some(gid) = self.chosen(name, &wish.package)
            {
                self.group(name, gid, &wish.package);
            }
        }
        for wish in open {
            self.user(wish);
        }
        for ((group, user), package) in &wishes.members {
            self.member(group, user, package);
        }
    }

    fn chosen(&mut self, name: &str, package: &PackageName) -> Option<u32> {
        let chosen = self.accounts.choose(self.wishes);
        if chosen.is_none() {
            self.findings.push(Finding::NoFreeId { name: name.to_owned(), package: package.clone() });
        }
        chosen
    }

    fn group(&mut self, name: &str, gid: u32, package: &PackageName) {
        let Accounts { group, gshadow, groups, notices, .. } = &mut *self.accounts;
        if groups.contains_key(name) {
            return;
        }
        if let Some((other, _)) = groups.iter().find(|(_, used)| **used == gid) {
            let (name, other) = (name.to_owned(), other.clone());
            self.findings.push(Finding::IdTaken { what: "group", name, id: gid, other, package: package.clone() });
            return;
        }
        group.add(format!("{name}:x:{gid}:"));
        if let Some(gshadow) = gshadow.as_mut().filter(|file| !file.has(name)) {
            gshadow.add(format!("{name}:{LOCKED}::"));
        }
        groups.insert(name.to_owned(), gid);
        notices.push(Notice::AccountMade { what: "group", name: name.to_owned(), id: gid, package: package.clone() });
    }

    fn user(&mut self, wish: &Wish<User>) {
        let Wish { package, what: user } = wish;
        if self.accounts.users.contains_key(&user.name) {
            return;
        }
        let Some(uid) = self.uid(user, package) else { return };
        if let Some((other, _)) = self.accounts.users.iter().find(|(_, used)| **used == uid) {
            let (name, other) = (user.name.clone(), other.clone());
            self.findings.push(Finding::IdTaken { what: "user", name, id: uid, other, package: package.clone() });
            return;
        }
        // Why there is no group was said when it was to be made.
        let Some(gid) = self.primary_group(user, uid, package) else { return };
        self.add_user(user, uid, gid, package);
    }

    /// The number that was asked for, or that of the user's own group, or a free one.
    fn uid(&mut self, user: &User, package: &PackageName) -> Option<u32> {
        let own = self.accounts.groups.get(&user.name).copied();
        let own = own.filter(|gid| !self.accounts.users.values().any(|used| used == gid));
        user.uid.or(own).or_else(|| self.chosen(&user.name, package))
    }

    fn primary_group(&mut self, user: &User, uid: u32, package: &PackageName) -> Option<u32> {
        match &user.group {
            Some(Primary::Name(name)) => return self.named_group(name),
            Some(Primary::Id(gid)) if self.accounts.groups.values().any(|used| used == gid) => return Some(*gid),
            Some(Primary::Id(gid)) => self.group(&user.name, *gid, package),
            None if self.accounts.groups.contains_key(&user.name) => {}
            None if !self.accounts.groups.values().any(|used| *used == uid) => self.group(&user.name, uid, package),
            None => {
                let gid = self.chosen(&user.name, package)?;
                self.group(&user.name, gid, package);
            }
        }
        self.accounts.groups.get(&user.name).copied()
    }

    /// A group that a line names has a wish of its own, with or without a number.
    fn named_group(&mut self, name: &str) -> Option<u32> {
        if !self.accounts.groups.contains_key(name) {
            let package = &self.wishes.groups.get(name)?.package;
            let gid = self.chosen(name, package)?;
            self.group(name, gid, package);
        }
        self.accounts.groups.get(name).copied()
    }

    fn add_user(&mut self, user: &User, uid: u32, gid: u32, package: &PackageName) {
        let Accounts { passwd, shadow, users, notices, .. } = &mut *self.accounts;
        let User { name, comment, home, shell, locked, .. } = user;
        let password = if shadow.is_some() { "x" } else { LOCKED };
        let comment = comment.as_deref().unwrap_or_default();
        let home = home.as_deref().unwrap_or(if uid == 0 { "/root" } else { "/" });
        let shell = shell.as_deref().unwrap_or(if uid == 0 { "/bin/sh" } else { "/usr/sbin/nologin" });
        passwd.add(format!("{name}:{password}:{uid}:{gid}:{comment}:{home}:{shell}"));
        if let Some(shadow) = shadow.as_mut().filter(|file| !file.has(name)) {
            let day = self.time.seconds().div_euclid(86_400).max(0);
            // An account that expired on the second day of 1970 lets nobody in.
            let expires = if *locked { "1" } else { "" };
            shadow.add(format!("{name}:{LOCKED}:{day}:::::{expires}:"));
        }
        users.insert(name.clone(), uid);
        notices.push(Notice::AccountMade { what: "user", name: name.clone(), id: uid, package: package.clone() });
    }

    fn member(&mut self, group: &str, user: &str, package: &PackageName) {
        let accounts = &mut *self.accounts;
        if !accounts.groups.contains_key(group) || !accounts.users.contains_key(user) {
            return;
        }
        let is_new = accounts.group.add_member(group, user);
        if let Some(gshadow) = accounts.gshadow.as_mut().filter(|file| file.has(group)) {
            gshadow.add_member(group, user);
        }
        if is_new {
            let (group, user) = (group.to_owned(), user.to_owned());
            accounts.notices.push(Notice::MemberAdded { user, group, package: package.clone() });
        }
    }
}
