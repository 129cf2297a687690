use crate::{ArchiveError, Checksum, Entry};

use super::header::Header;
use super::tag;

/// What an rpm package says of itself, as its header has it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RpmMetadata {
    /// Its name.
    pub name: String,
    /// The epoch, where there is one; without one it counts as 0.
    pub epoch: Option<u32>,
    /// The upstream version.
    pub version: String,
    /// The revision of the packaging.
    pub release: String,
    /// The machine, `noarch` for any. Of a source package: the one it was made on.
    pub arch: String,
    /// The system, usually `linux`.
    pub os: Option<String>,
    /// Whether it is a source package: its files are a spec file and sources.
    pub source: bool,
    /// One line for people, in the C locale.
    pub summary: Option<String>,
    /// A text for people, in the C locale.
    pub description: Option<String>,
    /// The license, in any spelling.
    pub license: Option<String>,
    /// The home page.
    pub url: Option<String>,
    /// The section, such as `System Environment/Base`; many packages have `Unspecified`.
    pub group: Option<String>,
    /// Who distributes it.
    pub vendor: Option<String>,
    /// Who packed it.
    pub packager: Option<String>,
    /// The file name of the source package it is made of.
    pub source_rpm: Option<String>,
    /// Seconds since 1970.
    pub build_time: Option<u64>,
    /// Bytes of all files together.
    pub installed_size: Option<u64>,
    /// Folders that the package may be moved from as a whole.
    pub prefixes: Vec<String>,
    /// What it needs, rpm's own features (`rpmlib(..)`) among it.
    pub requires: Vec<RpmDependency>,
    /// What it offers, itself among it.
    pub provides: Vec<RpmDependency>,
    /// What it can not stand beside.
    pub conflicts: Vec<RpmDependency>,
    /// What it takes the place of.
    pub obsoletes: Vec<RpmDependency>,
    /// What it should have.
    pub recommends: Vec<RpmDependency>,
    /// What it could have.
    pub suggests: Vec<RpmDependency>,
    /// What it should come along with.
    pub supplements: Vec<RpmDependency>,
    /// What it could come along with.
    pub enhances: Vec<RpmDependency>,
    /// What it should be installed after, where both are.
    pub order: Vec<RpmDependency>,
    /// Its scripts.
    pub scripts: Vec<RpmScript>,
    /// Its scripts for other packages and files.
    pub triggers: Vec<RpmTrigger>,
    /// OpenPGP signatures, as they are; they are not checked here.
    pub signatures: Vec<RpmSignature>,
    /// All files, those that are not in the payload (`%ghost`) too.
    pub files: Vec<RpmFile>,
}

/// A relation to another package, or to what it offers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RpmDependency {
    /// A name, a capability such as `libc.so.6()(64bit)`, a path, or a rich dependency such as `(a if b)`.
    pub name: String,
    /// `EPOCH:VERSION-RELEASE`, or parts of it; empty where any will do.
    pub version: String,
    /// `RPMSENSE_*` of rpmds.h.
    pub flags: u32,
}

impl RpmDependency {
    /// `<`, `<=`, `=`, `>=` or `>`; `None` where any version will do.
    pub fn comparison(&self) -> Option<&'static str> {
        match self.flags & 0xe {
            2 => Some("<"),
            4 => Some(">"),
            8 => Some("="),
            10 => Some("<="),
            12 => Some(">="),
            _ => None,
        }
    }

    /// Whether it is about a feature of rpm itself (`rpmlib(..)`).
    pub fn is_rpmlib(&self) -> bool {
        self.flags & (1 << 24) != 0 || self.name.starts_with("rpmlib(")
    }

    /// Whether it is a boolean expression such as `(a or b)`.
    pub fn is_rich(&self) -> bool {
        self.name.starts_with('(')
    }

    /// Whether it must be there before this package's scripts before and after installation run: `Requires(pre)`,
    /// `Requires(post)`, their interpreters, and the older `PreReq`.
    pub fn is_for_install_scripts(&self) -> bool {
        self.flags & (1 << 6 | 1 << 7 | 1 << 9 | 1 << 10) != 0
    }

    /// Whether it is needed by scripts that run at removal alone: `Requires(preun)`, `Requires(postun)`.
    pub fn is_for_removal_scripts(&self) -> bool {
        self.flags & (1 << 11 | 1 << 12) != 0 && !self.is_for_install_scripts()
    }

    /// Whether it is `config(NAME)`, which rpm makes for packages with config files.
    pub fn is_config(&self) -> bool {
        self.flags & (1 << 28) != 0
    }
}

