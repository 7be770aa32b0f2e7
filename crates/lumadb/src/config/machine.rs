//! The memory that this machine, or the container the process is in, has.

use std::path::Path;

/// What is taken for it where nothing says how much there is.
const UNKNOWN: u64 = 4 << 30;

/// Bytes of memory that the process may use at most.
pub(super) fn memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).ok();
    let machine = read("/proc/meminfo").and_then(|text| total(&text));
    // A control group's own limit; "max" is none, and so is more than the machine has.
    let group = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .into_iter()
        .filter_map(read)
        .find_map(|text| text.trim().parse::<u64>().ok());
    let machine = machine.unwrap_or(UNKNOWN);
    group.map_or(machine, |group| group.min(machine))
}

/// The line `MemTotal: … kB`.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1 << 10)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_is_what_the_kernel_says() {
        assert_eq!(super::total("MemFree: 1 kB\nMemTotal:       16318480 kB\n"), Some(16_318_480 << 10));
        assert_eq!(super::total("MemTotal: much\n"), None);
        assert!(super::memory() > 16 << 20);
    }
}
