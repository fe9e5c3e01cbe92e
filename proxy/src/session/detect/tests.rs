use super::*;

const REFUSE: Unread =
    Unread { refuse_unknown: true, refuse_unsupported: true, refuse_encrypted: true };
const ALLOW: Unread =
    Unread { refuse_unknown: false, refuse_unsupported: false, refuse_encrypted: false };
const JUDGE: Settings = Settings { judge: true, unread: REFUSE, budget: 32 << 10 };
const OBSERVE: Settings = Settings { judge: false, unread: REFUSE, budget: 32 << 10 };

/// A relay of sorts: keeps what is held of each leg, and counts what has passed.
#[derive(Default)]
struct Legs {
    detect: Detect,
    held: [Vec<u8>; 2],
    passed: [usize; 2],
}

impl Legs {
    fn add(&mut self, leg: Leg, bytes: &[u8], eof: bool, settings: Settings) -> Option<Detected> {
        let i = usize::from(leg == Leg::Server);
        self.held[i].extend_from_slice(bytes);
        let sent = if settings.judge { 0 } else { self.held[i].len() };
        let look = self.detect.look(&Input { leg, data: &self.held[i], sent, eof }, settings);
        self.held[i].drain(..look.pass);
        self.passed[i] += look.pass;
        look.found
    }
}

fn one(leg: Leg, bytes: &[u8], settings: Settings) -> Option<Detected> {
    Legs::default().add(leg, bytes, false, settings)
}

#[test]
fn a_proxy_header_passes_and_what_follows_is_detected() {
    let header = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n";
    for step in [1, 5, 1000] {
        let mut legs = Legs::default();
        let bytes = [&header[..], b"GET / HTTP/1.1\r"].concat();
        let mut found = None;
        for part in bytes.chunks(step) {
            assert_eq!(found, None);
            found = legs.add(Leg::Client, part, false, JUDGE);
        }
        assert_eq!(found, Some(Detected::Http1), "{step}");
        assert_eq!(legs.passed, [header.len(), 0]);
        assert_eq!(legs.held[0], b"GET / HTTP/1.1\r");
        assert_eq!(legs.detect.proxy_header().map(|header| header.len), Some(header.len()));
    }
}

#[test]
fn nothing_of_a_malformed_header_passes() {
    let look = one(Leg::Client, b"PROXY TCP4 1.1.1.1\r\n", JUDGE);
    assert_eq!(look, Some(Detected::Unknown("proxy_address")));
}

#[test]
fn a_held_line_that_no_server_can_confirm_is_unknown() {
    assert_eq!(one(Leg::Client, b"PING\r\n", JUDGE), Some(Detected::Unknown("unrecognised")));
    let mut legs = Legs { detect: Detect::new(true), ..Legs::default() };
    assert_eq!(legs.add(Leg::Client, b"PING\r\n", false, JUDGE), Some(Detected::Redis));
}

#[test]
fn an_observed_line_waits_for_the_servers_answer() {
    let mut legs = Legs::default();
    assert_eq!(legs.add(Leg::Client, b"PING\r\n", false, OBSERVE), None);
    assert_eq!(legs.add(Leg::Server, b"+PONG\r\n", false, OBSERVE), Some(Detected::Redis));
}

#[test]
fn a_line_that_passed_before_enforce_may_still_be_confirmed() {
    let mut legs = Legs::default();
    assert_eq!(legs.add(Leg::Client, b"PING\r\n", false, OBSERVE), None);
    let input = Input { leg: Leg::Client, data: b"PING\r\n", sent: 6, eof: false };
    assert_eq!(legs.detect.look(&input, JUDGE), Look { pass: 0, found: None });
    assert_eq!(legs.add(Leg::Server, b"+PONG\r\n", false, JUDGE), Some(Detected::Redis));
}

#[test]
fn an_open_greeting_passes_only_where_nothing_could_refuse_it() {
    let allow = Settings { unread: ALLOW, ..JUDGE };
    let half = Settings { unread: Unread { refuse_unknown: true, ..ALLOW }, ..JUDGE };
    for (settings, passes) in [(JUDGE, 0), (half, 0), (allow, 3)] {
        let mut legs = Legs::default();
        for byte in b"SSH" {
            assert_eq!(legs.add(Leg::Server, &[*byte], false, settings), None);
        }
        assert_eq!(legs.passed[1], passes);
        let found = legs.add(Leg::Server, b"-2.0-x\r\n", false, settings);
        assert_eq!(found, Some(Detected::ServerFirst(Greeting::Ssh)));
    }
    assert_eq!(one(Leg::Server, b"HTT", allow), None);
    let mut legs = Legs::default();
    assert_eq!(legs.add(Leg::Server, b"HTTP/1", false, allow), None);
    assert_eq!(legs.passed[1], 0, "an unsolicited HTTP response is judged as one");
}

#[test]
fn named_protocols_without_a_parser_are_unsupported() {
    assert!(Detected::Http2.is(Protocol::Http) && Detected::Http2.is(Protocol::Grpc));
    assert!(Detected::ServerFirst(Greeting::Mysql).is_unsupported());
    assert!(!Detected::ServerFirst(Greeting::Other).is_unsupported());
    assert!(!Detected::Unknown("x").is_unsupported());
    assert_eq!(Detected::ServerFirst(Greeting::Mysql).label(), "mysql");
}

#[test]
fn a_hello_gives_its_name_and_protocols() {
    let name = b"\0\0\0\x0c\0\x0a\0\0\x07a.tests";
    let alpn = b"\0\x10\0\x05\0\x03\x02h2";
    let extensions = [&name[..], alpn].concat();
    let mut body = [&[3, 3], &[0; 32][..], &[0, 0, 2, 0x13, 1, 1, 0]].concat();
    body.extend([0, u8::try_from(extensions.len()).unwrap()]);
    body.extend(extensions);
    let len = u8::try_from(body.len()).unwrap();
    let records = [&[22, 3, 1, 0, len + 4, 1, 0, 0, len][..], &body].concat();
    let server_name = Some(Box::from(&b"a.tests"[..]));
    let hello = Hello { server_name, alpn: vec![Box::from(&b"h2"[..])], ech: false };
    assert_eq!(one(Leg::Client, &records, JUDGE), Some(Detected::Tls(hello)));
    let mut bad = records.clone();
    bad[8] += 1;
    bad[4] += 1;
    bad.push(0);
    assert_eq!(one(Leg::Client, &bad, JUDGE), Some(Detected::Malformed("tls_length")));
}

#[test]
fn an_undecided_connection_costs_little() {
    assert!(size_of::<Detect>() <= 256, "{}", size_of::<Detect>());
}