/// When a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RpmScriptKind {
    /// `%pre`: before installation.
    Pre,
    /// `%post`: after installation.
    Post,
    /// `%preun`: before removal.
    PreUn,
    /// `%postun`: after removal.
    PostUn,
    /// `%pretrans`: before the transaction that installs it.
    PreTrans,
    /// `%posttrans`: after the transaction that installs it.
    PostTrans,
    /// `%preuntrans`: before the transaction that removes it.
    PreUnTrans,
    /// `%postuntrans`: after the transaction that removes it.
    PostUnTrans,
    /// `%verifyscript`: when the package is verified.
    Verify,
}

impl RpmScriptKind {
    /// As a spec file has it, without the percent sign.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pre => "pre",
            Self::Post => "post",
            Self::PreUn => "preun",
            Self::PostUn => "postun",
            Self::PreTrans => "pretrans",
            Self::PostTrans => "posttrans",
            Self::PreUnTrans => "preuntrans",
            Self::PostUnTrans => "postuntrans",
            Self::Verify => "verifyscript",
        }
    }
}

/// A script of a package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmScript {
    /// When it runs.
    pub kind: RpmScriptKind,
    /// The program and its arguments, such as `/bin/sh` or `<lua>`, which is built into rpm.
    pub interpreter: Vec<String>,
    /// The text that the program is given; `None` where the program is all (`%post -p /sbin/ldconfig`).
    pub body: Option<Vec<u8>>,
    /// `RPMSCRIPT_FLAG_*`: 1 expand macros, 2 expand as a query format, 4 critical.
    pub flags: u32,
}

/// What a trigger waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RpmTriggerKind {
    /// Another package: `%triggerin` and the like.
    Package,
    /// Files below a path, package by package: `%filetriggerin` and the like.
    File,
    /// Files below a path, once a transaction: `%transfiletriggerin` and the like.
    TransactionFile,
}

/// A script that runs when other packages come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmTrigger {
    /// What it waits for.
    pub kind: RpmTriggerKind,
    /// The program and its arguments.
    pub interpreter: Vec<String>,
    /// The text that the program is given.
    pub body: Option<Vec<u8>>,
    /// As those of a script.
    pub flags: u32,
    /// Which packages or path prefixes; their flags say when: 1 << 16 in, 1 << 17 un, 1 << 18 postun, 1 << 25 prein.
    pub conditions: Vec<RpmDependency>,
    /// Of file triggers: those with higher numbers run first.
    pub priority: Option<u32>,
}

/// An OpenPGP signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmSignature {
    /// The tag of the signature header: 267 or 268 for one over the header, 1002 or 1005 over header and payload.
    pub tag: u32,
    /// The signature packet.
    pub bytes: Vec<u8>,
}

/// A file as the header has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpmFile {
    /// Path, kind, owner and so on. A hard link is a file here.
    pub entry: Entry,
    /// The checksum of a file's content; none of others, and of some that are not in the payload.
    pub checksum: Option<Checksum>,
    /// What the package says of it.
    pub flags: RpmFileFlags,
    /// `RPMVERIFY_*`: what `rpm --verify` compares.
    pub verify: u32,
    /// The language it is for, empty for all.
    pub language: String,
}

/// `RPMFILE_*` of rpmfiles.h.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RpmFileFlags(pub u32);

impl RpmFileFlags {
    /// `%config`.
    pub fn is_config(self) -> bool {
        self.0 & 1 != 0
    }

