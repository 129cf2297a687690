use std::num::NonZeroUsize;

use fetch::HttpOptions;

use crate::RoomLimits;

/// How to build.
#[derive(Debug, Clone)]
pub struct BuildOptions {
    /// Jobs that `make` may run at once.
    pub jobs: NonZeroUsize,
    /// Build again what was built before.
    pub rebuild: bool,
    /// Keep the folder of a failed build.
    pub keep_failed: bool,
    /// Open a shell in the room of a script that failed, on the caller's terminal.
    pub shell_on_failure: bool,
    /// Only take sources that are in the source store.
    pub offline: bool,
    /// How http is spoken where sources come from.
    pub http: HttpOptions,
    /// The host's uid and gid of builds when the caller is root.
    pub host_id: u32,
    /// Bounds of each script.
    pub limits: RoomLimits,
}

impl Default for BuildOptions {
    fn default() -> Self {
        Self {
            jobs: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            rebuild: false,
            keep_failed: false,
            shell_on_failure: false,
            offline: false,
            http: HttpOptions::default(),
            host_id: sandbox::DEFAULT_HOST_ID,
            limits: RoomLimits::default(),
        }
    }
}
