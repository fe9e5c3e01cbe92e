//! The stage: the shop at work with its sidecars, and how an attack on it is checked.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use weir_policy::decide::Mode;

use super::attacks::{Attack, Target, Way, Who};
use super::intruder::{Booty, attempt, knock, send};
use super::log::{Log, Record};
use super::origin::Origin;
use super::shop::{Line, Open, Outside, Recorder, Shop, Workload};
use super::sidecar::{self, Sidecar, Sidecars, mode_word};
use super::town::{Family, Town};
use super::workplace::Workplace;
use crate::admin::client;

/// A record that is not in the log after this long is missing.
const LOGGING: Duration = Duration::from_secs(2);
/// Between two looks at a log.
const STEP: Duration = Duration::from_millis(20);

/// A service as the others and the demo know it.
struct Spot {
    workload: Workload,
    /// Where it is dialled: with a forward, its sidecar's address.
    address: SocketAddr,
    recorder: Recorder,
    log: Option<Log>,
}

/// The shop at work. It stops when this is dropped.
pub(super) struct Stage {
    spots: Vec<Spot>,
    /// The sidecars, outermost first.
    pub(super) sidecars: Sidecars,
    /// Their mode.
    mode: Mode,
    /// The pods, if the shop is in pods, and the server outside.
    pods: Option<(Town, Outside)>,
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
    /// Binds the shop, starts a sidecar at each service, and opens: on this machine, or in the
    /// pods of a town.
    ///
    /// # Errors
    /// In words: no ports, no files, or a sidecar that does not get ready.
    pub(super) async fn set(
        place: &Workplace,
        mode: Mode,
        town: Option<Town>,
    ) -> Result<Self, String> {
        if let Some(town) = town {
            let shop = Shop::bind_in(&town).await.map_err(no_port)?;
            let outside = Outside::open(&town).await.map_err(no_port)?;
            let sidecars = start(|_| sidecar::Way::Redirect(&town), place, mode).await?;
            return Self::guarded(shop, sidecars, Some((town, outside)), place, mode);
        }
        let shop = Shop::bind().await.map_err(no_port)?;
        let way = |of| sidecar::Way::Forward(shop.door(of).address);
        let sidecars = start(way, place, mode).await?;
        Self::guarded(shop, sidecars, None, place, mode)
    }

    fn guarded(
        shop: Shop,
        sidecars: Sidecars,
        pods: Option<(Town, Outside)>,
        place: &Workplace,
        mode: Mode,
    ) -> Result<Self, String> {
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
        Ok(Self { mode, ..Self::open(shop, spots, sidecars, pods) })
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
        Ok(Self::open(shop, spots, Sidecars(Vec::new()), None))
    }

    /// Pods whose connections nobody redirects.
    #[cfg(test)]
    pub(super) async fn unguarded_in_pods() -> Result<Self, String> {
        let town = Town::build()?;
        let shop = Shop::bind_in(&town).await.map_err(no_port)?;
        let outside = Outside::open(&town).await.map_err(no_port)?;
        let spot = |of: Workload| Spot {
            workload: of,
            address: town.pod(of).address(Family::V4, of.port()),
            recorder: shop.door(of).recorder.clone(),
            log: None,
        };
        let spots = Workload::ALL.map(spot).into();
        Ok(Self::open(shop, spots, Sidecars(Vec::new()), Some((town, outside))))
    }

    fn open(
        shop: Shop,
        spots: Vec<Spot>,
        sidecars: Sidecars,
        pods: Option<(Town, Outside)>,
    ) -> Self {
        let line = |from, to| {
            let spot = spots.iter().find(|spot: &&Spot| spot.workload == to);
            let address = spot.map_or(shop.door(to).address, |spot| spot.address);
            let Some((town, _)) = &pods else { return Line { origin: Origin::Machine, address } };
            // The store is called by the last family: by IPv6 where that is.
            let family = match to {
                Workload::Store => town.families().last().copied().unwrap_or(Family::V4),
                _ => Family::V4,
            };
            let address = town.pod(to).address(family, to.port());
            Line { origin: town.pod(from).application.clone(), address }
        };
        let cart = line(Workload::Frontend, Workload::Cart);
        let store = line(Workload::Cart, Workload::Store);
        Self { _open: shop.open(cart, store), spots, sidecars, mode: Mode::Enforce, pods }
    }

    /// The pods, if the shop is in pods.
    pub(super) fn town(&self) -> Option<&Town> {
        self.pods.as_ref().map(|(town, _)| town)
    }

    /// Where customers come in: by every address family, if they come from a pod of theirs.
    ///
    /// # Errors
    /// There is no front end.
    pub(super) fn doors(&mut self) -> io::Result<Vec<Line>> {
        let Some(town) = self.town() else {
            let address = self.spot(Workload::Frontend)?.address;
            return Ok(vec![Line { origin: Origin::Machine, address }]);
        };
        let (of, origin) = (Workload::Frontend, &town.customers.application);
        let door = |family: &Family| Line {
            origin: origin.clone(),
            address: town.pod(of).address(*family, of.port()),
        };
        Ok(town.families().iter().map(door).collect())
    }

    fn origin(&self, who: Who) -> Origin {
        self.town().map_or(Origin::Machine, |town| town.origin(who).clone())
    }

