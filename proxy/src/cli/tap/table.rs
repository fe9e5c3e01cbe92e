//! Records as rows of a table that fits a terminal.

use std::time::Duration;

use serde_json::Value;
use weir::config::units;

/// Below this many columns there is no port and no fraction of a second.
const NARROW: usize = 100;
/// The least that is left for operation and verdict.
const REST: usize = 16;
/// The most that a verdict has, in a wide terminal.
const VERDICT: usize = 36;

const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const YELLOW: &str = "\x1b[33m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";

/// A table that grows at its end. Times are UTC, as in the log.
#[derive(Debug)]
pub(super) struct Table {
    colours: bool,
    /// Grows with the longest peer so far.
    peer: usize,
}

/// The texts of one row.
#[derive(Default)]
struct Row {
    time: String,
    side: &'static str,
    peer: String,
    port: String,
    protocol: String,
    status: String,
    latency: String,
    op: String,
    verdict: String,
    /// For status and verdict.
    colour: [&'static str; 2],
}

impl Table {
    pub(super) fn new(colours: bool) -> Self {
        Self { colours, peer: 9 }
    }

    /// The names of the columns.
    pub(super) fn header(&mut self, width: usize) -> String {
        let names = Row {
            time: "UTC".to_owned(),
            side: "SIDE",
            peer: "PEER".to_owned(),
            port: "PORT".to_owned(),
            protocol: "PROTO".to_owned(),
            status: "STATUS".to_owned(),
            latency: "LATENCY".to_owned(),
            op: "OPERATION".to_owned(),
            verdict: "VERDICT".to_owned(),
            colour: [""; 2],
        };
        let line = self.line(&names, width);
        if self.colours { format!("{BOLD}{}{PLAIN}\n", line.trim_end()) } else { line }
    }

    /// One record.
    pub(super) fn row(&mut self, record: &Value, width: usize) -> String {
        let text = |name: &str| clean(record[name].as_str().unwrap_or_default());
        let time = text("time");
        let clock = if width < NARROW { 11..19 } else { 11..23 };
        let (verdict, status) = (text("verdict"), text("status"));
        let shown = if verdict == "allowed" {
            String::new()
        } else {
            format!("{verdict} {}", text("reason"))
        };
        let op = ["op", "host"].map(text).into_iter().find(|op| !op.is_empty());
        let row = Row {
            time: time.get(clock).unwrap_or(&time).to_owned(),
            side: if record["side"] == "outbound" { "out" } else { "in" },
            peer: text("peer"),
            port: record["port"].as_u64().map(|port| format!(":{port}")).unwrap_or_default(),
            protocol: text("protocol"),
            latency: latency(record),
            op: op.unwrap_or_else(|| "-".to_owned()),
            colour: [status_colour(&status), verdict_colour(&verdict)],
            status: if status.is_empty() { "-".to_owned() } else { status },
            verdict: shown,
        };
        self.line(&row, width)
    }

    fn line(&mut self, row: &Row, width: usize) -> String {
        let narrow = width < NARROW;
        let most = if narrow { 15 } else { 39 };
        self.peer = self.peer.max(columns(&row.peer)).min(most);
        let mut line =
            format!("{} {}", left(&row.time, if narrow { 8 } else { 12 }), left(row.side, 4));
        line.push(' ');
        line.push_str(&left(&row.peer, self.peer));
        if !narrow {
            line.push(' ');
            line.push_str(&left(&row.port, 6));
        }
        line.push(' ');
        line.push_str(&left(&row.protocol, 6));
        line.push(' ');
        let status = left(&row.status, if narrow { 6 } else { 9 });
        let latency = format!(" {:>7} ", row.latency);
        // Nothing so far has colours, so that its length is its width.
        let rest = width.saturating_sub(columns(&line) + columns(&status) + columns(&latency));
        self.colour(&mut line, &status, row.colour[0]);
        line.push_str(&latency);
        let rest = rest.max(REST);
        let room = rest - 1 - (rest / 2).min(VERDICT);
        if row.verdict.is_empty() {
            line.push_str(left(&row.op, rest).trim_end());
        } else {
            line.push_str(&left(&row.op, room));
            line.push(' ');
            self.colour(&mut line, left(&row.verdict, rest - 1 - room).trim_end(), row.colour[1]);
        }
        line.push('\n');
        line
    }

