//! Upgrades and tunnels.

use super::*;

const SWITCH: &str = "HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n";

fn upgrade(token: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: {token}\r\n\r\n")
}

#[test]
fn an_upgrade_waits_for_the_server_and_is_opaque_then() {
    for judge in [true, false] {
        let mut driver = judged(Refusal::Close);
        driver.judge = judge;
        driver.client(upgrade("websocket"));
        driver.client("frames, not HTTP");
        if judge {
            assert_eq!(driver.to_server(), upgrade("websocket"));
        }
        driver.server(format!("{SWITCH}frames"));
        assert!(driver.opaque);
        assert_eq!(driver.to_server(), upgrade("websocket") + "frames, not HTTP");
        assert_eq!(driver.to_client(), format!("{SWITCH}frames"));
        assert_eq!(words(&driver.records.started), ["GET /ws unread upgraded"]);
        driver.server("more");
        let record = driver.close()[0].clone();
        assert_eq!(words(std::slice::from_ref(&record)), ["GET /ws unread upgraded +"]);
        assert_eq!(record.bytes_in, driver.to_server().len() as u64);
        assert_eq!(record.bytes_out, driver.to_client().len() as u64);
    }
}

#[test]
fn a_declined_upgrade_goes_on_as_http() {
    let mut driver = judged(Refusal::Close);
    driver.client(upgrade("websocket") + &get("/evil"));
    assert_eq!(driver.to_server(), upgrade("websocket"));
    driver.server(OK);
    assert_eq!(driver.to_server(), upgrade("websocket"));
    assert_eq!(driver.to_client(), OK.to_owned() + &last_problem("403 Forbidden", 2));
}

#[test]
fn only_an_offered_protocol_can_be_switched_to() {
    let mut driver = judged(Refusal::Close);
    driver.client(upgrade("foo/1, bar"));
    driver.server(SWITCH);
    assert_eq!(driver.to_client(), last_problem("502 Bad Gateway", 1));
    let mut driver = judged(Refusal::Close);
    driver.client(upgrade("websocket"));
    driver.server("HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n");
    assert_eq!(driver.to_client(), last_problem("502 Bad Gateway", 1));
    let mut driver = judged(Refusal::Close);
    driver.client(upgrade("foo/1, websocket"));
    driver.server(SWITCH);
    assert!(driver.opaque);
}

#[test]
fn connect_becomes_a_tunnel_or_not() {
    let connect = "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut driver = judged(Refusal::Close);
    driver.client(format!("{connect}\x16\x03\x01"));
    assert_eq!(driver.to_server(), connect);
    driver.server("HTTP/1.1 200 OK\r\n\r\nbytes");
    assert_eq!(driver.to_server(), format!("{connect}\x16\x03\x01"));
    assert!(driver.opaque && driver.to_client().ends_with("bytes"));
    assert_eq!(words(driver.close()), ["CONNECT  unread tunnel +"]);
    let mut driver = judged(Refusal::Close);
    driver.client(format!("{connect}{}", get("/b")));
    driver.server("HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n");
    assert!(!driver.opaque);
    assert_eq!(driver.to_server(), format!("{connect}{}", get("/b")));
}

#[test]
fn a_switch_behind_other_requests_waits_its_turn() {
    let mut driver = judged(Refusal::Close);
    driver.client(get("/a") + &upgrade("websocket") + "frames");
    driver.server(OK);
    assert!(!driver.to_server().ends_with("frames"));
    driver.server(SWITCH);
    assert!(driver.to_server().ends_with("frames"));
}
