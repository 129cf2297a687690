use std::fmt;
use std::io;
use std::path::PathBuf;

use pkgtypes::{Digest, PackageName, ParseError};

use crate::{DepSpec, PackageRef, Position, RecipeId};

/// What can be wrong with a recipe or a tree of recipes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// A line says something that it may not say.
    #[error("{position}: {problem}")]
    Line {
        /// Where.
        position: Position,
        /// What.
        problem: LineProblem,
    },
    /// A recipe's folder holds something that it may not hold, or lacks something.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: FolderProblem,
    },
    /// A file or folder can not be read.
    #[error("{} can not be read", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// There is no recipe and no package of that name in the tree.
    #[error("no recipe is called `{name}`{}{}", needed(needed_by.as_ref()), did_you_mean(suggestions))]
    UnknownName {
        /// The name.
        name: PackageName,
        /// The line that asks for it; `None` when a person did.
        needed_by: Option<Position>,
        /// Names that look like it.
        suggestions: Vec<String>,
    },
    /// There are recipes of that name, but none that satisfies.
    #[error("no recipe satisfies `{spec}`{}; there are {}", needed(needed_by.as_ref()), list(available))]
    NoVersion {
        /// What was asked for.
        spec: Box<DepSpec>,
        /// The line that asks for it; `None` when a person did.
        needed_by: Option<Position>,
        /// The recipes of that name, the newest first.
        available: Vec<RecipeId>,
    },
    /// A recipe has no such output.
    #[error("{recipe} has no output `{output}`{}{}", needed(needed_by.as_ref()), did_you_mean(suggestions))]
    UnknownOutput {
        /// The recipe.
        recipe: Box<RecipeId>,
        /// The output that it does not have.
        output: PackageName,
        /// The line that asks for it; `None` when a person did.
        needed_by: Option<Position>,
        /// Outputs that look like it.
        suggestions: Vec<String>,
    },
    /// A package that several recipes make, where the line names none.
    #[error("`{output}` is an output of {}: say `{output} from RECIPE`", names(recipes))]
    Ambiguous {
        /// The package.
        output: PackageName,
        /// The recipes.
        recipes: Vec<PackageName>,
    },
    /// Recipes need one another to be built.
    #[error("these recipes need one another to be built: {}", cycle(chain))]
    Cycle {
        /// The chain; the first recipe stands at its end again.
        chain: Vec<CycleStep>,
    },
    /// One room would hold two versions of a package.
    #[error("no recipe of `{name}` satisfies everything that needs it: {}", wishes.join(", "))]
    Conflict {
        /// The package.
        name: PackageName,
        /// Who asks for what, as `lua/5.4.4/1 wants readline>=8`.
        wishes: Vec<String>,
    },
    /// A capability such as `so:libz.so.1` that no package of the tree offers.
    #[error("nothing offers `{requirement}`, which {package} needs")]
    Unprovided {
        /// The requirement.
        requirement: String,
        /// The package that has it.
        package: Box<PackageRef>,
    },
    /// The recipe that a `lock` line names is not what it was when the line was written.
    #[error("{position}: the lock names {recipe} with recipe hash {locked}, but its hash is {found}")]
    LockChanged {
        /// The lock line.
        position: Position,
        /// The locked recipe.
        recipe: Box<RecipeId>,
        /// The hash in the lock line.
        locked: Digest,
        /// The hash of the folder.
        found: Digest,
    },
}

impl RecipeError {
    /// The words that may have been meant, the nearest first.
    pub fn suggestions(&self) -> &[String] {
        match self {
            Self::Line { problem: LineProblem::Unknown { suggestions, .. }, .. }
            | Self::UnknownName { suggestions, .. }
            | Self::UnknownOutput { suggestions, .. } => suggestions,
            _ => &[],
        }
    }

    /// The place in a file, where the error has one.
    pub fn position(&self) -> Option<&Position> {
        match self {
            Self::Line { position, .. } | Self::LockChanged { position, .. } => Some(position),
            Self::UnknownName { needed_by, .. }
            | Self::NoVersion { needed_by, .. }
            | Self::UnknownOutput { needed_by, .. } => needed_by.as_ref(),
            _ => None,
        }
    }
}

/// One step of a cycle: a recipe, and how it needs the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CycleStep {
    /// The recipe.
    pub recipe: RecipeId,
    /// The package that it needs of the next step's recipe.
    pub needs: PackageName,
    /// Whether it needs that package to run; else in its build room.
    pub to_run: bool,
}

