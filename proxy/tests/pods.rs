//! Pods side by side, each behind the real redirect and a sidecar in enforce, with real servers
//! and clients in them: HTTP, servers that speak first, tunnels, and connections of which half
//! has ended or is gone.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use support::netns::{Network, PROXY_UID, Pod, end_of};
use support::{PATIENCE, Server, Weir, program, read_all, read_until};

/// A policy of one rule, for every peer of the bridge.
fn policy(side: &str, port: u16, rule: &str) -> String {
    let peers = if side == "inbound" { "from" } else { "to" };
    format!(
        "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: t}}\nspec:\n\
         \x20 mode: enforce\n  {side}:\n  - {peers}: [{{cidr: 10.0.0.0/24}}, {{cidr: 'fd00::/64'}}]\n\
         \x20   ports: [{port}]\n    {rule}\n"
    )
}

/// A client's pod and a server's on one bridge, each with a sidecar that governs its side of the
/// traffic between them.
struct Pair {
    network: Network,
    client: Pod,
    server: Pod,
    outbound: Weir,
    inbound: Weir,
    port: u16,
}

impl Pair {
    /// `rule`: protocol and entries, the same on both sides.
    fn new(port: u16, rule: &str) -> Option<Self> {
        Self::of(port, rule, rule)
    }

    fn of(port: u16, outbound: &str, inbound: &str) -> Option<Self> {
        let network = Network::new()?;
        let (client, server) = (network.pod(), network.pod());
        let outbound = client.guarded(&policy("outbound", port, outbound));
        let inbound = server.guarded(&policy("inbound", port, inbound));
        Some(Self { network, client, server, outbound, inbound, port })
    }

    /// Where the server is, by either family.
    fn at(&self) -> [SocketAddr; 2] {
        [self.server.at(self.port), self.server.at6(self.port)]
    }

    /// From the client's pod, through both sidecars.
    fn connect(&self) -> TcpStream {
        self.client.connect(self.server.at(self.port))
    }

    /// curl in the client's pod. Answers its standard output.
    fn curl(&self, args: &[&str]) -> Vec<u8> {
        let mut curl = self.client.command("curl");
        let output = self.client.output(curl.args(["-sS", "--max-time", "60"]).args(args));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}\n{}", self.logs());
        output.stdout
    }

    fn logs(&self) -> String {
        let (outbound, inbound) = (&self.outbound, &self.inbound);
        format!(
            "outbound:\n{}\n{:#?}\ninbound:\n{}\n{:#?}",
            outbound.stderr(),
            outbound.records(),
            inbound.stderr(),
            inbound.records()
        )
    }
}

/// A mebibyte that does not repeat soon.
fn noise() -> Vec<u8> {
    let mut state = 7_u32;
    let step = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(step).take(1 << 20).collect()
}

const WEB: &str = "location = /whoami { default_type text/plain; return 200 $remote_addr; }\n\
                   location /up/ { dav_methods PUT; create_full_put_path on; }";

const READS: &str = "protocol: http\n    allow: [GET /small, GET /whoami]";

#[test]
fn http_is_judged_by_both_sidecars_over_both_families_and_connections_are_kept() {
    let outbound = READS.replace("GET /small", "GET /small, DELETE /small");
    let Some(pair) = Pair::of(80, &outbound, READS) else { return };
    let Some(_nginx) = Server::nginx_in(&pair.server, 80, WEB) else { return };
    for (to, client) in pair.at().into_iter().zip([pair.client.at(0), pair.client.at6(0)]) {
        // Two requests on one connection. The server's client is its own pod's sidecar.
        let (small, whoami) = (format!("http://{to}/small"), format!("http://{to}/whoami"));
        let out = pair.curl(&["-w", ",%{num_connects};", &small, &whoami]);
        let expected = format!("small\n,1;{},0;", to.ip());
        assert_eq!(String::from_utf8_lossy(&out), expected);
        // What the client's sidecar lets out, the server's does not let in; and the other way.
        let status = ["-o", "/dev/null", "-w", "%{http_code}"];
        assert_eq!(pair.curl(&[&status[..], &["-X", "DELETE", &small]].concat()), b"403");
        assert_eq!(pair.curl(&[&status[..], &["-X", "PUT", "-d", "", &small]].concat()), b"403");

        // Each log has the side, and the real addresses of client and server.
        let is = |record: &serde_json::Value, op: &str, side: &str| {
            record["op"] == op
                && record["side"] == side
                && record["server"].as_str() == Some(&to.to_string())
                && record["client"].as_str().unwrap().parse::<SocketAddr>().unwrap().ip()
                    == client.ip()
        };
        for (weir, side) in [(&pair.outbound, "outbound"), (&pair.inbound, "inbound")] {
            weir.record("logged", |record| is(record, "GET /small", side));
        }
        let refused = |record: &serde_json::Value| record["verdict"] == "refused";
        pair.inbound.record("refused", |r| refused(r) && is(r, "DELETE /small", "inbound"));
        pair.outbound.record("refused", |r| refused(r) && is(r, "PUT /small", "outbound"));
    }
    assert!(pair.inbound.records().iter().all(|record| record["op"] != "PUT /small"));
}

