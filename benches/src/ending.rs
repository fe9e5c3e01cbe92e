//! What is left when the harness is ended by a signal: nothing. Programs are stopped and their files removed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};

use crate::Error;

/// How long programs have to end by themselves.
const PATIENCE: Duration = Duration::from_millis(300);

static WATCHED: Once = Once::new();
static UNDER_WAY: Mutex<UnderWay> = Mutex::new(UnderWay { programs: Vec::new(), room: None });

struct UnderWay {
    programs: Vec<Pid>,
    room: Option<PathBuf>,
}

fn under_way() -> MutexGuard<'static, UnderWay> {
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From here on SIGINT and SIGTERM stop what runs, remove `room`, and end this program with status 130. A later
/// call names the room of the next run.
///
/// # Errors
/// If the signals cannot be watched.
pub fn watch(room: &Path) -> Result<(), Error> {
    under_way().room = Some(room.to_owned());
    if WATCHED.is_completed() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_io().build();
    let runtime = runtime.map_err(Error::io("watching signals"))?;
    let signals = runtime.block_on(async {
        Ok((signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?))
    });
    let (mut interrupt, mut terminate) = signals.map_err(Error::io("watching signals"))?;
    WATCHED.call_once(|| ());
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => (),
                _ = terminate.recv() => (),
            }
        });
        end();
    });
    Ok(())
}

/// A program has been started.
pub(crate) fn started(program: Pid) {
    under_way().programs.push(program);
}

/// A program has been waited for: its id may soon be another's.
pub(crate) fn stopped(program: Pid) {
    under_way().programs.retain(|other| *other != program);
}

fn end() -> ! {
    // The lock is kept: nothing is started any more.
    let under_way = under_way();
    // nginx takes its workers along if it is asked; a Weir that has connections would see them to their end.
    for signal in [Signal::TERM, Signal::KILL] {
        for program in &under_way.programs {
            let _ = kill_process(*program, signal);
        }
        thread::sleep(PATIENCE);
    }
    if let Some(room) = &under_way.room {
        let _ = fs::remove_dir_all(room);
    }
    std::process::exit(130)
}
