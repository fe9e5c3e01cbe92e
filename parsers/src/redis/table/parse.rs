//! Reading a command table.

use super::{Begin, Channels, CommandInfo, Find, KeySpec, MAX_NAME, MAX_SPECS, Table};

/// What is wrong with a table, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct TableError {
    /// The line, from 1.
    pub line: usize,
    /// What was expected there.
    pub problem: &'static str,
}

const FIND_EXPECTED: &str =
    "expected how keys are found: :LAST,STEP,LIMIT or #NUMBER,FIRST,STEP or ?";

/// See [`Table::parse`].
pub(super) fn table(text: &str) -> Result<Table, TableError> {
    let mut table = Table::default();
    for (line, text) in (1..).zip(text.lines()) {
        if !text.starts_with('#') && !text.trim().is_empty() {
            add(&mut table, text).map_err(|problem| TableError { line, problem })?;
        }
    }
    if table.commands.is_empty() {
        return Err(TableError { line: 1, problem: "the table has no commands" });
    }
    Ok(table)
}

/// Reads one line into its place.
fn add(table: &mut Table, line: &str) -> Result<(), &'static str> {
    let mut words = line.split_ascii_whitespace();
    let full = words.next().unwrap_or_default();
    let (name, subcommand) = match full.split_once('|') {
        Some((name, subcommand)) => (name, Some(subcommand)),
        None => (full, None),
    };
    let info = command(subcommand.unwrap_or(name), words)?;
    let list = match subcommand {
        None => &mut table.commands,
        Some(_) => {
            let name = name.to_ascii_lowercase();
            let at = table
                .commands
                .binary_search_by(|c| (*c.name).cmp(&name))
                .map_err(|_| "a subcommand must come after its command")?;
            &mut table.commands[at].subcommands
        }
    };
    match list.binary_search_by(|c| c.name.cmp(&info.name)) {
        Ok(_) => Err("the command is there twice"),
        Err(at) => {
            list.insert(at, info);
            Ok(())
        }
    }
}

/// Reads what follows the name.
fn command<'a>(
    name: &str,
    mut words: impl Iterator<Item = &'a str>,
) -> Result<CommandInfo, &'static str> {
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("expected a command's name of 1 to 64 printable characters");
    }
    let arity = words.next().and_then(|w| w.parse().ok()).ok_or("expected an arity")?;
    let flags = words.next().ok_or("expected flags, or -")?;
    let mut info = CommandInfo {
        name: name.to_ascii_lowercase().into(),
        arity,
        flags: flags.into(),
        key_specs: Vec::new(),
        channels: None,
        subcommands: Vec::new(),
    };
    for word in words {
        match word.strip_prefix('&') {
            Some(index) if info.channels.is_none() => info.channels = Some(channels(index)?),
            Some(_) => return Err("channels are there twice"),
            None => info.key_specs.push(key_spec(word)?),
        }
    }
    if info.key_specs.len() > MAX_SPECS {
        return Err("a command has at most 4 key specifications");
    }
    Ok(info)
}

fn channels(text: &str) -> Result<Channels, &'static str> {
    let (first, rest) = match text.strip_suffix("..") {
        Some(first) => (first, true),
        None => (text, false),
    };
    match first.parse() {
        Ok(first) if first > 0 => Ok(Channels { first, rest }),
        _ => Err("expected channels as &INDEX or &INDEX.."),
    }
}

fn key_spec(text: &str) -> Result<KeySpec, &'static str> {
    let (flags, place) =
        text.split_once('@').ok_or("expected a key specification ACCESS@BEGIN FIND")?;
    // An unknown begin is itself a question mark.
    let at = if place.starts_with('?') { Some(1) } else { place.find([':', '#', '?']) };
    let (begin, find) = place.split_at(at.ok_or(FIND_EXPECTED)?);
    let mut spec = KeySpec {
        incomplete: false,
        not_key: false,
        variable_flags: false,
        begin: begin_search(begin)?,
        find: find_keys(find)?,
    };
    for flag in flags.split(',') {
        match flag {
            "incomplete" => spec.incomplete = true,
            "not_key" => spec.not_key = true,
            "variable_flags" => spec.variable_flags = true,
            "RO" | "RW" | "OW" | "RM" | "-" => {}
            _ => {
                return Err(
                    "expected RO, RW, OW, RM, -, incomplete, not_key or variable_flags before @",
                );
            }
        }
    }
    Ok(spec)
}

