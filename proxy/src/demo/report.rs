//! The demo's words: the picture, the lines per attack, the summary.

use std::time::Duration;

use super::attacks::Attack;
use super::customers::{CUSTOMERS, Tally};
use super::learn::Lesson;
use super::log::Record;
use super::shop::Workload;
use super::shop::stock::RESET;
use super::stage::Stage;
use super::town::{Family, Pod, Town};
use super::transcript::{Tone, Transcript, printable};
use super::trial::Finding;
use super::workplace::Workplace;
use crate::report::metrics::mode_word;
use weir_policy::decide::Mode;

/// How the whole went.
pub(super) struct Outcome {
    /// The customers' part.
    pub(super) tally: Tally,
    /// Requests that the front end's service carried out.
    pub(super) served: u64,
    /// Requests that the front end's log has as allowed.
    pub(super) logged: u64,
    /// Of these, those that an entry of the learned policy allowed.
    pub(super) by_entry: u64,
    /// Requests that the customers sent after the switch.
    pub(super) since: u64,
    /// Attacks tried.
    pub(super) attacks: usize,
    /// Of these, refused to the client, unseen by the server, and logged as refused.
    pub(super) refused: usize,
    /// Of these, seen by the server.
    pub(super) reached: usize,
    /// Of these, in the log by any verdict but `allowed`.
    pub(super) recorded: usize,
    /// Violations in the logs that are no attack's.
    pub(super) others: Vec<Record>,
    /// A record that `weir policy explain` can explain, and whose log has it.
    pub(super) example: Option<(Workload, String)>,
    /// How long it took.
    pub(super) took: Duration,
}

impl Outcome {
    /// Every customer was served, every attack refused and logged, and nothing else refused.
    pub(super) fn holds(&self) -> bool {
        self.tally.failures == 0
            && self.tally.requests > 0
            && self.served == self.tally.requests
            && self.logged == self.tally.requests
            && self.since > 0
            && self.by_entry >= self.since
            && self.attacks > 0
            && self.refused == self.attacks
            && self.others.is_empty()
    }
}

/// The picture of the shop, and where everything is.
pub(super) fn opening(to: &mut Transcript, stage: &Stage, place: &Workplace, mode: Mode) {
    match stage.town() {
        None => shop(to, stage),
        Some(town) => pods(to, town),
    }
    let dir = place.dir().display();
    let mode = mode_word(mode);
    to.line(&format!("   mode learn, then {mode}; policies, profiles and logs in {dir}\n"));
    to.line(
        "The customers come, and the sidecars learn what they do. No policy allows anything yet:\n",
    );
}

fn shop(to: &mut Transcript, stage: &Stage) {
    let title = to.paint(Tone::Strong, "Weir demo");
    to.line(&format!("{title}: a little shop, with a sidecar at each service\n"));
    to.line("   customers -->[weir]--> front end -+->[weir]--> cart -->[weir]--> store");
    to.line("                              |      '->[weir]--> stock     ^");
    to.line("                              |            ^                |");
    to.line("                          intruder --------+----------------+\n");
    for sidecar in &stage.sidecars.0 {
        let name = sidecar.workload.name();
        let at = sidecar.address;
        to.line(&format!("   {name:<9} is dialled at {at}, its sidecar's address"));
    }
}

fn pods(to: &mut Transcript, town: &Town) {
    let title = to.paint(Tone::Strong, "Weir demo");
    to.line(&format!("{title}: a little shop in pods, each redirected to a sidecar of its own\n"));
    to.line("   customers --> front end --> cart --> store      stranger      outside");
    to.line("                  [weir]      [weir]    [weir]");
    to.line("                 intruder    intruder              intruder");
    to.line("                     '-------> stock");
    to.line("                              [weir]\n");
    for of in Workload::ALL {
        let words = format!("port {}, redirected", of.port());
        to.line(&pod(town, of.name(), town.pod(of), &words));
    }
    to.line(&pod(town, "customers", &town.customers, "where the customers come from"));
    to.line(&pod(town, "stranger", &town.stranger, "a pod that has no business with the shop"));
    to.line(&pod(town, "outside", &town.outside, "a server that is none of the shop's"));
    if !town.ipv6 {
        to.line("   There is no IPv6 here: what would be tried over it is left out.");
    }
}

fn pod(town: &Town, name: &str, pod: &Pod, words: &str) -> String {
    let address = |family: &Family| format!("{:<12}", pod.address(*family, 0).ip());
    let addresses: String = town.families().iter().map(address).collect();
    format!("   {name:<10} {addresses} {words}")
}

