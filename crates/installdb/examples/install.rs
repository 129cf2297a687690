//! Installs a package file into a root, on the user's own word: `install ROOT FILE.kpkg`.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::time::SystemTime;

use installdb::{Incoming, InstallDb, Request, Source};
use pkgformat::{Limits, Reader};
use trust::{Exception, SigArchive, Store, SystemClock, Want};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(root), Some(file)) = (arguments.next(), arguments.next()) else { return Err("ROOT FILE".into()) };

    let reader = Reader::open(Source::new(BufReader::new(File::open(file)?)), Limits::default())?;
    let record = reader.package().clone();
    let exception = Exception { name: record.meta().name.clone(), package_id: record.id() };
    let want = Want { exception: Some(exception), ..Want::default() };
    let decision = trust::evaluate(&Store::default(), &want, &record, &SigArchive::new(), &SystemClock);

    let mut db = InstallDb::open(root)?;
    let mut request = Request::new(SystemTime::now().into());
    request.install.push(Incoming::new(decision.into_verified(record)?, reader)?.wanted());
    let done = db.plan(request)?.check()?.stage(&mut ())?.commit()?.finish(SystemClock)?;

    let mut out = std::io::stdout().lock();
    for operation in done.operations {
        writeln!(out, "{:?} {}", operation.kind(), operation.name)?;
    }
    Ok(())
}
