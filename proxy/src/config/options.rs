//! What `weir run` can be told, once for its flags and its configuration file.

use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};

use super::values::{
    Admin, Forward, LogAllowed, LogDetail, Mode, Ports, Size, SocketPath, Span, TrafficLog,
    UnknownFrames,
};
use crate::limits;
use crate::program_log::Filter;

/// The settings as a flag line or a configuration file gives them: each may be absent.
///
/// One struct serves both, so that a setting has one name and one syntax.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// Accept at LISTEN and forward to UPSTREAM, as inbound to it; may be given again. Without
    /// it, the sidecar takes what `weir init` redirects
    #[arg(long, value_name = "LISTEN=UPSTREAM", help_heading = "Traffic")]
    pub forward: Vec<Forward>,

    /// Where connections towards the pod are redirected to [default: 15906]
    #[arg(long, value_name = "PORT", env = "WEIR_INBOUND_PORT", help_heading = "Traffic")]
    pub inbound_port: Option<NonZeroU16>,

    /// Where connections from the pod are redirected to [default: 15901]
    #[arg(long, value_name = "PORT", env = "WEIR_OUTBOUND_PORT", help_heading = "Traffic")]
    pub outbound_port: Option<NonZeroU16>,

    /// A Redis command table in place of the built-in one
    #[arg(long, value_name = "FILE", help_heading = "Traffic")]
    pub redis_commands: Option<PathBuf>,

    /// Read Redis inline commands from the first byte, without the server confirming the protocol
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", help_heading = "Traffic")]
    pub redis_inline: Option<bool>,

    /// What becomes of HTTP/2 frames of unknown types where traffic is enforced [default: pass]
    #[arg(long, value_name = "WHAT", help_heading = "Traffic")]
    pub http2_unknown_frames: Option<UnknownFrames>,

    /// A policy to judge by; may be given again. Read again when it changes and on SIGHUP
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub policy: Vec<PathBuf>,

    /// How names in policies are resolved, in place of /etc/resolv.conf
    #[arg(long, value_name = "FILE", help_heading = "Policy")]
    pub resolv_conf: Option<PathBuf>,

    /// What to do where neither the policy nor `weir mode` says [default: learn]
    #[arg(long, value_name = "MODE", help_heading = "Policy")]
    pub mode: Option<Mode>,

    /// Where to keep what was seen of the workload; read at start, made if it is not there
    #[arg(long, value_name = "FILE", help_heading = "Learning")]
    pub profile: Option<PathBuf>,

    /// The secret that the profile's hashes are made with, made if it is not there; replicas
    /// whose profiles are to be merged share it [default: the profile's name with `.key`]
    #[arg(long, value_name = "FILE", help_heading = "Learning")]
    pub profile_key: Option<PathBuf>,

    /// Where the traffic log goes: a file, `-` for standard output, or `off` [default: -]
    #[arg(long, value_name = "FILE", help_heading = "Traffic log")]
    pub traffic_log: Option<TrafficLog>,

    /// Which allowed transactions are logged: all, sample:N, summary or off [default: all]
    #[arg(long, value_name = "WHICH", help_heading = "Traffic log")]
    pub log_allowed: Option<LogAllowed>,

    /// Whether the log masks values by their class or has them in full [default: masked]
    #[arg(long, value_name = "HOW", help_heading = "Traffic log")]
    pub log_detail: Option<LogDetail>,

    /// Where to serve /metrics, /ready, /live and /probe: an address, a port of every address,
    /// or `off` [default: 15902, with --forward 0.0.0.0:15902]
    #[arg(long, value_name = "ADDR", help_heading = "Operation")]
    pub admin: Option<Admin>,

    /// The application's ports that /probe/tcp/PORT may dial, with commas [default: none]
    #[arg(long, value_name = "PORTS", env = "WEIR_PROBE_PORTS", help_heading = "Operation")]
    pub probe_ports: Option<Ports>,

    /// The Unix socket for `weir mode` and `weir tap`, mode 0600, or `off` [default:
    /// /run/weir/weir.sock, with --forward off]
    #[arg(long, value_name = "PATH", help_heading = "Operation")]
    pub socket: Option<SocketPath>,

    /// The program's own log: error, warn, info, debug or trace [default: info]
    #[arg(long, value_name = "LEVEL", env = "WEIR_LOG", help_heading = "Operation")]
    pub log: Option<Filter>,

    /// How long connections have to end by themselves at shutdown [default: 30s]
    #[arg(long, value_name = "DURATION", help_heading = "Operation")]
    pub grace: Option<Span>,

    /// A limit to change; may be given again. `weir limits` lists them
    #[arg(long = "limit", value_name = "NAME=VALUE", help_heading = "Bounds")]
    #[serde(deserialize_with = "limits_map")]
    pub limits: Vec<limits::Setting>,

    /// Threads that carry traffic [default: the CPUs it may use, at most 4]
    #[arg(long, value_name = "N", help_heading = "Bounds")]
    pub workers: Option<usize>,

    /// Memory at which accepting pauses [default: 3/4 of the cgroup's limit]
    #[arg(long, value_name = "SIZE", help_heading = "Bounds")]
    pub memory: Option<Size>,

    /// Connections at which accepting pauses [default: no such number]
    #[arg(long, value_name = "N", help_heading = "Bounds")]
    pub max_connections: Option<usize>,
}

