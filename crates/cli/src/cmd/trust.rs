//! `pkg trust ..`: keys, statements, signatures, and why a package is trusted or not.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;
use pkgformat::PackageRecord;
use serde_json::{Value, json};
use trust::{
    Basis, Claim, Clock, Decision, Error, Exception, FixedClock, KeyFile, Owner, PACKAGE_NAMESPACE, Protection,
    PublicKey, ReasonCode, Refusal, RepoId, SecretKey, SigArchive, SignOptions, SignedStatement, Signer, SshSig,
    Statement, Store, SystemClock, Tier, Want,
};

use crate::failure::Failure;
use crate::render::Voice;
use crate::{exit, keys, packages, passphrase, render};

/// Keys, signatures and the decision.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Make a key, put one into a tier of a root, list them.
    #[command(subcommand)]
    Key(KeyVerb),
    /// Sign packages: `PACKAGE.sigs` beside each.
    Sign(SignArgs),
    /// Print the text to sign with `ssh-keygen -Y sign -n package@v1.kista`.
    Statement(StatementArgs),
    /// Add a signature that ssh-keygen made to `PACKAGE.sigs`.
    Attach(AttachArgs),
    /// Check that packages are whole and trusted; exit 4 and the reason when one is not.
    Verify(VerifyArgs),
    /// Show the whole derivation of the decision on a package.
    Why(VerifyArgs),
    /// Test this program's own cryptography.
    Selftest(SelftestArgs),
}

#[derive(Debug, clap::Subcommand)]
enum KeyVerb {
    /// Make an OpenSSH key pair: FILE (mode 0600) and FILE.pub.
    New(NewArgs),
    /// Trust a public key in a root.
    Add(AddArgs),
    /// List the keys of a root.
    List(ListArgs),
}

#[derive(Debug, clap::Args)]
struct NewArgs {
    /// Where the secret half goes.
    file: PathBuf,
    /// Whose key it is; by default the user's name.
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// Do not encrypt the secret half.
    #[arg(long)]
    no_passphrase: bool,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AddArgs {
    /// The public half, one OpenSSH line; `-` is standard input.
    #[arg(value_name = "FILE.pub")]
    file: PathBuf,
    /// How far it is trusted: trusted, senior, junior or untrusted.
    #[arg(long)]
    tier: Tier,
    /// Whose key it is; by default the comment in the file, or else the file's name.
    #[arg(long, value_name = "NAME")]
    owner: Option<Owner>,
    /// The root whose packages it may sign.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// The root.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

/// What a statement says besides what the package is.
#[derive(Debug, clap::Args)]
struct TermArgs {
    /// How long the statement holds: 90d, 12h, 8w; at most 400d.
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = lifetime)]
    expires: i64,
    /// The repository that the package is for.
    #[arg(long, value_name = "ID", default_value = "local")]
    repo: RepoId,
    /// The statement's number; by default the seconds since 1970, and more than the last one.
    #[arg(long, value_name = "N")]
    seq: Option<u64>,
    /// What the signer did: built, reviewed, rebuilt or mirrored.
    #[arg(long)]
    claim: Option<Claim>,
}