#[test]
fn a_hundred_mebibytes_pass_in_both_directions_unchanged() {
    let rule = "protocol: http\n    allow: [GET /up/big, PUT /up/big]";
    let Some(pair) = Pair::new(80, rule) else { return };
    let Some(nginx) = Server::nginx_in(&pair.server, 80, WEB) else { return };
    let (noise, dir) = (noise(), tempfile::tempdir().unwrap());
    readable_by_all(dir.path());
    let file = dir.path().join("big");
    std::fs::write(&file, noise.repeat(100)).unwrap();
    let [v4, v6] = pair.at().map(|at| format!("http://{at}/up/big"));
    pair.curl(&["-f", "-T", file.to_str().unwrap(), &v4]);
    let same = |bytes: &[u8]| {
        bytes.len() == 100 << 20 && bytes.chunks(1 << 20).all(|chunk| chunk == noise)
    };
    assert!(same(&std::fs::read(nginx.dir().join("up/big")).unwrap()), "the upload was changed");
    assert!(same(&pair.curl(&["-f", &v6])), "the download was changed");
    for weir in [&pair.outbound, &pair.inbound] {
        weir.record("read", |r| {
            r["op"] == "PUT /up/big" && r["bytes_in"].as_u64() > Some(100 << 20)
        });
        weir.record("read", |r| {
            r["op"] == "GET /up/big" && r["bytes_out"].as_u64() > Some(100 << 20)
        });
    }
}

fn readable_by_all(path: &Path) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_server_that_speaks_first_is_heard_before_its_client_has_spoken() {
    let Some(pair) = Pair::new(22, "protocol: opaque") else { return };
    let Some(ssh) = Ssh::start(&pair.server) else { return };
    let mut silent = pair.connect();
    assert!(read_until(&mut silent, b"\r\n").starts_with(b"SSH-2.0-"));
    // And a whole session of the real client.
    let output = pair.client.output(&mut ssh.client(&pair.server, "echo through two sidecars"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.stdout, b"through two sidecars\n", "{said}\n{}", pair.logs());
    for weir in [&pair.outbound, &pair.inbound] {
        weir.record("logged", |r| r["port"] == 22 && r["complete"] == true);
    }
}

/// sshd with keys of its own, for one session as root.
struct Ssh {
    server: Server,
}

impl Ssh {
    fn start(pod: &Pod) -> Option<Self> {
        let (sshd, _) = (program("sshd")?, program("ssh")?);
        let dir = tempfile::tempdir().unwrap();
        for key in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(dir.path().join(key));
            assert!(keygen.status().unwrap().success());
        }
        // Debian's sshd wants it, and its service makes it.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let root = dir.path().display();
        let config = format!(
            "Port 22\nHostKey {root}/host\nAuthorizedKeysFile {root}/user.pub\nStrictModes no\n\
             UsePAM no\nPermitRootLogin yes\nPidFile none\n"
        );
        std::fs::write(dir.path().join("sshd_config"), config).unwrap();
        let mut command = Command::new(sshd);
        command.args(["-D", "-e", "-f"]).arg(dir.path().join("sshd_config"));
        command.stderr(Stdio::null());
        let at = SocketAddr::from(([127, 0, 0, 1], 22));
        Some(Self { server: Server::start(Some(pod), command, dir, at) })
    }

    /// As root, who alone can read the key.
    fn client(&self, to: &Pod, remote: &str) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"]);
        ssh.args(["-o", "UserKnownHostsFile=/dev/null", "-o", "ConnectTimeout=20", "-i"]);
        ssh.arg(self.server.dir().join("user")).arg(format!("root@{}", to.v4)).arg(remote);
        ssh
    }
}

