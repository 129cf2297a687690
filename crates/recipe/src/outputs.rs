use pkgtypes::{PackageName, PkgPath};

use crate::lines::{Line, LineFile, Word};
use crate::{Glob, LineProblem, RecipeError};

/// How `outputs` splits one install tree into packages; the first line that matches a path takes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outputs {
    rules: Vec<OutputRule>,
}

/// A line of `outputs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputRule {
    /// The package.
    pub package: PackageName,
    /// What it takes.
    pub takes: Vec<Glob>,
    /// What it leaves to later lines, although it matches: the globs with a `!`.
    pub leaves: Vec<Glob>,
}

impl OutputRule {
    /// Whether this line takes `path`.
    pub fn matches(&self, path: &PkgPath) -> bool {
        self.takes.iter().any(|glob| glob.matches(path)) && !self.leaves.iter().any(|glob| glob.matches(path))
    }
}

impl Outputs {
    /// The lines in their order.
    pub fn rules(&self) -> &[OutputRule] {
        &self.rules
    }

    /// The package that takes `path`; `None` where no line does, and the package with the recipe's own name takes it.
    pub fn package_of(&self, path: &PkgPath) -> Option<&PackageName> {
        self.rules.iter().find(|rule| rule.matches(path)).map(|rule| &rule.package)
    }

    pub(crate) fn parse(file: &LineFile<'_>) -> Result<Self, RecipeError> {
        let mut rules: Vec<(usize, OutputRule)> = Vec::new();
        for line in file.lines() {
            let (name, rule) = parse_line(line)?;
            if let Some((first, _)) = rules.iter().find(|(_, other)| other.package == rule.package) {
                return Err(name.repeated("output", *first));
            }
            let number = line.number;
            rules.push((number, rule));
        }
        Ok(Self { rules: rules.into_iter().map(|(_, rule)| rule).collect() })
    }
}

fn parse_line<'a>(line: &'a Line<'a>) -> Result<(Word<'a>, OutputRule), RecipeError> {
    let words = line.words();
    let Some((name, after)) = words[0].split_once(':') else {
        return Err(words[0].error(LineProblem::Expected { what: "`OUTPUT:` and patterns" }));
    };
    if !after.text.is_empty() {
        return Err(after.error(LineProblem::Expected { what: "a blank after the `:`" }));
    }
    let mut rule = OutputRule { package: name.parse()?, takes: Vec::new(), leaves: Vec::new() };
    for word in &words[1..] {
        if word.text.starts_with('!') {
            rule.leaves.push(word.part(1..).parse()?);
        } else {
            rule.takes.push(word.parse()?);
        }
    }
    if rule.takes.is_empty() {
        return Err(line.end_error(LineProblem::Expected { what: "a pattern" }));
    }
    Ok((name, rule))
}
