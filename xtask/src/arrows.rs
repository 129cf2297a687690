//! The import table: what each crate may link of ours, as ARCHITECTURE.md has it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

const PICTURE: &str = "ARCHITECTURE.md";
const HEADING: &str = "| crate | is | may import | must never |";

type Table = BTreeMap<String, BTreeSet<String>>;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<String>,
}

/// Compares the table with `cargo metadata`; every difference is an error that names the crate.
pub(crate) fn check() -> Result<()> {
    let picture = std::fs::read_to_string(PICTURE).with_context(|| format!("cannot read {PICTURE}"))?;
    let allowed = read_table(&picture)?;
    let linked = linked_crates()?;
    let mut wrong = Vec::new();
    for (importer, imports) in &linked {
        let Some(may) = allowed.get(importer) else {
            wrong.push(format!("crate `{importer}` has no row in {PICTURE}"));
            continue;
        };
        wrong.extend(
            imports
                .difference(may)
                .map(|import| format!("`{importer}` imports `{import}`, which its row does not allow")),
        );
    }
    wrong.extend(
        allowed.keys().filter(|row| !linked.contains_key(*row)).map(|row| format!("the row `{row}` has no crate")),
    );
    if !wrong.is_empty() {
        bail!("the arrows of {PICTURE} do not hold:\n  {}", wrong.join("\n  "));
    }
    println!("{} crates, {} arrows, all as drawn", linked.len(), linked.values().map(BTreeSet::len).sum::<usize>());
    Ok(())
}

/// Reads the rows below the table's heading; `all` stands for every other row.
fn read_table(picture: &str) -> Result<Table> {
    let (_, below) = picture.split_once(HEADING).with_context(|| format!("{PICTURE} has no table `{HEADING}`"))?;
    let rows =
        below.lines().skip(1).skip_while(|line| line.starts_with("|---")).take_while(|line| line.starts_with('|'));
    let mut table = Table::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        ensure!(cells.len() >= 5, "a row of the table in {PICTURE} has too few cells: {row}");
        let imports = cells[3].split_whitespace().filter(|word| *word != "–").map(str::to_owned);
        table.insert(cells[1].to_owned(), imports.collect());
    }
    let everything: BTreeSet<String> = table.keys().cloned().collect();
    for imports in table.values_mut().filter(|imports| imports.contains("all")) {
        imports.clone_from(&everything);
    }
    Ok(table)
}

fn linked_crates() -> Result<Table> {
    let output = Command::new("cargo").args(["metadata", "--format-version=1", "--no-deps"]).output()?;
    ensure!(output.status.success(), "cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    let ours = metadata.packages.into_iter().filter(|package| package.manifest_path.contains("/crates/"));
    Ok(ours.map(|package| (package.name, imports(package.dependencies))).collect())
}

/// Our own crates that a crate links; what only its tests link does not count.
fn imports(dependencies: Vec<Dependency>) -> BTreeSet<String> {
    let linked = dependencies.into_iter().filter(|dependency| dependency.path.is_some() && dependency.kind.is_none());
    linked.map(|dependency| dependency.name).collect()
}
