//! Policy files, read and compiled, with their errors shown in place.

use std::collections::HashMap;
use std::path::PathBuf;

use weir_policy::decide::Mode;
use weir_policy::edit::EditError;
use weir_policy::{Addresses, Defaults, Errors, Origin, Snapshot, TrafficPolicy};

use crate::cli::failure::{Excerpt, Failure, Message};

/// The texts of policy files, by the names that errors give them.
#[derive(Debug, Default)]
pub(in crate::cli) struct Texts(HashMap<String, String>);

impl Texts {
    /// The line that is meant.
    pub(super) fn excerpt(&self, at: &Origin) -> Option<Excerpt> {
        let text = self.0.get(&*at.file)?;
        let line = text.lines().nth(usize::try_from(at.line).ok()?.checked_sub(1)?)?;
        Some(Excerpt { line: at.line.into(), column: at.column.into(), text: line.to_owned() })
    }

    fn failed(&self, errors: &[Errors]) -> Failure {
        let all = errors.iter().flat_map(|errors| &errors.0);
        Failure::files(
            all.map(|error| Message::new(error.to_string()).excerpt(self.excerpt(&error.at)))
                .collect(),
        )
    }
}

/// Reads and compiles all files together, as `weir run` does with its `--policy` flags. `mode` is
/// for policies that name none.
///
/// # Errors
/// Every error of every file, each with its line.
pub(in crate::cli) fn compile(paths: &[PathBuf], mode: Mode) -> Result<(Snapshot, Texts), Failure> {
    let (policies, texts) = parse(paths)?;
    let today = weir::policies::today().map_err(|error| Failure::other(error.to_string()))?;
    let defaults = Defaults { mode, today };
    let snapshot = Snapshot::compile(policies, &defaults, &Addresses::default())
        .map_err(|errors| texts.failed(&[errors]))?;
    Ok((snapshot, texts))
}

fn parse(paths: &[PathBuf]) -> Result<(Vec<TrafficPolicy>, Texts), Failure> {
    let (mut policies, mut texts, mut errors) = (Vec::new(), Texts::default(), Vec::new());
    for path in paths {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
        match weir_policy::parse(&name, &text) {
            Ok(new) => policies.extend(new),
            Err(new) => errors.push(new),
        }
        texts.0.insert(name, text);
    }
    if errors.is_empty() { Ok((policies, texts)) } else { Err(texts.failed(&errors)) }
}

/// Why a file could not be added to, each error with its line.
pub(super) fn not_edited(name: String, text: String, error: &EditError) -> Failure {
    match error {
        EditError::File(errors) | EditError::Conflict(errors) | EditError::Unedited(errors) => {
            Texts(HashMap::from([(name, text)])).failed(std::slice::from_ref(errors))
        }
        EditError::Policy { .. } => {
            Failure::usage(error.to_string()).hint("--policy names the one to add to")
        }
        other => Failure::usage(other.to_string()),
    }
}
