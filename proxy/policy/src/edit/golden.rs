use super::{EditError, add};
use crate::learned::{Evidence, Learned, LearnedEntry, LearnedRule};
use crate::op::{Protocol, Side};

const HEAD: &str = "\
apiVersion: weir.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: cart, namespace: shop}
spec:
";

fn entry(op: &str) -> LearnedEntry {
    LearnedEntry {
        op: op.to_owned(),
        upgrade: false,
        permit: Vec::new(),
        override_headers: Vec::new(),
        evidence: Evidence {
            operations: 12,
            at_least: false,
            peers: 2,
            first: 1_793_491_200,
            last: 1_793_491_200,
            steps: Vec::new(),
        },
    }
}

fn rule(side: Side, port: u16, protocol: Protocol, ops: &[&str]) -> LearnedRule {
    LearnedRule {
        side,
        peers: vec!["10.0.0.0/16".parse().unwrap()],
        port,
        protocol,
        databases: Vec::new(),
        notes: Vec::new(),
        entries: ops.iter().map(|op| entry(op)).collect(),
        left: Vec::new(),
    }
}

fn http(ops: &[&str]) -> Learned {
    Learned { rules: vec![rule(Side::Inbound, 8080, Protocol::Http, ops)] }
}

#[track_caller]
fn becomes(before: &str, additions: &Learned, after: &str) {
    let edited = add("p.yaml", &format!("{HEAD}{before}"), additions, None).unwrap();
    assert_eq!(edited.text.strip_prefix(HEAD).unwrap(), after, "{}", edited.text);
}

#[track_caller]
fn refused(before: &str, additions: &Learned) -> String {
    add("p.yaml", &format!("{HEAD}{before}"), additions, None).unwrap_err().to_string()
}

#[test]
fn into_lines_with_comments() {
    let mut new = http(&["GET /b/{}", "GET /carts/7", "POST /d"]);
    new.rules[0].entries[0].evidence.steps = vec!["{}: 20 values in 3 hours".into()];
    becomes(
        "  inbound:\n\
         \x20 # the shop\n\
         \x20 - from: [{cidr: 10.0.0.0/8}]   # all of it\n\
         \x20   ports: [8080, \"9000-9010\"]\n\
         \x20   protocol: http\n\
         \x20   allow:\n\
         \x20     # reads\n\
         \x20     - GET /a\n\
         \x20       # which is old\n\
         \n\
         \x20     - GET /carts/{int}  # 3 operations\n\
         \x20     # writes\n\
         \x20     - {op: POST /c, reason: \"TICKET-7\"}\n\
         \x20     # - POST /never\n\
         \x20   deny: [\"* /debug\"]\n",
        &new,
        "  inbound:\n\
         \x20 # the shop\n\
         \x20 - from: [{cidr: 10.0.0.0/8}]   # all of it\n\
         \x20   ports: [8080, \"9000-9010\"]\n\
         \x20   protocol: http\n\
         \x20   allow:\n\
         \x20     # reads\n\
         \x20     - GET /a\n\
         \x20       # which is old\n\
         \x20     # {}: 20 values in 3 hours\n\
         \x20     - GET /b/{}  # 12 operations, 2 peers, 2026-11-01\n\
         \n\
         \x20     - GET /carts/{int}  # 3 operations\n\
         \x20     # writes\n\
         \x20     - {op: POST /c, reason: \"TICKET-7\"}\n\
         \x20     - POST /d  # 12 operations, 2 peers, 2026-11-01\n\
         \x20     # - POST /never\n\
         \x20   deny: [\"* /debug\"]\n",
    );
}

/// A rule for the additions of [`http`], with this behind it.
fn with_allow(allow: &str) -> String {
    let rule = "  inbound:\n  - from: [{any: true}]\n    ports: [8080]\n    protocol: http\n";
    format!("{rule}{allow}")
}

