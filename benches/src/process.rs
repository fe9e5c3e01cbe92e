//! What the kernel says of a running process: CPU time and resident memory.

use std::fs;

use rustix::time::{ClockId, clock_gettime};

use crate::Error;

/// CPU time in nanoseconds that the threads of process `pid` have had since they started: the first field of each thread's `schedstat`
/// (Documentation/scheduler/sched-stats.rst). Unlike a share of wall time it does not count what other programs took.
///
/// # Errors
/// If the process is gone, or the kernel keeps no such statistics.
pub fn cpu_nanos(pid: u32) -> Result<u64, Error> {
    let tasks = format!("/proc/{pid}/task");
    let mut total = 0;
    for task in fs::read_dir(&tasks).map_err(Error::io(&tasks))? {
        let path = task.map_err(Error::io(&tasks))?.path().join("schedstat");
        // A thread that ends while we look took its time with it: a proxy that is measured keeps its threads.
        let Ok(text) = fs::read_to_string(&path) else { continue };
        total += first_number(&text)
            .ok_or_else(|| Error::Program(format!("{}: not a number: {text:?}", path.display())))?;
    }
    Ok(total)
}

/// CPU time in nanoseconds of process `pid` and of the children that it has now (a server's workers).
///
/// # Errors
/// As for [`cpu_nanos`].
pub fn family_nanos(pid: u32) -> Result<u64, Error> {
    let file = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(&file).map_err(Error::io(&file))?;
    let children = children.split_ascii_whitespace().filter_map(|child| child.parse().ok());
    children.map(cpu_nanos).sum::<Result<u64, Error>>().and_then(|sum| Ok(sum + cpu_nanos(pid)?))
}

/// CPU time in nanoseconds of this process, with that of its threads that have ended (clock_gettime(2), `CLOCK_PROCESS_CPUTIME_ID`).
pub fn own_nanos() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec)
}

/// CPU time in nanoseconds of the children of this process that have ended and been waited for (proc_pid_stat(5), `cutime` and
/// `cstime`), in steps of 10 ms.
///
/// # Errors
/// If the kernel does not say.
pub fn awaited_nanos() -> Result<u64, Error> {
    const PATH: &str = "/proc/self/stat";
    let text = fs::read_to_string(PATH).map_err(Error::io(PATH))?;
    // The name, in parentheses, may contain anything; the first field behind it is the third.
    let behind = text.rsplit_once(')').map_or("", |(_, behind)| behind);
    let field =
        |number: usize| behind.split_ascii_whitespace().nth(number - 3)?.parse::<u64>().ok();
    let ticks = field(16).zip(field(17)).map(|(user, system)| user + system);
    let ticks = ticks.ok_or_else(|| Error::Program(format!("{PATH}: no times in {text:?}")))?;
    Ok(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// Resident memory of process `pid` in KiB (`VmRSS`, proc_pid_status(5)).
///
/// # Errors
/// If the process is gone.
pub fn resident_kib(pid: u32) -> Result<u64, Error> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(Error::io(&path))?;
    status
        .lines()
        .find_map(|line| first_number(line.strip_prefix("VmRSS:")?))
        .ok_or_else(|| Error::Program(format!("{path}: no VmRSS; the process has ended")))
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_process_has_memory_and_gains_time() {
        let mut busy = std::process::Command::new("sh");
        let mut child = busy.args(["-c", "while :; do :; done"]).spawn().unwrap();
        let pause = || std::thread::sleep(std::time::Duration::from_millis(100));
        pause();
        let before = cpu_nanos(child.id()).unwrap();
        let resident = resident_kib(child.id()).unwrap();
        pause();
        let after = cpu_nanos(child.id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(after > before, "{before} to {after}");
        assert!(resident > 100);
    }

    #[test]
    fn a_child_that_has_ended_has_had_time() {
        let before = awaited_nanos().unwrap();
        let script = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", script]).status().unwrap();
        assert!(awaited_nanos().unwrap() > before);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(cpu_nanos(u32::MAX).is_err());
        assert!(resident_kib(u32::MAX).is_err());
    }
}
