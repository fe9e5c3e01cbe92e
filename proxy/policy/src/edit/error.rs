//! Why a file cannot be added to.

use crate::entry::BadEntry;
use crate::error::Errors;
use crate::op::Protocol;

/// Why nothing was added to a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The file has errors as it is.
    #[error("{0}")]
    File(Errors),
    /// The file has several policies, or not the one that was named.
    #[error("{file}: {}", choice(asked.as_deref(), names))]
    Policy {
        /// The file's name.
        file: String,
        /// The name that was asked for.
        asked: Option<String>,
        /// The full names of its policies.
        names: Vec<String>,
    },
    /// An addition is no entry.
    #[error("{op:?} is no {protocol} entry: {bad}")]
    Entry {
        /// The entry as given.
        op: String,
        /// The protocol of its rule.
        protocol: Protocol,
        /// What is wrong with it.
        bad: BadEntry,
    },
    /// Rules of the file and additions cannot stand beside each other.
    #[error("{0}")]
    Conflict(Errors),
    /// The place to add to is written in a way that this does not edit.
    #[error("{0}")]
    Unedited(Errors),
    /// The new text would not say what it should: a mistake of this program, found in time.
    #[error(
        "{file}: adding would have changed something else ({what}): the file was left alone; add the entries by hand"
    )]
    Broken {
        /// The file's name.
        file: String,
        /// What would have gone wrong.
        what: String,
    },
}

impl EditError {
    pub(super) fn broken(file: &str, what: &impl ToString) -> Self {
        Self::Broken { file: file.to_owned(), what: what.to_string() }
    }
}

fn choice(asked: Option<&str>, names: &[String]) -> String {
    let names = names.join(", ");
    match asked {
        Some(asked) => format!("found the policies {names}, expected {asked}"),
        None => format!("found several policies, expected the name of one: {names}"),
    }
}
