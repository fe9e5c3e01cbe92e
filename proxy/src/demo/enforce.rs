//! Between the acts: what was learned becomes the policies, and the running sidecars take them.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use weir_policy::decide::Mode;

use super::learn::Lesson;
use super::shop::Workload;
use super::stage::Stage;
use super::workplace::{Workplace, before_learning};
use crate::admin::client;
use crate::files;
use crate::report::metrics::mode_word;

/// A policy that is not in force after this long will not be. (Files are looked at once a second.)
const BOUND: Duration = Duration::from_secs(10);
/// Between two questions.
const STEP: Duration = Duration::from_millis(50);

/// A sidecar's policy from what it has learned, in `mode`: as `weir policy from-profile --onto`
/// adds it to the one that was there, and a person changes one word of it.
///
/// # Errors
/// In words: something is left to a person, or it cannot be added.
pub(super) fn policy(lesson: &Lesson, mode: Mode) -> Result<String, String> {
    let name = lesson.of.name();
    let before = before_learning(lesson.of);
    let edited = weir_policy::edit::add(name, before, &lesson.learned, None)
        .map_err(|error| format!("{name}'s policy cannot be made: {error}"))?;
    if let Some(left) = edited.left.first() {
        return Err(format!(
            "{name}'s policy leaves {} :{} out: {}",
            left.side, left.port, left.why
        ));
    }
    Ok(edited.text.replacen("mode: learn", &format!("mode: {}", mode_word(mode)), 1))
}

/// Puts the policies where the sidecars' are, and waits until these have read them. Answers how
/// long that took.
///
/// # Errors
/// In words: a file cannot be written, or a sidecar does not take it; with what it says.
pub(super) async fn switch(
    stage: &mut Stage,
    place: &Workplace,
    policies: &[(Workload, String)],
) -> Result<Duration, String> {
    let began = Instant::now();
    let sockets = stage.sidecars.sockets();
    let mut before = Vec::new();
    for (of, near) in sockets {
        before.push((of, near.clone(), generation(near).await?));
    }
    for (of, text) in policies {
        // On a thread that may wait for the disk: this one serves the shop.
        let (path, text) = (place.policy(*of), text.clone());
        let write = move || files::replace(&path, text.as_bytes());
        let written = tokio::task::spawn_blocking(write).await.map_err(|e| e.to_string())?;
        written.map_err(|error| format!("{}'s policy cannot be written: {error}", of.name()))?;
    }
    for (of, near, old) in before {
        while generation(near.clone()).await? == old {
            stage.sidecars.still_run(Some(of)).map_err(|error| error.to_string())?;
            if began.elapsed() > BOUND {
                let said = std::fs::read_to_string(place.program_log(of)).unwrap_or_default();
                let said = said.trim_end();
                return Err(format!("{}'s sidecar does not take its policy:\n{said}", of.name()));
            }
            tokio::time::sleep(STEP).await;
        }
    }
    Ok(began.elapsed())
}

/// Which of its policies, by number, a sidecar has in force.
async fn generation(near: PathBuf) -> Result<u64, String> {
    let ask = move || client::get(&near, "/policy");
    let answer = tokio::task::spawn_blocking(ask).await.map_err(|error| error.to_string())?;
    let answer = answer.map_err(|error| error.to_string())?;
    let number = answer.get("generation").and_then(serde_json::Value::as_u64);
    number.ok_or_else(|| "a sidecar does not say which policy it has".to_owned())
}
