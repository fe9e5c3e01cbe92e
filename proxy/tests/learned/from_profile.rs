//! `weir policy from-profile` on standard output.

use crate::scene::{Scene, arg, said, weir};

#[test]
fn a_policy_has_the_mode_and_name_that_are_asked_for() {
    let scene = Scene::new();
    scene.learn("a.yaml", &[("GET /carts/7", 5), ("GET /missing/7", 4)], &[]);
    scene.learn("b.yaml", &[("GET /users/9", 4), ("GET /carts/8", 1)], &[]);
    let (a, b) = (scene.at("a.yaml"), scene.at("b.yaml"));

    let (status, out, err) = weir(&["policy", "from-profile", arg(&a), "--trusted"]);
    assert_eq!(status, 0, "{err}");
    assert!(out.contains("name: learned") && !out.contains("mode:"), "{out}");
    assert!(out.contains("GET /carts/{int}") && !out.contains("namespace"), "{out}");
    // What the server never accepted is a comment at most.
    let missing = out.lines().filter(|line| line.contains("/missing/{int}"));
    assert!(missing.clone().count() == 1 && missing.clone().all(|l| l.trim().starts_with('#')));
    assert!(err.contains("1 shape is left to you"), "{err}");
    let policy = scene.put("policy.yaml", &out);
    said(&["policy", "check", arg(&policy)]);

    let named = ["--name", "cart", "--namespace", "shop", "--mode", "monitor", "--trusted"];
    let out = said(&[&["policy", "from-profile", arg(&a), arg(&b)][..], &named].concat());
    assert!(out.contains("name: cart") && out.contains("namespace: shop"), "{out}");
    assert!(out.contains("mode: monitor"), "{out}");
    assert!(out.contains("GET /carts/{int}") && out.contains("GET /users/{int}"), "{out}");
    let policy = scene.put("policy.yaml", &out);
    said(&["policy", "check", arg(&policy)]);
    let turned = said(&[&["policy", "from-profile", arg(&b), arg(&a)][..], &named].concat());
    assert_eq!(out, turned);
}

/// An hour of one peer is too little to tell an application from a scan.
#[test]
fn without_evidence_over_time_all_is_left_to_a_person() {
    let scene = Scene::new();
    scene.learn("a.yaml", &[("GET /carts/7", 50)], &[]);
    let (status, out, err) = weir(&["policy", "from-profile", arg(&scene.at("a.yaml"))]);
    assert_eq!(status, 0, "{err}");
    assert!(err.contains("left to you"), "{err}");
    let lines = out.lines().filter(|line| line.contains("GET /carts/{int}"));
    assert!(lines.clone().count() > 0 && lines.clone().all(|l| l.trim().starts_with('#')), "{out}");
    let policy = scene.put("policy.yaml", &out);
    said(&["policy", "check", arg(&policy)]);
    let eased = ["--min-days", "1", "--min-operations", "50"];
    let out = said(&[&["policy", "from-profile", arg(&scene.at("a.yaml"))][..], &eased].concat());
    assert!(out.contains("- \"GET /carts/{int}\"") || out.contains("- GET /carts/{int}"), "{out}");
    let strict = ["--trusted", "--min-operations", "51"];
    let (_, out, _) =
        weir(&[&["policy", "from-profile", arg(&scene.at("a.yaml"))][..], &strict].concat());
    assert!(out.contains("accepted 50 times only"), "{out}");
}

#[test]
fn nothing_learned_is_told_and_makes_an_empty_policy() {
    let scene = Scene::new();
    scene.learn("a.yaml", &[], &[]);
    // Nothing came, and so nothing was written.
    let (status, out, err) = weir(&["policy", "from-profile", arg(&scene.at("a.yaml"))]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("cannot read the profile") && err.contains("a.yaml"), "{err}");
    let empty =
        scene.put("b.yaml", "apiVersion: weir.dev/v1alpha1\nkind: TrafficProfile\nspec: {}\n");
    let (status, out, err) = weir(&["policy", "from-profile", arg(&empty)]);
    assert_eq!(status, 0, "{err}");
    assert!(err.contains("warning: nothing was learned yet"), "{err}");
    let policy = scene.put("policy.yaml", &out);
    said(&["policy", "check", arg(&policy)]);
}

#[test]
fn what_is_no_profile_is_shown_in_place() {
    let scene = Scene::new();
    scene.learn("a.yaml", &[("GET /carts/7", 3)], &[]);
    let broken = scene.read("a.yaml").replace("kind: TrafficProfile", "kind: TrafficPolicy");
    let broken = scene.put("b.yaml", &broken);
    let good = scene.at("a.yaml");
    for command in ["from-profile", "pending", "merge"] {
        let (status, out, err) = weir(&["policy", command, arg(&good), arg(&broken)]);
        assert_eq!((status, out.as_str()), (2, ""), "{command}");
        assert!(err.contains("b.yaml:") && err.contains("TrafficPolicy\", expected"), "{err}");
        assert!(err.contains("hint: a profile is what `weir run --profile FILE` writes"), "{err}");
        let (status, _, err) = weir(&["policy", command]);
        assert_eq!(status, 2);
        assert!(err.contains("Usage:") && err.contains("<PROFILE>"), "{err}");
    }
    for wrong in [&["--mode", "strict"][..], &["--onto", "x.yaml", "--name", "y"], &["--dry-run"]] {
        let args = [&["policy", "from-profile", arg(&good)][..], wrong].concat();
        assert_eq!(weir(&args).0, 2, "{wrong:?}");
    }
    for name in ["", "No Name", "a_b"] {
        let (status, out, err) = weir(&["policy", "from-profile", arg(&good), "--name", name]);
        assert_eq!((status, out.as_str()), (2, ""), "{name:?}: {err}");
        assert!(err.contains("--name: found") && err.contains("expected lower-case"), "{err}");
    }
}
