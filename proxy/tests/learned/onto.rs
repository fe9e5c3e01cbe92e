//! `weir policy from-profile --onto`: what is new is added, and nothing else changes.

use crate::scene::{Scene, arg, said, weir};

const SEEN: [(&str, usize); 4] =
    [("GET /carts/7", 5), ("POST /carts", 4), ("GET /offers", 3), ("GET /missing/7", 3)];

#[test]
fn what_is_new_is_added_and_every_line_stays() {
    let scene = Scene::new();
    scene.learn("p.yaml", &SEEN, &[]);
    let profile = scene.at("p.yaml");
    let before = scene.policy(&["GET /zebras", "GET /carts/{int}"]);
    let before = before.replace("GET /zebras\"", "GET /zebras\"   # striped");
    let policy = scene.put("policy.yaml", &before);
    let add = ["policy", "from-profile", arg(&profile), "--trusted", "--onto", arg(&policy)];

    let dry = said(&[&add[..], &["--dry-run"]].concat());
    assert_eq!(scene.read("policy.yaml"), before, "a dry run writes nothing");
    let out = said(&add);
    let after = scene.read("policy.yaml");
    assert_eq!(dry, after);
    for (entry, new) in [("POST /carts", true), ("GET /offers", true), ("GET /carts/{int}", false)]
    {
        assert_eq!(out.contains(&format!(": {entry} (")), new, "{out}");
        assert_eq!(after.matches(entry).count(), 1, "{after}");
    }
    assert!(out.contains("2 added, 1 there already"), "{out}");
    // Every line is there, in order.
    let mut lines = after.lines();
    for line in before.lines() {
        assert!(lines.any(|other| other == line), "{line:?} is gone or moved: {after}");
    }
    said(&["policy", "check", arg(&policy)]);

    let out = said(&add);
    assert!(out.contains("0 added, 3 there already"), "{out}");
    assert_eq!(scene.read("policy.yaml"), after);
}

#[test]
fn a_file_that_cannot_be_added_to_is_left_alone() {
    let scene = Scene::new();
    scene.learn("p.yaml", &SEEN, &[]);
    let profile = scene.at("p.yaml");
    let policy = scene.policy(&["GET /zebras"]);
    let other_protocol =
        policy.replace("protocol: http", "protocol: redis").replace("GET /zebras", "PING");
    let broken = policy.replace("allow:", "alow:");
    let several = [policy.as_str(), &policy.replace("name: cart", "name: other")].join("---\n");
    for (text, expected) in
        [(&other_protocol, "protocol"), (&broken, "alow"), (&several, "--policy")]
    {
        let file = scene.put("policy.yaml", text);
        let (status, out, err) =
            weir(&["policy", "from-profile", arg(&profile), "--trusted", "--onto", arg(&file)]);
        assert!(err.contains(expected), "{expected}: {status} {out} {err}");
        assert_eq!(status, 2, "{out} {err}");
        assert_eq!(&scene.read("policy.yaml"), text);
    }
    let file = scene.put("policy.yaml", &several);
    let add = ["policy", "from-profile", arg(&profile), "--trusted", "--onto", arg(&file)];
    let out = said(&[&add[..], &["--policy", "shop/other"]].concat());
    assert!(out.contains("3 added"), "{out}");
    let after = scene.read("policy.yaml");
    let (first, second) = after.split_once("---\n").unwrap();
    assert!(!first.contains("/offers") && second.contains("/offers"), "{after}");
    let (status, _, err) = weir(&[&add[..], &["--policy", "nobody"]].concat());
    assert_eq!(status, 2);
    assert!(err.contains("nobody"), "{err}");
    let (status, _, err) =
        weir(&["policy", "from-profile", arg(&profile), "--onto", arg(&scene.at("none.yaml"))]);
    assert_eq!(status, 2);
    assert!(err.contains("cannot read") && err.contains("none.yaml"), "{err}");
}
