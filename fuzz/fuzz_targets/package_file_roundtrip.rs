//! A package comes back from a compressed file, content by content, and from parts of it.
#![no_main]

use std::io::{Read, Write};

use codec::{Bounds, Format};
use pkgfile::{CompressOptions, Compressor, PackageFile, Partial, rebuild};
use pkgformat::Limits;

libfuzzer_sys::fuzz_target!(|input: (u8, u8, fuzz::package::Sample)| {
    let (choice, size, sample) = input;
    let package = fuzz::package::write(&sample.record, &sample.contents);
    let mut options = CompressOptions::default();
    (options.group, options.frame) = (usize::from(size), 1024);
    let format = [Format::Plain, Format::Zstd, Format::Zstd, Format::Gzip][usize::from(choice % 4)];
    let mut compressor = Compressor::new(Vec::new(), format, &options).expect("these formats are written");
    package.chunks(1 + usize::from(size)).for_each(|piece| compressor.write_all(piece).expect("it is a package"));
    let file = compressor.finish().expect("a vector takes all bytes");

    let open = |bytes| PackageFile::open(bytes, Limits::default(), Bounds::default()).expect("it is a package");
    let mut whole = open(&file);
    for (due, content) in sample.record.blobs().zip(&sample.contents) {
        let mut read = Vec::new();
        whole.blob(&due.digest).expect("it is there").read_to_end(&mut read).expect("it is right");
        assert_eq!(&read, content);
    }
    // Every second content is at hand.
    let at_hand = |digest: &pkgtypes::Digest| digest.as_bytes()[0] % 2 == 0;
    let wanted = whole.wanted(u64::from(size), at_hand).expect("memory can tell its size");
    let fetched = Partial::new(&file, wanted.ranges);
    let mut part = PackageFile::open(fetched, Limits::default(), Bounds::default()).expect("its head was fetched");
    let local = |digest: &pkgtypes::Digest| {
        let found = sample.contents.iter().find(|content| pkgtypes::Digest::of(content) == *digest);
        Ok(found.filter(|_| at_hand(digest)).map(Vec::as_slice))
    };
    let (copy, _) = rebuild(&sample.record, &mut part, local, Vec::new()).expect("all is there");
    assert_eq!(copy, package);
});
