use super::*;

const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn with_header(header: &[u8], behind: &[Run]) -> (Detection, Option<proxy::Header>) {
    let mut runs = vec![client(header)];
    runs.extend_from_slice(behind);
    let whole = feed(&runs, 1 << 15, true, || usize::MAX);
    assert_eq!(whole, feed(&runs, 1 << 15, true, || 1));
    whole
}

#[test]
fn version_1_is_read_and_detection_goes_on_behind_it() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n";
    let (found, header) = with_header(line, &[client(b"GET / HTTP/1.1\r\n")]);
    assert_eq!(found, Detection::Http1);
    let header = header.unwrap();
    assert_eq!((header.version, header.len), (proxy::Version::V1, line.len()));
    assert_eq!(header.source, "192.0.2.1:4711".parse().ok());
    assert_eq!(header.destination, "198.51.100.7:443".parse().ok());

    let (found, header) = with_header(b"PROXY TCP6 ::1 2001:db8::1 0 65535\r\n", &[]);
    assert_eq!(found, MORE);
    assert_eq!(header.unwrap().source, "[::1]:0".parse().ok());
    assert_eq!(with_header(b"PROXY UNKNOWN\r\n", &[]).1.unwrap().source, None);
    assert!(with_header(b"PROXY UNKNOWN ff..f whatever 1\r\n", &[]).1.is_some());
}

#[test]
fn a_server_may_speak_first_behind_a_header() {
    let (found, _) = with_header(b"PROXY UNKNOWN\r\n", &[server(b"SSH-2.0-x\r\n")]);
    assert_eq!(found, Detection::ServerFirst(Greeting::Ssh));
}

#[test]
fn version_2_is_read_with_what_follows_its_addresses() {
    let v4 = [V2, b"\x21\x11\x00\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x00\x50\x04\0\0"];
    let (found, header) = with_header(&v4.concat(), &[client(b"*1\r\n$4\r\n")]);
    assert_eq!(found, Detection::Redis);
    let header = header.unwrap();
    assert_eq!((header.version, header.len), (proxy::Version::V2, 31));
    assert_eq!(header.source, "1.2.3.4:4096".parse().ok());
    assert_eq!(header.destination, "5.6.7.8:80".parse().ok());

    let v6 = [V2, b"\x21\x21\x00\x24", &[0; 15], &[1], &[0; 15], &[2], &[0, 1, 0, 2]];
    assert_eq!(with_header(&v6.concat(), &[]).1.unwrap().destination, "[::2]:2".parse().ok());
    let local = [V2, b"\x20\x00\x00\x00"].concat();
    assert_eq!(with_header(&local, &[client(b"\x80")]).0, UNRECOGNISED);
}

#[test]
fn malformed_headers_are_unknown() {
    use proxy::Reason::{Address, Family, Line};
    let long = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93], b"\r\n"].concat();
    for (bytes, reason) in [
        (&b"PROXY / HTTP/1.1\r\n"[..], Family),
        (b"PROXY UDP4 1.1.1.1 2.2.2.2 1 2\r\n", Family),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx", Line),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", Address),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", Address),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 01 2\r\n", Address),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 +1 2\r\n", Address),
        (b"PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", Address),
        (b"PROXY TCP4 1.1.1.01 2.2.2.2 1 2\r\n", Address),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", Address),
        (b"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", Address),
        (&long, Line),
    ] {
        let unknown = Detection::Unknown(Unknown::Proxy(reason));
        assert_eq!(with_header(bytes, &[]), (unknown, None), "{}", bytes.escape_ascii());
    }
    for (tail, reason) in [
        (b"\x11\x11\x00\x0c", Family),
        (b"\x22\x11\x00\x0c", Family),
        (b"\x21\x41\x00\x0c", Family),
        (b"\x21\x13\x00\x0c", Family),
        (b"\x21\x11\x00\x0b", Address),
    ] {
        let unknown = Detection::Unknown(Unknown::Proxy(reason));
        assert_eq!(with_header(&[V2, tail].concat(), &[]), (unknown, None), "{tail:?}");
    }
}

#[test]
fn every_truncation_of_a_header_is_undecided() {
    for header in [
        b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n".to_vec(),
        [V2, b"\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x10\x00\x00\x50"].concat(),
    ] {
        for n in 0..header.len() {
            assert_eq!(with_header(&header[..n], &[]), (MORE, None), "{n}");
        }
        assert!(with_header(&header, &[]).1.is_some());
    }
}

#[test]
fn a_second_header_is_not_one() {
    let (found, _) = with_header(b"PROXY UNKNOWN\r\n", &[client(b"PROXY UNKNOWN\r\n")]);
    assert_eq!(found, MORE, "a line like any other");
    let (found, _) = with_header(b"PROXY UNKNOWN\r\n", &[client(V2), client(b"\x20\0\0\0")]);
    assert_eq!(found, UNRECOGNISED);
}
