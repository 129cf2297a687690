use std::fmt;

use crate::RecipeError;
use crate::lines::Word;

macro_rules! lints {
    ($($(#[doc = $doc:literal])+ $name:ident = $id:literal,)+) => {
        /// A thing that is seldom wanted in a recipe or a package, and that a line of `lint` can declare wanted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum LintId { $($(#[doc = $doc])+ $name,)+ }

        impl LintId {
            /// Every lint.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word that stands for it in `lint` and in reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id,)+ }
            }

            /// What it finds.
            pub const fn summary(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

lints! {
    /// No `description` in `meta`.
    NoDescription = "no-description",
    /// No `license` in `meta`.
    NoLicense = "no-license",
    /// No `url` in `meta`.
    NoUrl = "no-url",
    /// A recipe with a `build` has no `test`.
    NoTest = "no-test",
    /// A source that can be had in one place only.
    SingleUrl = "single-url",
    /// A source over http without TLS only; the digest still decides.
    PlainHttp = "plain-http",
    /// A source that a distribution packed anew: not the bytes that upstream released.
    RepackedSource = "repacked-source",
    /// A file of the recipe whose name looks like one that has a meaning.
    LikelyTypo = "likely-typo",
    /// A static library in the package.
    StaticArchive = "static-archive",
    /// A program that is not statically linked in a recipe of type `static`.
    NotStatic = "not-static",
    /// A setuid or setgid bit that `perms` does not declare.
    Setid = "setid",
    /// A folder or file that everybody may write.
    WorldWritable = "world-writable",
    /// The build folder's path in a file.
    BuildPath = "build-path",
    /// A program with a run path.
    RunPath = "run-path",
    /// A program that asks for an executable stack.
    ExecutableStack = "executable-stack",
    /// A library that changes its own code when it is loaded.
    TextRelocation = "text-relocation",
    /// A symbolic link to nothing.
    DanglingLink = "dangling-link",
    /// A script whose interpreter no package of its closure has.
    MissingInterpreter = "missing-interpreter",
    /// A needed library that no package of its closure has.
    MissingLibrary = "missing-library",
    /// A package without files.
    EmptyPackage = "empty-package",
    /// A file outside the folders that packages use.
    OddPlace = "odd-place",
    /// A libtool archive, which only misleads.
    LibtoolArchive = "libtool-archive",
}

impl LintId {
    pub(crate) fn parse(word: &Word<'_>) -> Result<Self, RecipeError> {
        let known = Self::ALL.iter().find(|lint| lint.as_str() == word.text);
        known.copied().ok_or_else(|| word.unknown("lint", Self::ALL.iter().map(|lint| lint.as_str())))
    }
}

impl fmt::Display for LintId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
