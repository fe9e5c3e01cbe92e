//! The side-by-side harness: the same load through Weir, through HAProxy and through nothing, in interleaved rounds.
//!
//! `docs/benchmarks.md` says what is measured and how to read it; [`rounds`] is where it happens.

pub mod affinity;
pub mod answer;
pub mod child;
pub mod churn;
pub mod ending;
pub mod goal;
pub mod http2;
pub mod load;
pub mod memory;
pub mod netns;
pub mod origin;
pub mod pods;
pub mod process;
pub mod rounds;
pub mod source;
pub mod stats;
pub mod table;
pub mod target;
pub mod varied;
pub mod watch;
pub mod workload;

/// Why a measurement could not be made. Each ends the harness: a figure that is not whole is not shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file, socket or process of this machine refused.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A program that was started did not do what it should.
    #[error("{0}")]
    Program(String),
    /// An answer was not the one asked for.
    #[error("wrong answer: {0}")]
    Answer(#[from] answer::Wrong),
}

impl Error {
    /// Turns an I/O error into one that says what was being done.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
