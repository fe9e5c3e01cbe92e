//! Entries in words: described once per thread and policy, since describing one allocates.

use std::collections::HashMap;
use std::sync::Arc;

use weir_policy::Snapshot;
use weir_policy::decide::EntryRef;

use super::json;

/// How much of an entry a record holds, in bytes.
const TEXT: usize = 1024;
/// How many entries are kept in words.
const KEPT: usize = 1024;

/// The entries of one policy that a thread has met, as JSON strings.
#[derive(Default)]
pub(super) struct Entries {
    policy: Option<Arc<Snapshot>>,
    texts: HashMap<EntryRef, Box<[u8]>>,
}

impl Entries {
    /// Appends an entry of `policy` as a member, `,"decided_by":"…"`; nothing where the policy
    /// does not know it.
    pub(super) fn write(&mut self, policy: &Arc<Snapshot>, entry: EntryRef, out: &mut Vec<u8>) {
        if self.policy.as_ref().is_none_or(|mine| !Arc::ptr_eq(mine, policy)) {
            self.texts.clear();
            self.policy = Some(Arc::clone(policy));
        }
        if let Some(text) = self.texts.get(&entry) {
            return out.extend_from_slice(text);
        }
        if self.texts.len() >= KEPT {
            self.texts.clear();
        }
        let mut text = Vec::new();
        if let Some(described) = policy.describe(entry) {
            text.extend_from_slice(b",\"decided_by\":");
            json::string(described.to_string().as_bytes(), TEXT, &mut text);
        }
        out.extend_from_slice(&text);
        self.texts.insert(entry, text.into_boxed_slice());
    }

    /// Lets go of a policy that nobody else holds.
    pub(super) fn tidy(&mut self) {
        if self.policy.as_ref().is_some_and(|policy| Arc::strong_count(policy) == 1) {
            *self = Self::default();
        }
    }
}
