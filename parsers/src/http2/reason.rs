//! Why bytes are refused: one closed set, with stable labels for log and metrics.

use super::{ErrorCode, hpack};
use crate::http::fields::BadLength;
use crate::http::uri::{BadAuthority, BadTarget};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $code:ident $scope:ident, $words:literal;)*) => {
        /// Why a frame, a field block or a head is refused.
        ///
        /// `label` is stable and for machines; `Display` is for people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
        pub enum Reason {
            $($(#[$doc])* #[error($words)] $name,)*
            /// A field block that cannot be decoded, or is not (RFC 9113 §4.3, §10.5.1).
            #[error(transparent)]
            Hpack(#[from] hpack::Error),
        }

        impl Reason {
            /// Every reason there is but those of [`hpack::Error::ALL`], for documentation and for
            /// registering metrics.
            pub const ALL: &'static [Reason] = &[$(Reason::$name),*];

            /// The stable `snake_case` label.
            pub fn label(self) -> &'static str {
                match self { $(Reason::$name => $label,)* Reason::Hpack(error) => error.label() }
            }

            /// The code of the error that it is.
            pub fn code(self) -> ErrorCode {
                match self {
                    $(Reason::$name => ErrorCode::$code,)*
                    Reason::Hpack(hpack::Error::ListTooLong) => ErrorCode::EnhanceYourCalm,
                    Reason::Hpack(_) => ErrorCode::CompressionError,
                }
            }

            /// It is an error of the connection, not of one stream (RFC 9113 §5.4).
            pub fn ends_connection(self) -> bool {
                match self { $(Reason::$name => scope!($scope),)* Reason::Hpack(_) => true }
            }
        }
    };
}

macro_rules! scope {
    (connection) => {
        true
    };
    (stream) => {
        false
    };
}

reasons! {
    /// A frame longer than SETTINGS_MAX_FRAME_SIZE (RFC 9113 §4.2).
    FrameTooLong = "frame_too_long", FrameSizeError connection, "a frame is longer than the limit";
    /// A frame that must belong to a stream is on stream 0.
    StreamMissing = "stream_missing", ProtocolError connection, "a frame of a stream is on stream 0";
    /// A frame of the connection is on a stream.
    StreamUnexpected = "stream_unexpected", ProtocolError connection, "a frame of the connection is on a stream";
    /// PING has not 8 bytes (RFC 9113 §6.7).
    PingLength = "ping_length", FrameSizeError connection, "PING has not 8 bytes";
    /// RST_STREAM has not 4 bytes (RFC 9113 §6.4).
    RstStreamLength = "rst_stream_length", FrameSizeError connection, "RST_STREAM has not 4 bytes";
    /// PRIORITY has not 5 bytes (RFC 9113 §6.3).
    PriorityLength = "priority_length", FrameSizeError stream, "PRIORITY has not 5 bytes";
    /// WINDOW_UPDATE has not 4 bytes (RFC 9113 §6.9).
    WindowUpdateLength = "window_update_length", FrameSizeError connection, "WINDOW_UPDATE has not 4 bytes";
    /// SETTINGS has not a multiple of 6 bytes (RFC 9113 §6.5).
    SettingsLength = "settings_length", FrameSizeError connection, "SETTINGS has not a multiple of 6 bytes";
    /// An acknowledgement of SETTINGS is not empty (RFC 9113 §6.5).
    SettingsAckLength = "settings_ack_length", FrameSizeError connection, "an acknowledgement of SETTINGS is not empty";
    /// GOAWAY has fewer than 8 bytes (RFC 9113 §6.8).
    GoAwayLength = "goaway_length", FrameSizeError connection, "GOAWAY has fewer than 8 bytes";
    /// A frame ends within the fields that its flags announce.
    FrameTooShort = "frame_too_short", FrameSizeError connection, "a frame is too short for its fields";
    /// The padding is as long as the payload or longer (RFC 9113 §6.1).
    PaddingTooLong = "padding_too_long", ProtocolError connection, "the padding is longer than the frame";
    /// PUSH_PROMISE promises a stream that a server cannot begin (RFC 9113 §6.6).
    PromisedStream = "promised_stream", ProtocolError connection, "PUSH_PROMISE promises a stream that cannot be";
    /// WINDOW_UPDATE of a stream by 0 (RFC 9113 §6.9).
    StreamIncrementZero = "stream_increment_zero", ProtocolError stream, "WINDOW_UPDATE of a stream by 0";
    /// WINDOW_UPDATE of the connection by 0 (RFC 9113 §6.9).
    ConnectionIncrementZero = "connection_increment_zero", ProtocolError connection, "WINDOW_UPDATE of the connection by 0";
    /// A setting has a value that it cannot have (RFC 9113 §6.5.2).
    SettingInvalid = "setting_invalid", ProtocolError connection, "a setting has a value that it cannot have";
    /// SETTINGS_INITIAL_WINDOW_SIZE is over 2^31 - 1 (RFC 9113 §6.5.2).
    InitialWindowTooLarge = "initial_window_too_large", FlowControlError connection, "SETTINGS_INITIAL_WINDOW_SIZE is too large";

    /// A pseudo-header field behind a regular field (RFC 9113 §8.3).
    PseudoAfterField = "pseudo_after_field", ProtocolError stream, "a pseudo-header field behind a regular field";
    /// A pseudo-header field that is not known (RFC 9113 §8.3).
    PseudoUnknown = "pseudo_unknown", ProtocolError stream, "an unknown pseudo-header field";
    /// A pseudo-header field twice (RFC 9113 §8.3).
    PseudoRepeated = "pseudo_repeated", ProtocolError stream, "a pseudo-header field is repeated";
    /// A pseudo-header field of a response in a request, or the other way round.
    PseudoMisplaced = "pseudo_misplaced", ProtocolError stream, "a pseudo-header field of the other kind of message";
    /// A pseudo-header field in a trailer section (RFC 9113 §8.1).
    PseudoInTrailers = "pseudo_in_trailers", ProtocolError stream, "a pseudo-header field in trailers";
    /// No `:method` (RFC 9113 §8.3.1).
    MethodMissing = "method_missing", ProtocolError stream, "the method is missing";
    /// No `:scheme` (RFC 9113 §8.3.1).
    SchemeMissing = "scheme_missing", ProtocolError stream, "the scheme is missing";
    /// No `:path` (RFC 9113 §8.3.1).
    PathMissing = "path_missing", ProtocolError stream, "the path is missing";
    /// No `:status` (RFC 9113 §8.3.2).
    StatusMissing = "status_missing", ProtocolError stream, "the status is missing";
    /// The method is not a token (RFC 9110 §9.1).
    MethodInvalid = "method_invalid", ProtocolError stream, "the method is not a token";
    /// A scheme other than http and https.
    SchemeUnsupported = "scheme_unsupported", ProtocolError stream, "the scheme is not http or https";
    /// An empty `:path` (RFC 9113 §8.3.1).
    PathEmpty = "path_empty", ProtocolError stream, "the path is empty";
    /// A path that does not begin with `/`, or `*` of another method than OPTIONS.
    PathForm = "path_form", ProtocolError stream, "the form of the path does not suit the method";
    /// The path or query has bytes that a URI cannot have (RFC 3986 §3.3).
    PathInvalid = "path_invalid", ProtocolError stream, "the path is not valid in a URI";
    /// The path has a fragment.
    PathFragment = "path_fragment", ProtocolError stream, "the path has a fragment";
    /// CONNECT with a scheme or path, or without an authority with a port (RFC 9113 §8.5).
    ConnectForm = "connect_form", ProtocolError stream, "the pseudo-header fields do not suit CONNECT";
    /// CONNECT with Content-Length (RFC 9110 §9.3.6).
    ConnectWithBody = "connect_with_body", ProtocolError stream, "CONNECT with a body";
    /// `:protocol` with another method than CONNECT (RFC 8441 §4).
    ProtocolWithoutConnect = "protocol_without_connect", ProtocolError stream, "a protocol with another method than CONNECT";
    /// `:protocol` is not a token.
    ProtocolInvalid = "protocol_invalid", ProtocolError stream, "the protocol is not a token";
    /// The authority has user information (RFC 9113 §8.3.1).
    UserInfo = "userinfo", ProtocolError stream, "the authority has user information";
    /// The authority is not `host[:port]`.
    AuthorityInvalid = "authority_invalid", ProtocolError stream, "the authority is invalid";
    /// The status is not three digits, or is 101 (RFC 9113 §8.6).
    StatusInvalid = "status_invalid", ProtocolError stream, "the status is invalid";
    /// A field without a name.
    EmptyFieldName = "empty_field_name", ProtocolError stream, "a field without a name";
    /// A field name with an upper-case letter (RFC 9113 §8.2.1).
    FieldNameUpper = "field_name_upper", ProtocolError stream, "a field name has an upper-case letter";
    /// A field name that is not a token (RFC 9110 §5.1).
    FieldNameInvalid = "field_name_invalid", ProtocolError stream, "a field name is not a token";
    /// CR in a value.
    Cr = "cr", ProtocolError stream, "a CR in a field value";
    /// LF in a value.
    Lf = "lf", ProtocolError stream, "an LF in a field value";
    /// NUL in a value.
    Nul = "nul", ProtocolError stream, "a NUL in a field value";
    /// Another control character than HTAB in a value (RFC 9110 §5.5).
    ControlByte = "control_byte", ProtocolError stream, "a control character in a field value";
    /// Whitespace around a value of a request (RFC 9113 §8.2.1).
    ValueWhitespace = "value_whitespace", ProtocolError stream, "whitespace around a field value";
    /// A field of HTTP/1's connection (RFC 9113 §8.2.2).
    ConnectionField = "connection_field", ProtocolError stream, "a connection-specific field";
    /// TE other than `trailers` (RFC 9113 §8.2.2).
    TeInvalid = "te_invalid", ProtocolError stream, "TE is not `trailers`";
    /// Content-Length is not all digits (RFC 9110 §8.6).
    ContentLengthInvalid = "content_length_invalid", ProtocolError stream, "Content-Length is not a number";
    /// Content-Length has more than 19 digits or is over 2^63 - 1.
    ContentLengthOverflow = "content_length_overflow", ProtocolError stream, "Content-Length is too large";
    /// More than one Content-Length.
    ContentLengthRepeated = "content_length_repeated", ProtocolError stream, "Content-Length is repeated";
    /// `content_length` or `transfer_encoding`, which gateways such as CGI read as the real ones.
    FramingLookAlike = "framing_look_alike", ProtocolError stream, "a field that some servers read as Content-Length or Transfer-Encoding";
    /// More than one Content-Type.
    ContentTypeRepeated = "content_type_repeated", ProtocolError stream, "Content-Type is repeated";
    /// More than one Host.
    HostRepeated = "host_repeated", ProtocolError stream, "the Host field is repeated";
    /// Host is not `host[:port]`.
    HostInvalid = "host_invalid", ProtocolError stream, "the Host field is invalid";
    /// Host differs from `:authority` (RFC 9113 §8.3.1).
    HostMismatch = "host_mismatch", ProtocolError stream, "the Host field differs from the authority";
    /// An expectation other than `100-continue` (RFC 9110 §10.1.1).
    ExpectUnknown = "expect_unknown", ProtocolError stream, "an expectation other than 100-continue";
    /// More than one field that overrides the method or the URL: servers differ in which wins.
    OverrideRepeated = "override_repeated", ProtocolError stream, "more than one field overrides the method or the URL";
    /// A trailer field that must not be one (RFC 9110 §6.5.1).
    ForbiddenTrailer = "forbidden_trailer", ProtocolError stream, "a field that must not come as a trailer";
}

impl From<BadTarget> for Reason {
    fn from(bad: BadTarget) -> Self {
        match bad {
            BadTarget::Fragment => Reason::PathFragment,
            BadTarget::Invalid => Reason::PathInvalid,
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

impl Reason {
    /// The reason for a bad authority, where one that is not user information is `other`.
    pub(super) fn authority(bad: BadAuthority, other: Reason) -> Reason {
        match bad {
            BadAuthority::UserInfo => Reason::UserInfo,
            BadAuthority::Other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Reason, hpack};
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_snake_case() {
        let hpack = hpack::Error::ALL.iter().map(|e| e.label());
        let labels: Vec<_> = Reason::ALL.iter().map(|r| r.label()).chain(hpack).collect();
        assert_eq!(labels.iter().collect::<HashSet<_>>().len(), labels.len());
        for label in labels {
            assert!(
                label.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')),
                "{label}"
            );
        }
    }
}
