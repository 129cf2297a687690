//! Where things lie: the only code that reads the environment for it.

use std::path::{Path, PathBuf};

use fetch::HttpOptions;

use crate::exit;
use crate::failure::Failure;

/// The folder of recipes: the one named, else `./recipes`, else the machine's own.
///
/// # Errors
/// None of them is there.
pub fn recipes(named: Option<&Path>) -> Result<PathBuf, Failure> {
    const MACHINE: &str = "/usr/share/kista/recipes";
    if let Some(named) = named {
        return Ok(named.to_owned());
    }
    let usual = ["recipes", MACHINE].map(PathBuf::from);
    usual.into_iter().find(|folder| folder.join("ga").is_dir()).ok_or_else(|| {
        Failure::new(
            exit::FAILED,
            format!("there are no recipes: neither `./recipes` nor `{MACHINE}` holds a `ga` folder"),
        )
        .hint("name the folder with `--recipes DIR`")
    })
}

/// The folder of caches: the one named, else `/var/cache/kista` for root and the XDG cache folder for a user.
///
/// # Errors
/// A user without a home.
pub fn cache(named: Option<&Path>) -> Result<PathBuf, Failure> {
    match named {
        Some(named) => absolute(named),
        None if rustix::process::geteuid().is_root() => Ok(PathBuf::from("/var/cache/kista")),
        None => home_folder("XDG_CACHE_HOME", ".cache", "--cache DIR"),
    }
}

/// The file of the user's own signing key.
///
/// # Errors
/// A user without a home.
pub fn own_key() -> Result<PathBuf, Failure> {
    Ok(home_folder("XDG_DATA_HOME", ".local/share", "--key FILE")?.join("key"))
}

/// The socket of the ssh-agent that is running, if one is.
pub fn agent_socket() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from)
}

/// How this machine speaks http: through the proxy that the environment names, believing whom the machine believes.
pub fn http() -> HttpOptions {
    const MACHINE: &str = "/etc/ssl/certs/ca-certificates.crt";
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let certificates =
        set("SSL_CERT_FILE").map(PathBuf::from).or_else(|| Some(PathBuf::from(MACHINE)).filter(|file| file.is_file()));
    let proxy = ["https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"].into_iter().find_map(set);
    HttpOptions {
        ca_file: certificates,
        proxy: proxy.and_then(|proxy| proxy.into_string().ok()),
        // The C library is a part of these programs: build.rs.
        names: Some(PathBuf::from("getent")),
        ..HttpOptions::default()
    }
}

/// A path as it is from anywhere; the file itself need not be there.
///
/// # Errors
/// The current folder is gone.
pub fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path)
        .map_err(|error| Failure::new(exit::FAILED, format!("cannot make {} absolute: {error}", path.display())))
}

fn home_folder(variable: &str, below_home: &str, option: &str) -> Result<PathBuf, Failure> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set(variable).or_else(|| set("HOME").map(|home| home.join(below_home)));
    base.map(|base| base.join("kista")).ok_or_else(|| {
        Failure::new(exit::FAILED, format!("neither `{variable}` nor `HOME` names a folder"))
            .hint(format!("set one of them or use `{option}`"))
    })
}
