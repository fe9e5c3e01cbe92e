//! The configuration file: the options, in YAML.

use std::path::{Path, PathBuf};

use super::Error;
use super::options::Options;
use super::values::{SocketPath, Target, TrafficLog};

/// Reads a configuration file. Paths in it are relative to its own directory.
pub(super) fn read(path: &Path) -> Result<Options, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::Read { path: path.to_owned(), source })?;
    let options = parse(&text).map_err(|error| {
        let at = error.location();
        Error::File {
            path: path.to_owned(),
            line: at.map_or(1, |at| at.line()),
            column: at.map_or(1, |at| at.column()),
            message: words(&error),
            source_line: at.and_then(|at| line(&text, at.line())).unwrap_or_default().to_owned(),
        }
    })?;
    Ok(relative_to(options, path.parent().unwrap_or(Path::new(""))))
}

/// Reads the text of a configuration file. An empty one says nothing.
fn parse(text: &str) -> Result<Options, serde_saphyr::Error> {
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    Ok(serde_saphyr::from_str_with_options::<Option<Options>>(text, options)?.unwrap_or_default())
}

/// The error without the place, which is told before it.
fn words(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    match text.find(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

fn line(text: &str, number: u64) -> Option<&str> {
    text.lines().nth(usize::try_from(number).ok()?.checked_sub(1)?)
}

/// Makes the paths in a file's options relative to `base` instead of the working directory.
fn relative_to(options: Options, base: &Path) -> Options {
    let join = |path: PathBuf| base.join(path);
    Options {
        policy: options.policy.into_iter().map(join).collect(),
        socket: options.socket.map(|socket| SocketPath(socket.0.map(join))),
        redis_commands: options.redis_commands.map(join),
        resolv_conf: options.resolv_conf.map(join),
        profile: options.profile.map(join),
        profile_key: options.profile_key.map(join),
        traffic_log: options.traffic_log.map(|log| match log.0 {
            Some(Target::File(path)) => TrafficLog(Some(Target::File(join(path)))),
            other => TrafficLog(other),
        }),
        ..options
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UnknownFrames;
    use crate::config::values::{Admin, LogAllowed, Mode};

    fn error(text: &str) -> (String, u64, u64) {
        let error = parse(text).unwrap_err();
        let at = error.location().unwrap();
        (words(&error), at.line(), at.column())
    }

    #[test]
    fn every_setting_is_read() {
        let options = parse(
            "forward: [127.0.0.1:1=127.0.0.1:2]\ninbound-port: 3\noutbound-port: 4\npolicy: [a.yaml]\nmode: enforce\nadmin: off\n\
             probe-ports: [80, 81]\nsocket: s\ntraffic-log: '-'\nlog-allowed: sample:5\nlog-detail: full\n\
             limits: {head-bytes: 1024, linger: 3s}\ngrace: 5s\nworkers: 2\nmemory: 64MiB\n\
             max-connections: 10\nredis-commands: c.json\nredis-inline: true\nlog: debug\nhttp2-unknown-frames: drop\n\
             resolv-conf: r\n",
        )
        .unwrap();
        assert_eq!(options.forward.len(), 1);
        assert_eq!(options.mode, Some(Mode::Enforce));
        assert_eq!(options.admin, Some(Admin::Off));
        assert_eq!(options.inbound_port.map(u16::from), Some(3));
        assert_eq!(options.outbound_port.map(u16::from), Some(4));
        assert_eq!(options.probe_ports.map(|ports| ports.0.len()), Some(2));
        assert_eq!(options.socket, Some(SocketPath(Some("s".into()))));
        assert_eq!(options.log_allowed, Some(LogAllowed::Sample(5)));
        assert_eq!(options.limits.len(), 2);
        assert_eq!(options.redis_inline, Some(true));
        assert_eq!(options.http2_unknown_frames, Some(UnknownFrames::Drop));
        assert_eq!(options.resolv_conf, Some("r".into()));
    }

    #[test]
    fn an_empty_file_says_nothing() {
        for text in ["", "# nothing\n", "---\n"] {
            assert_eq!(parse(text).unwrap(), Options::default(), "{text:?}");
        }
    }

    #[test]
    fn errors_have_places() {
        for (text, expected, line, column) in [
            ("mode: enforce\nmodes: learn\n", "unknown field", 2, 1),
            ("mode: strict\n", "strict", 1, 7),
            ("forward:\n- 127.0.0.1:1\n", "LISTEN=UPSTREAM", 2, 3),
            ("grace: 30\n", "not a duration", 1, 8),
            ("probe-ports: [0]\n", "nonzero", 1, 15),
            ("limits:\n  heads: 1\n", "no limit `heads`", 2, 10),
            ("limits:\n  linger: 3s\n  head-bytes: 1s\n", "not a size", 3, 15),
            ("mode: learn\nmode: enforce\n", "duplicate", 2, 1),
            ("forward: [", "unclosed", 1, 10),
        ] {
            let (message, at_line, at_column) = error(text);
            assert!(message.contains(expected), "{text:?}: {message}");
            assert_eq!((at_line, at_column), (line, column), "{text:?}: {message}");
        }
    }
}
