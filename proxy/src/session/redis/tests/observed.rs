use super::*;
use crate::session::Session;

#[test]
fn nothing_is_held_and_nothing_is_changed() {
    let mut d = observer();
    let commands = resp("SET k v;BAD x;GET k");
    for (i, byte) in commands.bytes().enumerate() {
        d.client([byte]);
        assert_eq!(d.to_server().len(), i + 1);
    }
    let replies = "+OK\r\n-ERR unknown command 'BAD'\r\n$1\r\nv\r\n";
    for (i, byte) in replies.bytes().enumerate() {
        d.server([byte]);
        assert_eq!(d.to_client().len(), i + 1);
    }
    assert_eq!((d.to_server(), d.to_client()), (commands, replies.to_owned()));
    let expected = [
        ("SET", Verdict::Allowed, Status::Ok),
        ("BAD", Verdict::WouldRefuse, error("ERR")),
        ("GET", Verdict::Allowed, Status::Ok),
    ];
    assert_eq!(told(d.close()), expected);
}

#[test]
fn garbage_passes_and_is_reported_once() {
    for (from_client, bytes) in [(true, "garbage\r\nmore"), (true, "*1\r\n:"), (false, "garbage")] {
        let mut d = observer();
        d.client(resp("PING"));
        match from_client {
            true => d.client(bytes),
            false => d.server(bytes),
        }
        assert!(d.opaque);
        d.client("and more");
        d.server("and more");
        let unread = d.close().iter().filter(|r| r.verdict == Verdict::WouldRefuse).count();
        assert_eq!(unread, 1, "{bytes}");
    }
}

#[test]
fn a_big_command_is_read_as_it_passes() {
    let mut d = observer();
    d.inspectors.push(Literal::content("evil"));
    let value = "v".repeat(1 << 17) + "evil";
    let raw = resp(&format!("SET k {value};GET k"));
    for chunk in raw.as_bytes().chunks(1000) {
        d.client(chunk);
    }
    assert_eq!(d.to_server(), raw);
    d.server("+OK\r\n$4\r\nevil\r\n");
    let records = d.close();
    assert_eq!(reasons(records), [Reason::Inspector("literal"); 2]);
    assert!(records.iter().all(|r| r.verdict == Verdict::WouldRefuse && r.complete));
}

#[test]
fn more_commands_than_are_followed_at_once() {
    let mut d = observer();
    d.limits.pipeline_depth = 2;
    d.client(resp("PING").repeat(7));
    assert_eq!(d.to_server(), resp("PING").repeat(7));
    d.server("+PONG\r\n".repeat(7));
    assert!(!d.opaque);
    assert_eq!(told(d.close()), [("PING", Verdict::Allowed, Status::Ok); 7]);
}

#[test]
fn commands_come_before_the_answer_that_made_detection_certain() {
    let options = Options { nonce: NONCE, ..Options::default() };
    let admission = observer().admission;
    let mut d = Driver::new(Session::new(&admission, options));
    d.judge = false;
    d.client("SET k 1\r\nPING\r\n");
    d.server("+OK\r\n");
    d.server("+PONG\r\n");
    assert!(!d.opaque);
    let ok = |op| (op, Verdict::Allowed, Status::Ok);
    assert_eq!(told(d.close()), [ok("SET"), ok("PING")]);
}
