//! Any bytes are refused, or what is read at random of them has the digests that it must have.
#![no_main]

use std::io::Read;

use pkgfile::{PackageFile, rebuild};
use pkgtypes::Digest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let bounds = codec::Bounds { bytes: 1 << 20, ratio: 50, slack: 1 << 12, memory: 1 << 20 };
    let Ok(mut file) = PackageFile::open(bytes, fuzz::package::limits(), bounds) else { return };
    let record = file.record().clone();
    let _ = file.wanted(16, |digest| digest.as_bytes()[0] % 2 == 0);
    for due in record.blobs().take(100) {
        let mut content = Vec::new();
        let Ok(mut blob) = file.blob(&due.digest) else { continue };
        assert!(blob.read_to_end(&mut content).is_err() || Digest::of(&content) == due.digest);
    }
    if let Ok((package, _)) = rebuild(&record, &mut file, |_| Ok(None::<&[u8]>), Vec::new()) {
        assert_eq!(fuzz::package::id(&package), record.id());
    }
});