/// The customers so far, in a line.
pub(super) fn progress(to: &mut Transcript, tally: &Tally) {
    let (requests, failures) = (tally.requests, tally.failures);
    let state = match failures {
        0 => "every answer as expected".to_owned(),
        _ => to.paint(Tone::Bad, &format!("{failures} without the expected answer")),
    };
    to.line(&format!("{CUSTOMERS} customers in the shop: {requests} requests so far, {state}\n"));
}

/// What becomes of what was learned, with one of the policies.
pub(super) fn lessons(to: &mut Transcript, lessons: &[Lesson], policies: &[(Workload, String)]) {
    let (left, all) = lessons.iter().fold((0, 0), |(left, all), lesson| {
        (left + lesson.usually_left.0, all + lesson.usually_left.1)
    });
    to.line(&format!(
        "\nSeconds are no evidence, and the numbers say so: of the next hour nothing is known, and by the \
         usual\ncriteria {left} of {all} shapes would be left to a person. The demo's traffic is nobody's \
         but the customers',\nso three operations are enough here (--trusted); a real one takes days. \
         What was learned goes into the\npolicies, the cart's is now:\n"
    ));
    let policy = |wanted: Workload| {
        let found = policies.iter().find(|(of, _)| *of == wanted);
        found.map(|(_, text)| text.as_str()).unwrap_or_default()
    };
    yaml(to, policy(Workload::Cart).lines());
    to.line("\nThe stock speaks gRPC. To its policy was added:\n");
    yaml(to, policy(Workload::Stock).lines().skip_while(|line| line.trim() != "inbound:"));
}

/// Lines of a policy.
fn yaml<'a>(to: &mut Transcript, lines: impl Iterator<Item = &'a str>) {
    for line in lines {
        let tone = if line.trim_start().starts_with('#') { Tone::Quiet } else { Tone::Strong };
        let line = to.paint(tone, line);
        to.line(format!("   {line}").trim_end());
    }
}

/// The sidecars have taken the policies.
pub(super) fn switched(to: &mut Transcript, mode: Mode, took: Duration) {
    let (mode, took) = (mode_word(mode), took.as_secs_f64());
    to.line(&format!(
        "\nThe sidecars have read them, while they run: all of them {mode}, {took:.1} s later.\n"
    ));
}

/// One attack, in four lines.
pub(super) fn attack(to: &mut Transcript, n: usize, attack: &Attack, finding: &Finding) {
    let verdict = match (finding.refused(), &finding.reached) {
        (true, _) => to.paint(Tone::Good, "refused"),
        (false, Some(_)) => to.paint(Tone::Bad, "GOT THROUGH"),
        (false, None) => to.paint(Tone::Bad, "NOT AS IT SHOULD BE"),
    };
    let (kind, words) = (attack.kind, &attack.words);
    to.line(&format!("{n:>2} {verdict}  {kind}: {words}"));
    let label = |to: &Transcript, text: &str| to.paint(Tone::Quiet, &format!("{text:<8}"));
    let got = printable(&finding.booty.words);
    // An error of Redis or gRPC has the id in its words.
    let id = finding.booty.id.as_ref().filter(|id| !got.contains(*id));
    let id = id.map(|id| format!(", id {id}")).unwrap_or_default();
    to.line(&format!("   {} {got}{id}", label(to, "intruder")));
    let seen = match &finding.reached {
        None => "saw nothing of it".to_owned(),
        Some(what) => format!("received {}", printable(what)),
    };
    to.line(&format!("   {} {seen}", label(to, attack.target.name())));
    let record = match &finding.record {
        None if !finding.logged => "none: it is refused by the kernel".to_owned(),
        None => "has no record of it".to_owned(),
        Some(record) => words_of(record),
    };
    to.line(&format!("   {} {record}", label(to, "log")));
}

fn words_of(record: &Record) -> String {
    let (id, verdict, reason) = (&record.id, &record.verdict, &record.reason);
    let op = record.op.as_deref().unwrap_or("-");
    format!("{id} {verdict} {reason} {op}")
}

