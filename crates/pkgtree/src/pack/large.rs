//! A large file on its way: read and written here, hashed in a thread beside.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use pkgtypes::{Digest, Hasher};

use super::content::Open;
use super::sink::Sink;
use crate::progress::go_on;
use crate::{Error, Progress, Result, threads};

const CHUNK: usize = 512 << 10;
/// Chunks that are on their way between the two threads.
const BUFFERS: usize = 4;

/// Copies a file of this size into the sink.
pub(super) fn copy(file: &Open<'_>, size: u64, sink: &mut impl Sink, progress: &mut dyn Progress) -> Result<Digest> {
    let (full, hashing) = sync_channel::<Vec<u8>>(BUFFERS);
    let (empty, ready) = sync_channel::<Vec<u8>>(BUFFERS);
    for _ in 0..BUFFERS {
        empty.send(Vec::new()).expect("the receiver is at hand");
    }
    let digest = std::thread::scope(|scope| {
        let hasher = threads::spawn(scope, move || hash(&hashing, &empty))?;
        let mut at = 0;
        while at < size {
            let mut chunk = ready.recv().expect("the hasher gives back what it gets");
            chunk.resize(usize::try_from(size - at).map_or(CHUNK, |left| left.min(CHUNK)), 0);
            file.fill_at(&mut chunk, at)?;
            at += chunk.len() as u64;
            sink.write(&chunk)?;
            go_on(progress.advance(chunk.len() as u64))?;
            full.send(chunk).expect("the hasher hears until it is let go");
        }
        drop(full);
        Ok::<_, Error>(threads::join(hasher))
    })?;
    file.close(digest)?;
    Ok(digest)
}

fn hash(full: &Receiver<Vec<u8>>, empty: &SyncSender<Vec<u8>>) -> Digest {
    let mut hasher = Hasher::new();
    for chunk in full {
        hasher.update(&chunk);
        // The other side may have ended after an error.
        let _ = empty.send(chunk);
    }
    hasher.finish()
}