    fn colour(&self, line: &mut String, text: &str, colour: &str) {
        if self.colours && !colour.is_empty() {
            line.push_str(&format!("{colour}{text}{PLAIN}"));
        } else {
            line.push_str(text);
        }
    }
}

/// Errors of Redis and gRPC are in capitals, what went well is not, but for gRPC's `OK`.
fn status_colour(status: &str) -> &'static str {
    match status.as_bytes().first() {
        _ if status == "OK" => "",
        Some(b'5' | b'A'..=b'Z') => RED,
        Some(b'4') => YELLOW,
        _ => "",
    }
}

fn verdict_colour(verdict: &str) -> &'static str {
    match verdict {
        "refused" => RED,
        "would-refuse" => YELLOW,
        _ => DIM,
    }
}

/// How long it took; `start` where it has just begun, and a `+` behind where it goes on.
fn latency(record: &Value) -> String {
    let Some(us) = record["duration_us"].as_u64() else {
        return clean(record["phase"].as_str().unwrap_or("-"));
    };
    let part = |unit: u64, name: &str| {
        let (whole, hundredths) = (us / unit, us % unit * 100 / unit);
        match whole {
            0..10 => format!("{whole}.{hundredths:02}{name}"),
            10..100 => format!("{whole}.{}{name}", hundredths / 10),
            _ => format!("{whole}{name}"),
        }
    };
    let text = match us {
        0..1_000 => format!("{us}us"),
        1_000..1_000_000 => part(1_000, "ms"),
        1_000_000..60_000_000 => part(1_000_000, "s"),
        // To the second, and from an hour on to the minute.
        60_000_000..3_600_000_000 => units::show_duration(Duration::from_secs(us / 1_000_000)),
        _ => units::show_duration(Duration::from_secs(us / 60_000_000 * 60)),
    };
    if record["phase"] == "open" { text + "+" } else { text }
}

/// Text from traffic as a terminal may have it: what is neither ASCII nor a letter or digit is
/// escaped, so that nothing moves the cursor, turns the direction of writing or hides.
fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, ' '..='~' | '…') || (!c.is_ascii() && c.is_alphanumeric()) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

/// How many columns a clean text takes.
fn columns(text: &str) -> usize {
    text.chars().map(column).sum()
}