/// What came of it all.
pub(super) fn summary(to: &mut Transcript, outcome: &Outcome, mode: Mode) {
    let Outcome { tally, attacks, refused, reached, recorded, .. } = outcome;
    let heading = to.paint(Tone::Strong, "Summary");
    to.line(&format!("\n{heading}"));
    let (visits, requests, failures) = (tally.visits, tally.requests, tally.failures);
    let slowest = tally.slowest.as_secs_f64() * 1e3;
    to.line(&format!(
        "   customers  {visits} visits, {requests} requests, {failures} without the expected \
         answer; the slowest took {slowest:.0} ms"
    ));
    for complaint in &tally.complaints {
        to.line(&format!("              {complaint}"));
    }
    to.line(&format!(
        "   attacks    {refused} of {attacks} refused, {reached} reached their service, \
         {recorded} in the log"
    ));
    let (served, logged, others) = (outcome.served, outcome.logged, outcome.others.len());
    to.line(&format!(
        "   front end  {served} requests served, {logged} in its log as allowed; \
         {others} further violations in the logs"
    ));
    for record in outcome.others.iter().take(5) {
        to.line(&format!("              {}", words_of(record)));
    }
    let (by_entry, since) = (outcome.by_entry, outcome.since);
    to.line(&format!(
        "   learned    {since} requests came after the switch; learned entries allowed {by_entry} in that log"
    ));
    to.line(&format!("   time       {:.1} s\n", outcome.took.as_secs_f64()));
    let verdict = match (outcome.holds(), mode) {
        (true, _) => to.paint(Tone::Good, "Every customer was served and every attack refused."),
        (false, Mode::Enforce) => to.paint(Tone::Bad, "This is not as it should be: see above."),
        (false, mode) => {
            let words = format!(
                "In {} mode attacks get through: the log says what enforce would have refused.",
                mode_word(mode)
            );
            to.paint(Tone::Bad, &words)
        }
    };
    to.line(&verdict);
}

/// What else root can see.
pub(super) fn more(to: &mut Transcript) {
    let words = "As root, see the same in pods behind the real redirect: weir demo --transparent";
    let words = to.paint(Tone::Quiet, words);
    to.line(&words);
}

/// How to ask why something was refused, and what to do about it, as long as the files are there.
pub(super) fn question(to: &mut Transcript, stage: &Stage, place: &Workplace, outcome: &Outcome) {
    let Some((of, id)) = &outcome.example else { return };
    let Some(sidecar) = stage.sidecar(*of) else { return };
    let (program, name) = (program(), of.name());
    let (policy, log) = (place.policy(*of), place.traffic_log(*of));
    let (policy, log, profile) = (policy.display(), log.display(), sidecar.profile.display());
    to.line("\nWhy was it refused? Ask for any id, for example:\n");
    to.line(&format!("   {program} policy explain {policy} \\"));
    to.line(&format!("      --log {log} --id {id}"));
    to.line(&format!(
        "\nWhat was asked of {name} beside? It is in the profile, for a person to take:\n"
    ));
    to.line(&format!("   {program} policy pending {profile} --trusted"));
    to.line(&format!("   {program} policy accept {profile} --onto {policy} ENTRY"));
}

/// This program as it was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "weir".to_owned())
}

/// How to go on by hand while the shop stays open.
pub(super) fn invitation(to: &mut Transcript, stage: &Stage, place: &Workplace) {
    to.line("\nThe shop stays open until Ctrl-C. Try it:\n");
    let within = |who: &Pod| format!("nsenter --net={} ", who.namespace.path().display());
    // Where each line is run: as the customers, and in the front end's and the cart's pods.
    let [customers, in_front, in_cart] = match stage.town() {
        None => [const { String::new() }; 3],
        Some(town) => {
            [&town.customers, town.pod(Workload::Frontend), town.pod(Workload::Cart)].map(within)
        }
    };
    if let [frontend, cart, store, stock] = stage.sidecars.0.as_slice() {
        let (front, cart_at) = (frontend.address, cart.address);
        let (host, port) = (store.address.ip(), store.address.port());
        let (shop, carts) = (format!("{customers}curl -i"), format!("{in_front}curl -i"));
        to.line(&format!("   {shop} http://{front}/products"));
        to.line(&format!("   {shop} -d 'product=3&quantity=2' http://{front}/carts/7/items"));
        to.line(&format!("   {shop} http://{front}/carts/7"));
        to.line(&format!("   {carts} -X DELETE http://{cart_at}/carts/7                # refused"));
        to.line(&format!("   {carts} --path-as-is http://{cart_at}/carts/..%2fadmin  # refused"));
        let redis = format!("{in_cart}redis-cli -h {host} -p {port}");
        to.line(&format!("   {redis} HGETALL cart:7"));
        to.line(&format!("   {redis} KEYS '*'                 # refused"));
        let call = format!("{carts} --http2-prior-knowledge -H content-type:application/grpc");
        let reset = format!("http://{}/{RESET}", stock.address);
        to.line(&format!("   {call} -d '' {reset}  # refused"));
        to.line(&format!("   {in_cart}curl -s http://{}/metrics", cart.admin.address));
        let (program, socket) = (program(), cart.socket.display());
        to.line(&format!("   {program} mode --socket {socket}"));
        to.line(&format!("   {program} tap --socket {socket}      # what passes, as it passes"));
    }
    to.line(&format!("   tail -f {}/*.traffic.jsonl", place.dir().display()));
}
