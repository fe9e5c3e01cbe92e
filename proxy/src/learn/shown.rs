//! A slot's operation as the log shows it: rendered once, and again when other words are known.
//!
//! Classes and words of a key are those of its shape in the log, so that operations of one key
//! look alike there.

use std::sync::{Arc, Weak};

use arc_swap::{ArcSwapOption, Guard};
use weir_policy::op::Operation;

use super::Known;

/// The `op` of a record, quoted, with the words that were known when it was rendered.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Weak: its address is nobody else's as long, and the words themselves can go.
    known: Weak<Known>,
    op: Box<[u8]>,
}

impl Shown {
    /// The text, if these are the words that are known.
    pub(crate) fn op(&self, known: &Arc<Known>) -> Option<&[u8]> {
        (self.known.as_ptr() == Arc::as_ptr(known)).then_some(&*self.op)
    }
}

/// Room for one.
#[derive(Debug, Default)]
pub(crate) struct Showing(ArcSwapOption<Shown>);

impl Showing {
    pub(crate) fn load(&self) -> Guard<Option<Arc<Shown>>> {
        self.0.load()
    }

    pub(crate) fn store(&self, known: &Arc<Known>, op: &[u8]) {
        let shown = Shown { known: Arc::downgrade(known), op: op.into() };
        self.0.store(Some(Arc::new(shown)));
    }
}

/// Whether the key alone says how its operations are shown: it has no option that a shape has not,
/// and nothing that the two escape differently.
pub(crate) fn tells(key: &str) -> bool {
    let root = key.split(' ').next().unwrap_or_default();
    !root.contains(',') && !key.contains('\\')
}

/// Whether the log shows no more and no less of an operation than its key has.
pub(crate) fn is_whole(operation: &Operation<'_>) -> bool {
    match operation {
        // A tunnel is shown with its end.
        Operation::Http(http) => !http.path.is_empty() && http.method != b"CONNECT",
        Operation::Grpc(_) | Operation::Redis(_) => true,
        Operation::Tls(_) | Operation::Connection => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_holds_for_the_words_that_it_was_rendered_with() {
        let (old, new) = (Arc::new(Known::default()), Arc::new(Known::default()));
        let showing = Showing::default();
        assert!(showing.load().is_none());
        showing.store(&old, b"\"GET {new}\"");
        let shown = showing.load();
        let shown = shown.as_ref().unwrap();
        assert_eq!(shown.op(&old), Some(&b"\"GET {new}\""[..]));
        assert_eq!(shown.op(&new), None);
    }

    #[test]
    fn options_and_escapes_are_rendered_each_time() {
        assert!(tells("GET /carts/{int}") && tells("PING") && tells("GET cart:{int}"));
        assert!(!tells("GET,permit=dotSegments /a/../b") && !tells(r"GET a\x20b"));
    }
}
