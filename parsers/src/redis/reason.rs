//! Why bytes are not RESP.

/// Why a command or reply is refused. The labels are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Reason {
    /// A command that does not begin with `*`, where inline commands are not taken.
    #[error("a command must be an array of bulk strings")]
    ExpectedArray,
    /// An argument that is not a bulk string.
    #[error("an argument must be a bulk string")]
    ExpectedBulk,
    /// A first byte that names no type of reply.
    #[error("the first byte of a reply names no type")]
    UnknownType,
    /// A type that cannot stand here: a push inside of another reply.
    #[error("a push cannot be part of another reply")]
    MisplacedPush,
    /// A streamed string or aggregate (`$?`, `*?`), which no server sends.
    #[error("streamed types are not read")]
    StreamedType,
    /// A number with a sign, zeros or characters that it must not have.
    #[error("a number is not well formed")]
    BadNumber,
    /// A number past 64 bits.
    #[error("a number is too large")]
    NumberOverflow,
    /// A negative length where null is not allowed.
    #[error("a length is negative")]
    NegativeLength,
    /// A bulk string over the limit.
    #[error("a bulk string is over the limit")]
    BulkTooLarge,
    /// More arguments or elements than the server takes.
    #[error("an array has too many elements")]
    TooManyElements,
    /// A bare CR or LF, or content longer than its length says.
    #[error("a line does not end with CR LF")]
    LineEnding,
    /// A line over the limit.
    #[error("a line is over the limit")]
    LineTooLong,
    /// A boolean, null or double that is none.
    #[error("a value is not of its type")]
    BadValue,
    /// Replies nested past the limit.
    #[error("replies are nested too deeply")]
    TooDeep,
    /// Quotes of an inline command that do not balance.
    #[error("quotes in an inline command do not balance")]
    UnbalancedQuotes,
    /// A NUL in an inline command, where the server would stop reading.
    #[error("an inline command contains NUL")]
    InlineNul,
    /// The bytes end inside of a message.
    #[error("the message is cut short")]
    Truncated,
    /// Bytes follow the end of the message.
    #[error("bytes follow the end of the message")]
    TrailingBytes,
}

impl Reason {
    /// The stable name for logs and metrics, in snake case.
    pub fn label(self) -> &'static str {
        match self {
            Reason::ExpectedArray => "expected_array",
            Reason::ExpectedBulk => "expected_bulk",
            Reason::UnknownType => "unknown_type",
            Reason::MisplacedPush => "misplaced_push",
            Reason::StreamedType => "streamed_type",
            Reason::BadNumber => "bad_number",
            Reason::NumberOverflow => "number_overflow",
            Reason::NegativeLength => "negative_length",
            Reason::BulkTooLarge => "bulk_too_large",
            Reason::TooManyElements => "too_many_elements",
            Reason::LineEnding => "line_ending",
            Reason::LineTooLong => "line_too_long",
            Reason::BadValue => "bad_value",
            Reason::TooDeep => "too_deep",
            Reason::UnbalancedQuotes => "unbalanced_quotes",
            Reason::InlineNul => "inline_nul",
            Reason::Truncated => "truncated",
            Reason::TrailingBytes => "trailing_bytes",
        }
    }
}
