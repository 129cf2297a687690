use std::collections::{BTreeMap, BTreeSet};

use pkgformat::PackageRecord;
use pkgtypes::{FullVersion, PackageId, PackageName, Timestamp};

use crate::decision::{Basis, FoundKey, Signed};
use crate::floor;
use crate::level::Voice;
use crate::sig_archive::{RowSignature, SignedStatement};
use crate::statement::utc;
use crate::{
    Acceptance, Clock, Decision, Exception, Finding, Fingerprint, KeyFile, Moment, PACKAGE_NAMESPACE, ReasonCode,
    Refusal, RepoId, SigArchive, SshSig, Statement, Store, Subject, Tier, self_test,
};

/// How many signatures are verified for one package.
const MAX_VERIFICATIONS: usize = 64;
/// How many findings a decision lists; an archive may be full of rows by unknown keys.
const MAX_FINDINGS: usize = 100;

/// What was asked for. What is `None` may be anything.
#[derive(Debug, Clone, Default)]
pub struct Want {
    /// The repository that the package is taken from; `None` for a file that the user named, which the statement may
    /// put into any repository that its key's scope covers.
    pub repo: Option<RepoId>,
    /// The name that was asked for.
    pub name: Option<PackageName>,
    /// The version that was asked for; without a release, any.
    pub version: Option<FullVersion>,
    /// The content that an index or a lock promised.
    pub package_id: Option<PackageId>,
    /// The newest time that is known from signatures, for example of what is installed. Expiry never goes back behind it.
    pub newest_signed: Option<Timestamp>,
    /// The user's exception.
    pub exception: Option<Exception>,
}

/// Decides whether a package may be used: total and pure, no I/O; the clock is asked once.
///
/// What counts is a valid, unexpired signature under a statement on exactly this package, by a key of tier trusted, senior
/// or junior whose scope covers the repository and the name. How many of which tiers are needed is the store's
/// [`Policy`](crate::Policy), by default one. What the package does in a root may need a higher tier
/// ([`ReasonCode::Floor`]). Keys without a tier count as no signature; a key that is untrusted never
/// counts, and a package that nobody else signed is refused even with an exception.
pub fn evaluate(
    store: &Store,
    want: &Want,
    record: &PackageRecord,
    archive: &SigArchive,
    clock: &dyn Clock,
) -> Decision {
    let (subject, moment) = (Subject::of(record), Moment::new(clock, want.newest_signed));
    decide(store, want, subject, floor::of(record, store.places()), archive, moment)
}

pub(crate) fn decide(
    store: &Store,
    want: &Want,
    subject: Subject,
    floor: Option<(Tier, String)>,
    archive: &SigArchive,
    moment: Moment,
) -> Decision {
    let (left, findings, unlisted) = (MAX_VERIFICATIONS, Vec::new(), 0);
    let mut search = Search { store, want, subject: &subject, floor, moment, left, findings, unlisted };
    let outcome = search.run(archive);
    let Search { findings, unlisted, .. } = search;
    Decision { subject, policy: store.policy().clone(), moment, findings, unlisted, outcome }
}

struct Search<'a> {
    store: &'a Store,
    want: &'a Want,
    subject: &'a Subject,
    /// The least tier that counts, and what of the package is why.
    floor: Option<(Tier, String)>,
    moment: Moment,
    left: usize,
    findings: Vec<Finding>,
    unlisted: usize,
}

/// Why something does not count, and what helps.
type Problem = (ReasonCode, String, String);

fn problem(code: ReasonCode, cause: impl Into<String>, cure: impl Into<String>) -> Problem {
    (code, cause.into(), cure.into())
}

