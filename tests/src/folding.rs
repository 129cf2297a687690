//! A file system in memory that is as vfat: `README` and `Readme` are one name, one with a colon is none, and who changes a mode is
//! told that it was done.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

const NEVER_CACHED: Duration = Duration::ZERO;

/// Mounts a new one on this folder. Who drops it unmounts it.
///
/// # Errors
/// Missing rights, or no FUSE.
pub fn mount(folder: &Path) -> io::Result<BackgroundSession> {
    fuser::spawn_mount(Served(Mutex::new(Tree::new())), folder, &Config::default())
}

/// A file's content, a link's target, or a folder's names, folded and as they were given.
enum Body {
    Bytes(Vec<u8>),
    Names(BTreeMap<String, (OsString, u64)>),
}

struct Node {
    attr: FileAttr,
    body: Body,
}

struct Tree {
    nodes: HashMap<u64, Node>,
    next: u64,
}

type Answer<T> = Result<T, Errno>;

fn fold(name: &OsStr) -> Answer<String> {
    match std::str::from_utf8(name.as_bytes()) {
        Ok(name) if !name.contains(':') => Ok(name.to_lowercase()),
        _ => Err(Errno::EINVAL),
    }
}

impl Tree {
    fn new() -> Self {
        let mut tree = Self { nodes: HashMap::new(), next: 1 };
        tree.make(FileType::Directory, Vec::new());
        tree
    }

