//! A running room.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal};

use crate::census::{self, Census, Remains};
use crate::cgroup::Group;
use crate::claims::Claims;
use crate::disk::Disk;
use crate::sys::init::{REPORT_LEN, Report};
use crate::sys::launch::Entered;
use crate::sys::raw;
use crate::{Error, Exit, Limit, Limits, Outcome, Room, Stream, Usage};

/// Between two looks at processes and memory, at most and at least.
const SAMPLE: Duration = Duration::from_millis(250);
/// What was not taken is offered so much later.
const AGAIN: Duration = Duration::from_millis(10);
const SHORTEST: Duration = Duration::from_millis(25);
/// Of the time between two looks, a look may take one part in so many, where that is no longer than this.
const SHARE: u32 = 20;
const LONGEST: Duration = Duration::from_secs(1);
/// Bytes that a room can come to have in a second, and processes.
const BYTES_A_SECOND: u64 = 4 << 30;
const PROCESSES_A_SECOND: u64 = 4000;

/// The caller's ends of the program's output.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pub out: Option<File>,
    pub err: Option<File>,
    pub pty: Option<OwnedFd>,
}

/// A running room. Dropping it ends everything inside; so does the end of the process that holds it, however it ends.
#[derive(Debug)]
#[must_use = "dropping a child ends the room"]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    output: Output,
    /// Its closing, also by the kernel, ends the room.
    _alive: OwnedFd,
    status: OwnedFd,
    limits: Limits,
    begin: Instant,
    /// Bytes that the caller had at most when the room was entered, as far as that can be said.
    callers: u64,
    reaped: bool,
    terminal: bool,
    claims: Arc<Claims>,
    /// Where the kernel counts what is in it.
    group: Option<Group>,
    /// What is looked at of the disk.
    disk: Option<Disk>,
    /// Dropped when everything inside has ended.
    last: Option<Last>,
}

/// What is to be let go after a room, and what does that.
pub(crate) struct Last(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Last {
    fn drop(&mut self) {
        if let Some(act) = self.0.take() {
            act();
        }
    }
}

impl std::fmt::Debug for Last {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Last")
    }
}

impl Child {
    pub(crate) fn new(
        entered: Entered,
        output: Output,
        alive: OwnedFd,
        status: OwnedFd,
        room: &Room,
        begin: Instant,
        claims: Arc<Claims>,
    ) -> Self {
        let Entered { pid, pidfd } = entered;
        let terminal = matches!(room.session, crate::Session::Keep | crate::Session::Foreground);
        Self {
            pid,
            pidfd,
            output,
            _alive: alive,
            status,
            limits: room.limits.clone(),
            begin,
            callers: max_rss(&raw::own_usage()).saturating_add(1 << 20),
            reaped: false,
            terminal,
            claims,
            group: None,
            disk: None,
            last: None,
        }
    }

    /// What the room has of the caller's folders.
    pub(crate) fn claims(&self) -> Arc<Claims> {
        Arc::clone(&self.claims)
    }

    /// Has `act` done when everything inside has ended.
    pub(crate) fn at_last(&mut self, act: impl FnOnce() + Send + Sync + 'static) {
        self.last = Some(Last(Some(Box::new(act))));
    }

    /// Has it counted by a control group.
    pub(crate) fn counted_by(mut self, group: Option<Group>) -> Self {
        self.group = group;
        self
    }

    /// Has what it takes on the disk looked at.
    pub(crate) fn looked_at_on(mut self, disk: Option<Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Whether a control group counts the room's memory and processes.
    pub(crate) fn is_counted(&self) -> bool {
        let has = |limit| self.group.as_ref().is_some_and(|group| group.has(limit));
        has(Limit::Memory) && has(Limit::Processes)
    }

    /// The host's process id of the room's init (process 1 inside); the program is process 2 inside.
    pub fn id(&self) -> u32 {
        self.pid.unsigned_abs()
    }

    /// Readable when everything in the room has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// The caller's end of the room's terminal, for [`Session::Pty`](crate::Session::Pty): what is written there the program
    /// reads, and its size can be set. Reading is done by [`wait_with`](Self::wait_with), or from
    /// [`take_stdout`](Self::take_stdout).
    pub fn pty(&self) -> Option<BorrowedFd<'_>> {
        self.output.pty.as_ref().map(AsFd::as_fd)
    }

