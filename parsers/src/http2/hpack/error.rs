//! Why a field block cannot be decoded.

macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $words:literal;)*) => {
        /// Why a field block cannot be decoded, or is not. The table is lost with it, and so the
        /// connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Error {
            $($(#[$doc])* #[error($words)] $name,)*
        }

        impl Error {
            /// Every error there is, for documentation and for registering metrics.
            pub const ALL: &'static [Error] = &[$(Error::$name),*];

            /// The stable `snake_case` label.
            pub fn label(self) -> &'static str {
                match self { $(Error::$name => $label),* }
            }
        }
    };
}

errors! {
    /// The block ends within a field.
    Truncated = "hpack_truncated", "a field block ends within a field";
    /// An integer over 2^32 - 1, or of more than five bytes behind its prefix (RFC 7541 §5.1).
    Integer = "hpack_integer", "an integer in a field block is too large";
    /// A Huffman code that is none, EOS, or padding that is not (RFC 7541 §5.2).
    Huffman = "hpack_huffman", "a string in a field block is not validly Huffman-coded";
    /// Index 0, or one beyond the tables (RFC 7541 §2.3.3, §6.1).
    Index = "hpack_index", "an index in a field block is beyond the tables";
    /// A size update over what was allowed (RFC 7541 §6.3).
    SizeTooLarge = "hpack_size_too_large", "a field block asks for a larger table than is allowed";
    /// A size update behind a field, or a third one (RFC 7541 §4.2).
    SizeMisplaced = "hpack_size_misplaced", "a table size update out of place";
    /// No size update, though a smaller size was settled (RFC 9113 §4.3.1).
    SizeMissing = "hpack_size_missing", "a field block does not take notice of a smaller table";
    /// The fields are [`AMPLIFICATION`](super::AMPLIFICATION) times as long as they may be.
    ListTooLong = "hpack_list_too_long", "a field block says far more than it may";
}
