//! Our order of mapped versions is the foreign tool's. Where a tool is not installed, its tests say so and pass.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test that fails says so")]

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use convert::{Comparison, Scheme};
use pkgtypes::{Op, Release, Version};
use proptest::prelude::*;

fn mapped(scheme: Scheme, text: &str) -> Version {
    scheme.version(text).unwrap_or_else(|error| panic!("{error}"))
}

fn is_installed(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("skipped: `{tool}` is not installed");
    }
    found
}

/// Pairs near each other in a list: enough to see any disorder, since the list is in no order.
fn pairs(list: &[String]) -> Vec<(&str, &str)> {
    let near = |step: usize| list.iter().zip(list.iter().skip(step)).map(|(a, b)| (a.as_str(), b.as_str()));
    near(1).chain(near(2)).chain(near(7)).collect()
}

fn check(scheme: Scheme, pairs: &[(&str, &str)], orders: &[Ordering]) {
    assert_eq!(pairs.len(), orders.len());
    for ((a, b), order) in pairs.iter().zip(orders) {
        let (left, right) = (mapped(scheme, a), mapped(scheme, b));
        assert_eq!(left.compare(&right), *order, "{scheme:?}: {a} and {b}, mapped {left} and {right}");
    }
}

fn dpkg(pairs: &[(&str, &str)]) -> Vec<Ordering> {
    let holds = |a: &str, op: &str, b: &str| {
        Command::new("dpkg").args(["--compare-versions", a, op, b]).stderr(Stdio::null()).status().unwrap().success()
    };
    let order = |&(a, b): &(&str, &str)| match (holds(a, "lt", b), holds(a, "gt", b)) {
        (true, _) => Ordering::Less,
        (_, true) => Ordering::Greater,
        _ => Ordering::Equal,
    };
    pairs.iter().map(order).collect()
}

