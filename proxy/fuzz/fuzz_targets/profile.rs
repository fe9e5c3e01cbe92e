//! The profile file: what is read is written and read as the same, merges with itself, and says
//! a policy that can be read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_policy::profile::{Criteria, Key, Learner, Profile, Settings, WriterId};
use weir_policy::write::{Metadata, policy};

fuzz_target!(|text: &str| {
    let profile = match Profile::from_yaml("fuzz.yaml", text) {
        Ok(profile) => profile,
        Err(error) => {
            assert!(error.line >= 1 && error.column >= 1, "{error}");
            return;
        }
    };
    let written = profile.to_yaml();
    let again = Profile::from_yaml("again.yaml", &written).expect("what was written is read");
    assert_eq!(again, profile, "{written}");
    let mut both = profile.clone();
    both.join(&again);
    assert_eq!(both, profile, "{written}");
    for trusted in [false, true] {
        let criteria = Criteria { trusted, ..Criteria::default() };
        profile.statistics(&criteria).iter().for_each(|rule| drop(rule.to_string()));
        let metadata = Metadata { name: "fuzz".to_owned(), namespace: None, mode: None };
        let text = policy(&profile.learned(&criteria), &metadata);
        if let Err(errors) = weir_policy::parse("fuzz.yaml", &text) {
            panic!("{errors}\n{text}");
        }
    }
    let writer = WriterId { started: 1, random: 1 };
    Learner::new(profile, Key::new([7; 16]), writer, Settings::default());
});