    /// Takes the reading end of standard output, where that is a pipe; [`wait_with`](Self::wait_with) then does not see it.
    pub fn take_stdout(&mut self) -> Option<File> {
        self.output.out.take()
    }

    /// Takes the reading end of standard error, where that is a pipe; [`wait_with`](Self::wait_with) then does not see it.
    pub fn take_stderr(&mut self) -> Option<File> {
        self.output.err.take()
    }

    /// Ends everything in the room at once.
    ///
    /// # Errors
    /// [`Error::Watch`]; a room that has ended already is no error.
    pub fn kill(&self) -> Result<(), Error> {
        match rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL) {
            Ok(()) | Err(Errno::SRCH) => Ok(()),
            Err(errno) => Err(Error::Watch { what: "ending the room", source: errno.into() }),
        }
    }

    /// Waits for the end; output that goes into pipes is read and dropped.
    ///
    /// # Errors
    /// [`Error::Watch`]; the room has been ended then.
    pub fn wait(self) -> Result<Outcome, Error> {
        self.wait_with(|_, _| Ok(()))
    }

    /// Waits for the end of the program, which ends the room, and hands every piece of output to `sink` as it comes. The
    /// limits hold as long as this runs.
    ///
    /// They hold while `sink` does not wait: where it can not take a piece yet it fails with [`WouldBlock`], takes none of it, or
    /// remembers what it took, and gets the same piece again a little later.
    ///
    /// [`WouldBlock`]: std::io::ErrorKind::WouldBlock
    ///
    /// The end is that of the processes, never that of the output: a program may close its output and go on, and what it left
    /// running in the background is gone when this returns.
    ///
    /// # Errors
    /// [`Error::Sink`] when `sink` failed and [`Error::Watch`]; the room has been ended then.
    pub fn wait_with(self, sink: impl FnMut(Stream, &[u8]) -> std::io::Result<()>) -> Result<Outcome, Error> {
        self.watch(sink, None)
    }

    /// [`wait_with`](Self::wait_with) that asks `go_on` at least four times a second and ends the room, with
    /// [`Limit::Stopped`] as the cause, when it says no.
    ///
    /// # Errors
    /// Those of [`wait_with`](Self::wait_with).
    pub fn wait_while(
        self,
        sink: impl FnMut(Stream, &[u8]) -> std::io::Result<()>,
        mut go_on: impl FnMut() -> bool,
    ) -> Result<Outcome, Error> {
        self.watch(sink, Some(&mut go_on))
    }

    fn watch(
        mut self,
        mut sink: impl FnMut(Stream, &[u8]) -> std::io::Result<()>,
        mut go_on: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<Outcome, Error> {
        let mut watch = Watch::new(self.begin, &self.limits, self.group.as_ref());
        loop {
            let is_taken = watch.offer(&mut sink)?;
            let asked = (go_on.is_some() && watch.cause.is_none()).then_some(SAMPLE);
            let again = (!is_taken).then_some(AGAIN);
            let ready = self.poll([watch.timeout(&self.limits), asked, again].into_iter().flatten().min(), is_taken)?;
            for (stream, readable) in [(Stream::Stdout, ready.out), (Stream::Stderr, ready.err)] {
                if readable && watch.offer(&mut sink)? {
                    self.pass_on(stream, &mut watch, &mut sink)?;
                }
            }
            if ready.ended {
                break;
            }
            if watch.cause.is_none() {
                let stopped = go_on.as_mut().is_some_and(|go_on| !go_on()).then_some(Limit::Stopped);
                let Some(cause) = stopped.or_else(|| self.reached(&mut watch)) else {
                    continue;
                };
                watch.end_for(cause, &self.limits);
                if watch.is_patient() {
                    census::ask_to_end(Pid::from_raw(self.pid));
                }
            }
            if !watch.is_patient() {
                watch.remains = Remains::of(self.pid);
                self.kill()?;
                self.poll_end()?;
                break;
            }
        }
        self.drain(&mut watch, &mut sink, go_on)?;
        self.reap(&watch)
    }

    /// The limit that has been reached by now.
    fn reached(&mut self, watch: &mut Watch) -> Option<Limit> {
        let counted = watch.reached(&self.limits, self.pid, self.group.as_ref());
        counted.or_else(|| self.disk.as_mut()?.is_over(Some(self.pid)).then_some(Limit::Disk))
    }

    /// Waits until something happens, with the output if that is wanted.
    fn poll(&self, timeout: Option<Duration>, with_output: bool) -> Result<Ready, Error> {
        let (out, err) =
            (self.output.out.as_ref().filter(|_| with_output), self.output.err.as_ref().filter(|_| with_output));
        let mut fds = vec![PollFd::new(&self.pidfd, PollFlags::IN)];
        fds.extend(out.iter().map(|file| PollFd::new(file, PollFlags::IN)));
        fds.extend(err.iter().map(|file| PollFd::new(file, PollFlags::IN)));
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::Watch { what: "watching the room", source: errno.into() }),
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let ended = ready.next().unwrap_or(false);
        let out = out.is_some() && ready.next().unwrap_or(false);
        let err = err.is_some() && ready.next().unwrap_or(false);
        Ok(Ready { ended, out, err })
    }

    fn poll_end(&self) -> Result<(), Error> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        loop {
            match poll(&mut fds, None) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(Error::Watch { what: "waiting for the end of the room", source: errno.into() });
                }
            }
        }
    }

    /// Reads one piece of output; forgets the stream at its end.
    fn pass_on(
        &mut self,
        stream: Stream,
        watch: &mut Watch,
        sink: &mut impl FnMut(Stream, &[u8]) -> std::io::Result<()>,
    ) -> Result<usize, Error> {
        let place = match stream {
            Stream::Stdout => &mut self.output.out,
            Stream::Stderr => &mut self.output.err,
        };
        let Some(file) = place else { return Ok(0) };
        let mut buffer = [0u8; 16 * 1024];
        let count = match file.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::Interrupted | std::io::ErrorKind::WouldBlock) => {
                return Ok(0);
            }
            // So a terminal tells that nobody is at its other end any more.
            Err(error) if error.raw_os_error() == Some(libc::EIO) && self.output.pty.is_some() => 0,
            Err(source) => return Err(Error::Watch { what: "reading the output of the room", source }),
        };
        if count == 0 {
            *place = None;
            return Ok(0);
        }
        watch.last_output = Instant::now();
        let allowed = self.limits.log_bytes.map_or(u64::MAX, |most| most.saturating_sub(watch.seen));
        let passed = usize::try_from(allowed).map_or(count, |allowed| count.min(allowed));
        watch.seen = watch.seen.saturating_add(count as u64);
        match sink(stream, &buffer[..passed]) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                watch.waiting = Some((stream, buffer[..passed].to_vec()));
            }
            taken => taken.map_err(Error::Sink)?,
        }
        Ok(count)
    }

    /// Passes on what was still in the pipes when the room had ended, unless somebody does not want to wait for that.
    fn drain(
        &mut self,
        watch: &mut Watch,
        sink: &mut impl FnMut(Stream, &[u8]) -> std::io::Result<()>,
        mut go_on: Option<&mut dyn FnMut() -> bool>,
    ) -> Result<(), Error> {
        let mut is_taken = |watch: &mut Watch, sink: &mut _| loop {
            if watch.offer(sink)? {
                return Ok(true);
            }
            if go_on.as_mut().is_some_and(|go_on| !go_on()) {
                watch.cause.get_or_insert(Limit::Stopped);
                return Ok(false);
            }
            std::thread::sleep(AGAIN);
        };
        for file in [&self.output.out, &self.output.err].into_iter().flatten() {
            // A process of the caller may still hold the other end: never wait for it.
            rustix::io::ioctl_fionbio(file, true)
                .map_err(|errno| Error::Watch { what: "reading the output of the room", source: errno.into() })?;
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            while is_taken(watch, sink)? && self.pass_on(stream, watch, sink)? > 0 {}
        }
        if watch.cause.is_none() && watch.over_log(&self.limits) {
            watch.cause = Some(Limit::LogBytes);
        }
        Ok(())
    }

    fn reap(mut self, watch: &Watch) -> Result<Outcome, Error> {
        // Where somebody else reaped it, the init's own report says what its program used.
        let used = match raw::wait_behind(self.pidfd.as_raw_fd()) {
            Ok(usage) => Some(usage),
            Err(libc::ECHILD) => self.poll_end().map(|()| None)?,
            Err(errno) => {
                let source = std::io::Error::from_raw_os_error(errno);
                return Err(Error::Watch { what: "reaping the room", source });
            }
        };
        self.reaped = true;
        self.take_terminal_back();
        let mut report = [0u8; REPORT_LEN];
        let report = match rustix::io::read(&self.status, &mut report) {
            Ok(REPORT_LEN) => Some(Report::read(&report)),
            // Ended from outside, by us or by the kernel for want of memory, or by itself, which could not go on: the end of the
            // init was the program's.
            _ => None,
        };
        let status = report.as_ref().map_or(libc::SIGKILL, |report| report.status);
        let full = report.as_ref().is_some_and(|report| report.full);
        let words = used.or(report.map(|report| report.usage)).unwrap_or_default();
        let (exit, usage) = (Exit::from_status(status), self.usage(&words, watch));
        let met = || self.group.as_ref().and_then(Group::reached);
        let cause = watch.cause.or_else(met).or_else(|| over_file_size(exit, &self.limits));
        let cause = cause.or_else(|| full.then_some(Limit::Processes)).or_else(|| self.over_memory(usage.max_rss));
        let cause = cause.or_else(|| self.disk.as_mut()?.is_over(None).then_some(Limit::Disk));
        Ok(Outcome { exit, cause, usage })
    }

    /// What was used: what the kernel told of those that were reaped, and what was seen of the others.
    fn usage(&self, words: &[i64; 18], watch: &Watch) -> Usage {
        let time = |seconds: i64, micros: i64| {
            Duration::from_secs(seconds.unsigned_abs()) + Duration::from_micros(micros.unsigned_abs())
        };
        let Remains { user, system, peak } = watch.remains;
        let seen = Some(peak.max(watch.peak)).filter(|peak| *peak > 0);
        let counted = Some(max_rss(words)).filter(|most| *most > self.callers);
        Usage {
            wall: self.begin.elapsed(),
            user: time(words[0], words[1]) + user,
            system: time(words[2], words[3]) + system,
            max_rss: counted.max(seen),
        }
    }

    /// Whether a process had more memory than all may have, where nobody counts it.
    fn over_memory(&self, max_rss: Option<u64>) -> Option<Limit> {
        let is_counted = self.group.as_ref().is_some_and(|group| group.has(Limit::Memory));
        let most = self.limits.memory.filter(|_| !is_counted)?;
        (max_rss? > most).then_some(Limit::Memory)
    }

    /// A shell with job control made its own process group the terminal's.
    fn take_terminal_back(&self) {
        if self.terminal {
            let mask = raw::set_signal_mask(1 << (libc::SIGTTOU - 1));
            // Fails when standard input is no terminal of ours: then there is nothing to take back.
            if let Some(group) = raw::process_group() {
                let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), group);
            }
            raw::set_signal_mask(mask);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
            let _ = raw::wait_behind(self.pidfd.as_raw_fd());
            self.take_terminal_back();
        }
        self.last = None;
    }
}

