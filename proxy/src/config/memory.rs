//! How much memory the process may use, as its cgroup says.

use std::path::Path;

/// Three quarters of the smallest memory limit among this process's cgroup and those above it:
/// the rest is for what the budget does not count. None where there is no limit.
pub(super) fn budget() -> Option<u64> {
    limit(Path::new("/sys/fs/cgroup"), &std::fs::read_to_string("/proc/self/cgroup").ok()?)
        .map(|limit| limit / 4 * 3)
}

/// The limit that holds for a process whose `/proc/self/cgroup` is `membership`, with the cgroup
/// file system at `root`: version 2's `memory.max`, or version 1's `memory.limit_in_bytes`.
fn limit(root: &Path, membership: &str) -> Option<u64> {
    let mut smallest = None;
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (top, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Inside a container the path may name what only the host sees: the top is always there.
        let own = Path::new(path.trim_start_matches('/'));
        for directory in own.ancestors() {
            let read = std::fs::read_to_string(top.join(directory).join(file)).ok();
            let value = read.and_then(|text| text.trim().parse::<u64>().ok());
            smallest = smallest.into_iter().chain(value.filter(|&value| value < 1 << 62)).min();
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    #[test]
    fn the_smallest_limit_on_the_way_up_holds() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "pod/memory.max", "67108864\n");
        write(root.path(), "pod/weir/memory.max", "max\n");
        assert_eq!(limit(root.path(), "0::/pod/weir\n"), Some(64 << 20));
        assert_eq!(limit(root.path(), "0::/\n"), None);
        assert_eq!(limit(root.path(), ""), None);
    }

    #[test]
    fn in_a_namespace_the_top_is_its_own() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory.max", "1048576\n");
        assert_eq!(limit(root.path(), "0::/../elsewhere\n"), Some(1 << 20));
    }

    #[test]
    fn version_1_says_no_limit_with_a_huge_number() {
        let root = tempfile::tempdir().unwrap();
        write(root.path(), "memory/memory.limit_in_bytes", "9223372036854771712\n");
        let membership = "5:cpu,cpuacct:/\n4:memory:/\n";
        assert_eq!(limit(root.path(), membership), None);
        write(root.path(), "memory/memory.limit_in_bytes", "4096\n");
        assert_eq!(limit(root.path(), membership), Some(4096));
    }
}
