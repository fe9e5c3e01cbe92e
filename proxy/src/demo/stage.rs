//! The stage: the shop at work with its sidecars, and how an attack on it is checked.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use weir_policy::decide::Mode;

use super::attacks::Attack;
use super::intruder::{Booty, attempt};
use super::log::{Log, Record};
use super::shop::{Open, Recorder, Shop, Workload};
use super::sidecar::{Sidecar, Sidecars};
use super::workplace::Workplace;

/// A record that is not in the log after this long is missing.
const LOGGING: Duration = Duration::from_secs(2);
/// Between two looks at a log.
const STEP: Duration = Duration::from_millis(20);

/// A service as the others and the demo know it.
struct Spot {
    workload: Workload,
    /// Where it is dialled: its sidecar's address.
    address: SocketAddr,
    recorder: Recorder,
    log: Option<Log>,
}

/// The shop at work. It stops when this is dropped.
pub(super) struct Stage {
    spots: Vec<Spot>,
    /// The sidecars, outermost first.
    pub(super) sidecars: Sidecars,
    _open: Open,
}

/// What became of an attack.
pub(super) struct Finding {
    /// What the intruder got.
    pub(super) booty: Booty,
    /// What the service did of it, or that its bytes were received; none: it saw nothing of it.
    pub(super) reached: Option<String>,
    /// What the sidecar's traffic log says of it.
    pub(super) record: Option<Record>,
}

impl Finding {
    /// Refused to the client, unseen by the server, and in the log as refused.
    pub(super) fn refused(&self) -> bool {
        let logged = self.record.as_ref().is_some_and(|record| record.verdict == "refused");
        self.booty.refused && self.reached.is_none() && logged
    }
}

impl Stage {
    /// Binds the shop, starts a sidecar at each service, and opens.
    ///
    /// # Errors
    /// In words: no ports, no files, or a sidecar that does not get ready.
    pub(super) async fn set(place: &Workplace, mode: Mode) -> Result<Self, String> {
        let shop = Shop::bind().await.map_err(|error| format!("no port for the shop: {error}"))?;
        let (frontend, cart, store) = tokio::try_join!(
            Sidecar::start(Workload::Frontend, &shop.frontend, place, mode),
            Sidecar::start(Workload::Cart, &shop.cart, place, mode),
            Sidecar::start(Workload::Store, &shop.store, place, mode),
        )?;
        let sidecars = Sidecars(vec![frontend, cart, store]);
        let mut spots = Vec::new();
        for sidecar in &sidecars.0 {
            let log = Log::open(&place.traffic_log(sidecar.workload));
            spots.push(Spot {
                workload: sidecar.workload,
                address: sidecar.address,
                recorder: shop.door(sidecar.workload).recorder.clone(),
                log: Some(log.map_err(|error| format!("the traffic log: {error}"))?),
            });
        }
        Ok(Self::open(shop, spots, sidecars))
    }

    /// The same without sidecars: everything reaches its service.
    #[cfg(test)]
    pub(super) async fn unguarded() -> io::Result<Self> {
        let shop = Shop::bind().await?;
        let spot = |workload| Spot {
            workload,
            address: shop.door(workload).address,
            recorder: shop.door(workload).recorder.clone(),
            log: None,
        };
        let spots = Workload::ALL.map(spot).into();
        Ok(Self::open(shop, spots, Sidecars(Vec::new())))
    }

    fn open(shop: Shop, spots: Vec<Spot>, sidecars: Sidecars) -> Self {
        let address = |workload| {
            let spot = spots.iter().find(|spot: &&Spot| spot.workload == workload);
            spot.map_or(shop.door(workload).address, |spot| spot.address)
        };
        let (cart, store) = (address(Workload::Cart), address(Workload::Store));
        Self { _open: shop.open(cart, store), spots, sidecars }
    }

    fn spot(&mut self, workload: Workload) -> io::Result<&mut Spot> {
        let mut spots = self.spots.iter_mut();
        spots.find(|spot| spot.workload == workload).ok_or(io::ErrorKind::NotFound.into())
    }

    /// Where a service is dialled.
    ///
    /// # Errors
    /// It is not on the stage.
    pub(super) fn address(&mut self, of: Workload) -> io::Result<SocketAddr> {
        Ok(self.spot(of)?.address)
    }

    /// How many operations a service has carried out.
    ///
    /// # Errors
    /// It is not on the stage.
    pub(super) fn operations(&mut self, of: Workload) -> io::Result<usize> {
        Ok(self.spot(of)?.recorder.operations())
    }