impl<'a> Search<'a> {
    fn run(&mut self, archive: &SigArchive) -> Result<Acceptance, Refusal> {
        if let Err(error) = self_test() {
            return Err(self.refuse(problem(ReasonCode::Selftest, error.to_string(), "build this program anew")));
        }
        self.check_want().map_err(|problem| self.refuse(problem))?;
        // The newest statement first: it is the one that should count, and the number of verifications is limited.
        let mut rows: Vec<_> = archive.rows_named(&self.subject.name).iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.statement().seq()));
        let mut choirs = BTreeMap::new();
        let signed = rows.into_iter().find_map(|row| self.judge_row(row, &mut choirs));
        match signed {
            Some(signed) => Ok(self.accept(Basis::Signed(signed))),
            None => self.without_signature(archive, &choirs),
        }
    }

    /// What was asked for against what is there; no signature can heal a difference.
    fn check_want(&self) -> Result<(), Problem> {
        let Want { name, version, package_id, .. } = self.want;
        let cure = "get the package that was asked for; its source mixes up packages or lies";
        let mismatch = |asked: String| problem(ReasonCode::SubjectMismatch, format!("{asked} was asked for"), cure);
        if let Some(name) = name.as_ref().filter(|name| **name != self.subject.name) {
            return Err(mismatch(name.to_string()));
        }
        if let Some(version) = version.as_ref().filter(|version| !self.has_version(version)) {
            return Err(mismatch(format!("version {version}")));
        }
        match package_id {
            Some(id) if *id != self.subject.package_id => {
                let cause = format!("content {id} was promised, and this is {}", self.subject.package_id);
                Err(problem(ReasonCode::PackageId, cause, "fetch the package again, from another mirror"))
            }
            _ => Ok(()),
        }
    }

    fn has_version(&self, wanted: &FullVersion) -> bool {
        wanted.version == self.subject.version && wanted.release.is_none_or(|release| release == self.subject.release)
    }

    /// Adds the signatures of one row that count, and says whether there are enough now.
    fn judge_row<'r>(
        &mut self,
        row: &'r SignedStatement,
        choirs: &mut BTreeMap<&'r RepoId, Choir<'r>>,
    ) -> Option<Signed> {
        let statement = row.statement();
        if is_other_build(statement.subject(), self.subject) {
            return None;
        }
        if let Err(problem) = self.check_statement(statement) {
            self.note(None, problem);
            return None;
        }
        let text = statement.to_string();
        let mut counted: Vec<&'a KeyFile> = Vec::new();
        for signature in row.signatures() {
            match self.judge_signature(statement, &text, signature) {
                Ok(file) => counted.push(file),
                Err(problem) => self.note(Some(&signature.key), problem),
            }
        }
        let choir = choirs.entry(statement.repo()).or_insert_with(|| Choir::new(statement));
        if !counted.is_empty() {
            choir.rows.push(row);
        }
        for file in counted {
            self.note_counted(statement, file);
            choir.add(statement, file);
        }
        self.store.policy().level().is_met_by(&choir.voices).then(|| choir.signed())
    }

    fn note_counted(&mut self, statement: &Statement, file: &KeyFile) {
        let (issued, ends) = (utc(statement.issued()), utc(statement.ends()));
        let cause = format!("{}, issued {issued}, ends {ends}", statement.claim().as_str());
        self.note(Some(file.key().as_bytes()), problem(ReasonCode::Accept, cause, ""));
    }

    /// Whether the statement is about this package at all.
    fn check_statement(&self, statement: &Statement) -> Result<(), Problem> {
        let said = statement.subject();
        if said.package_id != self.subject.package_id {
            let cause = format!("the statement on {said} is about content {}", said.package_id);
            let cure = "the package or its signatures were changed, or belong to another build; fetch both again";
            return Err(problem(ReasonCode::PackageId, cause, cure));
        }
        if said != self.subject {
            let cause = format!("the statement calls this content {said}");
            return Err(problem(
                ReasonCode::SubjectMismatch,
                cause,
                "have it signed again under its own name and version",
            ));
        }
        match &self.want.repo {
            Some(repo) if repo != statement.repo() => {
                let cause = format!("the statement is for the repository {}, not {repo}", statement.repo());
                Err(problem(
                    ReasonCode::RepoMismatch,
                    cause,
                    format!("take it from {}, or have it signed for {repo}", statement.repo()),
                ))
            }
            _ => Ok(()),
        }
    }

    /// The key file by which a signature counts.
    fn judge_signature(
        &mut self,
        row: &Statement,
        text: &str,
        signature: &RowSignature,
    ) -> Result<&'a KeyFile, Problem> {
        let files = self.store.find_bytes(&signature.key);
        let Some(file) = standing(files) else {
            let cure = "if you trust its owner, add it: `pkg trust key add FILE.pub --tier TIER`";
            return Err(problem(ReasonCode::KeyUnknown, "it stands in no tier", cure));
        };
        self.left = self.left.checked_sub(1).ok_or_else(|| {
            let cause = format!("{MAX_VERIFICATIONS} signatures on this package were verified, and no more are");
            problem(ReasonCode::TooLarge, cause, "fetch the signatures again, from another mirror")
        })?;
        let signature = SshSig::new(*file.key(), PACKAGE_NAMESPACE, signature.signature);
        if signature.verify(text.as_bytes()).is_err() {
            let cure = "the statement or its signature was changed; fetch the signatures again";
            return Err(problem(ReasonCode::SigBad, "its signature does not belong to the statement", cure));
        }
        if file.tier() == Tier::Untrusted {
            let cure = format!("have it signed by somebody else; the denial is {}", file.path().display());
            return Err(problem(ReasonCode::KeyUntrusted, "it is explicitly not trusted", cure));
        }
        self.check_time(row)?;
        self.check_floor(file.tier())?;
        self.in_scope(row, files)
    }

    fn check_floor(&self, tier: Tier) -> Result<(), Problem> {
        let Some((floor, why)) = self.floor.as_ref().filter(|(floor, _)| tier < *floor) else { return Ok(()) };
        let cause = format!("its signature is valid, but the package {why}, for which a {floor} key is needed");
        Err(problem(ReasonCode::Floor, cause, format!("have it signed by somebody whose key is {floor}")))
    }

    fn check_time(&self, statement: &Statement) -> Result<(), Problem> {
        let clock = match self.moment.clock() {
            Some(clock) => format!("the clock says {}", utc(clock)),
            None => format!("the clock is not set, and the newest signed time is {}", utc(self.moment.newest_signed())),
        };
        if self.moment.is_ahead(statement.issued()) {
            let cause = format!("it signed at {}, more than a day from now: {clock}", utc(statement.issued()));
            return Err(problem(
                ReasonCode::Future,
                cause,
                "set the clock, or have the signer set theirs and sign again",
            ));
        }
        if self.moment.has_passed(statement.ends()) {
            let cause = format!("its statement ended at {}: {clock}", utc(statement.ends()));
            let cure = "get newer signatures, or sign again (`pkg trust sign`); if the clock is wrong, set it";
            return Err(problem(ReasonCode::Expired, cause, cure));
        }
        Ok(())
    }

    fn in_scope(&self, statement: &Statement, files: &'a [KeyFile]) -> Result<&'a KeyFile, Problem> {
        let (repo, name) = (statement.repo(), &statement.subject().name);
        let mut covering = files.iter().filter(|file| file.covers(repo, name)).peekable();
        if covering.peek().is_none() {
            let cause = format!("its signature is valid, but its scope does not cover {name} in {repo}");
            let cure = "have it signed by a key that may sign it, or widen repos, pkgs or roles in the key file";
            return Err(problem(ReasonCode::Quorum, cause, cure));
        }
        let has_ended = |end: Timestamp| self.moment.has_passed(end);
        covering.find(|file| !file.not_after().is_some_and(has_ended)).ok_or_else(|| {
            let ends = files.iter().filter_map(KeyFile::not_after).map(utc).collect::<Vec<_>>().join(", ");
            let cure = "have it signed with the owner's new key, or move not-after in the key file";
            problem(ReasonCode::KeyExpired, format!("the key ended at {ends}"), cure)
        })
    }

    fn note(&mut self, key: Option<&[u8; 32]>, (code, cause, cure): Problem) {
        if self.findings.len() >= MAX_FINDINGS && code != ReasonCode::Accept {
            self.unlisted += 1;
            return;
        }
        let key = key.map(|key| FoundKey {
            fingerprint: Fingerprint::of_bytes(key),
            standing: standing(self.store.find_bytes(key))
                .map(|file| (file.owner().clone(), file.tier(), file.path().to_owned())),
        });
        self.findings.push(Finding { code, key, cause, cure });
    }

    /// No statement suffices: the user's exception, or the finding that comes closest to acceptance says why not.
    fn without_signature(
        &mut self,
        archive: &SigArchive,
        choirs: &BTreeMap<&RepoId, Choir<'_>>,
    ) -> Result<Acceptance, Refusal> {
        if self.findings.is_empty() {
            self.look_under_other_names(archive);
        }
        let refusing = self.findings.iter().filter(|finding| finding.code != ReasonCode::Accept);
        let telling = refusing.min_by_key(|finding| remoteness(finding.code));
        let is_denied = telling.is_some_and(|finding| finding.code == ReasonCode::KeyUntrusted);
        let is_meant = |exception: &Exception| {
            exception.name == self.subject.name && exception.package_id == self.subject.package_id
        };
        if !is_denied && self.want.exception.as_ref().is_some_and(is_meant) {
            return Ok(self.accept(Basis::Exception));
        }
        if !is_denied && let Some(choir) = choirs.values().find(|choir| !choir.voices.is_empty()) {
            return Err(self.refuse(self.too_few(choir)));
        }
        Err(telling.map_or_else(|| self.refuse(unsigned(self.subject, archive)), |finding| self.refuse_for(finding)))
    }

    fn too_few(&self, choir: &Choir<'_>) -> Problem {
        let voices: BTreeSet<String> =
            choir.voices.iter().map(|Voice { owner, tier, .. }| format!("{owner} ({tier})")).collect();
        let signers = voices.into_iter().collect::<Vec<_>>().join(", ");
        let (level, path) = (self.store.policy().level(), self.store.policy().path());
        let cause = format!("`{level}` is needed, and it is signed by {signers}");
        let source = path.map_or_else(String::new, |path| format!(", or change the level in {}", path.display()));
        problem(ReasonCode::Quorum, cause, format!("have it signed by further owners{source}"))
    }

    fn look_under_other_names(&mut self, archive: &SigArchive) {
        let same_content = |row: &&SignedStatement| row.statement().subject().package_id == self.subject.package_id;
        if let Some(row) = archive.rows().iter().find(same_content)
            && let Err(problem) = self.check_statement(row.statement())
        {
            self.note(None, problem);
        }
    }

    fn accept(&self, basis: Basis) -> Acceptance {
        Acceptance { package_id: self.subject.package_id, basis }
    }

    fn refuse(&self, (code, cause, cure): Problem) -> Refusal {
        Refusal { code, subject: self.subject.to_string(), cause, cure }
    }

    fn refuse_for(&self, finding: &Finding) -> Refusal {
        let cause = match &finding.key {
            Some(key) => format!("signed by {key}: {}", finding.cause),
            None => finding.cause.clone(),
        };
        let others = self.findings.len() - 1 + self.unlisted;
        let more = if others == 0 { String::new() } else { format!("; {others} more findings do not help") };
        self.refuse((finding.code, cause + &more, finding.cure.clone()))
    }
}

