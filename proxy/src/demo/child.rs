//! The demo's child processes: each begins as this program, takes its place, and becomes what it
//! is to be. So whatever the demo starts ends with it, also when the demo is killed, and a
//! process can be inside a namespace and somebody else from its first instruction.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};
use rustix::thread::{
    Gid, LinkNameSpaceType, Uid, move_into_link_name_space, set_thread_groups, set_thread_res_gid,
    set_thread_res_uid,
};

/// Where a child belongs and what it becomes. The command line's hidden `weir demo child` makes
/// one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Child {
    /// The process that it ends with.
    pub parent: i32,
    /// The network namespace to enter, as a file.
    pub netns: Option<PathBuf>,
    /// The user to become, with the group of that number and no other.
    pub uid: Option<u32>,
    /// The arguments with which this program is to go on.
    pub arguments: Vec<OsString>,
}

impl Child {
    /// Takes the place and becomes the program: returns only if that fails.
    pub fn become_it(&self) -> io::Error {
        match self.take_place() {
            // The open file itself: its path may lead through a directory that the new user may
            // not enter, or be another program's by now.
            Ok(()) => Command::new("/proc/self/exe").arg0("weir").args(&self.arguments).exec(),
            Err(error) => error,
        }
    }

    fn take_place(&self) -> io::Result<()> {
        if let Some(path) = &self.netns {
            enter(&File::open(path)?)?;
        }
        if let Some(uid) = self.uid {
            become_user(uid)?;
        }
        // Last: a change of user would clear it. (prctl(2), PR_SET_PDEATHSIG)
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have ended before that.
        match getppid().map(|pid| pid.as_raw_nonzero().get()) {
            Some(parent) if parent == self.parent => Ok(()),
            _ => Err(io::Error::other("the demo has ended")),
        }
    }
}

/// This program as a child of the calling thread, with which it ends; in a namespace, as a user,
/// if that is asked for. Its arguments are the caller's to add.
///
/// # Errors
/// This program's file cannot be found.
pub(super) fn command(inside: Option<(&Path, u32)>) -> io::Result<Command> {
    let mut command = this_program()?;
    command.args(["demo", "child"]);
    command.arg(format!("--parent={}", getpid().as_raw_nonzero()));
    if let Some((netns, uid)) = inside {
        command.arg("--netns").arg(netns).arg(format!("--uid={uid}"));
    }
    command.arg("--");
    Ok(command)
}

/// This program with nothing but defaults: what is set for other sidecars in the environment is
/// not the demo's.
///
/// # Errors
/// Its file cannot be found.
pub(super) fn this_program() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let names = std::env::vars_os().map(|(name, _)| name);
    let settings = names.filter(|name| name.as_encoded_bytes().starts_with(b"WEIR_"));
    for name in settings {
        command.env_remove(name);
    }
    Ok(command)
}

/// Moves the calling thread into a network namespace.
///
/// # Errors
/// It is not one, or the caller may not.
pub(super) fn enter(netns: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Makes the calling thread that user's, without other groups and, unless that is root, without
/// capabilities. (credentials(7): on Linux these are a thread's own.)
///
/// # Errors
/// The caller may not.
pub(super) fn become_user(uid: u32) -> io::Result<()> {
    let (user, group) = (Uid::from_raw(uid), Gid::from_raw(uid));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    Ok(set_thread_res_uid(user, user, user)?)
}
