//! h2load (of nghttp2) as the client, and what it says.

use std::{
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use super::calls::{CONNECTIONS, Call, STREAMS};
use crate::{
    Error,
    child::{Program, find},
    load::Seen,
    stats::quantile,
};

/// A run that takes longer than this has hung.
const RUN_LIMIT: Duration = Duration::from_secs(60);

/// Four connections with 32 streams each.
#[derive(Debug)]
pub struct H2load {
    binary: PathBuf,
    room: PathBuf,
}

impl H2load {
    /// With its files in `room`; none if it is not installed.
    pub fn new(room: &Path) -> Option<Self> {
        Some(Self { binary: find("h2load")?, room: room.to_owned() })
    }

    /// Sends `requests` requests to `address`, sees each answered with status 200, and counts the bytes that came.
    ///
    /// # Errors
    /// If an answer has another status, if bytes are missing or too many, or after a minute.
    pub fn run(&self, address: SocketAddr, call: &Call, requests: usize) -> Result<Seen, Error> {
        let (said, times) = (self.room.join("h2load.out"), self.room.join("h2load.times"));
        // It appends.
        let _ = fs::remove_file(&times);
        let mut command = Command::new(&self.binary);
        command.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-m", &STREAMS.to_string()]);
        command.args(["-n", &requests.to_string()]);
        command.arg(format!("--log-file={}", times.display()));
        if let Some(body) = &call.body {
            let file = self.room.join(call.key);
            fs::write(&file, body).map_err(Error::io(file.display().to_string()))?;
            command.arg("-d").arg(file);
        }
        for (name, value) in call.fields() {
            command.args(["-H", &format!("{name}: {value}")]);
        }
        command.arg(format!("http://{address}{}", call.path));
        let output = File::create(&said).map_err(Error::io(said.display().to_string()))?;
        let mut program = Program::start("h2load", &self.room, Some(output), &mut command)?;
        program.await_end(RUN_LIMIT)?;
        let said = fs::read_to_string(&said).map_err(Error::io(said.display().to_string()))?;
        let elapsed =
            elapsed(&said, requests, requests * call.answer_bytes()).map_err(|wrong| {
                Error::Program(format!("h2load: {wrong}; it said: {}", said.trim()))
            })?;
        let times = fs::read_to_string(&times).map_err(Error::io(times.display().to_string()))?;
        let mut times: Vec<u32> = times.lines().filter_map(micros).collect();
        Ok(Seen { elapsed, p50: quantile(&mut times, 500), p99: quantile(&mut times, 990) })
    }
}

/// How long it took, if all requests have succeeded and so much content has come.
fn elapsed(said: &str, requests: usize, content: usize) -> Result<Duration, &'static str> {
    let line = |start| said.lines().find_map(|line: &str| line.strip_prefix(start));
    let succeeded = line("status codes: ").and_then(|codes| codes.split_once(" 2xx, "));
    if succeeded.is_none_or(|(count, _)| count.parse() != Ok(requests)) {
        return Err("not every request has succeeded");
    }
    // "traffic: 53.99KB (55284) total, 3.02KB (3088) headers (space savings 95.00%), 50.78KB (52000) data"
    let data = line("traffic: ").and_then(|traffic| traffic.rsplit_once('('));
    let data = data.and_then(|(_, data)| data.strip_suffix(") data"));
    if data.and_then(|data| data.parse().ok()) != Some(content) {
        return Err("not the content that was expected");
    }
    // "finished in 41.24ms, 24246.05 req/s, 1.27MB/s"
    let rate = line("finished in ").and_then(|line| line.split(", ").nth(1));
    let rate: Option<f64> = rate.and_then(|rate| rate.strip_suffix(" req/s")?.parse().ok());
    let rate = rate.filter(|rate| *rate > 0.0).ok_or("no rate")?;
    Ok(Duration::from_secs_f64(requests as f64 / rate))
}

/// The third column of its log: µs until the end of the answer.
fn micros(line: &str) -> Option<u32> {
    line.split('\t').nth(2)?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "starting benchmark...\n\n\
        finished in 40.00ms, 25000.00 req/s, 1.27MB/s\n\
        requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout\n\
        status codes: 1000 2xx, 0 3xx, 0 4xx, 0 5xx\n\
        traffic: 53.99KB (55284) total, 3.02KB (3088) headers (space savings 95.00%), 50.78KB (52000) data\n";

    #[test]
    fn a_whole_run_is_timed() {
        assert_eq!(elapsed(SAID, 1000, 52_000), Ok(Duration::from_millis(40)));
        assert_eq!(micros("1469516383123456\t200\t417"), Some(417));
    }

    #[test]
    fn other_answers_and_missing_bytes_are_found() {
        assert!(elapsed(SAID, 1000, 52_001).is_err());
        assert!(elapsed(SAID, 1001, 52_000).is_err());
        let refused = SAID.replace("1000 2xx, 0 3xx, 0 4xx", "999 2xx, 0 3xx, 1 4xx");
        assert!(elapsed(&refused, 1000, 52_000).is_err());
        assert!(elapsed("", 0, 0).is_err());
    }
}
