//! The session against scripted peers, which keep tables of their own.

mod abuse;
mod content;
mod ends;
mod modes;
mod peers;
mod refuses;
mod settings;
mod slicing;

use super::*;
use peers::{Pair, get, ok};
