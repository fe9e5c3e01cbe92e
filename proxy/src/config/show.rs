//! The settings in force, as the Unix socket tells them.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{Forward, Intake, LogAllowed, LogDetail, Settings, Target, UnknownFrames, units};
use crate::limits::Limits;

impl Settings {
    /// The settings as JSON, under the names and in the syntax of the configuration file, defaults
    /// filled in. None of them is a secret.
    pub fn to_json(&self) -> Value {
        let forward = |Forward { listen, upstream }: &Forward| format!("{listen}={upstream}");
        let (forwards, redirect) = match &self.intake {
            Intake::Forwards(forwards) => (forwards.as_slice(), None),
            Intake::Redirect(ports) => (&[][..], Some(ports)),
        };
        let limits: Map<String, Value> = Limits::TABLE
            .iter()
            .map(|limit| (limit.name(), (limit.show)(&self.limits).into()))
            .collect();
        // A path need not be UTF-8, and JSON must be.
        let text = |path: &PathBuf| path.to_string_lossy().into_owned();
        json!({
            "config": self.source.file.as_ref().map(text),
            "forward": forwards.iter().map(forward).collect::<Vec<_>>(),
            "inbound-port": redirect.map(|ports| ports.inbound),
            "outbound-port": redirect.map(|ports| ports.outbound),
            "redis-commands": self.redis_commands.as_ref().map(text),
            "redis-inline": self.redis_inline,
            "http2-unknown-frames": match self.http2_unknown_frames {
                UnknownFrames::Pass => "pass",
                UnknownFrames::Drop => "drop",
            },
            "policy": self.policies.iter().map(text).collect::<Vec<_>>(),
            "mode": self.mode.to_string(),
            "resolv-conf": text(&self.resolv_conf),
            "profile": self.profile.as_ref().map(|files| text(&files.path)),
            "profile-key": self.profile.as_ref().map(|files| text(&files.key)),
            "traffic-log": match &self.traffic_log {
                None => "off".to_owned(),
                Some(Target::Stdout) => "-".to_owned(),
                Some(Target::File(path)) => text(path),
            },
            "log-allowed": self.log_allowed.to_string(),
            "log-detail": match self.log_detail {
                LogDetail::Masked => "masked",
                LogDetail::Full => "full",
            },
            "admin": self.admin.to_string(),
            "probe-ports": self.probe_ports,
            "socket": self.socket.as_ref().map_or("off".to_owned(), |at| text(&at.path)),
            "log": self.log.to_string(),
            "grace": units::show_duration(self.grace),
            "limits": limits,
            "workers": self.workers,
            "memory": self.memory_now().map(units::show_size),
            "max-connections": self.max_connections,
        })
    }
}

impl std::fmt::Display for LogAllowed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("all"),
            Self::Sample(n) => write!(f, "sample:{n}"),
            Self::Summary => f.write_str("summary"),
            Self::Off => f.write_str("off"),
        }
    }
}
