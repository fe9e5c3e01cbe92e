use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Commands of every sort that the session follows, and some that it must not let pass.
const COMMANDS: [&str; 16] = [
    "GET k",
    "SET k v",
    "BAD x",
    "MULTI",
    "EXEC",
    "SELECT 3",
    "HELLO 3",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY ON",
    "SUBSCRIBE a b",
    "UNSUBSCRIBE",
    "MONITOR",
    "RESET",
    "EVAL x 1 k",
    "SET k evil",
    "PING",
];

const REPLIES: [&str; 12] = [
    "+OK\r\n",
    "$1\r\nv\r\n",
    UNKNOWN,
    "+QUEUED\r\n",
    "*2\r\n:1\r\n$3\r\nabc\r\n",
    "%1\r\n+proto\r\n:3\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    "*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n",
    ">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n",
    "-ERR no\r\n",
    "+RESET\r\n",
    "$4\r\nevil\r\n",
];

/// Everything that can be seen of a run: what passed, how it ended, what was reported.
type Seen = (String, String, crate::session::testing::Ended, bool, Vec<Record>);

fn run(
    judge: bool,
    refusal: Refusal,
    depth: usize,
    legs: &[(bool, Vec<u8>)],
    cuts: &[usize],
) -> Seen {
    let mut d = driver(refusal);
    d.judge = judge;
    d.limits.judging_bytes = 200;
    d.limits.pipeline_depth = depth;
    d.inspectors.push(Literal::content("evil"));
    let mut cuts = cuts.iter().copied().cycle();
    for (from_client, bytes) in legs {
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let n = cuts.next().unwrap_or(usize::MAX).min(rest.len());
            match from_client {
                true => d.client(&rest[..n]),
                false => d.server(&rest[..n]),
            }
            rest = &rest[n..];
        }
    }
    d.close();
    let mut records = std::mem::take(&mut d.records.ended);
    records.sort_by_key(|r| r.seq);
    (d.to_server(), d.to_client(), d.ended, d.opaque, records)
}

fn legs(
    commands: &'static [&'static str],
    replies: &'static [&'static str],
) -> impl Strategy<Value = Vec<(bool, Vec<u8>)>> {
    let commands = prop::sample::select(commands).prop_map(|line| resp(line).into_bytes());
    let big = (150usize..400).prop_map(|n| resp(&format!("SET k {}", "v".repeat(n))).into_bytes());
    let garbage = vec(any::<u8>(), 1..4);
    let client = prop_oneof![12 => commands, 2 => big, 1 => garbage.clone()];
    let replies = prop::sample::select(replies).prop_map(|r| r.as_bytes().to_vec());
    let server = prop_oneof![20 => replies, 1 => garbage];
    let joined = |list: Vec<Vec<u8>>| list.concat();
    let client = vec(client, 1..5).prop_map(move |list| (true, joined(list)));
    let server = vec(server, 1..5).prop_map(move |list| (false, joined(list)));
    vec(prop_oneof![client, server], 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_slicing_says_the_same(
        legs in legs(&COMMANDS, &REPLIES),
        cuts in vec(1usize..40, 1..20),
        judge in any::<bool>(),
        refusal in prop::sample::select(vec![Refusal::Close, Refusal::Answer, Refusal::Reset]),
    ) {
        let whole = run(judge, refusal, 1024, &legs, &[usize::MAX]);
        let sliced = run(judge, refusal, 1024, &legs, &cuts);
        prop_assert_eq!(sliced, whole);
    }

    /// Where commands wait for replies, a connection can end over a reply before the next
    /// command is read, or after it. Commands that are read in both runs have the same verdict.
    #[test]
    fn a_full_queue_changes_no_verdict(
        legs in legs(&["GET k", "SET k v", "BAD x", "SET k evil"], &["+OK\r\n", "$1\r\nv\r\n", UNKNOWN]),
        cuts in vec(1usize..40, 1..20),
        judge in any::<bool>(),
        refusal in prop::sample::select(vec![Refusal::Close, Refusal::Answer]),
    ) {
        let verdicts = |cuts: &[usize]| {
            let (_, _, _, _, records) = run(judge, refusal, 2, &legs, cuts);
            let verdicts: Vec<_> = records.into_iter().filter(|r| r.op != "-").map(|r| (r.op, r.verdict, r.reason)).collect();
            verdicts
        };
        for (sliced, whole) in verdicts(&cuts).into_iter().zip(verdicts(&[usize::MAX])) {
            prop_assert_eq!(sliced, whole);
        }
    }
}