/// The signal that the kernel sends for a file that grows beyond its limit, seen directly or as a shell passes it on.
fn over_file_size(exit: Exit, limits: &Limits) -> Option<Limit> {
    (limits.file_size.is_some() && exit.code() == Exit::Signal(libc::SIGXFSZ as u8).code()).then_some(Limit::FileSize)
}

/// The largest resident memory, in bytes, of `struct rusage`.
fn max_rss(usage: &[i64; 18]) -> u64 {
    usage[4].unsigned_abs() * 1024
}

struct Ready {
    ended: bool,
    out: bool,
    err: bool,
}

/// What has been seen of a running room.
struct Watch {
    begin: Instant,
    last_output: Instant,
    last_sample: Instant,
    /// From that to the next.
    pause: Duration,
    seen: u64,
    /// Output that nobody has taken yet.
    waiting: Option<(Stream, Vec<u8>)>,
    /// Bytes that a process was seen to have had at most.
    peak: u64,
    /// What the room had used that was not reaped when it was ended.
    remains: Remains,
    cause: Option<Limit>,
    /// Until when the processes inside have time to end by themselves, once there is a cause.
    patience: Option<Instant>,
}

impl Watch {
    fn new(begin: Instant, limits: &Limits, group: Option<&Group>) -> Self {
        let pause = pause(&Census::default(), Duration::ZERO, &uncounted(limits, group));
        let (last_output, remains) = (Instant::now(), Remains::default());
        Self {
            begin,
            last_output,
            last_sample: begin,
            pause,
            seen: 0,
            waiting: None,
            peak: 0,
            remains,
            cause: None,
            patience: None,
        }
    }

