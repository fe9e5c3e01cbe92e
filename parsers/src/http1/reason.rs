//! Why a message is refused: one closed set, with stable labels for log and metrics.

use crate::http::fields::BadLength;
use crate::http::uri::{BadAuthority, BadTarget};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $words:literal;)*) => {
        /// Why an HTTP/1 message is refused.
        ///
        /// `label` is stable and for machines; `Display` is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Reason {
            $($(#[$doc])* #[error($words)] $name,)*
        }

        impl Reason {
            /// Every reason there is, for documentation and for registering metrics.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),*];

            /// The stable `snake_case` label.
            pub fn label(self) -> &'static str {
                match self { $(Reason::$name => $label),* }
            }
        }
    };
}

reasons! {
    /// An empty line where a message must begin (RFC 9112 §2.2 lets servers skip it; not all do).
    EmptyLine = "empty_line", "an empty line where a message must begin";
    /// The request line is not `method SP target SP version` (RFC 9112 §3).
    RequestLine = "request_line", "the request line has not the form `method target version`";
    /// The method is not a token (RFC 9110 §9.1).
    MethodInvalid = "method_invalid", "the method is not a token";
    /// The target has bytes that a URI cannot have (RFC 3986 §3.3).
    TargetInvalid = "target_invalid", "the request target is not a valid URI";
    /// The target has a fragment (RFC 9112 §3.2 knows none).
    TargetFragment = "target_fragment", "the request target has a fragment";
    /// The form of the target does not suit the method (RFC 9112 §3.2).
    TargetForm = "target_form", "the form of the request target does not suit the method";
    /// An absolute target with a scheme other than http and https.
    SchemeUnsupported = "scheme_unsupported", "the scheme of the request target is not http or https";
    /// The authority has user information (RFC 9110 §4.2.4).
    UserInfo = "userinfo", "the authority has user information";
    /// The authority of the target is not `host[:port]`.
    AuthorityInvalid = "authority_invalid", "the authority of the request target is invalid";
    /// A version other than HTTP/1.0 and HTTP/1.1.
    Version = "version_unsupported", "the version is not HTTP/1.0 or HTTP/1.1";
    /// The preface of HTTP/2 (RFC 9113 §3.4).
    Http2 = "http2_not_supported", "the connection preface of HTTP/2";
    /// The status line is not `version SP 3DIGIT [SP reason]` (RFC 9112 §4).
    StatusLine = "status_line", "the status line has not the form `version status reason`";
    /// CR without LF (RFC 9112 §2.2).
    BareCr = "bare_cr", "a CR that no LF follows";
    /// LF without CR.
    BareLf = "bare_lf", "an LF without a CR before it";
    /// A NUL byte.
    Nul = "nul", "a NUL byte";
    /// Another control character than HTAB (RFC 9110 §5.5).
    ControlByte = "control_byte", "a control character";
    /// Whitespace between the start line and the first field (RFC 9112 §2.2).
    WhitespaceBeforeField = "whitespace_before_field", "whitespace before the first field";
    /// A folded field line (RFC 9112 §5.2).
    ObsFold = "obs_fold", "a folded field line";
    /// Whitespace between a field's name and its colon (RFC 9112 §5.1).
    SpaceBeforeColon = "space_before_colon", "whitespace between a field's name and its colon";
    /// A field line that begins with its colon.
    EmptyFieldName = "empty_field_name", "a field without a name";
    /// A field name that is not a token (RFC 9110 §5.1).
    FieldNameInvalid = "field_name_invalid", "a field name is not a token";
    /// A field line without a colon.
    MissingColon = "missing_colon", "a field line without a colon";
    /// The head has not ended within its limit.
    HeadTooLong = "head_too_long", "the head is longer than the limit";
    /// The connection ended within a message.
    Truncated = "truncated", "the connection ended within a message";

    /// Content-Length is not all digits; a list is not, either (RFC 9110 §8.6).
    ContentLengthInvalid = "content_length_invalid", "Content-Length is not a number";
    /// Content-Length has more than 19 digits or is over 2^63 - 1.
    ContentLengthOverflow = "content_length_overflow", "Content-Length is too large";
    /// More than one Content-Length, equal ones included.
    ContentLengthRepeated = "content_length_repeated", "Content-Length is repeated";
    /// Content-Length and Transfer-Encoding together (RFC 9112 §6.3).
    ContentLengthWithTransferEncoding = "content_length_with_transfer_encoding", "Content-Length together with Transfer-Encoding";
    /// More than one Transfer-Encoding field.
    TransferEncodingRepeated = "transfer_encoding_repeated", "Transfer-Encoding is repeated";
    /// A Transfer-Encoding other than exactly `chunked`.
    TransferEncodingUnsupported = "transfer_encoding_unsupported", "Transfer-Encoding is not `chunked`";
    /// Transfer-Encoding in HTTP/1.0 (RFC 9112 §6.1).
    TransferEncodingInHttp10 = "transfer_encoding_in_http10", "Transfer-Encoding in HTTP/1.0";
    /// `Content_Length` or `Transfer_Encoding`, which gateways such as CGI read as the real ones.
    FramingLookAlike = "framing_look_alike", "a field that some servers read as Content-Length or Transfer-Encoding";
    /// A 1xx, a 204 or a 2xx to CONNECT with Transfer-Encoding or a Content-Length above 0.
    BodyNotAllowed = "body_not_allowed", "a body where the status allows none";
    /// CONNECT with Content-Length or Transfer-Encoding (RFC 9110 §9.3.6).
    ConnectWithBody = "connect_with_body", "CONNECT with a body";
    /// A chunk size that is not hexadecimal digits (RFC 9112 §7.1).
    ChunkSizeInvalid = "chunk_size_invalid", "a chunk size is not a hexadecimal number";
    /// A chunk size of more than 16 digits or over 2^63 - 1.
    ChunkSizeOverflow = "chunk_size_overflow", "a chunk size is too large";
    /// A chunk extension outside the grammar, bad whitespace included (RFC 9112 §7.1.1).
    ChunkExtensionInvalid = "chunk_extension_invalid", "a chunk extension is invalid";
    /// A chunk line has not ended within the limit.
    ChunkLineTooLong = "chunk_line_too_long", "a chunk line is longer than the limit";
    /// A chunk's data is not followed by CRLF.
    ChunkEnd = "chunk_end", "a chunk's data is not followed by CRLF";
    /// The trailer section has not ended within its limit.
    TrailersTooLong = "trailers_too_long", "the trailer section is longer than the limit";
    /// A trailer field that must not be one (RFC 9110 §6.5.1).
    ForbiddenTrailer = "forbidden_trailer", "a field that must not come as a trailer";

    /// HTTP/1.1 without Host (RFC 9112 §3.2).
    HostMissing = "host_missing", "the Host field is missing";
    /// More than one Host.
    HostRepeated = "host_repeated", "the Host field is repeated";
    /// Host is not `host[:port]`.
    HostInvalid = "host_invalid", "the Host field is invalid";
    /// The target names another authority than Host.
    HostMismatch = "host_mismatch", "the Host field differs from the request target";
    /// Connection is not a list of tokens (RFC 9110 §7.6.1).
    ConnectionInvalid = "connection_invalid", "the Connection field is not a list of tokens";
    /// Connection has both `close` and `keep-alive`.
    ConnectionConflict = "connection_conflict", "the Connection field says both close and keep-alive";
    /// Connection names a field of framing or routing, for the next hop to drop it.
    ConnectionNominates = "connection_nominates", "the Connection field names a field of framing or routing";
    /// More than one Upgrade field.
    UpgradeRepeated = "upgrade_repeated", "the Upgrade field is repeated";
    /// Upgrade is not a list of protocols (RFC 9110 §7.8).
    UpgradeInvalid = "upgrade_invalid", "the Upgrade field is not a list of protocols";
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectUnknown = "expect_unknown", "an expectation other than 100-continue";
    /// More than one field that overrides the method or the URL: servers differ in which wins.
    OverrideRepeated = "override_repeated", "more than one field overrides the method or the URL";
}

impl From<BadTarget> for Reason {
    fn from(bad: BadTarget) -> Self {
        match bad {
            BadTarget::Fragment => Reason::TargetFragment,
            BadTarget::Invalid => Reason::TargetInvalid,
        }
    }
}

impl From<BadLength> for Reason {
    fn from(bad: BadLength) -> Self {
        match bad {
            BadLength::Invalid => Reason::ContentLengthInvalid,
            BadLength::Overflow => Reason::ContentLengthOverflow,
        }
    }
}

impl BadAuthority {
    /// The reason, where one that is not user information is `other`.
    pub(super) fn or(self, other: Reason) -> Reason {
        match self {
            BadAuthority::UserInfo => Reason::UserInfo,
            BadAuthority::Other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_snake_case() {
        let labels: HashSet<_> = Reason::ALL.iter().map(|r| r.label()).collect();
        assert_eq!(labels.len(), Reason::ALL.len());
        for label in labels {
            assert!(
                label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')),
                "{label}"
            );
        }
    }
}
