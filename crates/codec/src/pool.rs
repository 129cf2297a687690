use std::collections::VecDeque;
use std::fmt;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::thread;

/// What a thread does with its tasks, one after another.
pub(crate) type Work<T> = Box<dyn FnMut(&mut T) + Send>;

/// Tasks done by several threads and handed out in the order in which they came in.
///
/// Threads are started when there is work for them, and end when the pool is dropped, each after the task that it has in
/// hand. Where none can be started, the caller does the work.
pub(crate) struct Pool<T> {
    make: fn(Setting) -> Work<T>,
    setting: Setting,
    tasks: Sender<Task<T>>,
    queue: Arc<Mutex<Receiver<Task<T>>>>,
    /// Where each task comes back, the oldest first.
    pending: VecDeque<Receiver<T>>,
    running: usize,
    limit: NonZeroUsize,
    /// The caller's own hands.
    own: Option<Work<T>>,
}

/// What the threads of a pool have to know.
pub(crate) type Setting = i32;

type Task<T> = (T, SyncSender<T>);

impl<T> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("running", &self.running).field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<T: Send + 'static> Pool<T> {
    /// A pool of up to `limit` threads, each of which makes itself a worker.
    pub(crate) fn new(limit: NonZeroUsize, setting: Setting, make: fn(Setting) -> Work<T>) -> Self {
        let (tasks, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { make, setting, tasks, queue, pending: VecDeque::new(), running: 0, limit, own: None }
    }

    /// How many tasks are not handed out yet.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    pub(crate) fn submit(&mut self, mut task: T) {
        if self.running < self.limit.get() && self.running <= self.pending.len() && self.start() {
            self.running += 1;
        }
        let (done, receipt) = mpsc::sync_channel(1);
        if self.running > 0 {
            // The queue is ours too, so it is there.
            let _ = self.tasks.send((task, done));
        } else {
            self.own.get_or_insert_with(|| (self.make)(self.setting))(&mut task);
            let _ = done.send(task);
        }
        self.pending.push_back(receipt);
    }

    /// Hands in a task that is done already.
    pub(crate) fn submit_done(&mut self, task: T) {
        let (done, receipt) = mpsc::sync_channel(1);
        // The receipt is ours, so it is taken.
        let _ = done.send(task);
        self.pending.push_back(receipt);
    }

    /// Waits for the oldest task; `None` when there is none.
    pub(crate) fn next(&mut self) -> Option<T> {
        let receipt = self.pending.pop_front()?;
        Some(receipt.recv().expect("a thread hands back every task that it takes"))
    }

    fn start(&self) -> bool {
        let (queue, make, setting) = (Arc::clone(&self.queue), self.make, self.setting);
        let work = move || {
            let mut work = make(setting);
            // The lock is held while waiting, and let go before the work.
            let take = || queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
            while let Ok((mut task, done)) = take() {
                work(&mut task);
                let _ = done.send(task);
            }
        };
        thread::Builder::new().name("codec".to_owned()).spawn(work).is_ok()
    }
}

/// As many threads as there are processors for this process, which is asked once.
pub fn processors() -> NonZeroUsize {
    static COUNT: LazyLock<NonZeroUsize> =
        LazyLock::new(|| thread::available_parallelism().unwrap_or(NonZeroUsize::MIN));
    *COUNT
}
