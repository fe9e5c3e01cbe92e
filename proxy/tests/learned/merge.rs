//! `weir policy merge`: the profiles of two replicas.

use crate::scene::{Scene, arg, said, weir};

/// The counts of a shape in a profile.
fn accepted(profile: &str, shape: &str) -> u64 {
    let profile: serde_json::Value = serde_saphyr::from_str(profile).unwrap();
    let shapes = profile["spec"]["ports"][0]["rules"][0]["shapes"].as_array().unwrap();
    let shape = shapes.iter().find(|one| one["at"] == shape).unwrap();
    let counts = shape["accepted"].as_str().unwrap().split(' ');
    counts.map(|count| count.split_once(':').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn replicas_are_merged_in_any_order() {
    let scene = Scene::new();
    let key = scene.at("key");
    let more = ["--profile-key", arg(&key)];
    scene.learn("a.yaml", &[("GET /carts/7", 5), ("GET /reset/swordfish", 1)], &more);
    scene.learn("b.yaml", &[("GET /carts/8", 7), ("GET /reset/swordfish", 2)], &more);
    let (a, b) = (scene.at("a.yaml"), scene.at("b.yaml"));
    let ab = said(&["policy", "merge", arg(&a), arg(&b)]);
    assert_eq!(ab, said(&["policy", "merge", arg(&b), arg(&a)]));
    let merged = scene.put("ab.yaml", &ab);
    assert_eq!(ab, said(&["policy", "merge", arg(&merged), arg(&a), arg(&b), arg(&b)]));
    assert_eq!(accepted(&ab, "GET /carts/{int}"), 12, "{ab}");
    assert!(!ab.contains("swordfish"));

    let out = said(&["policy", "from-profile", arg(&merged), "--trusted"]);
    assert_eq!(out, said(&["policy", "from-profile", arg(&a), arg(&b), "--trusted"]));
    assert!(out.contains("GET /carts/{int}") && !out.contains("swordfish"), "{out}");
}

/// A merged profile goes on being learned with.
#[test]
fn a_sidecar_goes_on_from_a_merged_profile() {
    let scene = Scene::new();
    let key = scene.at("key");
    let more = ["--profile-key", arg(&key)];
    scene.learn("a.yaml", &[("GET /carts/7", 5)], &more);
    scene.learn("b.yaml", &[("GET /carts/8", 7)], &more);
    let ab = said(&["policy", "merge", arg(&scene.at("a.yaml")), arg(&scene.at("b.yaml"))]);
    scene.put("c.yaml", &ab);
    scene.learn("c.yaml", &[("GET /carts/9", 3)], &more);
    assert_eq!(accepted(&scene.read("c.yaml"), "GET /carts/{int}"), 15);
    let (status, _, err) = weir(&["policy", "merge", arg(&scene.at("none.yaml"))]);
    assert_eq!(status, 2);
    assert!(err.contains("cannot read the profile") && err.contains("none.yaml"), "{err}");
}
