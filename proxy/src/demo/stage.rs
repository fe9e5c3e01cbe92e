//! The stage: the shop at work with its sidecars, and what their logs say.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::attacks::Who;
use super::log::{Log, Record};
use super::origin::Origin;
use super::shop::{Line, Open, Outside, Recorder, Shop, Workload};
use super::sidecar::{self, Sidecar, Sidecars};
use super::town::{Family, Town};
use super::workplace::Workplace;
use crate::admin::client;

/// A record that is not in the log after this long is missing.
pub(super) const LOGGING: Duration = Duration::from_secs(2);
/// Between two looks at a log.
pub(super) const STEP: Duration = Duration::from_millis(20);

/// A service as the others and the demo know it.
pub(super) struct Spot {
    workload: Workload,
    /// Where it is dialled: with a forward, its sidecar's address.
    pub(super) address: SocketAddr,
    /// What it receives.
    pub(super) recorder: Recorder,
    log: Option<Log>,
}

/// The shop at work. It stops when this is dropped.
pub(super) struct Stage {
    spots: Vec<Spot>,
    /// The sidecars, outermost first.
    pub(super) sidecars: Sidecars,
    /// The pods, if the shop is in pods, and the server outside.
    pub(super) pods: Option<(Town, Outside)>,
    _open: Open,
}

impl Stage {
    /// Binds the shop, starts a sidecar at each service, and opens: on this machine, or in the
    /// pods of a town.
    ///
    /// # Errors
    /// In words: no ports, no files, or a sidecar that does not get ready.
    pub(super) async fn set(place: &Workplace, town: Option<Town>) -> Result<Self, String> {
        if let Some(town) = town {
            let shop = Shop::bind_in(&town).await.map_err(no_port)?;
            let outside = Outside::open(&town).await.map_err(no_port)?;
            let sidecars = start(|_| sidecar::Way::Redirect(&town), place).await?;
            return Self::guarded(shop, sidecars, Some((town, outside)), place);
        }
        let shop = Shop::bind().await.map_err(no_port)?;
        let way = |of| sidecar::Way::Forward(shop.door(of).address);
        let sidecars = start(way, place).await?;
        Self::guarded(shop, sidecars, None, place)
    }

    fn guarded(
        shop: Shop,
        sidecars: Sidecars,
        pods: Option<(Town, Outside)>,
        place: &Workplace,
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
        Ok(Self::open(shop, spots, sidecars, pods))
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
            address: town.service(of),
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
            let address = town.service(to);
            Line { origin: town.pod(from).application.clone(), address }
        };
        let cart = line(Workload::Frontend, Workload::Cart);
        let store = line(Workload::Cart, Workload::Store);
        let stock = line(Workload::Frontend, Workload::Stock);
        Self { _open: shop.open(cart, store, stock), spots, sidecars, pods }
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

    /// Where an intruder makes its sockets.
    pub(super) fn origin(&self, who: Who) -> Origin {
        self.town().map_or(Origin::Machine, |town| town.origin(who).clone())
    }

    /// A service.
    ///
    /// # Errors
    /// It is not on the stage.
    pub(super) fn spot(&mut self, workload: Workload) -> io::Result<&mut Spot> {
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

    /// A sidecar's log, where there is one.
    pub(super) fn log(&mut self, of: Option<Workload>) -> Option<&mut Log> {
        self.spot(of?).ok()?.log.as_mut()
    }

    /// A service's sidecar, where there is one.
    pub(super) fn sidecar(&self, of: Workload) -> Option<&Sidecar> {
        self.sidecars.0.iter().find(|sidecar| sidecar.workload == of)
    }

    /// Waits until the front end's log has `requests` allowed operations, for a while.
    /// Answers how many it has then, and how many of these an entry of the policy allowed.
    ///
    /// # Errors
    /// The log cannot be read.
    pub(super) async fn logged(&mut self, requests: u64) -> io::Result<(u64, u64)> {
        let spot = self.spot(Workload::Frontend)?;
        let Some(log) = &mut spot.log else { return Ok((0, 0)) };
        let deadline = Instant::now() + LOGGING;
        while log.allowed < requests && Instant::now() < deadline {
            tokio::time::sleep(STEP).await;
            log.refresh()?;
        }
        Ok((log.allowed, log.by_entry))
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

    /// Has the sidecars write their profiles now.
    ///
    /// # Errors
    /// One cannot, in words.
    pub(super) async fn write_profiles(&self) -> Result<(), String> {
        for (_, near) in self.sidecars.sockets() {
            let write = tokio::task::spawn_blocking(move || client::post(&near, "/profile"));
            write.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
        }
        Ok(())
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
) -> Result<Sidecars, String> {
    let sidecar = |of| Sidecar::start(of, way(of), place);
    let [frontend, cart, store, stock] = Workload::ALL.map(sidecar);
    let (frontend, cart, store, stock) = tokio::try_join!(frontend, cart, store, stock)?;
    Ok(Sidecars(vec![frontend, cart, store, stock]))
}

fn no_port(error: io::Error) -> String {
    format!("no port for the shop: {error}")
}

#[cfg(test)]
mod tests {
    use super::Stage;
    use crate::defaults::{INBOUND_PORT, OUTBOUND_PORT};
    use crate::demo::attacks::Way;
    use crate::demo::customers::Customers;
    use crate::demo::shop::Workload;
    use crate::demo::shop::stock::{REFLECTION, RESET};
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
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
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
        assert!(arrived >= 35, "{arrived}");
    }

    #[tokio::test]
    async fn where_nobody_stops_them_all_attacks_arrive_and_the_shop_works() {
        let mut stage = Stage::unguarded().await.unwrap();
        let customers = Customers::enter(&stage.doors().unwrap());
        tokio::time::sleep(std::time::Duration::from_millis(800)).await;
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
                REFLECTION => assert!(got.starts_with("OK, "), "{got}"),
                "shop.Stock/Export" => assert_eq!(got, "UNIMPLEMENTED"),
                words if words.contains("GET /shop.Stock") => assert_eq!(done, "its bytes"),
                words if words.contains(RESET) && attack.allowed == 0 => {
                    assert_eq!(got, "OK, 5 bytes", "{words}");
                    assert!(done.starts_with("shop.Stock/Res"), "{done}");
                }
                words if words.contains(RESET) => {
                    assert_eq!(got, "OK, 7 bytes; OK, 5 bytes; OK, 7 bytes");
                    assert!(done.starts_with("shop.Stock/Reset by "), "{done}");
                    let stock = stage.spot(Workload::Stock).unwrap();
                    let reserve = stock.recorder.carried_out("shop.Stock/Reserve by a customer's");
                    assert!(reserve.is_some());
                }
                _ => {}
            }
        }
    }
}