#[test]
fn into_lists_of_every_style() {
    let new = http(&["GET /b"]);
    const NOTE: &str = "12 operations, 2 peers, 2026-11-01";
    for (before, after) in [
        // Not in order: at the end.
        (
            "    allow:\n    - PUT /z\n    - GET /a\n",
            "    allow:\n    - PUT /z\n    - GET /a\n    - GET /b  # §\n",
        ),
        // The first.
        (
            "    allow:\n    # z\n    - PUT /z",
            "    allow:\n    - GET /b  # §\n    # z\n    - PUT /z",
        ),
        // No newline at the end.
        ("    allow:\n    - GET /a", "    allow:\n    - GET /a\n    - GET /b  # §"),
        (
            "    allow:\n    - op: GET /a\n      owner: me\n",
            "    allow:\n    - op: GET /a\n      owner: me\n    - GET /b  # §\n",
        ),
        ("    allow: # none\n", "    allow: # none\n    - GET /b  # §\n"),
        ("", "    allow:\n    - GET /b  # §\n"),
        ("    deny: [\"PUT /z\"]\n", "    allow:\n    - GET /b  # §\n    deny: [\"PUT /z\"]\n"),
        ("    allow: []\n", "    allow: [\n      GET /b,  # §\n      ]\n"),
        (
            "    allow: [\"GET /a\", \"PUT /z\"]\n",
            "    # GET /b: §\n    allow: [\"GET /a\", GET /b, \"PUT /z\"]\n",
        ),
        (
            "    allow: [\n      GET /a,  # a\n      PUT /z   # z\n    ]\n",
            "    allow: [\n      GET /a,  # a\n      GET /b,  # §\n      PUT /z   # z\n    ]\n",
        ),
        (
            "    allow: [\n      GET /a   # a\n    ]\n",
            "    allow: [\n      GET /a,   # a\n      GET /b  # §\n    ]\n",
        ),
    ] {
        becomes(&with_allow(before), &new, &with_allow(&after.replace('§', NOTE)));
    }
    becomes(
        "  inbound: [{from: [{any: true}], ports: [8080], protocol: http}]\n",
        &new,
        "  # GET /b: 12 operations, 2 peers, 2026-11-01\n  \
         inbound: [{from: [{any: true}], ports: [8080], protocol: http, allow: [GET /b]}]\n",
    );
}

#[test]
fn windows_lines_stay_windows_lines() {
    let text = format!("{HEAD}{}", with_allow("    allow:\n    - GET /a\n")).replace('\n', "\r\n");
    let edited = add("p.yaml", &text, &http(&["GET /b"]), None).unwrap();
    let line = "    - GET /b  # 12 operations, 2 peers, 2026-11-01\r\n";
    assert_eq!(edited.text, format!("{text}{line}"));
}

#[test]
fn a_rule_where_none_fits() {
    let mut new = http(&["GET /b"]);
    new.rules[0].notes = vec!["seen on 1 day".into()];
    new.rules.push(rule(Side::Outbound, 5671, Protocol::Opaque, &[]));
    let text = "  inbound:\n    - from: [{cidr: 10.0.0.0/24}]\n      ports: [8080]\n      protocol: http\n      \
                allow: [GET /a]\n  refusal: reset # why\n# end\n";
    let edited = add("p.yaml", &format!("{HEAD}{text}"), &new, None).unwrap();
    assert_eq!(edited.governed, [Side::Outbound]);
    let shown: Vec<_> = edited.added.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        [
            "+ inbound :8080 http: GET /b (new rule spec.inbound[1])",
            "+ outbound :5671 opaque (new rule spec.outbound[0])"
        ]
    );
    assert_eq!(
        edited.text.strip_prefix(HEAD).unwrap(),
        "  inbound:
    - from: [{cidr: 10.0.0.0/24}]
      ports: [8080]
      protocol: http
      allow: [GET /a]
    # seen on 1 day
    - from: [{cidr: 10.0.0.0/16}]
      ports: [8080]
      protocol: http
      allow:
        - GET /b  # 12 operations, 2 peers, 2026-11-01
  refusal: reset # why
  outbound:
    - to: [{cidr: 10.0.0.0/16}]
      ports: [5671]
      protocol: opaque
# end
"
    );
    // Limits that leave something of the addition out are no fit, and no cover.
    for (limit, protocol) in
        [("hosts: [a.b]", "http"), ("databases: [1]", "redis"), ("separators: [\"/\"]", "redis")]
    {
        let text = format!("{HEAD}  inbound:\n  - {{from: [{{any: true}}], ports: [8080], protocol: {protocol}, {limit}, allow: [\"*\"]}}\n").replace("\"*\"", if protocol == "http" { "\"* /b\"" } else { "\"*\"" });
        let new = if protocol == "http" {
            http(&["GET /b"])
        } else {
            Learned { rules: vec![rule(Side::Inbound, 8080, Protocol::Redis, &["PING"])] }
        };
        assert!(add("p.yaml", &text, &new, None).unwrap().added[0].new_rule, "{text}");
    }
}

