//! Redis: RESP2 and RESP3 both ways, inline commands, and the keys of commands.
//!
//! The client's leg is read with [`CommandScan`] when a command fits where it can be held
//! whole, and with [`CommandStream`] when it does not; [`inline`] turns a telnet-style line
//! into the same form. The server's leg is read with [`ReplyStream`]. [`Table`] knows which
//! arguments of a command are keys and channels.
//!
//! The grammar is that of the Redis serialization protocol specification
//! (<https://redis.io/docs/latest/develop/reference/protocol-spec/>), read as strictly as the
//! server's own number parser reads it. Where the server is laxer than that, this reader is
//! not, with two exceptions without which real clients would break: an empty line or an empty
//! array between commands is nothing, and an inline command may end with a bare LF.

mod command;
mod inline;
mod keys;
mod number;
mod reason;
mod reply;
mod scan;
mod stream;
mod table;

pub use command::{Args, Command};
pub use inline::{INLINE_LIMIT, inline};
pub use keys::{ArgRole, KeyArgs, KeyWalker, Keys, channels, keys};
pub use reason::Reason;
pub use reply::{Kind, ReplyLimits, ReplyPiece, ReplyStream};
pub use scan::CommandScan;
pub use stream::{CommandPiece, CommandStream};
pub use table::{Begin, CommandInfo, Find, KeySpec, MAX_SPECS, Resolved, Table, TableError};
