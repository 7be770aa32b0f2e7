//! What the system lets a process have.

/// Lets the process have as many open files as it may. Every connection is one, and the usual limit of a
/// shell is 1,024.
pub(crate) fn raise_open_files() {
    #[cfg(unix)]
    {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: both calls take a pointer to a whole `rlimit` that lives longer than they do. Where they
        // fail, the limit stays as it was.
        unsafe {
            if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
                limit.rlim_cur = limit.rlim_max;
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
    }
}
