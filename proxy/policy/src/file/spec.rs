//! The object: `apiVersion`, `kind`, `metadata`, `spec`.

use super::read::{Object, Reader, UNSUPPORTED, join};
use super::rule;
use super::yaml::{Node, Value};
use crate::decide::{Mode, Refusal, Unread};
use crate::model::{Rule, TrafficPolicy};
use crate::op::Side;

const API_VERSION: &str = "weir.dev/v1alpha1";
const KIND: &str = "TrafficPolicy";

/// What `kubectl get -o yaml` shows beside name and namespace: read over.
const OBJECT_META: &[&str] = &[
    "name",
    "namespace",
    "labels",
    "annotations",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
    "ownerReferences",
    "managedFields",
    "generateName",
    "selfLink",
];

/// Reads one document. None where errors were found; reading goes on all the same.
pub(super) fn policy(reader: &mut Reader<'_>, node: &Node) -> Option<TrafficPolicy> {
    let object = reader.object(node, "", &["apiVersion", "kind", "metadata", "spec"], &[])?;
    constant(reader, &object, "apiVersion", API_VERSION);
    constant(reader, &object, "kind", KIND);
    let names = metadata(reader, &object);
    let spec = reader
        .required(&object, "", "spec", "a mapping with mode, inbound, outbound, …")
        .and_then(|spec| {
            let known = &["selector", "mode", "inbound", "outbound", "refusal", "unread"];
            reader.object(spec, "spec", known, &["signatures"])
        })?;
    if let Some(selector) = spec.get("selector") {
        let known = &["matchLabels", "matchExpressions"];
        let _ = reader.object(selector, "spec.selector", known, &[]);
    }
    let mode = mode(reader, &spec, "spec");
    let refusal = spec
        .get("refusal")
        .and_then(|node| reader.word(node, "spec.refusal", Refusal::WORDS, |w| w.parse().ok()));
    let unread = unread(reader, &spec);
    let inbound = direction(reader, &spec, Side::Inbound);
    let outbound = direction(reader, &spec, Side::Outbound);
    let (name, namespace) = names?;
    Some(TrafficPolicy {
        at: reader.origin(node.referenced),
        name,
        namespace,
        mode,
        inbound,
        outbound,
        refusal,
        unread,
        warnings: reader.take_warnings(),
    })
}

fn constant(reader: &mut Reader<'_>, object: &Object<'_>, name: &str, value: &str) {
    if let Some(node) = reader.required(object, "", name, value) {
        reader.word(node, name, &[value], |word| (word == value).then_some(()));
    }
}

fn metadata(reader: &mut Reader<'_>, object: &Object<'_>) -> Option<(String, Option<String>)> {
    let node = reader.required(object, "", "metadata", "a mapping with name and namespace")?;
    let metadata = reader.object(node, "metadata", OBJECT_META, &[])?;
    let name = reader.required(&metadata, "metadata", "name", "the policy's name")?;
    let name = object_name(reader, name, "metadata.name");
    let namespace = match metadata.get("namespace") {
        Some(node) => Some(object_name(reader, node, "metadata.namespace")?),
        None => None,
    };
    Some((name?, namespace))
}

/// A name as Kubernetes has them (RFC 1123 subdomain).
fn object_name(reader: &mut Reader<'_>, node: &Node, field: &str) -> Option<String> {
    const EXPECTED: &str = "lower-case letters, digits, - and ., at most 253";
    let name = reader.text(node, field, EXPECTED)?;
    let fine = name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
    if !fine {
        reader.expected(node, field, EXPECTED);
        return None;
    }
    Some(name.to_owned())
}

pub(super) fn mode(reader: &mut Reader<'_>, object: &Object<'_>, field: &str) -> Option<Mode> {
    let node = object.get("mode")?;
    reader.word(node, &join(field, "mode"), Mode::WORDS, |w| w.parse().ok())
}

fn unread(reader: &mut Reader<'_>, spec: &Object<'_>) -> Unread {
    let mut unread = Unread::default();
    let Some(node) = spec.get("unread") else { return unread };
    let known = &["unknownProtocol", "unsupportedProtocol", "encrypted", "bodyLimit"];
    let Some(object) = reader.object(node, "spec.unread", known, &[]) else { return unread };
    let mut set = |name: &str, refuse: &mut bool| {
        if let Some(node) = object.get(name) {
            let field = join("spec.unread", name);
            let read = reader.word(node, &field, &["refuse", "allow"], |word| match word {
                "refuse" => Some(true),
                "allow" => Some(false),
                _ => None,
            });
            *refuse = read.unwrap_or(*refuse);
        }
    };
    set("unknownProtocol", &mut unread.refuse_unknown);
    set("unsupportedProtocol", &mut unread.refuse_unsupported);
    set("encrypted", &mut unread.refuse_encrypted);
    if let Some(node) = object.get("bodyLimit") {
        let field = "spec.unread.bodyLimit";
        let words = &["refuse", "allow"];
        if reader.word(node, field, words, |word| Some(word == "refuse")) == Some(true) {
            // Nothing inspects bodies yet, so no limit of that can be reached.
            reader.expected(node, field, UNSUPPORTED);
        }
    }
    unread
}

/// Present and empty, even as `inbound:` with nothing behind it, governs and refuses all.
fn direction(reader: &mut Reader<'_>, spec: &Object<'_>, side: Side) -> Option<Vec<Rule>> {
    let node = spec.get_even_null(side.as_str())?;
    if matches!(node.value, Value::Null) {
        return Some(Vec::new());
    }
    let field = join("spec", side.as_str());
    let items = reader.list(node, &field)?;
    let rules = items.iter().enumerate();
    Some(
        rules
            .filter_map(|(i, item)| rule::rule(reader, item, side, &format!("{field}[{i}]")))
            .collect(),
    )
}