#[test]
fn what_is_allowed_already_and_what_is_left() {
    let text = with_allow("    allow: [\"GET /carts/{}\", {op: GET /old, expires: 2020-01-01}]\n");
    let mut new = http(&["GET /carts/{int}", "GET /carts/new", "GET /old"]);
    let edited = add("p.yaml", &format!("{HEAD}{text}"), &new, None).unwrap();
    assert_eq!((edited.already, edited.added.len()), (2, 1), "what has expired is not allowed");
    new.rules[0].peers.clear();
    let edited = add("p.yaml", &format!("{HEAD}{text}"), &new, None).unwrap();
    assert_eq!((edited.already, edited.added.len()), (2, 1), "the rule is for everyone");
    new.rules[0].port = 9090;
    let edited = add("p.yaml", &format!("{HEAD}{text}"), &new, None).unwrap();
    assert_eq!(edited.text, format!("{HEAD}{text}"));
    assert_eq!(edited.left[0].entries, ["GET /carts/{int}", "GET /carts/new", "GET /old"]);
}

#[test]
fn one_of_several_policies() {
    let one = |name: &str| HEAD.replace("cart", name) + &with_allow("    allow:\n    - GET /a\n");
    let text = format!("# all\n{}---\n{}...\n---\n{}", one("a"), one("b"), one("c"));
    let new = http(&["GET /b"]);
    let error = add("p.yaml", &text, &new, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "p.yaml: found several policies, expected the name of one: shop/a, shop/b, shop/c"
    );
    let error = add("p.yaml", &text, &new, Some("b")).unwrap_err().to_string();
    assert_eq!(error, "p.yaml: found the policies shop/a, shop/b, shop/c, expected b");
    let edited = add("p.yaml", &text, &new, Some("shop/b")).unwrap();
    let line = "    - GET /b  # 12 operations, 2 peers, 2026-11-01\n";
    assert_eq!(edited.text, text.replace("...\n", &format!("{line}...\n")));
}

#[test]
fn conflicts_say_where() {
    let other = with_allow("").replace("http", "redis");
    assert_eq!(
        refused(&other, &http(&["GET /b"])),
        "p.yaml:6:5: spec.inbound[0]: found protocol redis on port 8080, expected protocol http, of \
         which are the additions; all rules on a port have one protocol: change the rule's ports or \
         protocol, or leave these additions out"
    );
    let any = with_allow("").replace("    protocol: http\n", "");
    assert!(refused(&any, &http(&["GET /b"])).contains(
        "p.yaml:6:5: spec.inbound[0]: found no protocol on port 8080, expected protocol http"
    ));
    // A call is a request like any other to a rule of protocol `http`.
    let call = rule(Side::Inbound, 8080, Protocol::Grpc, &["shop.Cart/AddItem"]);
    let calls = Learned { rules: vec![call] };
    becomes(
        &with_allow("    allow:\n    - GET /a\n"),
        &calls,
        &with_allow(
            "    allow:\n    - GET /a\n    - POST /shop.Cart/AddItem  # 12 operations, 2 peers, \
             2026-11-01\n",
        ),
    );
    becomes(
        &with_allow("    allow:\n    - shop.Cart/A\n").replace("http", "grpc"),
        &calls,
        &with_allow(
            "    allow:\n    - shop.Cart/A\n    - shop.Cart/AddItem  # 12 operations, 2 peers, \
             2026-11-01\n",
        )
        .replace("http", "grpc"),
    );
    let mut both = http(&["GET /b"]);
    both.rules.push(rule(Side::Inbound, 8080, Protocol::Redis, &["PING"]));
    assert!(
        refused("  inbound: []\n", &both).contains("one protocol on a port: leave one of them out")
    );
    let wrong = http(&["GET b"]);
    assert!(refused("  inbound: []\n", &wrong).starts_with("\"GET b\" is no http entry: found"));
    assert!(matches!(add("p.yaml", "a: [", &wrong, None), Err(EditError::File(_))));
}

