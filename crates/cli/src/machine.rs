//! What `run.json` says about the machine, and the allocator settings that the engine wants.

use isogloss_record::Machine;

/// This machine.
pub(crate) fn describe() -> Machine {
    Machine {
        platform: format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH),
        processor: processor().unwrap_or_else(|| "unknown".to_owned()),
        n_cpus: n_cpus(),
    }
}

/// Logical processors that this process may use.
pub(crate) fn n_cpus() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The processor as it names itself; `None` where the system does not say.
fn processor() -> Option<String> {
    let text = isogloss_record::files::read_to_string("/proc/cpuinfo".as_ref()).ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// Largest resident memory of this process so far, in bytes; `None` where the system does not say.
pub(crate) fn peak_memory_bytes() -> Option<u64> {
    status_bytes("VmHWM:")
}

/// Resident memory of this process now, in bytes; `None` where the system does not say.
pub(crate) fn memory_bytes() -> Option<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(name: &str) -> Option<u64> {
    let status = isogloss_record::files::read_to_string("/proc/self/status".as_ref()).ok()?;
    let line = status.lines().find(|line| line.starts_with(name))?;
    let kibibytes: u64 = line.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Keeps large freed blocks in the process: clearing fresh pages costs more than the arithmetic
/// of a small model.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "glibc has no safe interface for this")]
pub(crate) fn tune_allocator() {
    // SAFETY: `mallopt` only changes thresholds of the allocator; it is called before any thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Other allocators have no such thresholds.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub(crate) fn tune_allocator() {}