#[derive(Debug, clap::Args)]
struct SignArgs {
    /// The packages.
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<PathBuf>,
    /// An OpenSSH secret key file, or the fingerprint (SHA256:..) of a key in ssh-agent; by default your own key.
    #[arg(long, value_name = "KEY")]
    key: Option<PathBuf>,
    #[command(flatten)]
    terms: TermArgs,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct StatementArgs {
    /// The package.
    package: PathBuf,
    #[command(flatten)]
    terms: TermArgs,
    /// Print the newest statement in `PACKAGE.sigs` instead of a new one.
    #[arg(long, conflicts_with = "signature")]
    attached: bool,
    /// Print the first signature under that statement, for `ssh-keygen -Y verify`.
    #[arg(long)]
    signature: bool,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct AttachArgs {
    /// The package.
    package: PathBuf,
    /// The signature, as `ssh-keygen -Y sign` writes it.
    signature: PathBuf,
    /// The signed text; by default the signature's file without `.sig`.
    #[arg(long, value_name = "FILE")]
    statement: Option<PathBuf>,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct VerifyArgs {
    /// The packages; signatures are looked for beside them, in `PACKAGE.sigs`.
    #[arg(required = true, value_name = "PACKAGE")]
    packages: Vec<PathBuf>,
    /// The root whose keys decide.
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
    /// Ask for the statement of this repository.
    #[arg(long, value_name = "ID")]
    repo: Option<RepoId>,
    /// Signatures from another place.
    #[arg(long, value_name = "FILE")]
    sigs: Option<PathBuf>,
    /// As if this exact content were excepted: NAME@PACKAGE-ID.
    #[arg(long, value_name = "NAME@ID")]
    accept_unsigned: Option<Exception>,
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SelftestArgs {
    /// As one JSON document.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// See the exit codes; [`exit_code`] gives those of the trust library.
pub fn run(args: &Args, voice: &Voice) -> anyhow::Result<u8> {
    match &args.verb {
        Verb::Key(KeyVerb::New(args)) => key_new(args, voice),
        Verb::Key(KeyVerb::Add(args)) => key_add(args, voice),
        Verb::Key(KeyVerb::List(args)) => key_list(args),
        Verb::Sign(args) => sign(args, voice),
        Verb::Statement(args) => statement(args),
        Verb::Attach(args) => attach(args, voice),
        Verb::Verify(args) => verify(args, voice),
        Verb::Why(args) => why(args),
        Verb::Selftest(args) => selftest(args, voice),
    }
}

/// The exit code for an error of the trust library: 1 where something is missing or may not be done, otherwise 4.
pub fn exit_code(error: &Error) -> u8 {
    match error {
        Error::Io { .. }
        | Error::TrustdirIo { .. }
        | Error::Disk(_)
        | Error::Exists { .. }
        | Error::PublicHalf { .. }
        | Error::Passphrase { .. }
        | Error::Agent { .. } => exit::FAILED,
        Error::Selftest { .. } => exit::BUG,
        _ => exit::NOT_TRUSTED,
    }
}

fn key_new(args: &NewArgs, voice: &Voice) -> anyhow::Result<u8> {
    let owner = args.owner.clone().unwrap_or_else(keys::owner);
    let protection = if args.no_passphrase { Protection::Mode } else { passphrase::for_new_key()? };
    let secret = SecretKey::create(&args.file, owner.as_str(), &protection)?;
    if args.json {
        let mut public = args.file.clone().into_os_string();
        public.push(".pub");
        render::json(&json!({
            "format_version": 1,
            "file": args.file.display().to_string(),
            "public": public.display().to_string(),
            "fingerprint": secret.public_key().fingerprint().to_string(),
            "owner": owner.as_str(),
            "encrypted": !args.no_passphrase,
        }))?;
        return Ok(exit::DONE);
    }
    voice.status(format_args!(
        "{} and {}.pub: the key {} of {owner}{}",
        args.file.display(),
        args.file.display(),
        secret.public_key().fingerprint(),
        if args.no_passphrase { ", not encrypted" } else { "" },
    ));
    Ok(exit::DONE)
}

fn key_add(args: &AddArgs, voice: &Voice) -> anyhow::Result<u8> {
    let text = read_text(&args.file, KeyFile::MAX_LEN)?;
    let (key, comment) =
        PublicKey::from_openssh(&text).with_context(|| format!("{} holds no usable key", args.file.display()))?;
    let stem = args.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let owner = match &args.owner {
        Some(owner) => owner.clone(),
        None => comment.parse().or_else(|_| stem.parse()).map_err(|_| {
            Failure::new(exit::FAILED, "neither the key's comment nor the file's name is the name of an owner")
                .hint("say whose key it is with `--owner NAME`")
        })?,
    };
    if !args.root.is_dir() {
        let what = format!("there is no root `{}`", args.root.display());
        return Err(Failure::new(exit::FAILED, what).hint("make the folder first").into());
    }
    let path = Store::add_key(&args.root, &key, args.tier, &owner, now()?)?;
    if args.json {
        render::json(&json!({
            "format_version": 1,
            "file": path.display().to_string(),
            "fingerprint": key.fingerprint().to_string(),
            "owner": owner.as_str(),
            "tier": args.tier.to_string(),
        }))?;
        return Ok(exit::DONE);
    }
    voice.status(format_args!("{}: {} of {owner} is {}", path.display(), key.fingerprint(), args.tier));
    Ok(exit::DONE)
}

fn key_list(args: &ListArgs) -> anyhow::Result<u8> {
    let store = Store::open(&args.root)?;
    let mut by_tier: BTreeMap<_, Vec<&KeyFile>> = BTreeMap::new();
    for file in store.keys() {
        by_tier.entry(std::cmp::Reverse(file.tier())).or_default().push(file);
    }
    let files: Vec<&KeyFile> = by_tier.into_values().flatten().collect();
    if args.json {
        render::json(&json!({ "format_version": 1, "keys": files.into_iter().map(key_json).collect::<Vec<_>>() }))?;
        return Ok(exit::DONE);
    }
    for file in files {
        let ends = file
            .not_after()
            .and_then(pkgtypes::Timestamp::to_utc)
            .map_or_else(String::new, |ends| format!(" until {ends}"));
        render::data(format_args!("{:<9} {} {}{ends}", file.tier(), file.key().fingerprint(), file.owner()))?;
    }
    Ok(exit::DONE)
}

fn key_json(file: &KeyFile) -> Value {
    json!({
        "fingerprint": file.key().fingerprint().to_string(),
        "key": file.key().to_openssh(""),
        "tier": file.tier().as_str(),
        "owner": file.owner().as_str(),
        "added": file.added().and_then(pkgtypes::Timestamp::to_utc),
        "not_after": file.not_after().and_then(pkgtypes::Timestamp::to_utc),
        "repos": file.repos().iter().map(RepoId::as_str).collect::<Vec<_>>(),
        "file": file.path(),
    })
}

fn sign(args: &SignArgs, voice: &Voice) -> anyhow::Result<u8> {
    args.packages.iter().try_for_each(|package| need_file(package))?;
    let signer = keys::signer(args.key.as_deref(), voice)?;
    let now = now()?;
    let mut signed = Vec::new();
    for package in &args.packages {
        let record = whole(package)?;
        let path = SigArchive::path_beside(package);
        let statement = SigArchive::update(&path, |archive| {
            let next = || trust::next_seq(archive, &record, &*signer, now);
            let options = SignOptions { seq: Some(args.terms.seq.unwrap_or_else(next)), ..options(&args.terms, now) };
            let row = trust::sign_package(&record, &*signer, &options)?;
            let statement = row.statement().clone();
            archive.insert(row)?;
            Ok(statement)
        })?;
        voice.status(format_args!(
            "{}: {} by {}",
            path.display(),
            statement.subject(),
            signer.public_key().fingerprint()
        ));
        signed.push(statement_json(&statement, &path));
    }
    if args.json {
        render::json(&json!({ "format_version": 1, "signed": signed }))?;
    }
    Ok(exit::DONE)
}

fn options(terms: &TermArgs, now: pkgtypes::Timestamp) -> SignOptions {
    SignOptions { repo: terms.repo.clone(), seq: terms.seq, claim: terms.claim, lifetime: terms.expires, now }
}

fn statement_json(statement: &Statement, path: &Path) -> Value {
    json!({
        "file": path.display().to_string(),
        "name": statement.subject().name.as_str(),
        "version": statement.subject().version.to_string(),
        "release": statement.subject().release.0,
        "arch": statement.subject().arch.as_str(),
        "package_id": statement.subject().package_id.to_string(),
        "repo": statement.repo().as_str(),
        "seq": statement.seq(),
        "issued": statement.issued().to_utc(),
        "expires": statement.expires().to_utc(),
    })
}

fn statement(args: &StatementArgs) -> anyhow::Result<u8> {
    let record = packages::record(&args.package)?;
    if !args.attached && !args.signature {
        let statement = trust::statement_for(&record, &options(&args.terms, now()?))?;
        tell_statement(args, &statement, None)?;
        return Ok(exit::DONE);
    }
    let path = SigArchive::path_beside(&args.package);
    let archive = SigArchive::load(&path)?;
    let mut rows = archive.rows().iter().rev();
    let row = rows
        .find(|row| row.statement().subject().package_id == record.id())
        .ok_or_else(|| Failure::new(exit::UNKNOWN, format!("{} holds no statement on this package", path.display())))?;
    let first = row.signatures().first().filter(|_| args.signature);
    let signature = first.map(|first| Ok::<_, Error>(first.to_sshsig()?.to_armored())).transpose()?;
    tell_statement(args, row.statement(), signature)?;
    Ok(exit::DONE)
}

/// The statement, or the signature under it where that is asked for; programs get both.
fn tell_statement(args: &StatementArgs, statement: &Statement, signature: Option<String>) -> anyhow::Result<()> {
    if !args.json {
        return render::raw(signature.unwrap_or_else(|| statement.to_string()).as_bytes());
    }
    let mut document = statement_json(statement, &args.package);
    document["format_version"] = 1.into();
    document["statement"] = statement.to_string().into();
    if let Some(signature) = signature {
        document["signature"] = signature.into();
    }
    render::json(&document)
}

fn attach(args: &AttachArgs, voice: &Voice) -> anyhow::Result<u8> {
    need_file(&args.package)?;
    let text_path = args.statement.clone().unwrap_or_else(|| args.signature.with_extension(""));
    let statement = Statement::parse(read_text(&text_path, Statement::MAX_LEN)?.as_bytes())
        .with_context(|| format!("{} is not the signed statement", text_path.display()))?;
    let record = packages::record(&args.package)?;
    if *statement.subject() != trust::Subject::of(&record) {
        let what = format!("{} is a statement on {}", text_path.display(), statement.subject());
        return Err(Failure::new(exit::NOT_TRUSTED, what)
            .hint("print the package's own with `pkg trust statement`")
            .into());
    }
    let signature = SshSig::from_armored(&read_text(&args.signature, Statement::MAX_LEN)?, PACKAGE_NAMESPACE)?;
    let row = SignedStatement::new(statement, &signature)?;
    let path = SigArchive::path_beside(&args.package);
    SigArchive::update(&path, |archive| archive.insert(row))?;
    if args.json {
        let by = signature.key().fingerprint().to_string();
        render::json(&json!({ "format_version": 1, "file": path.display().to_string(), "fingerprint": by }))?;
        return Ok(exit::DONE);
    }
    voice.status(format_args!("{}: signed by {}", path.display(), signature.key().fingerprint()));
    Ok(exit::DONE)
}

/// Beside standard input there is no place for signatures.
fn need_file(package: &Path) -> Result<(), Failure> {
    if package.as_os_str() != "-" {
        return Ok(());
    }
    Err(Failure::new(exit::USAGE, "signatures go beside the package's file, and standard input has no name")
        .hint("name the file; one that is called `-` is `./-`"))
}

/// A package and what was decided on it.
struct Judged {
    path: PathBuf,
    decision: Decision,
}

fn judge(args: &VerifyArgs) -> anyhow::Result<Vec<Judged>> {
    let store = Store::open(&args.root)?;
    let clock = FixedClock::at(&SystemClock);
    let judge_one = |path: &PathBuf| {
        let record = packages::record(path)?;
        let sigs = args.sigs.clone().unwrap_or_else(|| SigArchive::path_beside(path));
        let archive = SigArchive::load(sigs)?;
        let want = Want { repo: args.repo.clone(), exception: args.accept_unsigned.clone(), ..Want::default() };
        Ok(Judged { path: path.clone(), decision: trust::evaluate(&store, &want, &record, &archive, &clock) })
    };
    args.packages.iter().map(judge_one).collect()
}

fn verify(args: &VerifyArgs, voice: &Voice) -> anyhow::Result<u8> {
    let judged = judge(args)?;
    // What is not trusted is not read any further.
    for Judged { path, .. } in judged.iter().filter(|judged| judged.decision.outcome().is_ok()) {
        let id = whole(path)?.id();
        if judged.iter().any(|other| other.path == *path && other.decision.subject().package_id != id) {
            return Err(Failure::new(exit::NOT_TRUSTED, format!("{} changed while it was read", path.display())).into());
        }
    }
    if args.json {
        render::json(&decisions_json(&judged))?;
        return Ok(code_of(&judged));
    }
    for Judged { path, decision } in &judged {
        match decision.outcome() {
            Ok(acceptance) => {
                render::data(format_args!("{}: {} accepted{}", path.display(), decision.subject(), acceptance.basis))?;
            }
            Err(refusal) => tell(path, refusal, voice),
        }
    }
    Ok(code_of(&judged))
}

fn why(args: &VerifyArgs) -> anyhow::Result<u8> {
    let judged = judge(args)?;
    if args.json {
        render::json(&decisions_json(&judged))?;
    } else {
        for judged in &judged {
            render::raw(judged.decision.explain().as_bytes())?;
        }
    }
    Ok(code_of(&judged))
}

fn tell(path: &Path, refusal: &Refusal, voice: &Voice) {
    voice.error(format_args!("{}: {refusal}", path.display()));
    voice.hint(&refusal.cure);
}

fn code_of(judged: &[Judged]) -> u8 {
    if judged.iter().all(|judged| judged.decision.code() == ReasonCode::Accept) {
        exit::DONE
    } else {
        exit::NOT_TRUSTED
    }
}

fn decisions_json(judged: &[Judged]) -> Value {
    json!({ "format_version": 1, "packages": judged.iter().map(decision_json).collect::<Vec<_>>() })
}

fn decision_json(Judged { path, decision }: &Judged) -> Value {
    let subject = decision.subject();
    let mut document = json!({
        "file": path,
        "name": subject.name.as_str(),
        "version": subject.version.to_string(),
        "release": subject.release.0,
        "arch": subject.arch.as_str(),
        "package_id": subject.package_id.to_string(),
        "code": decision.code().as_str(),
        "clock": decision.moment().clock().and_then(pkgtypes::Timestamp::to_utc),
        "newest_signed": decision.moment().newest_signed().to_utc(),
        "findings": decision.findings().iter().map(finding_json).collect::<Vec<_>>(),
    });
    let outcome = match decision.outcome() {
        Ok(acceptance) => basis_json(&acceptance.basis),
        Err(refusal) => json!({ "cause": refusal.cause, "cure": refusal.cure }),
    };
    document["outcome"] = outcome;
    document
}

fn basis_json(basis: &Basis) -> Value {
    match basis {
        Basis::Exception => json!({ "basis": "exception" }),
        Basis::Signed(signed) => json!({
            "basis": "signed",
            "repo": signed.repo.as_str(),
            "seq": signed.seq,
            "statement": signed.statement.to_string(),
            "issued": signed.issued.to_utc(),
            "expires": signed.expires.to_utc(),
            "tier": signed.tier.as_str(),
            "owners": signed.owners.iter().map(Owner::as_str).collect::<Vec<_>>(),
        }),
    }
}

fn finding_json(finding: &trust::Finding) -> Value {
    let standing = finding.key.as_ref().and_then(|key| key.standing.as_ref());
    json!({
        "code": finding.code.as_str(),
        "fingerprint": finding.key.as_ref().map(|key| key.fingerprint.to_string()),
        "owner": standing.map(|(owner, ..)| owner.as_str()),
        "tier": standing.map(|(_, tier, _)| tier.as_str()),
        "key_file": standing.map(|(.., path)| path),
        "cause": finding.cause,
        "cure": finding.cure,
    })
}

fn selftest(args: &SelftestArgs, voice: &Voice) -> anyhow::Result<u8> {
    trust::self_test()?;
    if args.json {
        render::json(&json!({ "format_version": 1, "passed": true }))?;
        return Ok(exit::DONE);
    }
    voice.status("the cryptography of this program does what it should");
    Ok(exit::DONE)
}

/// The package record, after every byte of the package was checked against it.
fn whole(path: &Path) -> anyhow::Result<PackageRecord> {
    let stream = packages::open(path)?;
    let record = stream.package().clone();
    stream.finish().with_context(|| packages::unreadable(path))?;
    Ok(record)
}

fn now() -> Result<pkgtypes::Timestamp, Failure> {
    SystemClock.now().ok_or_else(|| Failure::new(exit::FAILED, "there is no clock"))
}

fn lifetime(text: &str) -> Result<i64, String> {
    let units = [('h', 60 * 60), ('d', 24 * 60 * 60), ('w', 7 * 24 * 60 * 60)];
    let found = units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(*unit)?, seconds)));
    found
        .and_then(|(digits, seconds)| digits.parse::<i64>().ok()?.checked_mul(*seconds))
        .filter(|lifetime| (1..=Statement::MAX_LIFETIME).contains(lifetime))
        .ok_or_else(|| "a number and h, d or w is expected, 400d at most".to_owned())
}

/// Reads a small text file; `-` is standard input.
fn read_text(path: &Path, limit: usize) -> anyhow::Result<String> {
    let mut text = String::new();
    let read = packages::stream(path)?.take(limit as u64 + 1).read_to_string(&mut text);
    read.with_context(|| format!("cannot read {}", packages::shown(path)))?;
    if text.len() > limit {
        let what = format!("{} is larger than {limit} bytes", packages::shown(path));
        return Err(Failure::new(exit::NOT_TRUSTED, what).into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_need_a_file_to_stand_beside() {
        assert_eq!(need_file(Path::new("-")).unwrap_err().code(), exit::USAGE);
        for file in ["./-", "-.kpkg", "zlib.kpkg"] {
            need_file(Path::new(file)).unwrap();
        }
    }

    #[test]
    fn lifetimes_have_a_unit_and_an_end() {
        assert_eq!(lifetime("90d"), Ok(SignOptions::LIFETIME));
        assert_eq!(lifetime("400d"), Ok(Statement::MAX_LIFETIME));
        for bad in ["", "d", "90", "0d", "-1d", "401d", "9223372036854775807w", "1y", "1 d"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