fn begin_search(text: &str) -> Result<Begin, &'static str> {
    const EXPECTED: &str = "expected where keys begin: an index, KEYWORD+N, KEYWORD-N or ?";
    if text == "?" {
        return Ok(Begin::Unknown);
    }
    if let Ok(index) = text.parse() {
        return if index > 0 { Ok(Begin::Index(index)) } else { Err(EXPECTED) };
    }
    let at = text.rfind(['+', '-']).ok_or(EXPECTED)?;
    let (word, from) = text.split_at(at);
    match from.parse() {
        Ok(from) if from != 0 && !word.is_empty() => Ok(Begin::Keyword(word.into(), from)),
        _ => Err(EXPECTED),
    }
}

fn find_keys(text: &str) -> Result<Find, &'static str> {
    let three = |numbers: &str| -> Option<[i32; 3]> {
        let mut numbers = numbers.split(',').map(|n| n.parse().ok());
        let three = [numbers.next()??, numbers.next()??, numbers.next()??];
        numbers.next().is_none().then_some(three)
    };
    let unsigned = |n: i32| usize::try_from(n).map_err(|_| FIND_EXPECTED);
    let positive =
        |n: i32| unsigned(n).and_then(|n| if n > 0 { Ok(n) } else { Err(FIND_EXPECTED) });
    match text.split_at_checked(1) {
        Some(("?", "")) => Ok(Find::Unknown),
        Some((":", numbers)) => {
            let [last, step, limit] = three(numbers).ok_or(FIND_EXPECTED)?;
            Ok(Find::Range { last, step: positive(step)?, limit: unsigned(limit)? })
        }
        Some(("#", numbers)) => {
            let [number, first, step] = three(numbers).ok_or(FIND_EXPECTED)?;
            Ok(Find::KeyNum {
                number: unsigned(number)?,
                first: positive(first)?,
                step: positive(step)?,
            })
        }
        _ => Err(FIND_EXPECTED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> CommandInfo {
        table(line).unwrap().commands.remove(0)
    }

    #[test]
    fn a_line_is_a_command() {
        let info = one("Get 2 readonly,fast RO@1:0,1,0");
        assert_eq!((info.name(), info.arity()), ("get", 2));
        assert!(info.has_flag("fast") && !info.has_flag("fas"));
        assert_eq!(info.key_specs[0].begin, Begin::Index(1));
        assert_eq!(info.key_specs[0].find, Find::Range { last: 0, step: 1, limit: 0 });
        let info = one("x -2 - RO,incomplete@KEYS-2#0,1,2 -@?? RW@1?");
        assert_eq!(info.key_specs[0].begin, Begin::Keyword("KEYS".into(), -2));
        assert_eq!(info.key_specs[0].find, Find::KeyNum { number: 0, first: 1, step: 2 });
        assert!(info.key_specs[0].incomplete);
        assert_eq!(info.key_specs[1].begin, Begin::Unknown);
        assert_eq!(info.key_specs[2].find, Find::Unknown);
        assert_eq!(one("p 3 - &1").channels, Some(Channels { first: 1, rest: false }));
        assert_eq!(one("s -2 - &1..").channels, Some(Channels { first: 1, rest: true }));
    }

    #[test]
    fn an_error_names_its_line() {
        let lines = [
            ("get", "expected an arity"),
            ("get x -", "expected an arity"),
            ("get 2", "expected flags, or -"),
            ("get 2 - 1:0,1,0", "expected a key specification ACCESS@BEGIN FIND"),
            ("get 2 - RO@1", FIND_EXPECTED),
            ("get 2 - RO@1:0,1", FIND_EXPECTED),
            ("get 2 - RO@1:0,0,0", FIND_EXPECTED),
            ("get 2 - RO@1#-1,1,1", FIND_EXPECTED),
            (
                "get 2 - RO@0:0,1,0",
                "expected where keys begin: an index, KEYWORD+N, KEYWORD-N or ?",
            ),
            (
                "get 2 - RO@x+0:0,1,0",
                "expected where keys begin: an index, KEYWORD+N, KEYWORD-N or ?",
            ),
            ("get 2 - &0", "expected channels as &INDEX or &INDEX.."),
            ("get 2 - &1 &2", "channels are there twice"),
            ("set|x 2 -", "a subcommand must come after its command"),
            ("ok 1 -", "the command is there twice"),
        ];
        for (line, problem) in lines {
            let text = format!("# a comment\n\nok 1 -\n{line}\n");
            assert_eq!(table(&text).unwrap_err(), TableError { line: 4, problem }, "{line}");
        }
        let many = format!("many 1 -{}", " RO@1:0,1,0".repeat(MAX_SPECS + 1));
        assert!(table(&many).is_err());
        assert!(table("").is_err());
        assert_eq!(table("x").unwrap_err().to_string(), "line 1: expected an arity");
    }
}