/// The voices for this package in one repository. Statements for different repositories never add up.
struct Choir<'r> {
    /// The oldest statement that counts: what all of them agree to be at least.
    oldest: &'r Statement,
    ends: Timestamp,
    voices: Vec<Voice>,
    rows: Vec<&'r SignedStatement>,
}

impl<'r> Choir<'r> {
    fn new(statement: &'r Statement) -> Self {
        Self { oldest: statement, ends: statement.ends(), voices: Vec::new(), rows: Vec::new() }
    }

    fn add(&mut self, statement: &'r Statement, file: &KeyFile) {
        if self.voices.is_empty() || statement.seq() < self.oldest.seq() {
            self.oldest = statement;
        }
        self.ends = if self.voices.is_empty() { statement.ends() } else { self.ends.min(statement.ends()) };
        self.voices.push(Voice { owner: file.owner().clone(), tier: file.tier(), claim: statement.claim() });
    }

    fn signed(&self) -> Signed {
        let mut signatures = SigArchive::new();
        for row in &self.rows {
            signatures.insert(SignedStatement::clone(row)).expect("these rows stood in an archive before");
        }
        Signed {
            repo: self.oldest.repo().clone(),
            seq: self.oldest.seq(),
            statement: self.oldest.digest(),
            issued: self.oldest.issued(),
            expires: self.ends,
            tier: self.voices.iter().map(|voice| voice.tier).max().unwrap_or(Tier::Untrusted),
            owners: self.voices.iter().map(|voice| voice.owner.clone()).collect(),
            signatures,
        }
    }
}

