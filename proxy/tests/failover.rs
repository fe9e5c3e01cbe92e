//! Redis with replicas and Sentinels, each node in a pod behind the real redirect, all traffic
//! between them judged: what an operator must set is in docs/redis.md.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod support;

use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::netns::{Network, Pod};
use support::{PATIENCE, Server, Weir, program};

/// The page that tells how: its policies are those of the test.
const PAGE: &str = include_str!("../../docs/redis.md");

/// The policy of this name on the page.
fn policy(name: &str) -> &'static str {
    let blocks = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let named = format!("metadata: {{name: {name}}}");
    blocks.into_iter().find(|block| block.contains(&named)).unwrap()
}

/// A node of the store: Redis, a Sentinel and a sidecar in one pod.
struct Node {
    redis: Server,
    sentinel: Server,
    weir: Weir,
    pod: Pod,
}

/// Starts a Redis or a Sentinel with this configuration in a directory of its own, which it may
/// rewrite.
fn start(pod: &Pod, port: u16, config: &str, mode: &[&str]) -> Server {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("redis.conf");
    let root = dir.path().display();
    std::fs::write(&file, format!("dir {root}\nprotected-mode no\n{config}")).unwrap();
    let mut command = Command::new("redis-server");
    command.arg(&file).args(["--port", &port.to_string()]).args(mode).stdout(Stdio::null());
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    Server::start(Some(pod), command, dir, at)
}

fn redis(pod: &Pod, master: Option<&Pod>) -> Server {
    let replicaof = master.map_or_else(String::new, |pod| format!("replicaof {} 6379\n", pod.v4));
    // A master sees its replicas come from its own address: they must say where they are.
    let announce = pod.v4;
    let config = format!(
        "save \"\"\nrepl-diskless-sync-delay 0\nreplica-announce-ip {announce}\n{replicaof}"
    );
    start(pod, 6379, &config, &[])
}

fn sentinel(pod: &Pod, master: &Pod) -> Server {
    let config = format!(
        "logfile log\nsentinel monitor shop {} 6379 2\n\
         sentinel down-after-milliseconds shop 2000\nsentinel failover-timeout shop 4000\n",
        master.v4
    );
    start(pod, 26379, &config, &["--sentinel"])
}

struct Store {
    nodes: Vec<Node>,
    client: Pod,
    shop: Weir,
    network: Network,
}

impl Store {
    fn open() -> Option<Self> {
        let _ = (program("redis-server")?, program("redis-cli")?);
        let network = Network::new()?;
        let pods: Vec<_> = (0..3).map(|_| network.pod()).collect();
        let sidecars: Vec<_> = pods.iter().map(|pod| pod.guarded(policy("store"))).collect();
        let redis: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(n, pod)| redis(pod, (n > 0).then_some(&pods[0])))
            .collect();
        let sentinels: Vec<_> = pods.iter().map(|pod| sentinel(pod, &pods[0])).collect();
        let client = network.pod();
        let shop = client.guarded(policy("shop"));
        let nodes = pods.into_iter().zip(sidecars).zip(redis).zip(sentinels);
        let nodes = nodes
            .map(|(((pod, weir), redis), sentinel)| Node { redis, sentinel, weir, pod })
            .collect();
        Some(Self { nodes, client, shop, network })
    }

    /// What redis-cli in the client's pod prints, from a node's server.
    fn cli(&self, node: usize, port: u16, words: &[&str]) -> String {
        let mut cli = self.client.command("redis-cli");
        cli.args(["-h", &self.nodes[node].pod.v4.to_string(), "-p", &port.to_string()]);
        let output = self.client.output(cli.args(words));
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
    }

    /// What a node's own redis-cli prints, past the sidecar.
    fn inside(&self, node: usize, port: u16, words: &[&str]) -> String {
        let port = port.to_string();
        self.nodes[node].pod.run("redis-cli", &[&["-p", port.as_str()][..], words].concat())
    }

    /// The node that a Sentinel names as the master, asked through the sidecars.
    fn master(&self, sentinel: usize) -> Option<usize> {
        let said = self.cli(sentinel, 26379, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "shop"]);
        let address = said.lines().next()?.parse().ok();
        self.nodes.iter().position(|node| Some(node.pod.v4) == address)
    }

    fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let end = Instant::now() + 2 * PATIENCE;
        while !done() {
            assert!(Instant::now() < end, "not {what}\n{}", self.known());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// All that a failing test should say: each node's view, and what was refused.
    fn known(&self) -> String {
        let mut text = String::new();
        for (n, node) in self.nodes.iter().enumerate() {
            let refused: Vec<_> = node
                .weir
                .records()
                .into_iter()
                .filter(|record| record["verdict"] == "refused")
                .map(|record| format!("{} {} {}", record["side"], record["op"], record["reason"]))
                .collect();
            let said = node.weir.stderr();
            let sentinel = std::fs::read_to_string(node.sentinel.dir().join("log")).unwrap();
            text += &format!("node {n}: refused {refused:#?}\n{said}\n{sentinel}\n");
        }
        text
    }
}

