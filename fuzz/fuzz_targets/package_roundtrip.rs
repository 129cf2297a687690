//! What is written is read back.
#![no_main]

libfuzzer_sys::fuzz_target!(|sample: fuzz::package::Sample| {
    let bytes = fuzz::package::write(&sample.record, &sample.contents);
    let (record, contents) = fuzz::package::read(&bytes).expect("what was written is a package");
    assert_eq!((record, contents), (sample.record, sample.contents));
});
