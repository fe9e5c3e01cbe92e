//! Every limit, its default, what happens when it is reached, and the metric that counts it.
//!
//! One table makes the [`Limits`] struct, its defaults, `--limit NAME=VALUE`, the `limits:` map
//! of the configuration file and docs/limits.md, so that they cannot differ.

use std::time::Duration;

mod page;

pub use page::markdown;

/// One row of the table: a limit as a user meets it.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// Its name in the log's `reason` and in the metric's `limit` label, in snake case.
    pub label: &'static str,
    /// What is limited.
    pub what: &'static str,
    /// What happens when it is reached.
    pub outcome: &'static str,
    /// The metric that counts it, where it has one of its own.
    own_metric: &'static [&'static str],
    /// Its smallest and its largest value, as a user writes them.
    pub range: fn() -> (String, String),
    /// Its value in a set of limits, as a user writes it.
    pub show: fn(&Limits) -> String,
    set: fn(&mut Limits, &str) -> Result<(), String>,
}

impl Limit {
    /// Its name in `--limit` and in the configuration file: the label in kebab case.
    pub fn name(&self) -> String {
        self.label.replace('_', "-")
    }

    /// The metric that counts how often it is reached.
    pub fn metric(&self) -> String {
        let of_all = || format!("weir_limit_reached_total{{limit=\"{}\"}}", self.label);
        self.own_metric.first().map_or_else(of_all, ToString::to_string)
    }
}

/// One limit and a value for it, checked: what `--limit NAME=VALUE` gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    label: &'static str,
    value: String,
}

impl Setting {
    /// Checks that `name` is a limit's name and that `value` can be its value.
    ///
    /// # Errors
    /// What is wrong, in words for the user.
    pub fn new(name: &str, value: &str) -> Result<Self, String> {
        let limit = Limits::TABLE.iter().find(|limit| limit.name() == name);
        let limit = limit.ok_or_else(|| unknown(name))?;
        (limit.set)(&mut Limits::default(), value)
            .map_err(|why| format!("limit `{name}`: {why}"))?;
        Ok(Self { label: limit.label, value: value.to_owned() })
    }
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) =
            text.split_once('=').ok_or("write NAME=VALUE, as in `head-bytes=128KiB`")?;
        Self::new(name, value)
    }
}

fn unknown(name: &str) -> String {
    let near = name.replace('_', "-");
    let known = Limits::TABLE.iter().find(|limit| limit.name() == near);
    let hint = known.map_or("`weir limits` lists them".to_owned(), |limit| {
        format!("did you mean `{}`?", limit.name())
    });
    format!("there is no limit `{name}`; {hint}")
}

impl Limits {
    /// Applies settings in order: of two for one limit the later stands.
    ///
    /// # Errors
    /// None that [`Setting::new`] has not already reported.
    pub fn apply<'a>(
        &mut self,
        settings: impl IntoIterator<Item = &'a Setting>,
    ) -> Result<(), String> {
        for setting in settings {
            let limit = Self::TABLE.iter().find(|limit| limit.label == setting.label);
            limit.map_or(Ok(()), |limit| (limit.set)(self, &setting.value))?;
        }
        Ok(())
    }
}

/// Reading and showing the values of limits, by kind.
mod kind {
    pub(super) mod time {
        use std::time::Duration;

        use crate::config::units;

        pub(in super::super) fn read(text: &str) -> Result<Duration, String> {
            units::duration(text)
        }

        pub(in super::super) fn show(value: Duration) -> String {
            units::show_duration(value)
        }
    }

    pub(super) mod bytes {
        use crate::config::units;

        pub(in super::super) fn read<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
            units::size(text)?.try_into().map_err(|_| format!("`{text}` is too large a size"))
        }

        pub(in super::super) fn show<T: TryInto<u64>>(value: T) -> String {
            value.try_into().map(units::show_size).unwrap_or_default()
        }
    }

    pub(super) mod count {
        pub(in super::super) fn read<T: std::str::FromStr>(text: &str) -> Result<T, String> {
            text.parse().map_err(|_| format!("`{text}` is not a whole number"))
        }

        pub(in super::super) fn show<T: ToString>(value: T) -> String {
            value.to_string()
        }
    }
}

macro_rules! limits {
    ($(
        $(#[doc = $what:literal])+
        $field:ident: $type:ty = $default:expr, $kind:ident $least:expr, $most:expr;
        reached: $outcome:literal;
        $(metric: $metric:literal;)?
    )+) => {
        /// The limits of one running sidecar.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Limits {
            $($(#[doc = $what])+ pub $field: $type,)+
        }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($field: $default,)+ }
            }
        }

        impl Limits {
            /// Every limit, in the order of the documentation.
            pub const TABLE: &[Limit] = &[$(Limit {
                label: stringify!($field),
                what: concat!($($what),+),
                outcome: $outcome,
                own_metric: &[$($metric)?],
                range: || {
                    let (least, most): ($type, $type) = ($least, $most);
                    (kind::$kind::show(least), kind::$kind::show(most))
                },
                show: |limits| kind::$kind::show(limits.$field),
                set: |limits, text| {
                    let value: $type = kind::$kind::read(text)?;
                    let (least, most): ($type, $type) = ($least, $most);
                    if value < least || value > most {
                        let (least, most) = (kind::$kind::show(least), kind::$kind::show(most));
                        return Err(format!("`{text}` is outside {least} to {most}"));
                    }
                    limits.$field = value;
                    Ok(())
                },
            }),+];
        }
    };
}

