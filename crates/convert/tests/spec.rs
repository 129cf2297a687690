//! The versions that `docs/format/conversion.md` shows are the ones that come out.

use convert::Scheme;

#[test]
fn the_versions_of_the_page_are_true() {
    let page = include_str!("../../../docs/format/conversion.md");
    let mut rows = 0;
    for line in page.lines() {
        let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        let ["", system, foreign, ours, ""] = cells[..] else { continue };
        let scheme = match system {
            "Debian" => Scheme::Debian,
            "rpm" => Scheme::Rpm,
            "pacman" => Scheme::Pacman,
            "apk" => Scheme::Apk,
            "Portage" => Scheme::Gentoo,
            _ => continue,
        };
        assert_eq!(scheme.version(foreign).unwrap().to_string(), ours, "{line}");
        rows += 1;
    }
    assert_eq!(rows, 18);
}