    /// Hands over what waits to be taken; whether nothing does any more.
    fn offer(&mut self, sink: &mut impl FnMut(Stream, &[u8]) -> std::io::Result<()>) -> Result<bool, Error> {
        let Some((stream, bytes)) = &self.waiting else { return Ok(true) };
        match sink(*stream, bytes) {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                // Who waits for its reader is not silent.
                self.last_output = Instant::now();
                Ok(false)
            }
            taken => {
                self.waiting = None;
                taken.map(|()| true).map_err(Error::Sink)
            }
        }
    }

    /// Notes why the room is to end. What runs away gets no time.
    fn end_for(&mut self, cause: Limit, limits: &Limits) {
        self.cause = Some(cause);
        let gentle = matches!(cause, Limit::Wall | Limit::Silence | Limit::Stopped);
        self.patience = limits.grace.filter(|_| gentle).and_then(|grace| Instant::now().checked_add(grace));
    }

    fn is_patient(&self) -> bool {
        self.patience.is_some_and(|until| Instant::now() < until)
    }

    /// Until something is to be looked at even if nothing happens.
    fn timeout(&self, limits: &Limits) -> Option<Duration> {
        if self.cause.is_some() {
            return self.patience.map(|until| until.saturating_duration_since(Instant::now()));
        }
        let left = |since: Instant, most: Option<Duration>| most.map(|most| most.saturating_sub(since.elapsed()));
        let sample = is_sampled(limits).then_some(self.pause);
        [left(self.begin, limits.wall), left(self.last_output, limits.silence), left(self.last_sample, sample)]
            .into_iter()
            .flatten()
            .min()
    }

    fn over_log(&self, limits: &Limits) -> bool {
        limits.log_bytes.is_some_and(|most| self.seen > most)
    }

    fn reached(&mut self, limits: &Limits, init: i32, group: Option<&Group>) -> Option<Limit> {
        if self.over_log(limits) {
            return Some(Limit::LogBytes);
        }
        if limits.wall.is_some_and(|most| self.begin.elapsed() >= most) {
            return Some(Limit::Wall);
        }
        if limits.silence.is_some_and(|most| self.last_output.elapsed() >= most) {
            return Some(Limit::Silence);
        }
        if is_sampled(limits) && self.last_sample.elapsed() >= self.pause {
            self.last_sample = Instant::now();
            return group.and_then(Group::reached).or_else(|| self.look(init, &uncounted(limits, group)));
        }
        None
    }

    /// The limit that a look at the processes finds reached.
    fn look(&mut self, init: i32, limits: &[(Limit, u64)]) -> Option<Limit> {
        if limits.is_empty() {
            return None;
        }
        let census = census::take(Pid::from_raw(init));
        self.peak = self.peak.max(census.peak);
        self.pause = pause(&census, self.last_sample.elapsed(), limits);
        let is_reached = |limit: Limit, most: u64| match limit {
            Limit::Processes => census.tasks >= most,
            Limit::Memory => census.memory > most,
            _ => census.open_files >= most,
        };
        limits.iter().find(|(limit, most)| is_reached(*limit, *most)).map(|(limit, _)| *limit)
    }
}

