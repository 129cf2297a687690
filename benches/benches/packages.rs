//! Pack, unpack, read and install: the libraries, without processes around them.
//!
//!     cargo bench -p kista-benches
#![expect(clippy::disallowed_methods, reason = "a benchmark arranges scratch trees of its own")]
#![expect(missing_docs, reason = "criterion's macros make functions without documents")]

use std::fs::{self, File};
use std::io::BufReader;
use std::path::Path;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use installdb::{Incoming, InstallDb, Request, Source};
use pkgformat::{Limits, PackageMeta, PackageRecord, Reader};
use pkgfs::{Durability, Root};
use pkgtree::{PackOptions, Packer, UnpackOptions, Unpacker};
use pkgtypes::{PkgPath, Timestamp};
use trust::{Exception, FixedClock, SigArchive, Store, Want};

const FILES: usize = 2_000;
const BYTES: usize = 6_000;

fn plain(name: &str) -> PkgPath {
    PkgPath::new(name.as_bytes()).expect("it is a file name")
}

fn make_tree(tree: &Path) {
    for index in 0..FILES {
        let folder = tree.join(format!("usr/share/{:02}", index % 40));
        fs::create_dir_all(&folder).expect("the scratch folder is ours");
        let content: Vec<u8> = (0..BYTES).map(|at| (at * 31 + index * 17) as u8).collect();
        fs::write(folder.join(format!("file-{index}")), content).expect("the scratch folder is ours");
    }
}

fn meta() -> PackageMeta {
    let word = "a word in its grammar";
    PackageMeta::new(
        "bench".parse().expect(word),
        "1".parse().expect(word),
        "1".parse().expect(word),
        "noarch".parse().expect(word),
    )
}

/// The bench measures installing, not deciding: the package is accepted by its exact content.
fn verified(store: &Store, record: PackageRecord) -> trust::Verified<PackageRecord> {
    let exception = Exception { name: record.meta().name.clone(), package_id: record.id() };
    let want = Want { exception: Some(exception), ..Want::default() };
    let clock = FixedClock(Some(Timestamp::from_seconds(1_800_000_000)));
    trust::evaluate(store, &want, &record, &SigArchive::new(), &clock)
        .into_verified(record)
        .expect("the exception fits")
}

fn packages(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir().expect("a scratch folder can be made");
    make_tree(&scratch.path().join("tree"));
    let root = Root::open(scratch.path()).expect("it was made just now");
    let tree = root.sub(&plain("tree")).expect("it was made just now");
    let mut group = criterion.benchmark_group("packages");
    group.sample_size(20).throughput(Throughput::Bytes((FILES * BYTES) as u64));

    let file = plain("bench.kpkg");
    group.bench_function("pack", |bencher| {
        bencher.iter(|| {
            Packer::new(&tree, meta(), PackOptions::default())
                .create(&root, &file, Durability::Atomic)
                .expect("it packs")
        });
    });

    let open = || {
        let file = File::open(scratch.path().join("bench.kpkg")).expect("it was packed");
        Reader::open(BufReader::new(file), Limits::default()).expect("it is a package")
    };
    group.bench_function("read the head", |bencher| bencher.iter(open));
    group.bench_function("check everything", |bencher| {
        bencher.iter_batched(open, |reader| reader.finish().expect("it is whole"), BatchSize::PerIteration);
    });

    let out = plain("out");
    group.bench_function("unpack", |bencher| {
        bencher.iter_batched(
            || root.remove_tree(&out).expect("the scratch folder is ours"),
            |()| Unpacker::new(open(), UnpackOptions::default()).create(&root, &out).expect("it unpacks"),
            BatchSize::PerIteration,
        );
    });

    let place = scratch.path().join("root");
    group.bench_function("install", |bencher| {
        bencher.iter_batched(
            || {
                root.remove_tree(&plain("root")).expect("the scratch folder is ours");
                fs::create_dir(&place).expect("the scratch folder is ours");
                Store::default()
            },
            |store| {
                let file = File::open(scratch.path().join("bench.kpkg")).expect("it was packed");
                let reader =
                    Reader::open(Source::new(BufReader::new(file)), Limits::default()).expect("it is a package");
                let record = verified(&store, reader.package().clone());
                let mut request = Request::new(Timestamp::from_seconds(1_800_000_000));
                request.install.push(Incoming::new(record, reader).expect("it is the package that was verified"));
                let mut db = InstallDb::open(&place).expect("the root is ours");
                let checked = db.plan(request).and_then(installdb::Plan::check).expect("nothing is in the way");
                checked
                    .stage(&mut ())
                    .and_then(installdb::Staged::commit)
                    .and_then(|done| done.finish(Timestamp::EPOCH))
                    .expect("it installs")
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, packages);
criterion_main!(benches);