/// What can be wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LineProblem {
    /// A word that is none of the known ones.
    #[error("unknown {what} `{word}`{}", did_you_mean(suggestions))]
    Unknown {
        /// What was expected.
        what: &'static str,
        /// What stands there.
        word: String,
        /// Known words that look like it.
        suggestions: Vec<String>,
    },
    /// Something is missing.
    #[error("{what} is expected here")]
    Expected {
        /// What.
        what: &'static str,
    },
    /// The line goes on where it should end.
    #[error("`{word}` is one word too many")]
    Surplus {
        /// The first surplus word.
        word: String,
    },
    /// A value that breaks the rules of its type.
    #[error(transparent)]
    Invalid(#[from] ParseError),
    /// A word that may stand once stands twice.
    #[error("the {what} `{word}` stands already in line {first}")]
    Repeated {
        /// What.
        what: &'static str,
        /// The word.
        word: String,
        /// Where it stands first.
        first: usize,
    },
    /// A known word in a place where it can not be.
    #[error("`{word}` can not stand here: {reason}")]
    Refused {
        /// The word.
        word: String,
        /// Why.
        reason: &'static str,
    },
    /// Bytes that are not UTF-8.
    #[error("the line is not UTF-8 text")]
    NotUtf8,
    /// A control character.
    #[error("the control character U+{:04X} can not stand in a recipe", u32::from(*character))]
    ControlCharacter {
        /// The character.
        character: char,
    },
    /// A line of too many bytes.
    #[error("the line has {length} bytes, the limit is {limit}")]
    LineTooLong {
        /// Its length.
        length: usize,
        /// The longest that may be.
        limit: usize,
    },
    /// A file of this recipe that is not there.
    #[error("there is no file `{word}` in this recipe{}", did_you_mean(suggestions))]
    NoSuchFile {
        /// The name.
        word: String,
        /// Files that look like it.
        suggestions: Vec<String>,
    },
    /// `latest` in a binary recipe without a lock line.
    #[error("`latest {name}` floats: a binary recipe needs a `lock` line for it")]
    Unlocked {
        /// The package.
        name: PackageName,
    },
}

/// What can be wrong with a recipe's folder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FolderProblem {
    /// A name that begins with a dot.
    #[error("hidden files can not be in a recipe")]
    Hidden,
    /// A name that ends in `~`.
    #[error("an editor's backup can not be in a recipe")]
    Backup,
    /// A symbolic link.
    #[error("symbolic links can not be in a recipe")]
    Symlink,
    /// A device, a socket or a pipe.
    #[error("only files and folders can be in a recipe")]
    Special,
    /// A folder without files, which no hash would cover.
    #[error("the folder is empty, so no hash would cover it")]
    Empty,
    /// A name that is no package path.
    #[error("{0}")]
    Name(ParseError),
    /// A file of too many bytes.
    #[error("the file has {size} bytes, the limit is {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The largest that may be.
        limit: u64,
    },
    /// Too many files, or too many bytes in all.
    #[error("the recipe has more than {limit} {what}")]
    TooMuch {
        /// `files`, `bytes` or `folders inside one another`.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// A file that a recipe of this type must have.
    #[error("the file `{name}` is missing: {reason}")]
    Missing {
        /// Its name.
        name: &'static str,
        /// Why it is needed.
        reason: &'static str,
    },
    /// A file that a recipe of this type can not have.
    #[error("{reason}")]
    Surplus {
        /// Why it can not be there.
        reason: &'static str,
    },
    /// A script without the execute bit.
    #[error("the script is not executable: chmod +x")]
    NotExecutable,
    /// A dotted file for something that does not exist.
    #[error("`{word}` is no {what} of this recipe{}", did_you_mean(suggestions))]
    UnknownVariant {
        /// `output` or `architecture`.
        what: &'static str,
        /// What stands after the dot.
        word: String,
        /// What may have been meant.
        suggestions: Vec<String>,
    },
    /// A folder of a tree whose name is no name, version or release.
    #[error("{0}")]
    Place(ParseError),
    /// A folder of a tree whose name has another, usual spelling.
    #[error("the usual spelling is `{usual}`")]
    Spelling {
        /// How it is written.
        usual: String,
    },
    /// A file where a tree has folders only.
    #[error("a folder is expected here")]
    NotAFolder,
}

fn did_you_mean(suggestions: &[String]) -> String {
    match suggestions {
        [] => String::new(),
        words => format!("; did you mean `{}`?", words.join("`, `")),
    }
}

fn needed(by: Option<&Position>) -> String {
    by.map_or_else(String::new, |position| format!(", which {position} asks for"))
}

fn list(recipes: &[RecipeId]) -> String {
    recipes.iter().map(RecipeId::to_string).collect::<Vec<_>>().join(", ")
}

fn names(names: &[PackageName]) -> String {
    names.iter().map(PackageName::as_str).collect::<Vec<_>>().join(", ")
}

fn cycle(steps: &[CycleStep]) -> String {
    let mut text = String::new();
    for step in steps {
        text.push_str(&step.to_string());
    }
    if let Some(first) = steps.first() {
        text.push_str(&first.recipe.to_string());
    }
    text
}

impl fmt::Display for CycleStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.to_run { "runs with" } else { "is built with" };
        write!(f, "{} {how} {} of ", self.recipe, self.needs)
    }
}