/// Whether there is a limit that takes a look from time to time.
fn is_sampled(limits: &Limits) -> bool {
    [limits.processes, limits.memory, limits.open_files, limits.disk].iter().any(Option::is_some)
}

/// The limits that nobody counts, so that the processes are looked at.
fn uncounted(limits: &Limits, group: Option<&Group>) -> Vec<(Limit, u64)> {
    let all =
        [(Limit::Processes, limits.processes), (Limit::Memory, limits.memory), (Limit::OpenFiles, limits.open_files)];
    let is_open = |limit: Limit| !group.is_some_and(|group| group.has(limit));
    all.into_iter().filter_map(|(limit, most)| Some((limit, most?))).filter(|(limit, _)| is_open(*limit)).collect()
}

/// The time until the next look, after one that took so long: the room cannot reach a limit much sooner, if looks may be so many.
fn pause(census: &Census, took: Duration, limits: &[(Limit, u64)]) -> Duration {
    let until = |limit: Limit, most: u64| match limit {
        Limit::Processes => (most.saturating_sub(census.tasks), PROCESSES_A_SECOND),
        Limit::Memory => (most.saturating_sub(census.memory), BYTES_A_SECOND),
        // How fast these are opened nobody can say; a share of them at a time.
        _ => (most.saturating_sub(census.open_files), most.saturating_mul(4).max(1)),
    };
    let soonest = limits.iter().map(|(limit, most)| {
        let (left, a_second) = until(*limit, *most);
        Duration::from_millis(left.saturating_mul(1000) / a_second)
    });
    let soonest = soonest.min().unwrap_or(SAMPLE).clamp(SHORTEST, SAMPLE);
    soonest.max(took.saturating_mul(SHARE).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_is_left_the_sooner_is_the_next_look() {
        let limits = [(Limit::Processes, 1000), (Limit::Memory, 2 << 30), (Limit::OpenFiles, 10)];
        let at = |tasks, memory| Census { tasks, memory, ..Census::default() };
        let next = |census: Census| pause(&census, Duration::ZERO, &limits);
        assert_eq!(next(at(0, 0)), SAMPLE);
        assert_eq!(next(at(600, 0)), Duration::from_millis(100));
        assert_eq!(next(at(0, 3 << 29)), Duration::from_millis(125));
        assert_eq!((next(at(999, 0)), next(at(0, 3 << 30))), (SHORTEST, SHORTEST));
        // What takes long to look at is not looked at all the time.
        assert_eq!(pause(&at(999, 0), Duration::from_millis(20), &limits), Duration::from_millis(400));
        assert_eq!(pause(&at(999, 0), Duration::from_secs(9), &limits), LONGEST);
        let open = |open_files| pause(&Census { open_files, ..at(0, 0) }, Duration::ZERO, &limits[2..]);
        assert_eq!((open(0), open(5), open(9)), (SAMPLE, SAMPLE / 2, SHORTEST));
    }
}
