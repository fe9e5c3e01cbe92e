//! The policy file: every error has a place in the file, and what loads decides.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use libfuzzer_sys::fuzz_target;
use weir_policy::decide::{Mode, Snapshot};
use weir_policy::op::{Endpoint, HttpOp, Keys, Operation, RedisOp, Script, Side, TlsOp};
use weir_policy::{Addresses, Date, Defaults, parse};

fuzz_target!(|text: &str| {
    let policies = match parse("fuzz.yaml", text) {
        Ok(policies) => policies,
        Err(errors) => {
            // YAML breaks lines at CR, at LF, and at both.
            let lines = text.matches(['\r', '\n']).count() as u32 + 1;
            for error in &errors.0 {
                assert!((1..=lines).contains(&error.at.line), "{error}");
                assert!(error.at.column >= 1, "{error}");
            }
            return;
        }
    };
    let defaults = Defaults { mode: Mode::Enforce, today: Date::new(2026, 1, 1).expect("a day") };
    let mut addresses = Addresses::default();
    addresses.insert("redis.shop.svc", vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    let Ok(snapshot) = Snapshot::compile(policies, &defaults, &addresses) else { return };
    for side in [Side::Inbound, Side::Outbound] {
        for port in [80, 443, 6379, 8080] {
            let endpoint = Endpoint { side, peer: IpAddr::V4(Ipv4Addr::LOCALHOST), port };
            decide(&snapshot, &endpoint, text);
        }
    }
});

/// Asks of operations whose parts come from the file, so that some of them match.
fn decide(snapshot: &Snapshot, endpoint: &Endpoint, text: &str) {
    let rules = snapshot.admit(endpoint).rules;
    let words = || text.split(['"', ' ', '\n', ',']).filter(|word| !word.is_empty());
    for (method, path) in words().zip(words().skip(1)).take(50) {
        let http = Operation::Http(HttpOp {
            method: method.as_bytes(),
            authority: Some(b"cart.shop"),
            path: path.as_bytes(),
            upgrade: None,
            override_header: None,
        });
        let keys: [&[u8]; 1] = [path.as_bytes()];
        let none: [&[u8]; 0] = [];
        let redis = Operation::Redis(RedisOp {
            databases: &[0],
            command: method.as_bytes(),
            subcommand: None,
            keys: Keys::Known(&keys),
            channels: Keys::Known(&none),
            script: Script::None,
        });
        let tls = Operation::Tls(TlsOp { sni: Some(path.as_bytes()) });
        for operation in [&http, &redis, &tls, &Operation::Connection] {
            let first = snapshot.decide(&rules, endpoint, operation);
            assert_eq!(first, snapshot.decide(&rules, endpoint, operation));
        }
    }
}