    /// `%doc`.
    pub fn is_doc(self) -> bool {
        self.0 & 1 << 1 != 0
    }

    /// `%config(missingok)`: it may be missing.
    pub fn is_missing_ok(self) -> bool {
        self.0 & 1 << 3 != 0
    }

    /// `%config(noreplace)`: a changed one stays.
    pub fn is_noreplace(self) -> bool {
        self.0 & 1 << 4 != 0
    }

    /// `%ghost`: owned, and not in the payload.
    pub fn is_ghost(self) -> bool {
        self.0 & 1 << 6 != 0
    }

    /// `%license`.
    pub fn is_license(self) -> bool {
        self.0 & 1 << 7 != 0
    }

    /// `%readme`.
    pub fn is_readme(self) -> bool {
        self.0 & 1 << 8 != 0
    }

    /// `%artifact`: made by the build itself, such as the links of `.build-id`.
    pub fn is_artifact(self) -> bool {
        self.0 & 1 << 12 != 0
    }
}

impl RpmMetadata {
    /// Everything but the files.
    pub(super) fn read(signature: &Header, header: &Header) -> Result<Self, ArchiveError> {
        let needed = |tag: u32, what: &str| {
            let text = header.text(tag)?.filter(|text| !text.is_empty());
            text.ok_or_else(|| header.malformed(format!("the package has no {what}")))
        };
        let dependencies = |tags| dependencies(header, tags);
        let signatures = tag::SIGNATURES
            .into_iter()
            .filter_map(|tag| signature.binary(tag).map(|bytes| RpmSignature { tag, bytes: bytes.to_vec() }));
        let size = header.number(tag::LONG_SIZE)?;
        Ok(Self {
            name: needed(tag::NAME, "name")?,
            epoch: header.number(tag::EPOCH)?.map(|epoch| narrow(header, tag::EPOCH, epoch)).transpose()?,
            version: needed(tag::VERSION, "version")?,
            release: needed(tag::RELEASE, "release")?,
            arch: needed(tag::ARCH, "architecture")?,
            os: header.text(tag::OS)?,
            // As rpm itself tells them apart: what is built names what it is built of.
            source: !header.has(tag::SOURCE_RPM),
            summary: header.prose(tag::SUMMARY)?,
            description: header.prose(tag::DESCRIPTION)?,
            license: header.prose(tag::LICENSE)?,
            url: header.prose(tag::URL)?,
            group: header.prose(tag::GROUP)?,
            vendor: header.prose(tag::VENDOR)?,
            packager: header.prose(tag::PACKAGER)?,
            source_rpm: header.prose(tag::SOURCE_RPM)?,
            build_time: header.number(tag::BUILD_TIME)?,
            installed_size: if size.is_some() { size } else { header.number(tag::SIZE)? },
            prefixes: header.texts(tag::PREFIXES)?,
            requires: dependencies(tag::REQUIRES)?,
            provides: dependencies(tag::PROVIDES)?,
            conflicts: dependencies(tag::CONFLICTS)?,
            obsoletes: dependencies(tag::OBSOLETES)?,
            recommends: dependencies(tag::RECOMMENDS)?,
            suggests: dependencies(tag::SUGGESTS)?,
            supplements: dependencies(tag::SUPPLEMENTS)?,
            enhances: dependencies(tag::ENHANCES)?,
            order: dependencies(tag::ORDER)?,
            scripts: scripts(header)?,
            triggers: triggers(header)?,
            signatures: signatures.collect(),
            files: Vec::new(),
        })
    }
}

fn dependencies(
    header: &Header,
    [names, flags, versions]: tag::Dependency,
) -> Result<Vec<RpmDependency>, ArchiveError> {
    let name_tag = names;
    let names = header.texts(names)?;
    let (versions, flags) = (header.texts(versions)?, header.numbers(flags)?);
    // The oldest packages have provisions without versions.
    let as_many = |count: usize| count == names.len() || count == 0;
    if !as_many(versions.len()) || !as_many(flags.len()) {
        return Err(header.wrong(name_tag, "there are not as many versions or flags as names"));
    }
    let mut versions = versions.into_iter();
    let mut flags = flags.into_iter();
    let dependency = |name| {
        let flags = narrow(header, name_tag, flags.next().unwrap_or(0))?;
        Ok(RpmDependency { name, version: versions.next().unwrap_or_default(), flags })
    };
    names.into_iter().map(dependency).collect()
}

