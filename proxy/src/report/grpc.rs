//! gRPC's status codes by name (the gRPC project's "Status codes and their use in gRPC").

/// By number.
pub(crate) const NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The code's name, if it has one.
pub(crate) fn name(code: u32) -> Option<&'static str> {
    NAMES.get(usize::try_from(code).ok()?).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_their_names() {
        let names = [0, 1, 4, 7, 12, 14, 16].map(name);
        let expected = [
            "OK",
            "CANCELLED",
            "DEADLINE_EXCEEDED",
            "PERMISSION_DENIED",
            "UNIMPLEMENTED",
            "UNAVAILABLE",
            "UNAUTHENTICATED",
        ];
        assert_eq!(names, expected.map(Some));
        assert_eq!([17, u32::MAX].map(name), [None, None]);
    }
}
