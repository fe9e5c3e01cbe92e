//! A trial: an attack, and what the intruder, the service and the log say of it.

use std::io;
use std::time::Instant;

use super::attacks::{Attack, Target, Way};
use super::intruder::{Booty, attempt, knock, send};
use super::log::{Log, Record};
use super::shop::Workload;
use super::stage::{LOGGING, STEP, Stage};
use crate::admin::client;

/// What became of an attack.
pub(super) struct Finding {
    /// What the intruder got.
    pub(super) booty: Booty,
    /// What the service did of it, or that its bytes were received; none: it saw nothing of it.
    pub(super) reached: Option<String>,
    /// What the sidecar's traffic log says of it.
    pub(super) record: Option<Record>,
    /// Whether there must be a record: the kernel's refusals have none.
    pub(super) logged: bool,
}

impl Finding {
    /// Refused to the client, unseen by the server, and in the log as refused.
    pub(super) fn refused(&self) -> bool {
        let refused = |record: &Record| record.verdict == "refused";
        let logged = !self.logged || self.record.as_ref().is_some_and(refused);
        self.booty.refused && self.reached.is_none() && logged
    }
}

impl Stage {
    /// Lets the intruder try, then asks the service and the log what they know of it.
    ///
    /// # Errors
    /// The sidecar has ended or cannot be reached, or its log cannot be read.
    pub(super) async fn attack(&mut self, attack: &Attack) -> io::Result<Finding> {
        self.sidecars.still_run(attack.guard)?;
        if let Some(log) = self.log(attack.guard) {
            log.refresh()?;
            log.turn_page();
        }
        let booty = self.attempt(attack).await?;
        let record = match self.log(attack.guard) {
            Some(log) => look_up(log, &booty).await?,
            None => None,
        };
        let logged = attack.guard.is_some();
        Ok(Finding { booty, reached: self.reached(attack)?, record, logged })
    }

    async fn attempt(&mut self, attack: &Attack) -> io::Result<Booty> {
        let origin = self.origin(attack.who);
        match (&attack.way, attack.target) {
            (Way::Usual, Target::Service(of)) => {
                let at = self.spot(of)?.address;
                attempt(attack, &origin, at).await.map_err(|error| {
                    let name = of.name();
                    io::Error::other(format!("{name}'s sidecar at {at} cannot be dialled: {error}"))
                })
            }
            (Way::Usual, _) => Err(io::ErrorKind::NotFound.into()),
            (Way::Tcp(at), _) => {
                let tried = attempt(attack, &origin, *at).await;
                Ok(tried.unwrap_or_else(|error| Booty::nothing(&error)))
            }
            (Way::Udp(to), _) => send(attack, &origin, *to).await,
            (Way::Unix(path), _) => Ok(knock(attack, &origin, path).await),
        }
    }

    /// What the one that is attacked knows of an attack.
    ///
    /// # Errors
    /// It is not on the stage.
    pub(super) fn reached(&mut self, attack: &Attack) -> io::Result<Option<String>> {
        let recorder = match (attack.target, &self.pods) {
            (Target::Service(of), _) => &self.spot(of)?.recorder,
            (Target::Outside, Some((_, outside))) => &outside.recorder,
            (Target::Sidecar(of), _) => return self.changed(of),
            (Target::Outside, None) => return Ok(None),
        };
        // A field's value may have been written in another way on the way there.
        let done = recorder.carried_out(&attack.trace);
        if done.is_none() && !recorder.saw(attack.trace.as_bytes()) {
            return Ok(None);
        }
        let done = done.or_else(|| recorder.carried_out(&attack.words));
        Ok(Some(done.unwrap_or_else(|| "its bytes".to_owned())))
    }

    /// Whether somebody has set a sidecar's mode, as root is told.
    fn changed(&self, of: Workload) -> io::Result<Option<String>> {
        let Some(sidecar) = self.sidecar(of) else { return Ok(None) };
        let answer = client::get(&sidecar.near, "/mode").map_err(io::Error::other)?;
        let set = answer.get("override").filter(|set| !set.is_null());
        Ok(set.map(|set| format!("its mode is set: {set}")))
    }
}

/// The record of an attack: by the id that the intruder was told, else by the intruder's address
/// among what was logged since it began.
async fn look_up(log: &mut Log, booty: &Booty) -> io::Result<Option<Record>> {
    let Some(from) = booty.from else { return Ok(None) };
    let deadline = Instant::now() + LOGGING;
    loop {
        log.refresh()?;
        let mut records = log.page().iter().filter(|record| record.is_from(from));
        let found = match &booty.id {
            Some(id) => records.find(|record| record.id == *id),
            None => records.next(),
        };
        if found.is_some() || Instant::now() >= deadline {
            return Ok(found.cloned());
        }
        tokio::time::sleep(STEP).await;
    }
}
