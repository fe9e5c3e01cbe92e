//! `/probe/tcp/PORT`: whether the application accepts connections at one of its ports.
//!
//! Behind the redirect each handshake succeeds, whether or not the application is there: an
//! orchestrator's own TCP probe says nothing. Weir's connections are not redirected, so that Weir
//! can tell. It dials the address at which it was asked, which is how the application is reached
//! from outside: one that listens at the pod's address alone answers too.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hyper::StatusCode;
use hyper::header::{HeaderValue, RETRY_AFTER};

use super::Control;
use super::serve::{Answer, answer};
use crate::dial::{Ports, dial};
use crate::report::metrics::DialResult;

const TEXT: &str = "text/plain; charset=utf-8";
/// What the rate is counted in, and how long a result stands in for those above it.
const WINDOW: Duration = Duration::from_secs(1);

/// The ports that may be probed, and what came of it last.
#[derive(Debug)]
pub struct Probes(Mutex<Vec<Port>>);

#[derive(Debug)]
struct Port {
    number: u16,
    window: Instant,
    dialled: usize,
    last: Option<(Instant, DialResult)>,
}

/// What becomes of a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permit {
    /// The port is dialled, for at most this long.
    Dial(Duration),
    /// There were too many in this second: the last result is the answer.
    Known(DialResult),
    /// There were too many in this second, none of which has a result yet.
    TooMany,
    /// The port is none that may be probed.
    NotListed,
}

impl Probes {
    /// For these ports of the application.
    pub fn new(ports: &[u16]) -> Self {
        let window = Instant::now();
        let port = |&number| Port { number, window, dialled: 0, last: None };
        Self(Mutex::new(ports.iter().map(port).collect()))
    }

    /// Asks to probe `number`, of which there may be `rate` a second, each for `timeout`.
    pub fn permit(&self, number: u16, now: Instant, rate: usize, timeout: Duration) -> Permit {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(port) = ports.iter_mut().find(|port| port.number == number) else {
            return Permit::NotListed;
        };
        if now.saturating_duration_since(port.window) >= WINDOW {
            (port.window, port.dialled) = (now, 0);
        }
        if port.dialled < rate {
            port.dialled += 1;
            return Permit::Dial(timeout);
        }
        // Whoever floods the endpoint cannot make the orchestrator's probes fail.
        match port.last {
            Some((at, result)) if now.saturating_duration_since(at) <= WINDOW => {
                Permit::Known(result)
            }
            _ => Permit::TooMany,
        }
    }

    /// Takes note of what came of dialling `number`.
    pub fn done(&self, number: u16, now: Instant, result: DialResult) {
        let mut ports = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(port) = ports.iter_mut().find(|port| port.number == number) {
            port.last = Some((now, result));
        }
    }
}

/// Answers a probe of `port` that was asked for at the address `at`.
pub(super) async fn probe(control: &dyn Control, at: IpAddr, port: u16) -> Answer {
    let timeout = match control.probe(port) {
        Permit::Dial(timeout) => timeout,
        Permit::Known(result) => return told(result),
        Permit::TooMany => {
            let mut answer = answer(StatusCode::TOO_MANY_REQUESTS, TEXT, "too many probes\n");
            answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            return answer;
        }
        Permit::NotListed => return answer(StatusCode::NOT_FOUND, TEXT, "not a port to probe\n"),
    };
    let address = SocketAddr::new(at.to_canonical(), port);
    let result = match dial(address, timeout, &Ports::default(), control.metrics()).await {
        Ok(_) => DialResult::Connected,
        Err(error) => DialResult::of(&error),
    };
    control.probed(port, result);
    told(result)
}

fn told(result: DialResult) -> Answer {
    match result {
        DialResult::Connected => answer(StatusCode::OK, TEXT, "open\n"),
        failed => {
            answer(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("not open: {}\n", failed.label()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    #[test]
    fn ports_that_are_not_listed_are_not_dialled() {
        let probes = Probes::new(&[8080]);
        assert_eq!(probes.permit(8081, Instant::now(), 1, PATIENCE), Permit::NotListed);
        assert_eq!(Probes::new(&[]).permit(0, Instant::now(), 1, PATIENCE), Permit::NotListed);
    }

    #[test]
    fn above_the_rate_the_last_result_is_the_answer() {
        let probes = Probes::new(&[8080, 9090]);
        let start = Instant::now();
        let ask = |port, after| probes.permit(port, start + after, 2, PATIENCE);
        assert_eq!(ask(8080, Duration::ZERO), Permit::Dial(PATIENCE));
        assert_eq!(ask(8080, Duration::ZERO), Permit::Dial(PATIENCE));
        assert_eq!(ask(8080, Duration::ZERO), Permit::TooMany);
        probes.done(8080, start, DialResult::Refused);
        assert_eq!(ask(8080, Duration::from_millis(900)), Permit::Known(DialResult::Refused));
        // A port has its own rate, and each second begins anew.
        assert_eq!(ask(9090, Duration::from_millis(900)), Permit::Dial(PATIENCE));
        assert_eq!(ask(8080, Duration::from_millis(1100)), Permit::Dial(PATIENCE));
        assert_eq!(ask(8080, Duration::from_millis(1100)), Permit::Dial(PATIENCE));
        assert_eq!(ask(8080, Duration::from_millis(1100)), Permit::TooMany, "it is too old");
    }
}
