//! How memory is asked for.

/// Keeps the allocator from setting memory aside per thread: a command that streams needs a few megabytes,
/// and the C library's pools would hold several times that.
pub(crate) fn keep_small() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` takes two numbers and no pointers; it is called before any other thread is started.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}
