//! Reading policy files.

mod peer;
mod read;
mod rule;
mod spec;
pub(crate) mod tree;
pub(crate) mod yaml;

use crate::error::Errors;
use crate::model::TrafficPolicy;

/// Reads the policies of a file: one YAML document each.
///
/// # Errors
/// Everything that is wrong in the file; nothing of it is used then.
pub fn parse(source_name: &str, text: &str) -> Result<Vec<TrafficPolicy>, Errors> {
    let file = std::sync::Arc::from(source_name);
    let documents = yaml::documents(&file, text).map_err(|e| Errors(vec![e]))?;
    let mut reader = read::Reader::new(file, text);
    let mut policies: Vec<TrafficPolicy> = Vec::new();
    if documents.is_empty() {
        reader.empty();
    }
    for document in &documents {
        policies.extend(spec::policy(&mut reader, document));
    }
    reader.finish(policies)
}
