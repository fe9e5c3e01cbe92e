//! Weir is nobody's way to another machine.

mod support;

use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use support::netns::Network;

/// A peer on the link sends what is for somebody else to the pod: without Weir the pod's kernel
/// throws it away, so Weir must not carry it there.
#[test]
fn what_a_peer_sends_through_the_pod_goes_nowhere() {
    let Some(network) = Network::new() else { return };
    let (pod, peer, elsewhere) = (network.pod(), network.pod(), network.pod());
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    elsewhere.serve(8080, move |_| {
        count.fetch_add(1, SeqCst);
    });
    pod.init(&[]);
    let weir = pod.weir("learn", "", &[]);
    let (to, to6) = (elsewhere.at(8080), elsewhere.at6(8080));
    for (ip, via) in [(to, pod.at(0)), (to6, pod.at6(0))] {
        let (ip, via) = (ip.ip().to_string(), via.ip().to_string());
        peer.run("ip", &["route", "add", &ip, "via", &via]);
    }
    for to in [to, to6] {
        let mut stream = peer.connect(to);
        assert!(stream.read(&mut [0]).is_err(), "{to}: not reset");
    }
    assert_eq!(seen.load(SeqCst), 0);
    for to in [to, to6] {
        let to = to.to_string();
        let record = weir.record(&to, |record| record["server"] == *to);
        assert_eq!(record["verdict"], "refused", "{record}");
        assert_eq!(record["reason"], "not_local", "{record}");
    }
}