#[test]
fn sentinels_fail_over_through_the_sidecars_and_clients_that_ask_them_go_on() {
    let Some(mut store) = Store::open() else { return };
    // Each Sentinel has found the others and the replicas, where they are.
    for n in 0..3 {
        store.until("known to every Sentinel", || {
            let master = store.inside(n, 26379, &["SENTINEL", "MASTER", "shop"]);
            let lines: Vec<_> = master.lines().collect();
            let has = |name, value| lines.windows(2).any(|pair| pair == [name, value]);
            has("num-slaves", "2") && has("num-other-sentinels", "2")
        });
    }
    let replicas = store.inside(0, 26379, &["SENTINEL", "REPLICAS", "shop"]);
    for node in &store.nodes[1..] {
        assert!(replicas.contains(&node.pod.v4.to_string()), "{replicas}");
    }
    assert_eq!(store.master(1), Some(0));
    assert_eq!(store.cli(0, 6379, &["SET", "cart:1", "apple"]), "OK\n");
    // What no entry names is refused by the client's own sidecar.
    let refused = store.cli(0, 6379, &["FLUSHALL"]);
    assert!(refused.starts_with("NOPERM"), "{refused}");
    for replica in [1, 2] {
        store.until("replicated", || store.cli(replica, 6379, &["GET", "cart:1"]) == "apple\n");
    }

    // The server dies, its pod and sidecar stay: a handshake with its port succeeds still.
    store.nodes[0].redis.kill();
    let mut next = 0;
    store.until("promoted", || {
        next = store.master(1).unwrap();
        next != 0 && store.cli(next, 6379, &["SET", "cart:1", "pear"]) == "OK\n"
    });
    let other = 3 - next;
    store.until("replicated anew", || store.cli(other, 6379, &["GET", "cart:1"]) == "pear\n");

    // The old master comes back as a replica.
    store.nodes[0].redis = redis(&store.nodes[0].pod, None);
    store.until("a replica", || store.cli(0, 6379, &["GET", "cart:1"]) == "pear\n");

    // Now the master's whole pod vanishes, Sentinel and sidecar with it.
    store.network.cut(&store.nodes[next].pod);
    let mut last = next;
    store.until("promoted again", || {
        last = store.master(other).unwrap();
        last != next && store.cli(last, 6379, &["SET", "cart:1", "plum"]) == "OK\n"
    });

    // All of that was read, by both sides, and what no entry names was refused.
    store.shop.record("logged", |r| r["op"] == "SET cart:{int}" && r["side"] == "outbound");
    // A Sentinel promotes a server of its own pod, or of another: that is one side or both.
    for side in ["inbound", "outbound"] {
        store.until("read", || {
            let told = |r: serde_json::Value| r["op"] == "SLAVEOF" && r["side"] == side;
            store.nodes.iter().any(|node| node.weir.records().into_iter().any(told))
        });
    }
    for node in &store.nodes {
        let refused = |record: &serde_json::Value| record["verdict"] == "refused";
        assert!(!node.weir.records().iter().any(refused), "{}", store.known());
        assert_eq!(node.weir.metric("weir_connections_total outcome=\"fault\""), 0.0);
    }
}