const CHAT: &str = "protocol: http\n    allow: [{op: GET /chat, upgrade: websocket}]";

/// Answers the upgrade, then sends back what it gets.
fn chat(mut stream: TcpStream) {
    let head = read_until(&mut stream, b"\r\n\r\n");
    assert!(head.starts_with(b"GET /chat "));
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                  Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    stream.write_all(answer.as_bytes()).unwrap();
    let mut frame = [0; 64];
    while let Ok(n @ 1..) = stream.read(&mut frame) {
        stream.write_all(&frame[..n]).unwrap();
    }
}

#[test]
fn a_websocket_outlives_silence_and_reloads_until_the_policy_forbids_it() {
    let Some(pair) = Pair::new(80, CHAT) else { return };
    pair.server.serve(80, chat);
    let mut stream = pair.connect();
    let request = "GET /chat HTTP/1.1\r\nHost: shop\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert!(read_until(&mut stream, b"\r\n\r\n").starts_with(b"HTTP/1.1 101 "));
    let mut says = |text: &[u8]| {
        // A masked text frame of a client, and the same bytes back.
        let frame = [&[0x81, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0], text].concat();
        stream.write_all(&frame)?;
        let mut echo = vec![0; frame.len()];
        stream.read_exact(&mut echo)?;
        assert_eq!(echo, frame);
        std::io::Result::Ok(())
    };
    says(b"hello").unwrap();
    let with_more = CHAT.replace("[", "[GET /more, ");
    pair.inbound.reload(&policy("inbound", 80, &with_more));
    pair.outbound.reload(&policy("outbound", 80, &with_more));
    thread::sleep(Duration::from_secs(5));
    says(b"still here").unwrap();
    pair.inbound.reload(&policy("inbound", 80, "protocol: http\n    allow: [GET /more]"));
    assert!(says(b"not any more").is_err(), "{}", pair.logs());
}

#[test]
fn the_end_of_one_direction_is_passed_on_and_the_other_goes_on() {
    let Some(pair) = Pair::new(7000, "protocol: opaque") else { return };
    // Counts what comes until it ends, then answers; says goodbye first where it is told to.
    pair.server.serve(7000, |mut stream| {
        let mut first = [0; 1];
        stream.read_exact(&mut first).unwrap();
        if first[0] == b's' {
            stream.write_all(b"bye").unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        }
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        let _ = stream.write_all(rest.len().to_string().as_bytes());
        // The next connection is told what this one had sent after the server's end.
        if first[0] == b's' {
            assert_eq!(rest, b"after the server's end");
        }
    });
    let mut stream = pair.connect();
    stream.write_all(b"cthe client ends").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(read_all(&mut stream), b"15");

    let mut stream = pair.connect();
    stream.write_all(b"s").unwrap();
    assert_eq!(read_all(&mut stream), b"bye");
    stream.write_all(b"after the server's end").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let bytes = "after the server's end".len() as u64 + 1;
    let whole = |record: &serde_json::Value| {
        record["bytes_in"] == bytes && record["bytes_out"] == 3 && record["complete"] == true
    };
    pair.inbound.record("whole at its end", whole);
    pair.outbound.record("whole at its end", whole);
}

#[test]
fn a_peer_that_is_gone_without_a_word_is_given_up_when_data_stays_unacknowledged() {
    let Some(pair) = Pair::new(7000, "protocol: opaque") else { return };
    // As many retransmissions as the kernel of a pod is told to try.
    for pod in [&pair.client, &pair.server] {
        pod.sysctl("net/ipv4/tcp_retries2", "3");
    }
    let (told, end) = channel();
    let (go, cut) = channel();
    let cut = Mutex::new(cut);
    pair.server.serve(7000, move |mut stream| {
        stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
        stream.write_all(b"hello").unwrap();
        cut.lock().unwrap().recv().unwrap();
        let _ = stream.write_all(b"nobody will acknowledge this");
        told.send(end_of(&mut stream)).unwrap();
    });
    let mut stream = pair.connect();
    assert_eq!(&read_until(&mut stream, b"hello"), b"hello");
    let timers = pair.server.run("ss", &["-Htno", "state", "established"]);
    // Both legs of the sidecar, and the server's own socket.
    let probed = timers.lines().filter(|line| line.contains("timer:(keepalive,")).count();
    assert_eq!((timers.lines().count(), probed), (3, 2), "{timers}");

    pair.network.cut(&pair.client);
    go.send(()).unwrap();
    stream.write_all(b"nor this").unwrap();
    stream.set_read_timeout(Some(PATIENCE * 2)).unwrap();
    let at_client = end_of(&mut stream);
    let at_server = end.recv_timeout(PATIENCE * 2).unwrap();
    for (side, at) in [("client", at_client), ("server", at_server)] {
        let ended = [ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof].contains(&at);
        assert!(ended, "{side}: {at:?}");
    }
}

