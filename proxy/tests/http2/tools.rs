//! curl, nghttp and h2load, before h2 and nginx.

use std::net::SocketAddr;
use std::process::Command;

use crate::scene::{WEB, each_way, guard_patiently, guard_web};
use crate::support::{Server, program};
use crate::web::Web;

/// What a program says on both its outputs.
fn said(name: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program(name)?).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Some(text(&output.stdout) + &text(&output.stderr))
}

/// One URL at a time: curl 7.88 cannot use such a connection again.
fn curl(arguments: &[&str]) -> Option<String> {
    let all = ["--http2-prior-knowledge", "--silent", "--show-error", "--max-time", "15", "-i"];
    said("curl", &[&all, arguments].concat())
}

/// nghttp gives up by itself, but not early.
fn nghttp(arguments: &[&str]) -> Option<String> {
    said("nghttp", &[&["--timeout=15"], arguments].concat())
}

fn url(at: SocketAddr, path: &str) -> String {
    format!("http://{at}{path}")
}

#[test]
fn curl_and_nghttp_meet_nginx() {
    let Some(nginx) = Server::nginx_http2("location = /ok { return 200 ok; }") else { return };
    each_way("http", nginx.at, |at| async move {
        let ok = url(at, "/ok");
        let Some(answer) = curl(&[&ok]) else { return };
        assert!(answer.starts_with("HTTP/2 200") && answer.ends_with("\r\n\r\nok"), "{answer}");
        let answer = curl(&["-I", &ok]).unwrap();
        assert!(
            answer.starts_with("HTTP/2 200") && answer.contains("content-length: 2"),
            "{answer}"
        );
        // With its priorities of streams that nobody opens.
        let Some(answer) = nghttp(&["--multiply=50", "--verbose", &ok]) else {
            return;
        };
        assert_eq!(answer.matches(":status: 200").count(), 50, "{answer}");
        let Some(answer) = nghttp(&["--no-dep", "--header-table-size=0", "--padding=100", &ok])
        else {
            return;
        };
        assert_eq!(answer, "ok");
    });
}

#[test]
fn curl_and_nghttp_upload() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let dir = tempfile::tempdir().unwrap();
        let (file, got) = (dir.path().join("body"), dir.path().join("got"));
        std::fs::write(&file, crate::scene::noise(1, 3 << 20)).unwrap();
        let (path, echo) = (file.to_str().unwrap(), url(at, "/echo"));
        let data = format!("@{path}");
        let out = ["-o", got.to_str().unwrap(), "--no-include"];
        let Some(answer) = curl(&[&out[..], &["--data-binary", &data, &echo]].concat()) else {
            return;
        };
        assert!(std::fs::read(&got).unwrap() == std::fs::read(&file).unwrap(), "{answer}");
        let Some(answer) = nghttp(&["--stat", "--null-out", "--data", path, &echo]) else { return };
        assert!(answer.contains(" 200 ") && answer.contains("3M /echo"), "{answer}");
    });
}

#[test]
fn curl_and_nghttp_are_told_of_refusals() {
    let web = Web::start();
    let weir = guard_web(web.at);
    let (ok, private) = (url(weir.at(), "/ok"), url(weir.at(), "/private"));
    // nghttp asks for one URL once.
    let again = url(weir.at(), "/ok?again");
    for arguments in
        [&[&*private][..], &["-I", &private], &["-d", "x", &private], &["-d", "x", &ok]]
    {
        let Some(answer) = curl(arguments) else { return };
        assert!(answer.starts_with("HTTP/2 403"), "{arguments:?}: {answer}");
        assert!(!answer.contains("curl:"), "{arguments:?}: {answer}");
    }
    assert!(curl(&[&ok]).unwrap().starts_with("HTTP/2 200"));
    let Some(answer) = nghttp(&["--verbose", &ok, &private, &again]) else { return };
    assert_eq!(answer.matches(":status: 200").count(), 2, "{answer}");
    assert_eq!(answer.matches(":status: 403").count(), 1, "{answer}");
    assert!(!web.received().iter().any(|received| received.path == "/private"));
}

#[test]
fn h2load_has_all_its_requests_answered() {
    let web = Web::start();
    each_way("http", web.at, |at| async move {
        let url = url(at, "/bytes/3000");
        let Some(answer) = said("h2load", &["-n", "4000", "-c", "4", "-m", "100", &url]) else {
            return;
        };
        assert!(answer.contains("4000 succeeded, 0 failed"), "{answer}");
        assert!(answer.contains("4000 2xx, 0 3xx, 0 4xx, 0 5xx"), "{answer}");
    });
}

#[test]
fn h2load_has_what_is_not_allowed_refused() {
    let web = Web::start();
    let weir = guard_patiently("http", WEB, web.at);
    let (ok, private) = (url(weir.at(), "/ok"), url(weir.at(), "/private"));
    let load = ["-n", "2000", "-c", "2", "-m", "50", &ok, &private];
    let Some(answer) = said("h2load", &load) else { return };
    assert!(answer.contains("1000 2xx, 0 3xx, 1000 4xx, 0 5xx"), "{answer}");
    assert_eq!(web.received().len(), 1000);
}