fn rpm(pairs: &[(&str, &str)]) -> Vec<Ordering> {
    let mut program = tempfile::NamedTempFile::new().unwrap();
    for (a, b) in pairs {
        writeln!(program, "print(rpm.vercmp('{a}', '{b}') .. ' ')").unwrap();
    }
    let call = format!("%{{lua: dofile('{}')}}", program.path().display());
    let output = Command::new("rpm").args(["--eval", &call]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_whitespace().map(sign).collect()
}

fn vercmp(pairs: &[(&str, &str)]) -> Vec<Ordering> {
    let order = |&(a, b): &(&str, &str)| {
        let output = Command::new("vercmp").args([a, b]).output().unwrap();
        sign(String::from_utf8(output.stdout).unwrap().trim())
    };
    pairs.iter().map(order).collect()
}

fn sign(number: &str) -> Ordering {
    number.parse::<i64>().unwrap().cmp(&0)
}

/// The order of `apk_version_compare` in apk-tools 3, `src/version.c`, written down a second time.
fn apk(a: &str, b: &str) -> Ordering {
    let (a, b) = (apk_tokens(a), apk_tokens(b));
    for (left, right) in a.iter().zip(&b) {
        if left.0 != right.0 {
            let is_before = |token: &(u8, String)| token.0 == 3 && suffix_rank(&token.1) < 4;
            return match (is_before(left), is_before(right)) {
                (true, _) => Ordering::Less,
                (_, true) => Ordering::Greater,
                _ => right.0.cmp(&left.0),
            };
        }
        let by_text = left.0 == 5 || (left.0 == 1 && (left.1.starts_with('0') || right.1.starts_with('0')));
        let order = match left.0 {
            _ if by_text => left.1.cmp(&right.1),
            2 => left.1.cmp(&right.1),
            3 => suffix_rank(&left.1).cmp(&suffix_rank(&right.1)),
            _ => number(&left.1).cmp(&number(&right.1)),
        };
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

fn number(text: &str) -> u64 {
    if text.is_empty() { 0 } else { text.parse().unwrap() }
}

fn suffix_rank(name: &str) -> usize {
    ["alpha", "beta", "pre", "rc", "cvs", "svn", "git", "hg", "p"].iter().position(|known| *known == name).unwrap()
}

/// Tokens with apk's numbers for their kinds; the end is one too.
fn apk_tokens(text: &str) -> Vec<(u8, String)> {
    let mut tokens = Vec::new();
    let (base, revision) = text.split_once("-r").map_or((text, None), |(base, revision)| (base, Some(revision)));
    let (base, hash) = base.split_once('~').map_or((base, None), |(base, hash)| (base, Some(hash)));
    let mut parts = base.split('_');
    let numbers = parts.next().unwrap();
    let (digits, letter) = numbers.split_at(numbers.find(|c: char| c.is_ascii_lowercase()).unwrap_or(numbers.len()));
    tokens.extend(digits.split('.').enumerate().map(|(index, part)| (u8::from(index > 0), part.to_owned())));
    tokens.extend((!letter.is_empty()).then(|| (2, letter.to_owned())));
    for suffix in parts {
        let (name, digits) = suffix.split_at(suffix.find(|c: char| c.is_ascii_digit()).unwrap_or(suffix.len()));
        tokens.push((3, name.to_owned()));
        tokens.extend((!digits.is_empty()).then(|| (4, digits.to_owned())));
    }
    tokens.extend(hash.map(|hash| (5, hash.to_owned())));
    tokens.extend(revision.map(|digits| (6, digits.to_owned())));
    tokens.push((7, String::new()));
    tokens
}

/// Algorithm 3.1 of the Package Manager Specification, written down a second time.
fn gentoo(a: &str, b: &str) -> Ordering {
    let parts = |text: &str| {
        let (base, revision) = text.split_once("-r").map_or((text, "0"), |(base, revision)| (base, revision));
        let mut suffixes = base.split('_');
        let numbers = suffixes.next().unwrap().to_owned();
        let cut = numbers.find(|c: char| c.is_ascii_lowercase()).unwrap_or(numbers.len());
        let (digits, letter) = numbers.split_at(cut);
        let digits: Vec<String> = digits.split('.').map(str::to_owned).collect();
        let suffixes: Vec<(usize, u64)> = suffixes
            .map(|suffix| {
                let cut = suffix.find(|c: char| c.is_ascii_digit()).unwrap_or(suffix.len());
                (suffix_rank(&suffix[..cut]), number(&suffix[cut..]))
            })
            .collect();
        (digits, letter.to_owned(), suffixes, number(revision))
    };
    let (a, b) = (parts(a), parts(b));
    let mut order = number(&a.0[0]).cmp(&number(&b.0[0]));
    for (left, right) in a.0.iter().zip(&b.0).skip(1) {
        order = order.then_with(|| {
            if left.starts_with('0') || right.starts_with('0') {
                left.trim_end_matches('0').cmp(right.trim_end_matches('0'))
            } else {
                number(left).cmp(&number(right))
            }
        });
    }
    order = order.then(a.0.len().cmp(&b.0.len())).then_with(|| a.1.cmp(&b.1));
    for index in 0..a.2.len().max(b.2.len()) {
        let after_all = 8;
        let end_order = |present: &(usize, u64)| present.0 == after_all;
        order = order.then_with(|| match (a.2.get(index), b.2.get(index)) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(left), None) => {
                if end_order(left) {
                    Ordering::Greater
                } else {
                    Ordering::Less
                }
            }
            (None, Some(right)) => {
                if end_order(right) {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
            (None, None) => Ordering::Equal,
        });
    }
    order.then(a.3.cmp(&b.3))
}

fn words(list: &str) -> Vec<String> {
    list.split_whitespace().map(str::to_owned).collect()
}

/// What an apt cache of Debian 12 and Ubuntu has of awkward ones, and corners.
const DEBIAN: &str = "2.36-9+deb12u14 2.36-9 2.36 2.36-0 2.36-0~bpo11+1 2.36~rc1-1 1:9.2p1-2+deb12u3 1:9.2p1-2 9.2 1.0a 1.0a-1 1.0a1-1 \
    1.0a~1-1 1.0a0 20210119+dfsg1-1 4.19.0-1+b1 4.19.0-1 7:5.1.6-0+deb12u1 1.1.1n-0+deb11u5 1.1.1n-0+deb11u5~rc 0.52.23-1+b1 \
    3.0-7-g1-1 3.0-7-1 3.0+7-1 3.0.7-1 1:3.0:1-1 1:3.0-1 2.4.57-2 2.4.57-2+deb12u1 1.0-1-1 1.0+-1 1.0.-1 1.0~-1 1.0~+-1 1.0-01 1.0-1 \
    5.2.15-2+b7 1.8.2-1 2023.3+deb12u1 12.4+deb12u10 0.0.20161208+git 1.0-a 1.0-0a 1.0-+1 1.0-.1 1.0-0.1 1.0-0.0 2.0~beta1-0ubuntu2.1";

const RPM: &str = "1.1.1k-9.el8_7 1.1.1-9.el8_7 1.1.1k-10.el8 5.0.0~rc1-1.fc38 5.0.0-0.1.rc1.fc38 5.0.0-1.fc38 5.0.0^20240101git1-1.fc38 \
    5.0.0^git1-1.fc38 5.0.0.1-1 2024a-1.fc39 2024b-1.fc39 6.4-7.20240127.fc40 6.4-8.20240127.fc40 1.0 1.0-1 1.0~~-1 1.0~-1 1.0^-1 1.0^^-1 \
    1.0.a-1 1.0a-1 1.0a1-1 1.0a0-1 1.0ab-1 1.0a.b-1 1.0~1-1 1.0~a-1 r15-1 r9-1 abc-1 1.0-lp155.1.2 1.0-0 1.0-a 1.0-0a 1:0.1-1 0-1 00-1 \
    0~1-1 0~a-1 0.1-1 1.0+git.20230101-1 1_0_2-3 1.0..2-1 1.0.-1 10.0001-1 10.039-1 20101121-1 2.33-9.el9 3.0.7-24.el9 fc4-1 1.fc4-1 1-fc.5";

const PACMAN: &str = "1.0-1 1.0-2 1.0-1.1 1.0.1-1 1.0a-1 1.0.a-1 1.0rc1-1 1.0rc0-1 1.0rc-1 1.0beta2-1 1.0_rc1-1 1.0.r34.gabc123-1 r123.abc-1 r7.f-1 \
    1:0.9-1 2.38.r8.g1-1 20240101-1 1.2..3-1 1.2.3-1 1.2_3-1 1.2+3+g12-1 1.0alpha-1 1.0alpha.1-1 1.0alpha1-1 1.0alphab-1 0-1 0a-1 0.a-1 \
    6.6.8.arch1-1 6.6.8.zen1-1 5.15.0rt1-1 2.0~b-1 1.0.0-1 1.00-1 1a0-1 1a-1 1a0.1-1 1a.1-1 1a0b-1 1a00-1 10.a.b-1 1.b2.c-1";

const SUFFIXED: &str = "1.0 1.0-r0 1.0-r1 1.0-r10 1.00 1.01 1.1 1.10 1.010 1.001 1.0.5 1.0a 1.0b-r2 1.0a_rc1 1.0_alpha 1.0_alpha1 1.0_beta 1.0_pre2 \
    1.0_rc 1.0_rc0 1.0_rc1 1.0_rc1-r1 1.0_p 1.0_p0 1.0_p1 1.0_p1-r2 1.0_p1_p2 1.0_rc1_p3 1.0_p2_alpha1 1 2 10 2024.03.10 2024.3.10 20240101-r1";

const APK_ONLY: &str = "1.0_cvs1 1.0_svn1 1.0_git20240101-r3 1.0_hg2 1.0~abc 1.0~a1-r2 1.0~ab 1.0_git1~0a 1.0_git2";

#[test]
fn debian_versions_keep_dpkgs_order() {
    if !is_installed("dpkg") {
        return;
    }
    let list = words(DEBIAN);
    let all: Vec<(&str, &str)> = list.iter().flat_map(|a| list.iter().map(move |b| (a.as_str(), b.as_str()))).collect();
    check(Scheme::Debian, &all, &dpkg(&all));
}

/// All versions that this system knows of, in our order, are in dpkg's.
#[test]
fn real_debian_versions_keep_dpkgs_order() {
    const MOST: usize = 300;
    if !is_installed("dpkg") {
        return;
    }
    let lines = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).stderr(Stdio::null()).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    };
    let known =
        [lines("dpkg-query", &["-W", "-f", "Version: ${Version}\n"]), lines("apt-cache", &["dumpavail"])].concat();
    let texts: BTreeSet<&str> = known.lines().filter_map(|line| line.strip_prefix("Version: ")).collect();
    let mut versions: Vec<(Version, &str)> =
        texts.into_iter().map(|text| (mapped(Scheme::Debian, text), text)).collect();
    versions.sort_by(|a, b| a.0.compare(&b.0));
    let neighbours: Vec<(&str, &str)> = versions.windows(2).map(|pair| (pair[0].1, pair[1].1)).collect();
    let some: Vec<(&str, &str)> = neighbours.iter().step_by(neighbours.len() / MOST + 1).copied().collect();
    check(Scheme::Debian, &some, &dpkg(&some));
}

#[test]
fn rpm_versions_keep_rpms_order() {
    if !is_installed("rpm") {
        return;
    }
    // rpm ignores the release where one side has none; a package always has one.
    let list = words(RPM).into_iter().filter(|version| version.contains('-')).collect::<Vec<_>>();
    let all: Vec<(&str, &str)> = list.iter().flat_map(|a| list.iter().map(move |b| (a.as_str(), b.as_str()))).collect();
    check(Scheme::Rpm, &all, &rpm(&all));
}

#[test]
fn pacman_versions_keep_pacmans_order() {
    if !is_installed("vercmp") {
        return;
    }
    let list = words(PACMAN);
    let all: Vec<(&str, &str)> = list.iter().flat_map(|a| list.iter().map(move |b| (a.as_str(), b.as_str()))).collect();
    check(Scheme::Pacman, &all, &vercmp(&all));
}

#[test]
fn apk_and_gentoo_versions_keep_their_order() {
    for (scheme, order, list) in [
        (Scheme::Apk, apk as fn(&str, &str) -> Ordering, format!("{SUFFIXED} {APK_ONLY}")),
        (Scheme::Gentoo, gentoo, SUFFIXED.to_owned()),
    ] {
        let list: Vec<String> = words(&list).into_iter().filter(|text| scheme.version(text).is_ok()).collect();
        assert!(list.len() > 30);
        let all: Vec<(&str, &str)> =
            list.iter().flat_map(|a| list.iter().map(move |b| (a.as_str(), b.as_str()))).collect();
        check(scheme, &all, &all.iter().map(|(a, b)| order(a, b)).collect::<Vec<_>>());
    }
}

#[test]
fn what_has_no_counterpart_is_refused() {
    for (scheme, list) in [
        (Scheme::Debian, vec!["", "-1", "~1", "1.0-", "1_0", "a:1", ":1", "1.0 1", "é"]),
        (Scheme::Rpm, vec!["", "~1-1", "^1-1", "-1", "1-", "..-1", "x:1", "0~~1-1"]),
        (Scheme::Pacman, vec!["", ".1-1", "1.-1", "1-", "1-a", "é-1"]),
        (Scheme::Apk, vec!["", "a", "1.", "1-1", "1_foo", "1~", "1~xyz", "1_rc_p1", "1ab", "1.0_rc1x"]),
        (Scheme::Gentoo, vec!["", "1_git1", "1~abc", "1-r"]),
    ] {
        for text in list {
            assert!(scheme.version(text).is_err(), "{scheme:?} {text:?}: {}", scheme.version(text).unwrap());
        }
    }
    assert!(Scheme::Debian.version(&"1.".repeat(80)).is_err(), "too long");
}

/// Every named operator of a bound without a release, against every version with one.
#[test]
fn bounds_without_a_release_ignore_it() {
    let ops = [(Op::Less, "<"), (Op::LessEqual, "<="), (Op::Equal, "="), (Op::GreaterEqual, ">="), (Op::Greater, ">")];
    for (scheme, list) in [(Scheme::Rpm, RPM), (Scheme::Pacman, PACMAN)] {
        let list = words(list).into_iter().filter(|version| version.contains('-')).collect::<Vec<_>>();
        for bound in list.iter().map(|version| version.rsplit_once('-').unwrap().0) {
            for version in &list {
                // A package of the bound's version and this one's release is what rpm would compare with.
                let release = version.rsplit_once('-').unwrap().1;
                let order = mapped(scheme, version).compare(&mapped(scheme, &format!("{bound}-{release}")));
                for (op, sign) in ops {
                    let expected = match op {
                        Op::Less => order.is_lt(),
                        Op::LessEqual => order.is_le(),
                        Op::Equal => order.is_eq(),
                        Op::GreaterEqual => order.is_ge(),
                        _ => order.is_gt(),
                    };
                    let constraints = scheme.constraints(Comparison::Op(op), bound).unwrap();
                    let version = mapped(scheme, version);
                    let holds = constraints.iter().all(|constraint| constraint.accepts(&version, Release(0)));
                    assert_eq!(holds, expected, "{scheme:?}: {version} {sign} {bound}: {constraints:?}");
                }
            }
        }
    }
}

#[test]
fn a_beginning_is_one_of_whole_parts() {
    for (bound, inside, outside) in [
        ("1.2", "1.2 1.2-r5 1.2.3 1.2a 1.2_rc1 1.2_p3 1.2.0", "1.1 1.20 1.3 1.1.9 2"),
        ("1.0", "1.0-r1 1.0.1", "1.01 1.00 1.1"),
        ("1.2-r3", "1.2-r3", "1.2-r4 1.2 1.2.1"),
    ] {
        let constraints = Scheme::Apk.constraints(Comparison::Beginning, bound).unwrap();
        for (list, expected) in [(inside, true), (outside, false)] {
            for version in words(list) {
                let version = mapped(Scheme::Apk, &version);
                let holds = constraints.iter().all(|constraint| constraint.accepts(&version, Release(0)));
                assert_eq!(holds, expected, "{version} ~ {bound}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 60, ..ProptestConfig::default() })]

    #[test]
    fn any_debian_versions_keep_dpkgs_order(
        list in prop::collection::vec("([01]:)?[01a][01a~+.-]{0,5}(-[01a~+.]{1,3})?", 20..30),
    ) {
        if is_installed("dpkg") {
            let list: Vec<String> = list.into_iter().filter(|text| Scheme::Debian.version(text).is_ok()).collect();
            let pairs = pairs(&list);
            check(Scheme::Debian, &pairs, &dpkg(&pairs));
        }
    }

    #[test]
    fn any_rpm_versions_keep_rpms_order(
        list in prop::collection::vec("([01]:)?[01ab][01ab~^._]{0,6}-[01ab~^.]{1,4}", 300..400),
    ) {
        if is_installed("rpm") {
            let list: Vec<String> = list.into_iter().filter(|text| Scheme::Rpm.version(text).is_ok()).collect();
            let pairs = pairs(&list);
            check(Scheme::Rpm, &pairs, &rpm(&pairs));
        }
    }

    #[test]
    fn any_pacman_versions_keep_pacmans_order(
        list in prop::collection::vec("([01]:)?[01ab]([01ab._+]{0,5}[01ab])?-[012](\\.[01])?", 40..60),
    ) {
        if is_installed("vercmp") {
            let list: Vec<String> = list.into_iter().filter(|text| Scheme::Pacman.version(text).is_ok()).collect();
            let pairs = pairs(&list);
            check(Scheme::Pacman, &pairs, &vercmp(&pairs));
        }
    }

    #[test]
    fn any_suffixed_versions_keep_their_order(
        list in prop::collection::vec(
            "[0-2]{1,2}(\\.[01]{1,3}){0,2}[ab]?(_(alpha|rc|p)[01]?){0,2}(-r[012])?", 400..500),
    ) {
        for (scheme, order) in [(Scheme::Apk, apk as fn(&str, &str) -> Ordering), (Scheme::Gentoo, gentoo)] {
            let list: Vec<String> = list.iter().filter(|text| scheme.version(text).is_ok()).cloned().collect();
            let pairs = pairs(&list);
            check(scheme, &pairs, &pairs.iter().map(|(a, b)| order(a, b)).collect::<Vec<_>>());
        }
    }
}
