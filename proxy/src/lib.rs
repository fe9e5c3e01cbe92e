//! The Weir sidecar.