    /// Lets the intruder try, then asks the service and the log what they know of it.
    ///
    /// # Errors
    /// The sidecar cannot be reached, or its log cannot be read.
    pub(super) async fn attack(&mut self, attack: &Attack) -> io::Result<Finding> {
        let spot = self.spot(attack.target)?;
        let booty = attempt(attack, spot.address).await.map_err(|error| {
            let (name, at) = (spot.workload.name(), spot.address);
            io::Error::other(format!("{name}'s sidecar at {at} cannot be dialled: {error}"))
        })?;
        let record = match &mut spot.log {
            Some(log) => look_up(log, &booty).await?,
            None => None,
        };
        Ok(Finding { booty, reached: self.reached(attack)?, record })
    }

    /// What the attacked service knows of an attack.
    ///
    /// # Errors
    /// It is not on the stage.
    pub(super) fn reached(&mut self, attack: &Attack) -> io::Result<Option<String>> {
        let recorder = &self.spot(attack.target)?.recorder;
        if !recorder.saw(attack.trace.as_bytes()) {
            return Ok(None);
        }
        let done = [&attack.trace, &attack.words].into_iter().find_map(|w| recorder.carried_out(w));
        Ok(Some(done.unwrap_or_else(|| "its bytes".to_owned())))
    }

    /// Waits until the front end's log has `requests` allowed operations, for a while.
    /// Answers how many it has then.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) async fn logged(&mut self, requests: u64) -> io::Result<u64> {
        let spot = self.spot(Workload::Frontend)?;
        let Some(log) = &mut spot.log else { return Ok(0) };
        let deadline = Instant::now() + LOGGING;
        while log.allowed < requests && Instant::now() < deadline {
            tokio::time::sleep(STEP).await;
            log.refresh()?;
        }
        Ok(log.allowed)
    }

    /// The records of violations, in any sidecar's log, of connections from anyone but `known`.
    ///
    /// # Errors
    /// A log cannot be read.
    pub(super) fn others(&mut self, known: &[SocketAddr]) -> io::Result<Vec<Record>> {
        let mut others = Vec::new();
        for log in self.spots.iter_mut().filter_map(|spot| spot.log.as_mut()) {
            log.refresh()?;
            let records = log.violations.iter();
            let strange = |record: &&Record| !known.iter().any(|&from| record.is_from(from));
            others.extend(records.filter(strange).cloned());
        }
        Ok(others)
    }

    /// Stops recording what the services receive: for a shop that stays open.
    pub(super) fn stop_recording(&self) {
        self.spots.iter().for_each(|spot| spot.recorder.stop());
    }
}

/// The record of an attack: by the id that the intruder was told, else by the intruder's address.
async fn look_up(log: &mut Log, booty: &Booty) -> io::Result<Option<Record>> {
    let deadline = Instant::now() + LOGGING;
    loop {
        log.refresh()?;
        let mut records = log.violations.iter().filter(|record| record.is_from(booty.from));
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

#[cfg(test)]
mod tests {
    use super::Stage;
    use crate::demo::attacks;
    use crate::demo::customers::Customers;
    use crate::demo::shop::Workload;

    #[tokio::test]
    async fn where_nobody_stops_them_all_attacks_arrive_and_the_shop_works() {
        let mut stage = Stage::unguarded().await.unwrap();
        let customers = Customers::enter(stage.address(Workload::Frontend).unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let tally = customers.leave().await;
        assert_eq!(tally.complaints, Vec::<String>::new());
        assert!(tally.requests > 20);
        assert_eq!(stage.operations(Workload::Frontend).unwrap() as u64, tally.requests);

        for attack in attacks::all("weed") {
            assert_eq!(stage.reached(&attack).unwrap(), None, "{}", attack.words);
            let finding = stage.attack(&attack).await.unwrap();
            assert!(finding.reached.is_some(), "{}: {}", attack.words, finding.booty.words);
            assert!(!finding.refused());
            let (done, got) = (finding.reached.unwrap_or_default(), finding.booty.words);
            match attack.words.as_str() {
                "GET /carts/..%2fadmin%2fexport" => assert_eq!(got, "HTTP/1.1 200 OK"),
                "CONFIG SET dir" => assert!(done.starts_with("CONFIG SET dir /tmp/"), "{done}"),
                "FLUSHALL behind an allowed HGETALL" => assert_eq!(done, "FLUSHALL"),
                _ => {}
            }
        }
    }
}
