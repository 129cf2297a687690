//! A file that the user names to be written.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pkgfs::Root;
use pkgtypes::PkgPath;

use crate::exit;
use crate::failure::Failure;
use crate::places;

/// Where output goes.
pub enum Output {
    /// A file of this name, which appears when it is complete.
    File {
        /// Its folder.
        folder: Root,
        /// Its name there.
        name: PkgPath,
    },
    /// Standard output, or a device or pipe, which takes bytes as they come.
    Stream(Box<dyn Write>),
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File { folder, name } => {
                f.debug_struct("File").field("folder", &folder.path()).field("name", name).finish()
            }
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Output {
    /// Looks at what the name stands for: `-` is standard output; a link is followed, and what is there and no file is
    /// written to instead of being replaced.
    ///
    /// # Errors
    /// The name of a folder, or one in a folder that is not there.
    pub fn of(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Stream(Box::new(std::io::stdout())));
        }
        let refuse = |what: &str| Failure::new(exit::USAGE, format!("`{}` {what}", path.display()));
        if path.as_os_str().as_bytes().ends_with(b"/") {
            return Err(refuse("names a folder, not a file").into());
        }
        let there = match std::fs::metadata(path) {
            Ok(data) if data.is_dir() => return Err(refuse("is a folder").into()),
            Ok(data) if !data.is_file() => {
                let opened = File::options().write(true).open(path);
                let file = opened.map_err(|error| {
                    Failure::new(exit::FAILED, format!("cannot open `{}`: {error}", path.display()))
                })?;
                return Ok(Self::Stream(Box::new(BufWriter::new(file))));
            }
            Ok(_) => std::fs::canonicalize(path).ok(),
            Err(_) => None,
        };
        Self::file(&there.map_or_else(|| places::absolute(path), Ok)?)
    }

    fn file(path: &Path) -> anyhow::Result<Self> {
        let parts = path.parent().zip(path.file_name());
        let (folder, name) =
            parts.ok_or_else(|| Failure::new(exit::USAGE, format!("`{}` is no file name", path.display())))?;
        Ok(Self::File { folder: Root::open(folder)?, name: PkgPath::from_os(name)? })
    }

    /// The file's path; `None` for a stream.
    pub fn path(&self) -> Option<PathBuf> {
        match self {
            Self::File { folder, name } => Some(folder.path().join(name.as_path())),
            Self::Stream(_) => None,
        }
    }
}
