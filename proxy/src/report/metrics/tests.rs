use std::collections::{BTreeMap, BTreeSet};

use weir_policy::decide::Violation;

use super::*;

/// The series of a rendering: name with labels, and value.
fn series(metrics: &Metrics) -> BTreeMap<String, f64> {
    metrics
        .render()
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// One event of each sort.
fn everything() -> Metrics {
    let metrics = Metrics::new();
    let refused = Reason::Policy(Violation::Denied);
    metrics.connection_opened(Side::Inbound);
    metrics.connection_opened(Side::Inbound);
    metrics.connection_closed(Side::Inbound, ConnectionOutcome::Closed);
    metrics.operation(Protocol::Http, Verdict::Allowed, Reason::Entry);
    metrics.operation(Protocol::Http, Verdict::Refused, refused);
    metrics.operation(Protocol::Redis, Verdict::WouldRefuse, refused);
    metrics.operation(Protocol::Tls, Verdict::Unread, Reason::Unread("encrypted"));
    metrics.operation(Protocol::Http, Verdict::Refused, Reason::Limit("head_bytes"));
    metrics.operation(Protocol::Http, Verdict::Unread, Reason::Timeout("slow_head"));
    metrics.bytes(Leg::Client, Flow::Received, 7);
    metrics.dial(DialResult::Timeout);
    metrics.policy_reloaded(false, 3);
    metrics.accept_paused("memory");
    metrics.memory(5, 10);
    metrics.mode(Mode::Monitor);
    metrics.resolve_failed();
    metrics.admin_rejected(AdminRejection::User);
    metrics.log_written(2);
    metrics.log_dropped(1);
    metrics.log_error();
    metrics
}

#[test]
fn events_are_counted_under_their_labels() {
    let series = series(&everything());
    for (name, value) in [
        ("weir_connections_open{side=\"inbound\"}", 1.0),
        ("weir_connections_total{side=\"inbound\",outcome=\"closed\"}", 1.0),
        ("weir_operations_total{protocol=\"http\",verdict=\"allowed\",reason=\"entry\"}", 1.0),
        ("weir_operations_total{protocol=\"http\",verdict=\"refused\",reason=\"limit\"}", 1.0),
        ("weir_refusals_total{verdict=\"refused\",kind=\"denied\"}", 1.0),
        ("weir_refusals_total{verdict=\"would-refuse\",kind=\"denied\"}", 1.0),
        ("weir_unread_total{kind=\"encrypted\"}", 1.0),
        ("weir_unread_total{kind=\"slow_head\"}", 1.0),
        ("weir_limit_reached_total{limit=\"head_bytes\"}", 1.0),
        ("weir_limit_reached_total{limit=\"slow_head\"}", 1.0),
        ("weir_limit_reached_total{limit=\"linger\"}", 0.0),
        ("weir_bytes_total{leg=\"client\",direction=\"received\"}", 7.0),
        ("weir_dials_total{result=\"timeout\"}", 1.0),
        ("weir_policy_reloads_total{result=\"failure\"}", 1.0),
        ("weir_policy_generation", 3.0),
        ("weir_accept_pauses_total{cause=\"memory\"}", 1.0),
        ("weir_memory_limit_bytes", 10.0),
        ("weir_mode{mode=\"monitor\"}", 1.0),
        ("weir_mode{mode=\"enforce\"}", 0.0),
        ("weir_traffic_log_dropped_total", 1.0),
        ("weir_admin_rejected_total{cause=\"user\"}", 1.0),
    ] {
        assert_eq!(series.get(name), Some(&value), "{name} in {series:#?}");
    }
}

#[test]
fn every_family_has_a_series_and_every_series_a_family() {
    let rendered = everything().render();
    let types: BTreeSet<_> =
        rendered.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let families: BTreeSet<_> = FAMILIES
        .iter()
        .map(|family| format!("{} {}", family.name, format!("{:?}", family.sort).to_lowercase()))
        .collect();
    assert_eq!(types, families.iter().map(String::as_str).collect());
    for family in FAMILIES {
        assert!(family.name.starts_with("weir_"));
        assert_eq!(
            family.sort == Sort::Counter,
            family.name.ends_with("_total"),
            "{}",
            family.name
        );
        assert!(rendered.contains(&format!("# HELP {} {}\n", family.name, family.help)));
    }
}

/// docs/metrics.md has the table of families as it is here.
#[test]
fn the_page_is_up_to_date() {
    let mut table = "| metric | sort | labels | meaning |\n| --- | --- | --- | --- |\n".to_owned();
    for Family { name, sort, labels, help } in FAMILIES {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let sort = format!("{sort:?}").to_lowercase();
        table.push_str(&format!("| `{name}` | {sort} | {labels} | {help} |\n"));
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains(&table), "docs/metrics.md shall have:\n\n{table}");
}

/// Each closed set of label values is on the page.
#[test]
fn the_page_names_every_value() {
    let page = include_str!("../../../../docs/metrics.md");
    let fixed = ConnectionOutcome::ALL
        .map(ConnectionOutcome::label)
        .into_iter()
        .chain(DialResult::ALL.map(DialResult::label))
        .chain(AdminRejection::ALL.map(AdminRejection::label))
        .chain(Flow::ALL.map(Flow::label))
        .chain(LearnedResult::ALL.map(LearnedResult::label))
        .chain(NotLearned::ALL.map(NotLearned::label))
        .chain(ProfileWrite::ALL.map(ProfileWrite::label))
        .chain(Kind::ALL.map(Kind::label))
        .chain(Verdict::ALL.map(Verdict::label))
        .chain(VIOLATIONS.map(violation_label));
    for value in fixed {
        assert!(page.contains(&format!("`{value}`")), "{value}");
    }
}