fn scripts(header: &Header) -> Result<Vec<RpmScript>, ArchiveError> {
    let kinds = [
        (RpmScriptKind::PreTrans, tag::PRE_TRANS),
        (RpmScriptKind::Pre, tag::PRE),
        (RpmScriptKind::Post, tag::POST),
        (RpmScriptKind::PreUn, tag::PRE_UN),
        (RpmScriptKind::PostUn, tag::POST_UN),
        (RpmScriptKind::PostTrans, tag::POST_TRANS),
        (RpmScriptKind::PreUnTrans, tag::PRE_UN_TRANS),
        (RpmScriptKind::PostUnTrans, tag::POST_UN_TRANS),
        (RpmScriptKind::Verify, tag::VERIFY),
    ];
    let mut scripts = Vec::new();
    for (kind, [body, interpreter, flags]) in kinds {
        if header.has(body) || header.has(interpreter) {
            let mut interpreter = header.texts(interpreter)?;
            // Before there was a tag for it, it was always this.
            if interpreter.is_empty() {
                interpreter.push("/bin/sh".to_owned());
            }
            let body = header.string(body)?.map(<[u8]>::to_vec);
            let flags = narrow(header, flags, header.number(flags)?.unwrap_or(0))?;
            scripts.push(RpmScript { kind, interpreter, body, flags });
        }
    }
    Ok(scripts)
}

fn triggers(header: &Header) -> Result<Vec<RpmTrigger>, ArchiveError> {
    let mut triggers = read_triggers(header, RpmTriggerKind::Package, &tag::TRIGGERS)?;
    triggers.extend(read_triggers(header, RpmTriggerKind::File, &tag::FILE_TRIGGERS)?);
    triggers.extend(read_triggers(header, RpmTriggerKind::TransactionFile, &tag::TRANSACTION_FILE_TRIGGERS)?);
    Ok(triggers)
}

fn read_triggers(header: &Header, kind: RpmTriggerKind, tags: &tag::Trigger) -> Result<Vec<RpmTrigger>, ArchiveError> {
    let [bodies, interpreters, flag_tag] = tags.script;
    let interpreters = header.texts(interpreters)?;
    let flags = header.numbers(flag_tag)?;
    let priorities = tags.priority.map_or(Ok(Vec::new()), |tag| header.numbers(tag))?;
    let mut triggers = Vec::new();
    for (index, body) in header.strings(bodies)?.into_iter().enumerate() {
        triggers.push(RpmTrigger {
            kind,
            interpreter: vec![interpreters.get(index).map_or("/bin/sh", String::as_str).to_owned()],
            body: Some(body.to_vec()).filter(|body| !body.is_empty()),
            flags: narrow(header, flag_tag, flags.get(index).copied().unwrap_or(0))?,
            conditions: Vec::new(),
            priority: priorities.get(index).map(|priority| narrow(header, flag_tag, *priority)).transpose()?,
        });
    }
    let conditions = dependencies(header, tags.conditions)?;
    let indexes = header.numbers(tags.index)?;
    if indexes.len() != conditions.len() {
        return Err(header.wrong(tags.index, "there are not as many as conditions of triggers"));
    }
    for (condition, index) in conditions.into_iter().zip(indexes) {
        let trigger = usize::try_from(index).ok().and_then(|index| triggers.get_mut(index));
        trigger.ok_or_else(|| header.wrong(tags.index, "there is no such trigger"))?.conditions.push(condition);
    }
    Ok(triggers)
}

pub(super) fn narrow(header: &Header, tag: u32, number: u64) -> Result<u32, ArchiveError> {
    u32::try_from(number).map_err(|_| header.wrong(tag, "the number is too large"))
}
