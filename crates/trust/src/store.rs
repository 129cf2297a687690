use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pkgfs::{Durability, Root};
use pkgtypes::{Mode, PkgPath, Timestamp};

use crate::floor::TrustPlaces;
use crate::gate::{Content, Folder, refused};
use crate::key_file::key_file_text;
use crate::way::Way;
use crate::{Caller, Error, KeyFile, Owner, Policy, PublicKey, Result, Tier};

const ETC: [&str; 1] = ["etc"];
const VENDOR: [&str; 2] = ["usr", "lib"];
const TRUST: &str = "trust.d";
const KEYS: &str = "keys";
const POLICY: &str = "policy.toml";
/// What may stand in a trust directory. Anything else might be a rule that would be ignored, so it is refused.
const KNOWN: [&str; 3] = [KEYS, "pkgs", POLICY];
const MAX_KEYS: usize = 4096;
const FOLDER_MODE: Mode = Mode::from_raw(0o755);
const FILE_MODE: Mode = Mode::from_raw(0o644);

/// The keys that a root's administrator (`etc/trust.d/keys/TIER/*.pub`) and vendor (`usr/lib/trust.d/keys/..`) put into
/// tiers. A root without these folders trusts nobody.
///
/// Symbolic links that stand in the place of the folders above (`etc`, `usr`, `usr/lib`) are followed, inside the root only,
/// if root or the caller made them; those in a trust directory are not.
///
/// `policy.toml` beside `keys` says how many of them are needed ([`Policy`]).
///
/// A vendor's file is masked by one of the administrator's with the same name, in any tier; an empty file or a link to
/// /dev/null masks without a key.
#[derive(Debug, Clone, Default)]
pub struct Store {
    keys: BTreeMap<[u8; 32], Vec<KeyFile>>,
    policy: Policy,
    places: TrustPlaces,
}

impl Store {
    /// Reads the trust directories of the root at `root` through the permission gate, as the user of this process.
    ///
    /// # Errors
    /// `E_TRUSTDIR_PERM` for anything that others can change, `E_TRUSTDIR_IO` for anything that cannot be read,
    /// `E_KEY_AMBIGUOUS` for a key in two tiers (other than untrusted) or of two owners, `E_NAME` and `E_POLICY` for
    /// files that have no place there, and as [`KeyFile::parse`]. Nothing is skipped: a denial that cannot be read must
    /// not be a denial less.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::open_as(root, Caller::current())
    }

    /// As [`Store::open`], for another user.
    ///
    /// # Errors
    /// As there.
    pub fn open_as(root: impl AsRef<Path>, caller: Caller) -> Result<Self> {
        let root = Folder::open_root(root.as_ref(), caller)?;
        let mut files = Files::default();
        let mut places = TrustPlaces::default();
        for names in [&ETC[..], &VENDOR] {
            let Way { folder, path, links } = Way::find(&root, names)?;
            places.add(joined(&path, &[TRUST])?, links);
            if let Some(trust) = folder.map(|folder| folder.child(TRUST)).transpose()?.flatten() {
                files.take_trust_dir(&trust)?;
            }
        }
        let mut store = Self { policy: files.policy.unwrap_or_default(), places, ..Self::default() };
        for file in files.keys {
            store.insert(file)?;
        }
        Ok(store)
    }

    /// The rule by which packages are judged.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Where they stand.
    pub(crate) fn places(&self) -> &TrustPlaces {
        &self.places
    }

    /// The same keys under another rule.
    #[must_use]
    pub fn with_policy(self, policy: Policy) -> Self {
        Self { policy, ..self }
    }

    /// Adds a key file.
    ///
    /// # Errors
    /// `E_KEY_AMBIGUOUS`.
    pub fn insert(&mut self, file: KeyFile) -> Result<()> {
        let files = self.keys.entry(*file.key().as_bytes()).or_default();
        if file.tier() != Tier::Untrusted {
            for other in files.iter().filter(|other| other.tier() != Tier::Untrusted) {
                check_agreement(other, &file)?;
            }
        }
        files.push(file);
        Ok(())
    }

    /// All key files, by key.
    pub fn keys(&self) -> impl Iterator<Item = &KeyFile> {
        self.keys.values().flatten()
    }

    /// What is said about `key`; several files of one tier and owner widen its scope.
    pub fn find(&self, key: &PublicKey) -> &[KeyFile] {
        self.find_bytes(key.as_bytes())
    }

    /// As [`Store::find`], for bytes that need not be a usable key; a key that is not never stands here.
    pub(crate) fn find_bytes(&self, key: &[u8; 32]) -> &[KeyFile] {
        self.keys.get(key).map_or(&[], Vec::as_slice)
    }

    /// Makes the folders of an administrator's trust directory where they are missing, so that `root` trusts nobody yet.
    ///
    /// # Errors
    /// The folders cannot be made; the permission gate refuses those above them.
    pub fn create(root: impl AsRef<Path>) -> Result<()> {
        let tree = Root::open(root.as_ref())?;
        let etc = administrators(root.as_ref())?;
        Tier::ALL.into_iter().try_for_each(|tier| make_folder(&tree, &etc, tier).map(|_| ()))
    }

    /// Puts `key` into a tier of the root at `root` and says in which file; a file that already says so stays.
    ///
    /// # Errors
    /// As [`Store::open`]; `E_KEY_AMBIGUOUS` when the key stands in another tier or belongs to another owner.
    pub fn add_key(
        root: impl AsRef<Path>,
        key: &PublicKey,
        tier: Tier,
        owner: &Owner,
        added: Timestamp,
    ) -> Result<PathBuf> {
        let root = root.as_ref();
        let mut store = Self::open(root)?;
        if let Some(file) = store.find(key).iter().find(|file| file.tier() == tier && file.owner() == owner) {
            return Ok(file.path().to_owned());
        }
        let tree = Root::open(root)?;
        let path = free_name(&tree, &make_folder(&tree, &administrators(root)?, tier)?, owner)?;
        let text = key_file_text(key, owner, added);
        let full = root.join(path.as_path());
        store.insert(KeyFile::parse(text.as_bytes(), &full, tier)?)?;
        tree.write_file(&path, FILE_MODE, text.as_bytes(), Durability::Synced)?;
        Ok(full)
    }
}