    fn spot(&mut self, workload: Workload) -> io::Result<&mut Spot> {
        let mut spots = self.spots.iter_mut();
        spots.find(|spot| spot.workload == workload).ok_or(io::ErrorKind::NotFound.into())
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
    /// The sidecar has ended or cannot be reached, or its log cannot be read.
    pub(super) async fn attack(&mut self, attack: &Attack) -> io::Result<Finding> {
        let relayed = self.town().is_some()
            && matches!(attack.who, Who::Application(of) if attack.guard != Some(of));
        let mut sidecars = self.sidecars.0.iter_mut();
        let guard = sidecars.find(|sidecar| Some(sidecar.workload) == attack.guard);
        if let Some(guard) = guard
            && !guard.runs()
        {
            let name = guard.workload.name();
            return Err(io::Error::other(format!("{name}'s sidecar has ended")));
        }
        if let Some(log) = self.log(attack.guard) {
            log.refresh()?;
            log.turn_page();
        }
        let booty = self.attempt(attack).await?;
        let record = match self.log(attack.guard) {
            Some(log) => look_up(log, &booty, relayed).await?,
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
        if !recorder.saw(attack.trace.as_bytes()) {
            return Ok(None);
        }
        let done = [&attack.trace, &attack.words].into_iter().find_map(|w| recorder.carried_out(w));
        Ok(Some(done.unwrap_or_else(|| "its bytes".to_owned())))
    }

    fn log(&mut self, of: Option<Workload>) -> Option<&mut Log> {
        self.spot(of?).ok()?.log.as_mut()
    }

    /// The Unix socket of a service's sidecar.
    pub(super) fn socket(&self, of: Workload) -> Option<PathBuf> {
        let mut sidecars = self.sidecars.0.iter();
        sidecars.find(|sidecar| sidecar.workload == of)?.socket.clone()
    }

    /// Whether a sidecar's mode is another than it was started with, as root is told.
    fn changed(&self, of: Workload) -> io::Result<Option<String>> {
        let Some(socket) = self.socket(of) else { return Ok(None) };
        let answer = client::get(&socket, "/mode").map_err(io::Error::other)?;
        let mode = answer.get("mode").and_then(|mode| mode.as_str()).unwrap_or("unknown");
        Ok((mode != mode_word(self.mode)).then(|| format!("its mode is {mode} now")))
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

    /// The records of violations, in any sidecar's log, of other connections than `known`.
    ///
    /// # Errors
    /// A log cannot be read.
    pub(super) fn others(&mut self, known: &[String]) -> io::Result<Vec<Record>> {
        let mut others = Vec::new();
        for log in self.spots.iter_mut().filter_map(|spot| spot.log.as_mut()) {
            log.refresh()?;
            let records = log.violations.iter();
            let strange = |record: &&Record| !known.contains(&record.conn);
            others.extend(records.filter(strange).cloned());
        }
        Ok(others)
    }

    /// Stops recording what the services receive: for a shop that stays open.
    pub(super) fn stop_recording(&self) {
        self.spots.iter().for_each(|spot| spot.recorder.stop());
        if let Some((_, outside)) = &self.pods {
            outside.recorder.stop();
        }
    }
}

/// Starts the sidecars, all at once.
async fn start<'a>(
    way: impl Fn(Workload) -> sidecar::Way<'a>,
    place: &Workplace,
    mode: Mode,
) -> Result<Sidecars, String> {
    let sidecar = |of| Sidecar::start(of, way(of), place, mode);
    let [frontend, cart, store] = Workload::ALL.map(sidecar);
    let (frontend, cart, store) = tokio::try_join!(frontend, cart, store)?;
    Ok(Sidecars(vec![frontend, cart, store]))
}

fn no_port(error: io::Error) -> String {
    format!("no port for the shop: {error}")
}

/// The record of an attack: by the id that the intruder was told, else by the intruder's address
/// among what was logged since it began. Where the intruder's own sidecar has relayed it, that one
/// has dialled from a port of its own.
async fn look_up(log: &mut Log, booty: &Booty, relayed: bool) -> io::Result<Option<Record>> {
    let Some(from) = booty.from else { return Ok(None) };
    let deadline = Instant::now() + LOGGING;
    loop {
        log.refresh()?;
        let is_from = |record: &&Record| match relayed {
            true => record.is_from_ip(from.ip()),
            false => record.is_from(from),
        };
        let mut records = log.page().iter().filter(is_from);
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
    use super::{Stage, Way};
    use crate::defaults::{INBOUND_PORT, OUTBOUND_PORT};
    use crate::demo::customers::Customers;
    use crate::demo::shop::Workload;
    use crate::demo::{attacks, tries};

    #[tokio::test]
    #[allow(clippy::print_stderr, reason = "a skipped test says why")]
    async fn where_nobody_redirects_them_all_connections_and_datagrams_arrive() {
        let mut stage = match Stage::unguarded_in_pods().await {
            Ok(stage) => stage,
            Err(words) => {
                eprintln!("skipped: {words}");
                assert!(std::env::var_os("CI").is_none_or(|ci| ci != "true"), "{words}");
                return;
            }
        };
        let customers = Customers::enter(&stage.doors().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        let tally = customers.leave().await;
        assert_eq!(tally.complaints, Vec::<String>::new());
        assert!(tally.requests > 20);

        let mut attacks = attacks::all("weed");
        tries::add(&mut attacks, &stage, "weed");
        let weirs = [INBOUND_PORT, OUTBOUND_PORT];
        let mut arrived = 0;
        for attack in attacks {
            let finding = stage.attack(&attack).await.unwrap();
            if matches!(attack.way, Way::Tcp(at) if weirs.contains(&at.port())) {
                continue;
            }
            assert!(finding.reached.is_some(), "{}: {}", attack.words, finding.booty.words);
            arrived += 1;
        }
        assert!(arrived >= 24, "{arrived}");
    }

    #[tokio::test]
    async fn where_nobody_stops_them_all_attacks_arrive_and_the_shop_works() {
        let mut stage = Stage::unguarded().await.unwrap();
        let customers = Customers::enter(&stage.doors().unwrap());
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
