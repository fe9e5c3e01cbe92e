//! Strings and small trees as YAML that reads back as the same.

use std::fmt::Write;

use crate::file::tree::Tree;

/// Where a string stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An item of a list of lines.
    Block,
    /// Within brackets.
    Flow,
    /// Within the brackets of a document that may be read as JSON.
    Json,
}

/// Words that stand for something else than themselves in YAML 1.1 or 1.2.
const WORDS: &[&str] =
    &["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// The string, quoted where it must be.
pub(crate) fn string(text: &str, place: Place) -> String {
    if is_plain(text, place) {
        return text.to_owned();
    }
    let odd = text.contains(['\\', '"']) && !text.contains('\'');
    if place != Place::Json && odd && text.chars().all(is_shown) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if is_shown(c) => out.push(c),
            c => escape(&mut out, c),
        }
    }
    out.push('"');
    out
}

fn escape(out: &mut String, c: char) {
    // Writing to a string does not fail.
    _ = match u32::from(c) {
        n @ 0x1_0000.. => write!(out, "\\U{n:08X}"),
        n => write!(out, "\\u{n:04X}"),
    };
}

/// Whether a character is written as it is: nothing that hides, breaks the line or turns the
/// direction of what follows.
pub(crate) fn is_shown(c: char) -> bool {
    match c {
        ' '..='~' => true,
        c if c.is_ascii() => false,
        '\u{2010}'..='\u{2027}' | '\u{2030}'..='\u{205E}' => true,
        c => c.is_alphanumeric(),
    }
}

fn is_plain(text: &str, place: Place) -> bool {
    // What begins with a digit may be a number, or a date, but not with a slash in it.
    let digit = |c: char| c.is_ascii_digit() && text.contains('/');
    let first = |c: char| c.is_alphabetic() || c == '/' || c == '_' || digit(c);
    let word = || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let block = || !text.contains(": ") && !text.contains(" #") && !text.ends_with(':');
    let fine = match place {
        Place::Block => block(),
        Place::Flow => !text.contains([',', '[', ']', '{', '}', ':', '#', '*', '&', '"', '\'']),
        Place::Json => false,
    };
    fine && text.starts_with(first) && !text.ends_with(' ') && text.chars().all(is_shown) && !word()
}

/// A tree on one line, in brackets where it has parts; `json`: every string in double quotes.
pub(crate) fn flow(tree: &Tree, json: bool) -> String {
    let place = if json { Place::Json } else { Place::Flow };
    match tree {
        Tree::Null => "null".to_owned(),
        Tree::Bool(b) => b.to_string(),
        Tree::Int(n) => n.to_string(),
        Tree::Float(bits) => format!("{:?}", f64::from_bits(*bits)),
        Tree::Text(text) => string(text, place),
        Tree::List(items) => {
            let items: Vec<_> = items.iter().map(|item| flow(item, json)).collect();
            format!("[{}]", items.join(", "))
        }
        Tree::Map(fields) => {
            let field = |(key, value): &(String, Tree)| {
                format!("{}: {}", string(key, place), flow(value, json))
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
    }
}
