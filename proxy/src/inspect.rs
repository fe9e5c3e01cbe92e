//! The seam for inspectors: whoever looks at operations and at the bytes of bodies and values.
//!
//! The policy is asked by the session itself; inspectors come after it, in order, and only for
//! what the policy allows.

use weir_policy::op::Operation;

/// Which bytes an inspector is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The content of a request: a body without its framing, or the arguments of a command.
    Request,
    /// The content of a response.
    Response,
}

/// One connection's inspector. It may keep state from one chunk to the next.
pub trait Inspector: Send {
    /// Looks at an operation that the policy allows.
    ///
    /// # Errors
    /// A name for what was found, when the operation must not happen.
    fn operation(&mut self, operation: &Operation<'_>) -> Result<(), &'static str>;

    /// Looks at the next content bytes of the current message of this direction.
    ///
    /// # Errors
    /// The index in `data` of the byte that completes a match, and a name for it. That byte is
    /// not forwarded; those before it are.
    fn data(&mut self, part: Part, data: &[u8]) -> Result<(), (usize, &'static str)>;

    /// The message is complete: what follows belongs to another.
    fn end(&mut self, part: Part);

    /// Another of its kind that has seen nothing: for a stream of a connection that has several
    /// at once.
    fn fresh(&self) -> Box<dyn Inspector>;
}

/// Makes one inspector per connection.
pub trait InspectorFactory: Send + Sync {
    /// A fresh inspector for a new connection.
    fn inspector(&self) -> Box<dyn Inspector>;
}

/// Shows content to all inspectors.
///
/// # Errors
/// The index of the first byte that completes a match, and the match's name.
#[inline]
pub(crate) fn data(
    inspectors: &mut [Box<dyn Inspector>],
    part: Part,
    data: &[u8],
) -> Result<(), (usize, &'static str)> {
    let found = inspectors.iter_mut().filter_map(|inspector| inspector.data(part, data).err());
    match found.min_by_key(|(at, _)| *at) {
        Some(found) => Err(found),
        None => Ok(()),
    }
}

/// Tells all inspectors that a message is complete.
#[inline]
pub(crate) fn end(inspectors: &mut [Box<dyn Inspector>], part: Part) {
    inspectors.iter_mut().for_each(|inspector| inspector.end(part));
}