/// The wide ones are those of East Asia, roughly.
fn column(c: char) -> usize {
    match c {
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{16fe0}'..='\u{1b2ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// The text in exactly so many columns; what is longer ends in `…`.
fn left(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(width);
    let mut used = columns(text);
    if used <= width {
        out.push_str(text);
    } else {
        used = 0;
        for c in text.chars() {
            if used + column(c) >= width {
                break;
            }
            used += column(c);
            out.push(c);
        }
        out.push('…');
        used += 1;
    }
    out.extend(std::iter::repeat_n(' ', width.saturating_sub(used)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<Value> {
        let record = |members: &str| {
            let text = format!(
                "{{\"time\":\"2026-11-23T20:50:08.012345Z\",\"side\":\"inbound\",\"peer\":\"10.0.0.7\",\"port\":8080,{members}}}"
            );
            serde_json::from_str(&text).unwrap()
        };
        vec![
            record(
                r#""protocol":"http","op":"GET /carts/{int}","status":"200","duration_us":1234,"verdict":"allowed","reason":"entry""#,
            ),
            record(
                r#""protocol":"http","op":"DELETE /carts/{int}","duration_us":87,"verdict":"refused","reason":"not_allowed""#,
            ),
            record(
                r#""side":"outbound","protocol":"redis","port":6379,"op":"SUNIONSTORE cart:{int} cart:{int} cart:{int} cart:{int} cart:{int}","status":"WRONGTYPE","duration_us":2500000,"verdict":"would-refuse","reason":"database_not_allowed""#,
            ),
            record(
                r#""protocol":"tls","host":"shop.example","phase":"start","verdict":"unread","reason":"encrypted""#,
            ),
            record(
                r#""peer":"2001:db8::1:2:3:4","protocol":"opaque","phase":"open","duration_us":300000000,"verdict":"allowed","reason":"entry""#,
            ),
            record(
                r#""protocol":"http","op":"GET /\u001b[31m\u202egnp.exe\n/日本語/é\u200b","status":"503","duration_us":7265000000,"verdict":"allowed","reason":"entry""#,
            ),
        ]
    }

    fn table(width: usize) -> String {
        let mut table = Table::new(false);
        let header = table.header(width);
        let rows = records().iter().map(|record| table.row(record, width)).collect::<String>();
        header + &rows
    }

    #[test]
    fn a_wide_terminal_has_it_all() {
        let expected = "\
UTC          SIDE PEER      PORT   PROTO  STATUS    LATENCY OPERATION                VERDICT
20:50:08.012 in   10.0.0.7  :8080  http   200        1.23ms GET /carts/{int}
20:50:08.012 in   10.0.0.7  :8080  http   -            87us DELETE /carts/{int}      refused not_allowed
20:50:08.012 out  10.0.0.7  :6379  redis  WRONGTYPE   2.50s SUNIONSTORE cart:{int} … would-refuse database_no…
20:50:08.012 in   10.0.0.7  :8080  tls    -           start shop.example             unread encrypted
20:50:08.012 in   2001:db8::1:2:3:4 :8080  opaque -             5m+ -
20:50:08.012 in   10.0.0.7          :8080  http   503          2h1m GET /\\u{1b}[31m\\u{202e}gnp.exe\\u{a}/日本…
";
        assert_eq!(table(110), expected);
    }

    #[test]
    fn a_narrow_terminal_has_what_fits() {
        let expected = "\
UTC      SIDE PEER      PROTO  STATUS LATENCY OPERATION        VERDICT
20:50:08 in   10.0.0.7  http   200     1.23ms GET /carts/{int}
20:50:08 in   10.0.0.7  http   -         87us DELETE /carts/{… refused not_all…
20:50:08 out  10.0.0.7  redis  WRONG…   2.50s SUNIONSTORE car… would-refuse da…
20:50:08 in   10.0.0.7  tls    -        start shop.example     unread encrypted
20:50:08 in   2001:db8::1:2:… opaque -          5m+ -
20:50:08 in   10.0.0.7        http   503       2h1m GET /\\u{1b}[31m\\u{202e}gnp…
";
        assert_eq!(table(79), expected);
    }

    #[test]
    fn no_row_is_wider_than_the_terminal_and_none_gives_it_orders() {
        for width in 71..200 {
            for line in table(width).lines() {
                assert!(columns(line) <= width, "{width}: {line}");
                assert!(!line.contains(|c: char| c.is_control() || c == '\u{202e}'), "{line}");
            }
        }
    }

    #[test]
    fn colours_change_no_width() {
        let (mut plain, mut coloured) = (Table::new(false), Table::new(true));
        for record in records() {
            let row = coloured.row(&record, 120);
            let mut bare = row.clone();
            for colour in [RED, YELLOW, DIM, PLAIN] {
                bare = bare.replace(colour, "");
            }
            assert_eq!(bare, plain.row(&record, 120));
        }
        let refused = coloured.row(&records()[1], 120);
        assert!(refused.contains("\x1b[31mrefused not_allowed\x1b[0m"), "{refused:?}");
    }
}
