//! Answers about a root: `questions ROOT list`, `questions ROOT owner PATH`, `questions ROOT info NAME`,
//! `questions ROOT verify`.

use std::io::Write;

use installdb::Installed;
use pkgtypes::PkgPath;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (root, question) = arguments.split_first().ok_or("ROOT QUESTION")?;
    let installed = Installed::open(root)?;
    let mut out = std::io::stdout().lock();
    match question.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["list"] => {
            for package in installed.list(&[])? {
                writeln!(out, "{} {}-{}", package.name, package.version, package.release)?;
            }
        }
        ["owner", path] => {
            for name in installed.owners(&PkgPath::new(path.as_bytes())?)? {
                writeln!(out, "{name}")?;
            }
        }
        ["info", name] => writeln!(out, "{:#?}", installed.package(&name.parse()?)?)?,
        ["verify"] => {
            for difference in installed.verify(&[])? {
                for aspect in &difference.aspects {
                    writeln!(out, "{}: {aspect}", difference.path)?;
                }
            }
        }
        _ => return Err("list, owner PATH, info NAME or verify is expected".into()),
    }
    Ok(())
}