#[test]
fn what_is_shared_is_not_edited() {
    let shared = "  inbound:\n  - from: [{any: true}]\n    ports: [8080]\n    protocol: http\n    \
                  allow: &reads\n    - GET /a\n  - from: [{any: true}]\n    ports: [8081]\n    \
                  protocol: http\n    allow: *reads\n";
    let mut new = http(&["GET /b"]);
    let expected = "found an alias of what stands at p.yaml:10:7: adding there would add to both";
    assert!(
        refused(shared, &new).starts_with(&format!("p.yaml:14:12: {expected}")),
        "{}",
        refused(shared, &new)
    );
    new.rules[0].port = 8081;
    assert!(refused(shared, &new).contains(expected));
    let alone = shared.replace("*reads", "[GET /a]");
    assert!(add("p.yaml", &format!("{HEAD}{alone}"), &new, None).is_ok());
    // Merge keys: the fields of the rule are another's.
    let merged = "  inbound:\n  - &one\n    from: [{any: true}]\n    ports: [8080]\n    protocol: http\n    \
                  allow: [GET /a]\n  - <<: *one\n    ports: [8081]\n";
    assert!(
        refused(merged, &new).contains("an alias of what stands at"),
        "{}",
        refused(merged, &new)
    );
    let own = format!("{merged}    allow:\n    - GET /a\n");
    becomes(&own, &new, &format!("{own}    - GET /b  # 12 operations, 2 peers, 2026-11-01\n"));
    // A null that is written out would have to go.
    let null = with_allow("    allow: ~\n");
    assert!(
        refused(&null, &http(&["GET /b"])).contains("p.yaml:9:12: allow: found a way of writing")
    );
}

/// Ways of writing that are rare: each is added to, or refused with words.
#[test]
fn rare_ways_of_writing() {
    let new = http(&["GET /b", "PUT /y"]);
    let rule = "from: [{any: true}]\n    ports: [8080]\n    protocol: http\n    ";
    for (works, text) in [
        (true, format!("  inbound:\n  -\n    {rule}allow:\n    -\n      GET /a\n    -   PUT /z\n")),
        (true, format!("  inbound:\n  - !!map\n    {rule}allow: !!seq [ !!str GET /a, &x PUT /z ]\n")),
        (true, format!("  inbound:\n  - {rule}\"allow\" :\n    - |-\n      GET /a\n    - >-\n       PUT\n       /z\n")),
        (true, format!("  inbound:\n  - {rule}allow:\n    - &x GET /a\n    - \"PUT\n\n       /z\"\n").replace("\n\n  ", "\n  ")),
        (true, format!("  inbound:\n  - allow:\n    - GET /a\n    {rule}\n")),
        (true, format!("  inbound:\n  - allow:\n    {rule}\n")),
        (true, format!("  inbound:\n  - {rule}allow: [GET /a\n      , PUT /z]\n")),
        (true, format!("  inbound:\n  - {rule}allow:\n      [\n      GET /a\n      , # c\n      PUT /z\n      ,]\n")),
        (true, "  inbound: [{\n      from: [{any: true}], ports: [8080],\n      protocol: http,\n      allow: [GET /a\n],\n  }]\n".into()),
        (true, "  inbound: [{from: [{any: true}], ports: [8080], protocol: http, allow: }]\n".into()),
        (true, "  inbound: [{from: [{any: true}], ports: [8080], protocol: http, allow}]\n".into()),
        (true, format!("  inbound:\n  - {rule}? allow\n    :\n    - GET /a\n")),
        (true, "  {}\n".into()),
        (true, "  inbound:\n  outbound:\n".into()),
        (true, "  inbound: &in\n  mode: learn\n".into()),
        (false, "  inbound: ~\n".into()),
        (false, "  inbound: null # all is refused\n".into()),
        (false, format!("  inbound: &all\n  - {rule}\n  outbound: []\n").replace("outbound: []", "unread: {}\n  selector: {matchLabels: *all}")),
    ] {
        let text = format!("{HEAD}{text}");
        match add("p.yaml", &text, &new, None) {
            Ok(edited) => {
                assert!(works, "{text}");
                assert_eq!(edited.added.len(), 2, "{}", edited.text);
            }
            Err(EditError::Unedited(errors)) => assert!(!works, "{errors}\n{text}"),
            Err(error) => panic!("{error}\n{text}"),
        }
    }
}