fn check_agreement(first: &KeyFile, second: &KeyFile) -> Result<()> {
    let what = match () {
        () if first.tier() != second.tier() => "tier",
        () if first.owner() != second.owner() => "owner",
        () => return Ok(()),
    };
    Err(Error::KeyAmbiguous {
        fingerprint: second.key().fingerprint().to_string(),
        first: first.path().to_owned(),
        second: second.path().to_owned(),
        what,
    })
}

/// The administrator's files, then the vendor's that none of them masks.
#[derive(Default)]
struct Files {
    names: Vec<String>,
    keys: Vec<KeyFile>,
    policy: Option<Policy>,
}

impl Files {
    fn take_trust_dir(&mut self, trust: &Folder) -> Result<()> {
        if let Some(unknown) = trust.names(MAX_KEYS)?.into_iter().find(|name| !KNOWN.contains(&name.as_str())) {
            let reason =
                "this version does not know what it means, and does not go on without it; remove it".to_owned();
            return Err(Error::Policy { path: trust.path().join(unknown), reason });
        }
        self.take_policy(trust)?;
        let Some(keys) = trust.child(KEYS)? else { return Ok(()) };
        let is_tier = |name: &String| Tier::ALL.iter().any(|tier| tier.as_str() == name);
        if let Some(name) = keys.names(MAX_KEYS)?.into_iter().find(|name| !is_tier(name)) {
            let reason = "only trusted, senior, junior and untrusted are tiers; rename or remove it";
            return Err(Error::Name { path: keys.path().to_owned(), name, reason });
        }
        let mut names = Vec::new();
        for tier in Tier::ALL {
            if let Some(folder) = keys.child(tier.as_str())? {
                self.take_tier(&folder, tier, &mut names)?;
            }
        }
        self.names.append(&mut names);
        Ok(())
    }

    /// The administrator's policy masks the vendor's.
    fn take_policy(&mut self, trust: &Folder) -> Result<()> {
        match trust.read(POLICY, Policy::MAX_LEN)? {
            Content::Missing => Ok(()),
            _ if self.policy.is_some() => Ok(()),
            // Masked: the built-in rule.
            Content::Masked => {
                self.policy = Some(Policy::default());
                Ok(())
            }
            Content::Bytes(bytes) => {
                self.policy = Some(Policy::parse(&bytes, &trust.path().join(POLICY))?);
                Ok(())
            }
        }
    }

    fn take_tier(&mut self, folder: &Folder, tier: Tier, names: &mut Vec<String>) -> Result<()> {
        for name in folder.names(MAX_KEYS)? {
            if !name.ends_with(".pub") {
                let reason = "key files end in `.pub`; rename or remove it";
                return Err(Error::Name { path: folder.path().to_owned(), name, reason });
            }
            if self.names.contains(&name) {
                continue;
            }
            if let Content::Bytes(bytes) = folder.read(&name, KeyFile::MAX_LEN)? {
                self.keys.push(KeyFile::parse(&bytes, &folder.path().join(&name), tier)?);
            }
            if self.keys.len() > MAX_KEYS {
                let what = folder.path().display().to_string();
                return Err(Error::TooLarge { what, limit: MAX_KEYS as u64, unit: "keys" });
            }
            names.push(name);
        }
        Ok(())
    }
}

/// Where the root has its administrator's files.
fn administrators(root: &Path) -> Result<PkgPath> {
    Ok(Way::find(&Folder::open_root(root, Caller::current())?, &ETC)?.path)
}

fn make_folder(root: &Root, etc: &PkgPath, tier: Tier) -> Result<PkgPath> {
    let path = joined(etc, &[TRUST, KEYS, tier.as_str()])?;
    for made in root.create_dirs(&path, FOLDER_MODE)? {
        // Whatever the umask is: others may see what is trusted, and nobody else may change it.
        root.set_mode(&made, FOLDER_MODE)?;
    }
    Ok(path)
}

/// `OWNER.pub`, or `OWNER.N.pub` for the owner's further keys.
fn free_name(root: &Root, folder: &PkgPath, owner: &Owner) -> Result<PkgPath> {
    let fits = |byte: char| byte.is_ascii_alphanumeric() || "@._+-".contains(byte);
    let stem: String = owner.as_str().chars().map(|c| if fits(c) { c } else { '_' }).collect();
    let stem = stem.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    let stem = if stem.is_empty() { "key" } else { stem };
    for number in 0..MAX_KEYS {
        let suffix = if number == 0 { String::new() } else { format!(".{number}") };
        let candidate = joined(folder, &[&format!("{stem}{suffix}.pub")])?;
        if root.stat(&candidate)?.is_none() {
            return Ok(candidate);
        }
    }
    Err(Error::TooLarge { what: format!("the keys of {owner}"), limit: MAX_KEYS as u64, unit: "files" })
}

fn joined(folder: &PkgPath, names: &[&str]) -> Result<PkgPath> {
    let path = names.iter().try_fold(folder.clone(), |path, name| path.join(name.as_bytes()));
    path.map_err(|error| refused(folder.as_path(), &error.to_string(), "let a shorter path lead there"))
}
