//! Writes the command table of a running Redis server, in the form that
//! `weir_parsers::redis::Table::parse` reads.
//!
//! ```text
//! cargo run -p weir-parsers --example redis-commands -- 127.0.0.1:6379 > commands.txt
//! ```
//!
//! Subcommands, arity, flags and key specifications come from `COMMAND`, channels from the
//! arguments that `COMMAND DOCS` describes. Redis 7.0 or later.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "a program of its own")]
fn main() -> ExitCode {
    let Some(address) = std::env::args().nth(1) else {
        eprintln!("usage: redis-commands ADDRESS:PORT");
        return ExitCode::from(2);
    };
    match generate(&address) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("redis-commands: {address}: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The table of the server at `address`.
pub(crate) fn generate(address: &str) -> io::Result<String> {
    let mut server = Client::connect(address)?;
    let version = server.version()?;
    let docs = server.ask(&["COMMAND", "DOCS"])?;
    let mut lines = Vec::new();
    for command in server.ask(&["COMMAND"])?.items() {
        describe(command, &docs, &mut lines);
    }
    lines.sort();
    Ok(format!(
        "# The commands of Redis {version}, from COMMAND and COMMAND DOCS. Written by\n\
         #     cargo run -p weir-parsers --example redis-commands -- ADDRESS\n\
         # NAME[|SUBCOMMAND] ARITY FLAGS [CHANNELS] [KEYSPEC...], as Table::parse explains.\n{}\n",
        lines.join("\n")
    ))
}

/// Adds a line for a command, and one for each of its subcommands.
fn describe(command: &Reply, docs: &Reply, lines: &mut Vec<String>) {
    let fields = command.items();
    let name = fields[0].text();
    let flags: Vec<_> = fields[2].items().iter().map(Reply::text).collect();
    let mut line = format!("{name} {} {}", fields[1].text(), join_or_dash(&flags));
    line.push_str(&channels(&name, docs));
    for spec in fields[8].items() {
        let _ = write!(line, " {}", key_spec(spec));
    }
    // A module's own function may find keys that its key specifications do not tell.
    if flags.iter().any(|f| f == "module") && flags.iter().any(|f| f == "movablekeys") {
        line.push_str(" -,incomplete@??");
    }
    lines.push(line);
    for subcommand in fields[9].items() {
        describe(subcommand, docs, lines);
    }
}

/// `&INDEX` or `&INDEX..` for commands that publish or subscribe.
fn channels(name: &str, docs: &Reply) -> String {
    let Some(doc) = docs.get(name) else { return String::new() };
    if doc.get("group").map(Reply::text).as_deref() != Some("pubsub") || name.contains('|') {
        return String::new();
    }
    let arguments = doc.get("arguments").map_or(&[][..], Reply::items);
    for (index, argument) in (1..).zip(arguments) {
        let name = argument.get("name").map(Reply::text).unwrap_or_default();
        if matches!(&*name, "channel" | "shardchannel" | "pattern") {
            let flags = argument.get("flags").map_or(&[][..], Reply::items);
            let multiple = flags.iter().any(|f| f.text() == "multiple");
            // PSUBSCRIBE's patterns are a block: each pattern repeats.
            return format!(" &{index}{}", if multiple { ".." } else { "" });
        }
    }
    String::new()
}

/// One key specification.
fn key_spec(spec: &Reply) -> String {
    const TOLD: [&str; 7] = ["RO", "RW", "OW", "RM", "incomplete", "not_key", "variable_flags"];
    let flags: Vec<_> = spec.field("flags").items().iter().map(Reply::text).collect();
    let flags: Vec<_> = flags.into_iter().filter(|f| TOLD.contains(&&**f)).collect();
    let begin = spec.field("begin_search");
    let numbers = begin.field("spec");
    let begin = match &*begin.field("type").text() {
        "index" => numbers.field("index").text(),
        "keyword" => {
            let from = numbers.field("startfrom").text();
            let sign = if from.starts_with('-') { "" } else { "+" };
            format!("{}{sign}{from}", numbers.field("keyword").text())
        }
        _ => "?".to_owned(),
    };
    let find = spec.field("find_keys");
    let numbers = find.field("spec");
    let three = |names: [&str; 3]| names.map(|name| numbers.field(name).text()).join(",");
    let find = match &*find.field("type").text() {
        "range" => format!(":{}", three(["lastkey", "keystep", "limit"])),
        "keynum" => format!("#{}", three(["keynumidx", "firstkey", "keystep"])),
        _ => "?".to_owned(),
    };
    format!("{}@{begin}{find}", join_or_dash(&flags))
}

fn join_or_dash(words: &[String]) -> String {
    if words.is_empty() { "-".to_owned() } else { words.join(",") }
}

/// A RESP2 reply.
enum Reply {
    Text(String),
    Array(Vec<Reply>),
}

impl Reply {
    fn text(&self) -> String {
        match self {
            Reply::Text(text) => text.clone(),
            Reply::Array(_) => String::new(),
        }
    }

    fn items(&self) -> &[Reply] {
        match self {
            Reply::Array(items) => items,
            Reply::Text(_) => &[],
        }
    }

    /// The value behind `name` in a map, which RESP2 sends as an array of pairs. Subcommands'
    /// names are not looked for: their documents lie in their containers'.
    fn get(&self, name: &str) -> Option<&Reply> {
        self.items().chunks_exact(2).find(|pair| pair[0].text() == name).map(|pair| &pair[1])
    }

    /// As `get`, empty where there is none.
    fn field(&self, name: &str) -> &Reply {
        const NONE: &Reply = &Reply::Array(Vec::new());
        self.get(name).unwrap_or(NONE)
    }
}

/// A client that asks and waits.
struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(address: &str) -> io::Result<Self> {
        Ok(Self { stream: BufReader::new(TcpStream::connect(address)?) })
    }

    /// What `INFO` calls `redis_version`.
    fn version(&mut self) -> io::Result<String> {
        let info = self.ask(&["INFO", "server"])?.text();
        let version = info.lines().find_map(|line| line.strip_prefix("redis_version:"));
        version.map(str::to_owned).ok_or_else(|| invalid("INFO tells no redis_version"))
    }

    fn ask(&mut self, command: &[&str]) -> io::Result<Reply> {
        let mut raw = format!("*{}\r\n", command.len());
        for arg in command {
            let _ = write!(raw, "${}\r\n{arg}\r\n", arg.len());
        }
        self.stream.get_mut().write_all(raw.as_bytes())?;
        self.reply()
    }

    fn reply(&mut self) -> io::Result<Reply> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.strip_suffix("\r\n").ok_or_else(|| invalid("a reply is cut short"))?;
        let (tag, rest) = line.split_at_checked(1).ok_or_else(|| invalid("an empty reply"))?;
        let number = || rest.parse::<i64>().map_err(|_| invalid("a length is no number"));
        match tag {
            "+" | ":" => Ok(Reply::Text(rest.to_owned())),
            "$" => {
                let size = usize::try_from(number()?).unwrap_or(0);
                let mut text = vec![0; size + 2];
                self.stream.read_exact(&mut text)?;
                text.truncate(size);
                Ok(Reply::Text(String::from_utf8_lossy(&text).into_owned()))
            }
            "*" => {
                let items = (0..number()?).map(|_| self.reply());
                Ok(Reply::Array(items.collect::<io::Result<_>>()?))
            }
            _ => Err(invalid(rest)),
        }
    }
}

fn invalid(problem: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