#[test]
fn peers_are_told_apart_by_their_real_addresses() {
    let Some(network) = Network::new() else { return };
    let (friend, stranger, server) = (network.pod(), network.pod(), network.pod());
    let only = policy("inbound", 7000, "protocol: opaque").replace("10.0.0.0/24", "10.0.0.1/32");
    let weir = server.guarded(&only.replace("fd00::/64", "fd00::1/128"));
    server.serve(7000, |mut stream| stream.write_all(b"welcome").unwrap());
    for to in [server.at(7000), server.at6(7000)] {
        assert_eq!(read_all(&mut friend.connect(to)), b"welcome");
        // The handshake succeeds, because the redirect takes it. Nothing else does.
        assert_eq!(stranger.refusal(to), ErrorKind::ConnectionReset);
    }
    let from = |record: &serde_json::Value, address: &str| {
        record["client"].as_str().unwrap().starts_with(address)
    };
    for address in ["10.0.0.2:", "[fd00::2]:"] {
        let record = weir.record("refused", |r| r["verdict"] == "refused" && from(r, address));
        assert_eq!(record["reason"], "no_rule");
    }
    assert_eq!(weir.metric("weir_dials_total result=\"connected\""), 2.0);
}

#[test]
fn weirs_own_ports_cannot_be_used_from_another_pod() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    let weir = server.guarded("");
    for port in [weir::defaults::INBOUND_PORT, weir::defaults::OUTBOUND_PORT] {
        for to in [server.at(port), server.at6(port)] {
            assert_eq!(client.refusal(to), ErrorKind::ConnectionReset, "{to}");
        }
    }
    weir.until("logged", || {
        weir.records().iter().filter(|r| r["verdict"] == "refused").count() == 4
    });
    assert_eq!(weir.metric("weir_dials_total"), 0.0);
}

#[test]
fn every_user_but_the_proxys_own_is_guarded() {
    let Some(network) = Network::new() else { return };
    let (client, server) = (network.pod(), network.pod());
    let nothing = "apiVersion: weir.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: t}\n\
                   spec: {outbound: []}\n";
    let weir = client.guarded(nothing);
    let Some(_nginx) = Server::nginx_in(&server, 80, "") else { return };
    let passes = |uid: u32, at: SocketAddr| {
        let mut curl = client.command("curl");
        curl.uid(uid).args(["-fsS", "--max-time", "10"]).arg(format!("http://{at}/small"));
        client.output(&mut curl).status.success()
    };
    for at in [server.at(80), server.at6(80)] {
        for uid in [0, 1, 1000, PROXY_UID - 1, PROXY_UID + 1] {
            assert!(!passes(uid, at), "{uid} reaches {at}");
        }
        // Which is why an application must not run as this user, nor be able to become it.
        assert!(passes(PROXY_UID, at));
    }
    weir.until("logged", || {
        weir.records().iter().filter(|r| r["reason"] == "no_rule").count() == 10
    });
}

#[test]
fn the_control_socket_answers_the_proxys_user_and_root_alone() {
    let Some(network) = Network::new() else { return };
    let pod = network.pod();
    let weir = pod.guarded("");
    let socket = weir.dir().join("weir.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    // So that it is the socket that refuses, not the directory.
    readable_by_all(weir.dir());
    let mode = |uid: u32, set: &str| {
        let mut command = pod.command(pod.program());
        command.uid(uid).gid(uid).args(["mode", "--socket"]).arg(&socket).arg(set);
        pod.output(&mut command)
    };
    let refused = mode(1000, "monitor");
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("ermission denied"), "{refused:?}");
    for uid in [PROXY_UID, 0] {
        assert!(mode(uid, "show").status.success());
    }
}