impl Options {
    /// These options, and where they are silent, those. Limits add up, these winning.
    pub(super) fn over(self, that: Self) -> Self {
        fn list<T>(this: Vec<T>, that: Vec<T>) -> Vec<T> {
            if this.is_empty() { that } else { this }
        }
        Self {
            forward: list(self.forward, that.forward),
            inbound_port: self.inbound_port.or(that.inbound_port),
            outbound_port: self.outbound_port.or(that.outbound_port),
            policy: list(self.policy, that.policy),
            mode: self.mode.or(that.mode),
            profile: self.profile.or(that.profile),
            profile_key: self.profile_key.or(that.profile_key),
            admin: self.admin.or(that.admin),
            probe_ports: self.probe_ports.or(that.probe_ports),
            socket: self.socket.or(that.socket),
            traffic_log: self.traffic_log.or(that.traffic_log),
            log_allowed: self.log_allowed.or(that.log_allowed),
            log_detail: self.log_detail.or(that.log_detail),
            limits: that.limits.into_iter().chain(self.limits).collect(),
            grace: self.grace.or(that.grace),
            workers: self.workers.or(that.workers),
            memory: self.memory.or(that.memory),
            max_connections: self.max_connections.or(that.max_connections),
            redis_commands: self.redis_commands.or(that.redis_commands),
            redis_inline: self.redis_inline.or(that.redis_inline),
            http2_unknown_frames: self.http2_unknown_frames.or(that.http2_unknown_frames),
            resolv_conf: self.resolv_conf.or(that.resolv_conf),
            log: self.log.or(that.log),
        }
    }
}

/// Reads `limits:` as a map from names to values.
fn limits_map<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<limits::Setting>, D::Error> {
    struct Limits;

    impl<'de> Visitor<'de> for Limits {
        type Value = Vec<limits::Setting>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map from the names of limits to their values")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
            let mut settings = Vec::new();
            while let Some(name) = map.next_key::<String>()? {
                settings.push(map.next_value_seed(Named(&name))?);
            }
            Ok(settings)
        }
    }

    /// The value of a limit of this name: read here, so that an error has the value's place.
    struct Named<'a>(&'a str);

    impl<'de> DeserializeSeed<'de> for Named<'_> {
        type Value = limits::Setting;

        fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            let value = String::deserialize(from)?;
            limits::Setting::new(self.0, &value).map_err(serde::de::Error::custom)
        }
    }

    from.deserialize_map(Limits)
}
