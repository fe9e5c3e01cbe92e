//! The page docs/limits.md, made from the table.

use std::fmt::Write as _;

use super::Limits;

const HEAD: &str = "\
# Limits

Every connection and the process as a whole are bounded. Reaching a limit is a named event: the
log's `reason` carries the limit's label, and a metric counts it. This page is made from the
program's own table (`weir limits --markdown`); `weir limits` shows the same at a terminal.

A limit is set with `--limit NAME=VALUE`, which may be given again for each, or in the
configuration file:

    limits:
      head-bytes: 128KiB
      dial-timeout: 2s

Durations are written `500ms`, `5s`, `2m`, `1h` or `1m30s`; sizes in bytes, or `64KiB`, `1MiB`,
`1GiB`. A value outside the range is an error at start.

";

const PROCESS: &str = "
## The process

| setting | default | when it is reached | metric |
| --- | --- | --- | --- |
| `--memory` | three quarters of the cgroup's limit | accepting pauses until connections end or buffers are given back | `weir_accept_pauses_total{cause=\"memory\"}` |
| `--max-connections` | none | accepting pauses until a connection ends | `weir_accept_pauses_total{cause=\"connections\"}` |
| open descriptors | the process's own limit (`ulimit -n`) | accepting pauses until a connection ends | `weir_accept_pauses_total{cause=\"descriptors\"}` |
| `--grace` | 30s | at shutdown, what is still open is told goodbye 2 s before it is over, and closed half a second before | none |

## What cannot be set

| bound | value | when it is reached | metric |
| --- | --- | --- | --- |
| traffic log, waiting to be written | 64 batches of 32 KiB | records are dropped | `weir_traffic_log_dropped_total` |
| a profile | 128 ports; 128 words of one place; see [learning.md](learning.md#bounds) | operations are counted without their shape | `weir_profile_dropped_total{cause=\"bounded\"}` |
| counts on their way to the profile | 32 batches | they wait with the workers; dropped at the end | `weir_profile_dropped_total{cause=\"queue\"}` |
| a text in a record | 1 KiB | it is cut, and ends in `…` | none |
| the program's own log, waiting to be written | 1024 lines | lines are dropped; a later line says how many | none |
| connections to the admin endpoint, and to the socket | 64 each | the oldest is closed | `weir_admin_rejected_total{cause=\"busy\"}` |
| one such connection, but for a tap's | 15 s, 5 s for its request | it is closed | none |
| records on their way to the taps | 32 batches of 64 KiB | records are dropped, and all taps are told how many | `weir_tap_dropped_total` |
| bytes read after a refusal, so that it arrives | 16 MiB, and `linger` | both legs are closed | none |
";

/// The text of docs/limits.md.
pub fn markdown() -> String {
    let defaults = Limits::default();
    let mut page = HEAD.to_owned();
    page.push_str("## A connection\n\n");
    page.push_str("| name | what | default | range | when it is reached | metric |\n");
    page.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for limit in Limits::TABLE {
        let (least, most) = (limit.range)();
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {least} to {most} | {} | `{}` |",
            limit.name(),
            limit.what.trim(),
            (limit.show)(&defaults),
            limit.outcome,
            limit.metric(),
        );
    }
    page.push_str(PROCESS);
    page
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_checked_in_page_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/limits.md");
        let page = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            page == super::markdown(),
            "docs/limits.md is stale: run `weir limits --markdown > docs/limits.md`"
        );
    }
}
