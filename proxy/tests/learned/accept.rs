//! `weir policy accept`, with a sidecar that watches the file.

use crate::scene::{Scene, arg, ask, said, weir};
use crate::support::Weir;

#[test]
fn what_is_accepted_is_allowed_by_the_sidecar_that_watches() {
    let scene = Scene::new();
    let text = scene.policy(&["GET /carts/{int}"]);
    let policy = scene.put("policy.yaml", &text);
    let profile = scene.at("p.yaml");
    let args = ["--policy", arg(&policy), "--profile", arg(&profile)];
    let mut guard = Weir::start_with("enforce", "", &[scene.server], &args);
    let asked = [("GET /carts/7", 1), ("GET /carts/7/export", 6), ("DELETE /carts/7", 6)];
    let answers = |export: u16| [vec![200], vec![export; 6], vec![403; 6]].concat();
    assert_eq!(ask(&guard, &asked), answers(403));
    guard.until("the profile is written", || profile.exists());

    let accept = ["policy", "accept", arg(&profile), "--onto", arg(&policy)];
    let dry = said(&[&accept[..], &["GET /carts/{int}/export", "--dry-run"]].concat());
    assert!(dry.contains("GET /carts/{int}/export") && scene.read("policy.yaml") == text);
    let before = guard.metric("weir_policy_generation");
    let out = said(&[&accept[..], &["GET /carts/{int}/export"]].concat());
    assert!(out.contains("GET /carts/{int}/export (spec.inbound[0])"), "{out}");
    guard.until("taken over", || guard.metric("weir_policy_generation") > before);
    assert_eq!(ask(&guard, &asked), answers(200));
    let list = said(&["policy", "pending", arg(&profile), "--policy", arg(&policy)]);
    assert!(list.contains("DELETE /carts/{int}") && !list.contains("export"), "{list}");

    let out = said(&[&accept[..], &["GET /carts/{int}/export"]].concat());
    assert!(out.contains("0 added, 1 there already"), "{out}");
    crate::scene::end(&mut guard);
}

#[test]
fn what_the_profile_does_not_have_is_told_with_what_it_has() {
    let scene = Scene::new();
    scene.learn("p.yaml", &[("GET /carts/7", 3), ("GET /missing/7", 3)], &[]);
    let profile = scene.at("p.yaml");
    let text = scene.policy(&["GET /zebras"]);
    let policy = scene.put("policy.yaml", &text);
    let accept = ["policy", "accept", arg(&profile), "--onto", arg(&policy)];
    let (status, out, err) = weir(&[&accept[..], &["GET /cart/{int}"]].concat());
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("the profile has no \"GET /cart/{int}\""), "{err}");
    assert!(err.contains("hint: it has GET /"), "{err}");
    let (_, _, err) = weir(&[&accept[..], &["PURGE /x"]].concat());
    assert!(err.contains("`weir policy pending PROFILE` lists what there is"), "{err}");
    let (status, _, err) = weir(&[&accept[..], &["GET /missing/{int}", "--port", "1"]].concat());
    assert_eq!(status, 2, "{err}");
    let (status, _, err) = weir(&["policy", "accept", arg(&profile), "GET /missing/{int}"]);
    assert_eq!(status, 2);
    assert!(err.contains("--onto FILE"), "{err}");
    assert_eq!(scene.read("policy.yaml"), text, "nothing of all that changed it");
    let out = said(&[&accept[..], &["GET /missing/{int}", "GET /carts/{int}"]].concat());
    assert!(out.contains("2 added"), "{out}");
    said(&["policy", "check", arg(&policy)]);
}
