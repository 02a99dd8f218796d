//! Faults that are put there on purpose: a mutator that does not find them proves nothing.

use hakken_tests::fuzz::{
    Target, Verdict,
    corpus::Entry,
    drive::{self, Until},
};

/// Within so many mutations each fault is found.
const STEPS: usize = 20_000;

fn corpus(inputs: &[&str]) -> Vec<Entry> {
    let entry = |(at, text): (usize, &&str)| Entry {
        name: at.to_string(),
        bytes: text.as_bytes().to_vec(),
    };
    inputs.iter().enumerate().map(entry).collect()
}

#[track_caller]
fn is_found(run: fn(&[u8]) -> Verdict, inputs: &[&str], what: &str) {
    let target = Target {
        name: "planted",
        run,
        words: &["seats", "count"],
        made: Vec::new,
        mutations: STEPS,
    };
    let corpus = corpus(inputs);
    assert!(drive::replay(&target, &corpus).is_ok(), "the corpus itself does not show it");
    let failure = drive::mutate(&target, &corpus, 1, Until::Mutations(STEPS));
    let failure = failure.expect_err("a fault that is not found");
    assert!(failure.what.contains(what), "{}", failure.what);
    // The same seed finds the same input at the same place.
    let again = drive::mutate(&target, &corpus, 1, Until::Mutations(STEPS)).expect_err("again");
    assert_eq!((again.origin, again.input), (failure.origin, failure.input));
}

const SEATS: &[&str] = &[r#"{"seats":["A1","A2"],"count":2}"#, r#"{"count":0}"#];

#[test]
fn digits_that_only_look_like_digits_are_found() {
    fn numeric(input: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(input);
        let digits: String = text.chars().filter(|c| c.is_numeric()).collect();
        Verdict::of(
            digits.is_empty() || digits.len() > 19 || digits.parse::<u64>().expect("digits") > 0,
        )
    }
    is_found(numeric, SEATS, "digits");
}

#[test]
fn a_length_that_is_believed_is_found() {
    fn prefixed(input: &[u8]) -> Verdict {
        let Some((length, rest)) = input.split_first() else { return Verdict::Refused };
        Verdict::of(!rest[..usize::from(*length % 64)].is_empty())
    }
    is_found(prefixed, &["\u{4}abcdefgh"], "out of range");
}

#[test]
fn a_number_beyond_its_type_is_found() {
    fn counted(input: &[u8]) -> Verdict {
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(input) else {
            return Verdict::Refused;
        };
        let count = value["count"].as_u64().unwrap_or(0);
        u32::try_from(count).expect("a small number");
        Verdict::Accepted
    }
    is_found(counted, SEATS, "a small number");
}

#[test]
fn a_cut_within_a_character_is_found() {
    fn cut(input: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(input);
        let _ = &text[..text.len().min(9)];
        Verdict::Accepted
    }
    is_found(cut, SEATS, "char boundary");
}

#[test]
fn what_only_two_inputs_together_show_is_found() {
    fn both(input: &[u8]) -> Verdict {
        let text = String::from_utf8_lossy(input);
        let seen = |word| text.matches(word).count();
        assert!(seen("seats-held") < 2 || seen("hold-expired") == 0, "a hold of two, expired");
        Verdict::Accepted
    }
    is_found(both, &["a seats-held 1\nb order-paid 2", "a hold-expired 3\nc order-paid"], "of two");
}

#[test]
fn a_panic_that_somebody_catches_is_found() {
    fn caught(input: &[u8]) -> Verdict {
        let work = || assert!(!input.contains(&0), "a byte of nothing");
        Verdict::of(std::panic::catch_unwind(work).is_ok())
    }
    is_found(caught, SEATS, "a byte of nothing");
}
