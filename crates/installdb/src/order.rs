//! In which order packages come and go.

use std::collections::HashMap;

use pkgformat::PackageMeta;
use pkgtypes::Requirement;

/// The packages' positions, each after those of the packages that it requires; where they require each other, and where
/// nothing is required, by name.
pub(crate) fn dependencies_first(packages: &[&PackageMeta]) -> Vec<usize> {
    let needs = needs(packages);
    let mut roots: Vec<usize> = (0..packages.len()).collect();
    roots.sort_by_key(|&package| &packages[package].name);
    let mut seen = vec![false; packages.len()];
    let mut order = Vec::with_capacity(packages.len());
    for root in roots {
        // Without recursion: a chain can be as long as the list.
        let mut path = vec![(root, 0)];
        if std::mem::replace(&mut seen[root], true) {
            continue;
        }
        while let Some((package, next)) = path.last_mut() {
            match needs[*package].get(*next) {
                Some(&needed) => {
                    *next += 1;
                    if !std::mem::replace(&mut seen[needed], true) {
                        path.push((needed, 0));
                    }
                }
                None => {
                    order.push(*package);
                    path.pop();
                }
            }
        }
    }
    order
}

/// For each package those among the others that it requires, sorted by name.
fn needs(packages: &[&PackageMeta]) -> Vec<Vec<usize>> {
    let mut offers: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, meta) in packages.iter().enumerate() {
        offers.entry(meta.name.as_str()).or_default().push(index);
        for offer in &meta.provides {
            offers.entry(offer.capability.as_str()).or_default().push(index);
        }
    }
    let needed = |meta: &PackageMeta| {
        let required = meta.requires.iter().flat_map(Requirement::alternatives).chain(&meta.tied);
        let mut needed: Vec<usize> =
            required.filter_map(|relation| offers.get(relation.capability.as_str())).flatten().copied().collect();
        needed.sort_by_key(|&package| &packages[package].name);
        needed.dedup();
        needed
    };
    packages.iter().map(|meta| needed(meta)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(name: &str, provides: &[&str], requires: &[&str]) -> PackageMeta {
        let [version, release, arch] = ["1", "1", "noarch"];
        let parts = (version.parse().unwrap(), release.parse().unwrap(), arch.parse().unwrap());
        let mut meta = PackageMeta::new(name.parse().unwrap(), parts.0, parts.1, parts.2);
        meta.provides = provides.iter().map(|text| text.parse().unwrap()).collect();
        meta.requires = requires.iter().map(|text| text.parse().unwrap()).collect();
        meta
    }

    fn order(packages: &[PackageMeta]) -> Vec<&str> {
        let order = dependencies_first(&packages.iter().collect::<Vec<_>>());
        order.into_iter().map(|package| packages[package].name.as_str()).collect()
    }

    #[test]
    fn what_is_required_comes_first() {
        let shell = meta("shell", &["cmd:sh"], &["libc"]);
        let app = meta("app", &[], &["other | cmd:sh > 1", "absent"]);
        let libc = meta("libc", &[], &[]);
        assert_eq!(order(&[shell, app, libc]), ["libc", "shell", "app"]);
    }

    #[test]
    fn a_circle_and_a_long_chain_end() {
        assert_eq!(order(&[meta("b", &[], &["a"]), meta("a", &[], &["b", "a"])]), ["b", "a"]);
        let chain: Vec<PackageMeta> =
            (0..20_000).map(|n| meta(&format!("p{n}"), &[], &[&format!("p{}", n + 1)])).collect();
        assert_eq!(order(&chain)[0], "p19999");
    }
}