    fn make(&mut self, kind: FileType, bytes: Vec<u8>) -> u64 {
        let ino = self.next;
        self.next += 1;
        let body = if kind == FileType::Directory { Body::Names(BTreeMap::new()) } else { Body::Bytes(bytes) };
        let attr = FileAttr {
            ino: INodeNo(ino),
            size: 0,
            blocks: 0,
            atime: UNIX_EPOCH,
            mtime: UNIX_EPOCH,
            ctime: UNIX_EPOCH,
            crtime: UNIX_EPOCH,
            kind,
            perm: if kind == FileType::Symlink { 0o777 } else { 0o755 },
            nlink: 1,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        self.nodes.insert(ino, Node { attr, body });
        ino
    }

    fn node(&mut self, ino: u64) -> Answer<&mut Node> {
        self.nodes.get_mut(&ino).ok_or(Errno::ENOENT)
    }

    fn names(&mut self, folder: INodeNo) -> Answer<&mut BTreeMap<String, (OsString, u64)>> {
        match &mut self.node(folder.0)?.body {
            Body::Names(names) => Ok(names),
            Body::Bytes(_) => Err(Errno::ENOTDIR),
        }
    }

    fn bytes(&mut self, ino: INodeNo) -> Answer<&mut Vec<u8>> {
        match &mut self.node(ino.0)?.body {
            Body::Bytes(bytes) => Ok(bytes),
            Body::Names(_) => Err(Errno::EISDIR),
        }
    }

    fn find(&mut self, folder: INodeNo, name: &OsStr) -> Answer<u64> {
        // A name that can not be given is one that nothing has.
        let folded = fold(name).map_err(|_| Errno::ENOENT)?;
        self.names(folder)?.get(&folded).map(|(_, ino)| *ino).ok_or(Errno::ENOENT)
    }

    fn attr(&mut self, ino: u64) -> Answer<FileAttr> {
        let node = self.node(ino)?;
        let size = if let Body::Bytes(bytes) = &node.body { bytes.len() as u64 } else { 0 };
        Ok(FileAttr { size, blocks: size.div_ceil(512), ..node.attr })
    }

    fn add(&mut self, folder: INodeNo, name: &OsStr, kind: FileType, bytes: &[u8]) -> Answer<FileAttr> {
        let folded = fold(name)?;
        if self.names(folder)?.contains_key(&folded) {
            return Err(Errno::EEXIST);
        }
        let ino = self.make(kind, bytes.to_vec());
        self.names(folder)?.insert(folded, (name.to_owned(), ino));
        self.attr(ino)
    }

    fn remove(&mut self, folder: INodeNo, name: &OsStr, is_folder: bool) -> Answer<()> {
        let ino = self.find(folder, name)?;
        match &self.node(ino)?.body {
            Body::Names(_) if !is_folder => return Err(Errno::EISDIR),
            Body::Names(names) if !names.is_empty() => return Err(Errno::ENOTEMPTY),
            Body::Bytes(_) if is_folder => return Err(Errno::ENOTDIR),
            _ => {}
        }
        let folded = fold(name)?;
        self.names(folder)?.remove(&folded);
        Ok(())
    }

    fn rename(&mut self, from: (INodeNo, &OsStr), to: (INodeNo, &OsStr), flags: RenameFlags) -> Answer<()> {
        let (ino, standing) = (self.find(from.0, from.1)?, self.find(to.0, to.1));
        match standing {
            Ok(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EEXIST),
            Ok(standing) if standing != ino => {
                let is_folder = matches!(self.node(standing)?.body, Body::Names(_));
                self.remove(to.0, to.1, is_folder)?;
            }
            Err(error) if error.code() != Errno::ENOENT.code() => return Err(error),
            _ => {}
        }
        let (old, new) = (fold(from.1)?, fold(to.1)?);
        self.names(from.0)?.remove(&old);
        self.names(to.0)?.insert(new, (to.1.to_owned(), ino));
        Ok(())
    }
}

struct Served(Mutex<Tree>);

impl Served {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(answer: Answer<FileAttr>, reply: ReplyEntry) {
    match answer {
        Ok(attr) => reply.entry(&NEVER_CACHED, &attr, Generation(0)),
        Err(error) => reply.error(error),
    }
}

fn empty(answer: Answer<()>, reply: ReplyEmpty) {
    match answer {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Served {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = self.tree();
        let found = tree.find(parent, name);
        entry(found.and_then(|ino| tree.attr(ino)), reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.tree().attr(ino.0) {
            Ok(attr) => reply.attr(&NEVER_CACHED, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut tree = self.tree();
        if let Ok(node) = tree.node(ino.0) {
            let attr = &mut node.attr;
            (attr.uid, attr.gid) = (uid.unwrap_or(attr.uid), gid.unwrap_or(attr.gid));
            if let Some(TimeOrNow::SpecificTime(time)) = mtime {
                attr.mtime = time;
            }
        }
        if let (Some(size), Ok(bytes)) = (size, tree.bytes(ino)) {
            bytes.resize(size as usize, 0);
        }
        match tree.attr(ino.0) {
            Ok(attr) => reply.attr(&NEVER_CACHED, &attr),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match self.tree().bytes(ino) {
            Ok(target) => reply.data(target),
            Err(error) => reply.error(error),
        }
    }

    fn mknod(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, _: u32, reply: ReplyEntry) {
        entry(self.tree().add(parent, name, FileType::RegularFile, &[]), reply);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _: u32, _: u32, reply: ReplyEntry) {
        entry(self.tree().add(parent, name, FileType::Directory, &[]), reply);
    }

    fn symlink(&self, _: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        entry(self.tree().add(parent, name, FileType::Symlink, target.as_os_str().as_bytes()), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.tree().remove(parent, name, false), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(self.tree().remove(parent, name, true), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        empty(self.tree().rename((parent, name), (newparent, newname), flags), reply);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.tree().bytes(ino) {
            Ok(bytes) => {
                let start = bytes.len().min(offset as usize);
                reply.data(&bytes[start..bytes.len().min(start + size as usize)]);
            }
            Err(error) => reply.error(error),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.tree().bytes(ino) {
            Ok(bytes) => {
                let start = offset as usize;
                bytes.resize(bytes.len().max(start + data.len()), 0);
                bytes[start..start + data.len()].copy_from_slice(data);
                reply.written(data.len() as u32);
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        match self.tree().names(ino) {
            Ok(names) => {
                for (index, (name, ino)) in names.values().enumerate().skip(offset as usize) {
                    if reply.add(INodeNo(*ino), index as u64 + 1, FileType::RegularFile, name) {
                        break;
                    }
                }
                reply.ok();
            }
            Err(error) => reply.error(error),
        }
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096);
    }
}
