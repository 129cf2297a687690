/// Whether the process acts as root, in whatever user namespace it is: whether owners can be set at all.
pub fn is_superuser() -> bool {
    rustix::process::geteuid().is_root()
}
