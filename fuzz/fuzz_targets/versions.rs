//! Foreign versions keep their order, or have no counterpart.
#![no_main]

use convert::Scheme;
use fuzz::order;

libfuzzer_sys::fuzz_target!(|input: (u8, &str, &str)| {
    let (choice, a, b) = input;
    let schemes = [Scheme::Debian, Scheme::Rpm, Scheme::Pacman, Scheme::Apk, Scheme::Gentoo];
    let scheme = schemes[usize::from(choice) % schemes.len()];
    let (Ok(ours_a), Ok(ours_b)) = (scheme.version(a), scheme.version(b)) else { return };
    assert_eq!(ours_a.to_string().parse().as_ref(), Ok(&ours_a));
    let theirs = match scheme {
        Scheme::Debian => Some(order::dpkg(a, b)),
        Scheme::Rpm => order::rpm(a, b),
        Scheme::Pacman => order::pacman(a, b),
        Scheme::Apk | Scheme::Gentoo => None,
    };
    if let Some(theirs) = theirs {
        assert_eq!(ours_a.compare(&ours_b), theirs, "{a:?} is {ours_a}, {b:?} is {ours_b}");
    }
});
