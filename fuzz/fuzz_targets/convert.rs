//! What a foreign package is converted to is a package.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (control, data) = fuzz::foreign::halves(bytes);
    for foreign in [bytes, &fuzz::foreign::sealed_deb(control, data), &fuzz::foreign::sealed_rpm(control, data)] {
        let spool = tempfile::tempfile().expect("there is room for a file");
        let options = convert::Options { archive: fuzz::foreign::options(), ..Default::default() };
        let Ok(converted) = convert::read(foreign, spool, &options) else { continue };
        let (package, _) = converted.write_to(Vec::new()).expect("a vector takes all bytes");
        assert_eq!(fuzz::package::id(&package), converted.record().id());
    }
});
