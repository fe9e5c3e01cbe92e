//! The verdict does not depend on how reads were cut.

use proptest::prelude::*;
use weir_parsers::http2::ErrorCode;

use super::peers::{Got, data, padded, post};
use super::*;

/// What one client does, and what its server answers.
#[derive(Clone, Debug)]
enum Step {
    Get(&'static str),
    Post(&'static str, Vec<usize>),
    Cancel,
    Answer(Vec<usize>),
}

fn step() -> impl Strategy<Value = Step> {
    let path = prop_oneof![Just("/ok"), Just("/evil"), Just("/ok?a=b")];
    let body = || proptest::collection::vec(0usize..300, 0..3);
    prop_oneof![
        path.clone().prop_map(Step::Get),
        (path, body()).prop_map(|(path, body)| Step::Post(path, body)),
        Just(Step::Cancel),
        body().prop_map(Step::Answer),
    ]
}

/// Runs the steps, each leg's bytes cut at these lengths, and says what came of it.
fn run(steps: &[Step], cuts: &[usize]) -> (Vec<String>, Vec<Got>, Vec<Got>) {
    let mut pair = Pair::new("http");
    let (mut next, mut open, mut cut) = (1, Vec::new(), cuts.iter().cycle());
    let mut send = |pair: &mut Pair, leg, mut bytes: &[u8]| {
        while !bytes.is_empty() {
            let len = cut.next().map_or(bytes.len(), |cut| (*cut).clamp(1, bytes.len()));
            match leg {
                Leg::Client => pair.driver.client(&bytes[..len]),
                Leg::Server => pair.driver.server(&bytes[..len]),
            }
            bytes = &bytes[len..];
        }
    };
    for step in steps {
        match step {
            Step::Get(path) => {
                let bytes = pair.client.headers(next, true, &get(path));
                send(&mut pair, Leg::Client, &bytes);
                open.extend((*path != "/evil").then_some(next));
                next += 2;
            }
            Step::Post(path, body) => {
                let mut bytes = pair.client.headers(next, false, &post(path));
                for (i, len) in body.iter().enumerate() {
                    let content = vec![b'x'; *len];
                    let last = i + 1 == body.len();
                    bytes.extend(match i % 2 {
                        0 => data(next, last, &content),
                        _ => padded(next, last, &content, 5),
                    });
                }
                send(&mut pair, Leg::Client, &bytes);
                open.extend((*path != "/evil").then_some(next));
                next += 2;
            }
            Step::Cancel if next > 1 => {
                let bytes = answer::rst_stream(next - 2, ErrorCode::Cancel);
                open.retain(|id| *id != next - 2);
                send(&mut pair, Leg::Client, &bytes);
            }
            Step::Cancel => {}
            Step::Answer(body) => {
                let Some(id) = open.pop() else { continue };
                let mut bytes = pair.server.headers(id, body.is_empty(), &ok());
                for (i, len) in body.iter().enumerate() {
                    bytes.extend(data(id, i + 1 == body.len(), &vec![b'y'; *len]));
                }
                send(&mut pair, Leg::Server, &bytes);
            }
        }
    }
    let (to_client, to_server) = (pair.client_got(), pair.server_got());
    pair.driver.close();
    (pair.words(), without_windows(to_client), without_windows(to_server))
}

/// Windows are given back in other portions; their sum comes last.
fn without_windows(mut got: Vec<Got>) -> Vec<Got> {
    let mut sum = 0;
    got.retain(|got| match got {
        Got::Window(0, n) => {
            sum += n;
            false
        }
        _ => true,
    });
    got.push(Got::Window(0, sum));
    got
}

proptest! {
    #[test]
    fn the_same_however_it_is_cut(
        steps in proptest::collection::vec(step(), 1..12),
        cuts in proptest::collection::vec(1usize..40, 1..6),
    ) {
        prop_assert_eq!(run(&steps, &cuts), run(&steps, &[usize::MAX]));
    }
}
