//! As `package_reader`, for bytes whose checksums are right.
#![no_main]

libfuzzer_sys::fuzz_target!(|records: Vec<(Vec<u8>, Vec<u8>)>| {
    let bytes = fuzz::package::sealed(&records);
    let _ = pkgformat::RawReader::open_ended(&*bytes, fuzz::package::limits()).finish();
    if let Ok((record, contents)) = fuzz::package::read(&bytes) {
        assert_eq!(fuzz::package::write(&record, &contents), bytes);
    }
});
