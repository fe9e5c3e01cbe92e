//! The short texts of which a profile's file is made: lists of items between spaces, the fields of
//! an item between colons.

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::hours::{Hours, LAST_DAY};
use super::sketch::{Arrival, Hidden, PeerSet, Seen, Values, insert_peer};

/// What is written and read as one text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text<T>(pub(super) T);

/// What was expected in place of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expected(pub(super) &'static str);

impl Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl<T: Default + PartialEq> Text<T> {
    /// Nothing that would have to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.0 == T::default()
    }
}

impl<T> Serialize for Text<T>
where
    Self: Display,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, T> Deserialize<'de> for Text<T>
where
    Self: FromStr<Err = Expected>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|expected: Expected| {
            let short: String = text.chars().take(40).collect();
            serde::de::Error::custom(format_args!("found {short:?}, expected {expected}"))
        })
    }
}

/// Counts of writers, each by its place in the list of writers: `0:1204 1:33`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts(pub(super) Vec<(usize, u64)>);

fn number<T: FromStr>(text: Option<&str>, expected: Expected) -> Result<T, Expected> {
    text.and_then(|text| text.parse().ok()).ok_or(expected)
}

fn hex<T: TryFrom<u64>>(text: Option<&str>, expected: Expected) -> Result<T, Expected> {
    text.and_then(|text| u64::from_str_radix(text, 16).ok())
        .and_then(|number| T::try_from(number).ok())
        .ok_or(expected)
}

fn end(mut fields: std::str::Split<'_, char>, expected: Expected) -> Result<(), Expected> {
    fields.next().map_or(Ok(()), |_| Err(expected))
}

/// Writes items with a space between them.
fn items<I: IntoIterator>(
    f: &mut fmt::Formatter<'_>,
    items: I,
    mut write: impl FnMut(&mut fmt::Formatter<'_>, I::Item) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(" ")?;
        }
        write(f, item)?;
    }
    Ok(())
}

impl Display for Text<Counts> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        items(f, &self.0.0, |f, (writer, count)| write!(f, "{writer}:{count}"))
    }
}

impl FromStr for Text<Counts> {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        const EXPECTED: Expected = Expected("counts written WRITER:COUNT, with spaces between");
        let count = |item: &str| {
            let mut fields = item.split(':');
            let count = (number(fields.next(), EXPECTED)?, number(fields.next(), EXPECTED)?);
            end(fields, EXPECTED).map(|()| count)
        };
        text.split_whitespace()
            .map(count)
            .collect::<Result<_, _>>()
            .map(|counts| Self(Counts(counts)))
    }
}

impl Display for Text<Hours> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        items(f, self.0.by_day(), |f, (day, hours)| write!(f, "{day}:{hours:06x}"))
    }
}

impl FromStr for Text<Hours> {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        const EXPECTED: Expected =
            Expected("hours written DAY:BITS, days since 1970 and 24 bits in hex");
        let mut hours = Hours::default();
        for item in text.split_whitespace() {
            let mut fields = item.split(':');
            let day: u32 = number(fields.next(), EXPECTED)?;
            let bits: u32 = hex(fields.next(), EXPECTED)?;
            if bits == 0 || bits > 0xff_ffff || day > LAST_DAY {
                return Err(EXPECTED);
            }
            end(fields, EXPECTED)?;
            hours.insert_day(day, bits);
        }
        Ok(Self(hours))
    }
}

fn write_peers(f: &mut fmt::Formatter<'_>, peers: &PeerSet, between: &str) -> fmt::Result {
    for (i, peer) in peers.iter().enumerate() {
        write!(f, "{}{peer:x}", if i == 0 { "" } else { between })?;
    }
    Ok(())
}

fn read_peers<'a>(
    peers: impl Iterator<Item = &'a str>,
    expected: Expected,
) -> Result<PeerSet, Expected> {
    let mut set = PeerSet::new();
    for peer in peers {
        insert_peer(&mut set, hex(Some(peer), expected)?);
    }
    Ok(set)
}

impl Display for Text<PeerSet> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_peers(f, &self.0, " ")
    }
}

impl FromStr for Text<PeerSet> {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        read_peers(text.split_whitespace(), Expected("hashes of peers in hex")).map(Self)
    }
}

impl Display for Text<Values> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        items(f, &self.0.0, |f, (hash, arrival)| {
            write!(f, "{hash:x}:{}:{:x}", arrival.hour, arrival.peer)
        })
    }
}

impl FromStr for Text<Values> {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        const EXPECTED: Expected = Expected("values written HASH:HOUR:PEER");
        let mut values = Values::default();
        for item in text.split_whitespace() {
            let mut fields = item.split(':');
            let hash = hex(fields.next(), EXPECTED)?;
            let arrival = Arrival {
                hour: number(fields.next(), EXPECTED)?,
                peer: hex(fields.next(), EXPECTED)?,
            };
            end(fields, EXPECTED)?;
            values.insert(hash, arrival);
        }
        Ok(Self(values))
    }
}

/// `DAY:HASH:ACCEPTED:REJECTED:OUTSIDE:HOURS:PEERS`, and `:moved` where it has a leaf since.
impl Display for Text<Hidden> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.0.iter().flat_map(|(day, seen)| seen.iter().map(move |s| (day, s)));
        items(f, all, |f, (day, (hash, seen))| {
            write!(f, "{day}:{hash:x}:{}:{}:{}", seen.accepted, seen.rejected, seen.outside)?;
            write!(f, ":{:x}:", seen.hours)?;
            write_peers(f, &seen.peers, "+")?;
            f.write_str(if seen.moved { ":moved" } else { "" })
        })
    }
}

impl FromStr for Text<Hidden> {
    type Err = Expected;

    fn from_str(text: &str) -> Result<Self, Expected> {
        let mut hidden = Hidden::default();
        for item in text.split_whitespace() {
            let (day, hash, seen) = read_hidden(item)?;
            hidden.0.entry(day).or_default().insert(hash, seen);
        }
        let mut fitting = Hidden::default();
        fitting.join(&hidden);
        Ok(Self(fitting))
    }
}

fn read_hidden(item: &str) -> Result<(u32, u64, Seen), Expected> {
    const EXPECTED: Expected =
        Expected("hidden shapes written DAY:HASH:ACCEPTED:REJECTED:OUTSIDE:HOURS:PEERS");
    let mut fields = item.split(':');
    let (day, hash) = (number(fields.next(), EXPECTED)?, hex(fields.next(), EXPECTED)?);
    let mut seen = Seen {
        accepted: number(fields.next(), EXPECTED)?,
        rejected: number(fields.next(), EXPECTED)?,
        outside: number(fields.next(), EXPECTED)?,
        hours: hex(fields.next(), EXPECTED)?,
        ..Seen::default()
    };
    let peers = fields.next().ok_or(EXPECTED)?;
    seen.peers = read_peers(peers.split('+').filter(|peer| !peer.is_empty()), EXPECTED)?;
    seen.moved = match fields.next() {
        None => false,
        Some("moved") => true,
        Some(_) => return Err(EXPECTED),
    };
    end(fields, EXPECTED)?;
    if seen.hours > 0xff_ffff || day > LAST_DAY {
        return Err(EXPECTED);
    }
    Ok((day, hash, seen))
}