/// Whether neither the content nor the version is the same: a statement that is not meant for this package at all.
fn is_other_build(said: &Subject, subject: &Subject) -> bool {
    let same_content = said.package_id == subject.package_id;
    let same_version = (&said.version, said.release, &said.arch) == (&subject.version, subject.release, &subject.arch);
    !same_content && !same_version
}

/// The file that speaks for a key: a denial, where there is one.
fn standing(files: &[KeyFile]) -> Option<&KeyFile> {
    files.iter().min_by_key(|file| file.tier())
}

fn unsigned(subject: &Subject, archive: &SigArchive) -> Problem {
    let others = archive.rows_named(&subject.name).len();
    let cause = match others {
        0 => "no statement on it is at hand".to_owned(),
        1 => format!("there is a statement on another build of {}, but none on this one", subject.name),
        _ => format!("there are {others} statements on other builds of {}, but none on this one", subject.name),
    };
    let cure = "get its signatures (PACKAGE.sigs beside the package), or sign it: `pkg trust sign PACKAGE`";
    problem(ReasonCode::Unsigned, cause, cure)
}

/// How far a finding is from acceptance; a denial comes before everything.
fn remoteness(code: ReasonCode) -> u8 {
    match code {
        ReasonCode::KeyUntrusted => 0,
        ReasonCode::Expired => 1,
        ReasonCode::KeyExpired => 2,
        ReasonCode::Future => 3,
        ReasonCode::Floor => 4,
        ReasonCode::Quorum => 5,
        ReasonCode::TooLarge => 6,
        ReasonCode::SigBad => 7,
        ReasonCode::RepoMismatch => 8,
        ReasonCode::KeyUnknown => 9,
        ReasonCode::SubjectMismatch => 10,
        _ => 11,
    }
}