limits! {
    /// Time to reach the server.
    dial_timeout: Duration = Duration::from_secs(5),
        time Duration::from_millis(10), Duration::from_mins(5);
    reached: "the client is reset";
    metric: "weir_dials_total{result=\"timeout\"}";

    /// Time for a head, command or handshake that has begun to become complete. It starts anew
    /// after a pause in which Weir did not read, as what it had to pass on was not taken.
    slow_head: Duration = Duration::from_secs(60),
        time Duration::from_millis(100), Duration::from_hours(1);
    reached: "enforce refuses and closes; learn and monitor pass it on unread";

    /// An HTTP head or trailer section, in bytes.
    head_bytes: usize = 64 << 10,
        bytes 1 << 10, 1 << 20;
    reached: "enforce refuses: 431 for a request, 502 for a response, and ends an HTTP/2 connection whose list is eight times as long; learn and monitor pass it on unread";

    /// A unit that is held whole and judged, in bytes.
    judging_bytes: usize = 64 << 10,
        bytes 4 << 10, 16 << 20;
    reached: "a larger Redis command is judged as it streams, its last bytes withheld; refused if what decides does not fit";

    /// Bytes of either leg that detection looks at.
    detection_bytes: usize = 32 << 10,
        bytes 1 << 10, 1 << 20;
    reached: "the protocol is unknown: `unread.unknownProtocol` says what happens";
    metric: "weir_unread_total, weir_refusals_total";

    /// Requests of one connection that wait for their answers.
    pipeline_depth: usize = 1024,
        count 1, 1 << 20;
    reached: "reading from the client pauses until answers come; with Redis also where their log records hold 256 KiB";

    /// The HPACK table that HTTP/2 peers may use, in bytes: larger ones are lowered in enforce.
    http2_table_bytes: usize = 64 << 10,
        bytes 4 << 10, 1 << 20;
    reached: "enforce ends the connection with COMPRESSION_ERROR; learn and monitor pass header blocks of that direction on unread";

    /// An HTTP/2 frame that is held whole, in bytes: larger ones are not asked for in enforce.
    http2_frame_bytes: usize = 64 << 10,
        bytes 16 << 10, (1 << 24) - 1;
    reached: "enforce ends the connection with FRAME_SIZE_ERROR; learn and monitor pass the connection on unread";

    /// Streams under way on an HTTP/2 connection.
    http2_streams: usize = 10_000,
        count 1, 1 << 20;
    reached: "enforce tells the client of it in SETTINGS, and resets the stream with REFUSED_STREAM; learn and monitor pass it on unread";

    /// Requests of an HTTP/2 connection in a minute that are refused, or cut for what the client
    /// sent.
    http2_refusals: u32 = 10,
        count 0, u32::MAX;
    reached: "the connection takes no further streams, and is closed when those under way have ended";

    /// CONTINUATION frames of an HTTP/2 header block.
    http2_continuations: u32 = 64,
        count 8, 65536;
    reached: "enforce ends the connection with ENHANCE_YOUR_CALM; learn and monitor pass it on unread";

    /// HTTP/2 frames that come for a stream after it was refused or cut, and are thrown away.
    http2_late_frames: u32 = 100_000,
        count 1, u32::MAX;
    reached: "enforce ends the connection with ENHANCE_YOUR_CALM";

    /// Streams that an HTTP/2 client resets, or has its server reset, in a minute before their
    /// answers begin.
    http2_resets: u32 = 10_000,
        count 10, u32::MAX;
    reached: "enforce ends the connection with ENHANCE_YOUR_CALM; learn and monitor count it";

    /// SETTINGS frames of one leg in a minute, and those that wait for their acknowledgement.
    http2_settings: u32 = 1000,
        count 10, 1 << 20;
    reached: "enforce ends the connection with ENHANCE_YOUR_CALM; learn and monitor count it";

    /// PING frames of one leg in a minute in which there is neither HEADERS nor DATA.
    http2_pings: u32 = 60_000,
        count 10, u32::MAX;
    reached: "enforce ends the connection with ENHANCE_YOUR_CALM; learn and monitor count it";

    /// HTTP/2 frames of one leg in a minute that say little: empty DATA, PRIORITY, GOAWAY, unknown
    /// types, what comes for streams that are over, and requests over `http2-streams`.
    http2_empty_frames: u32 = 10_000,
        count 10, u32::MAX;
    reached: "enforce ends the connection with ENHANCE_YOUR_CALM; learn and monitor count it";

    /// Bytes of answers of Weir's own that wait for the end of a frame whose receiver takes nothing.
    http2_deferred_bytes: usize = 256 << 10,
        bytes 16 << 10, 16 << 20;
    reached: "the connection is reset";

    /// Nesting of Redis replies.
    reply_depth: usize = 128,
        count 8, 1024;
    reached: "enforce cuts the connection; learn and monitor pass it on unread";
    metric: "weir_refusals_total{kind=\"too_deep\"}";

    /// A Redis bulk string, in bytes (`proto-max-bulk-len`).
    bulk_bytes: u64 = 512 << 20,
        bytes 1 << 10, 1 << 40;
    reached: "enforce answers `-ERR` and closes; learn and monitor pass it on unread";
    metric: "weir_refusals_total{kind=\"bulk_too_large\"}";

    /// Time to deliver earlier answers and a refusal before a connection is closed, and to
    /// read on after that so that they arrive.
    linger: Duration = Duration::from_secs(2),
        time Duration::from_millis(10), Duration::from_mins(1);
    reached: "both legs are closed";
    metric: "none";

    /// Time for the application to accept a probe (`/probe`).
    probe_timeout: Duration = Duration::from_secs(1),
        time Duration::from_millis(10), Duration::from_secs(10);
    reached: "the probe is answered with 503";

    /// Probes of one port of the application in a second.
    probe_rate: usize = 10,
        count 1, 1000;
    reached: "it is not dialled: the last result is the answer for a second, 429 where there is none";

    /// Time that a half-closed connection may be silent.
    half_close_idle: Duration = Duration::from_secs(300),
        time Duration::from_secs(1), Duration::from_hours(24);
    reached: "both legs are closed";

    /// Operations that each worker tells apart between two hand-overs to the profile; their texts
    /// together have at most 256 bytes for each.
    learned_keys: usize = 4096,
        count 16, 1 << 16;
    reached: "operations of further sorts are not learned until those are handed over, within a second";
    metric: "weir_profile_dropped_total{cause=\"keys\"}";

    /// Operations that must have had a word before profile, log and taps name it.
    learned_word_operations: usize = 3,
        count 1, 10_000;
    reached: "it is counted under a keyed hash, and shown as `{new}`";
    metric: "none";

    /// Words, classes and shapes of a profile together; a rule may have a quarter of them.
    profile_nodes: usize = 16384,
        count 256, 1 << 20;
    reached: "operations are counted without their shape";
    metric: "weir_profile_dropped_total{cause=\"bounded\"}";

    /// Addresses of one name in a policy.
    host_addresses: usize = 256,
        count 1, 4096;
    reached: "those with connections and those that were answered last stand, others do not";

    /// Time that an address of a name stands after the last answer that has it is out of date.
    host_grace: Duration = Duration::from_mins(5),
        time Duration::ZERO, Duration::from_hours(24);
    reached: "new connections to and from it match this name no more; it stays while others are open";
    metric: "none";

    /// Taps (`weir tap`) that may be attached at once.
    taps: usize = 16,
        count 0, 256;
    reached: "the next is answered with 429";

    /// Records that wait for one tap, in bytes.
    tap_bytes: usize = 1 << 20,
        bytes 128 << 10, 64 << 20;
    reached: "records are dropped for this tap, and it is told how many";
    metric: "weir_tap_dropped_total";
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<Limits, String> {
        let mut limits = Limits::default();
        limits.apply(&[text.parse::<Setting>()?])?;
        Ok(limits)
    }

    #[test]
    fn a_setting_changes_its_limit_alone() {
        let expected = Limits { head_bytes: 128 << 10, ..Limits::default() };
        assert_eq!(set("head-bytes=128KiB"), Ok(expected));
        let expected = Limits { dial_timeout: Duration::from_millis(500), ..Limits::default() };
        assert_eq!(set("dial-timeout=500ms"), Ok(expected));
        let expected = Limits { pipeline_depth: 8, ..Limits::default() };
        assert_eq!(set("pipeline-depth=8"), Ok(expected));
    }

    #[test]
    fn of_two_settings_the_later_stands() {
        let settings: Vec<Setting> =
            ["linger=1s", "linger=3s"].map(|text| text.parse().unwrap()).into();
        let mut limits = Limits::default();
        limits.apply(&settings).unwrap();
        assert_eq!(limits.linger, Duration::from_secs(3));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let error = |text| set(text).unwrap_err();
        assert!(error("head-bytes").contains("NAME=VALUE"));
        assert!(error("head_bytes=1KiB").contains("did you mean `head-bytes`?"));
        assert!(error("heads=1").contains("`weir limits`"));
        assert!(error("head-bytes=10s").contains("not a size"));
        assert!(error("slow-head=10").contains("not a duration"));
        assert!(error("pipeline-depth=many").contains("whole number"));
        assert!(error("pipeline-depth=0").contains("outside 1 to 1048576"));
        assert!(error("dial-timeout=1ms").contains("outside 10ms to 5m"));
    }

    #[test]
    fn every_default_is_within_its_range() {
        for limit in Limits::TABLE {
            let value = (limit.show)(&Limits::default());
            Setting::new(&limit.name(), &value).unwrap();
            let (least, most) = (limit.range)();
            Setting::new(&limit.name(), &least).unwrap();
            Setting::new(&limit.name(), &most).unwrap();
        }
    }
}
