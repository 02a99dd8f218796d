//! Ticket codes as somebody shows them at a gate.

use std::sync::{Arc, LazyLock};

use data_encoding::BASE32_NOPAD;
use hakken_domain::{
    code::{self, CodeError, CodeSecret, MAX_CODE_CHARS},
    names::{OrganizerId, ShowId, TicketId},
};

use crate::fuzz::{Target, Verdict, assert_short, corpus::Entry};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "ticket_code",
    run: ticket_code,
    words: &[
        "T1.", "t1.", "T2.", "AEAQ", "AAAA", "====", "7777", "0", "1", "8", "9", "a", "-", ".",
    ],
    made: given_out,
    mutations: 3_000,
};

/// Codes that were given out, with what they say; the corpus has some of them.
type Issued = Vec<(String, (u8, TicketId, ShowId, u16))>;

static ISSUED: LazyLock<Arc<Issued>> = LazyLock::new(|| {
    let mut issued = Vec::new();
    for (key, generation) in [(1, 1), (1, 2), (2, 1), (255, u16::MAX)] {
        let ticket = TicketId::derived("fuzz", &generation.to_string());
        let show = ShowId::derived("fuzz", "show");
        let text = code::sign(&secret(key), key, ticket, show, generation);
        issued.push((text, (key, ticket, show, generation)));
    }
    Arc::new(issued)
});

fn secret(key: u8) -> CodeSecret {
    CodeSecret::derive(&[7; 32], OrganizerId::derived("fuzz", "organizer"), key)
}

fn given_out() -> Vec<Entry> {
    let entry = |(text, _): &(String, _)| Entry { name: text.clone(), bytes: text.clone().into() };
    ISSUED.iter().map(entry).collect()
}

/// Nothing is accepted but what was given out, letter for letter; not under another key, and not
/// when its key is disabled.
pub fn ticket_code(input: &[u8]) -> Verdict {
    let text = String::from_utf8_lossy(input);
    let accepted = shown(text.trim_end_matches('\n'));
    // The input as the bytes of a code, so that every byte of one can be changed.
    let forged = format!("T1.{}", BASE32_NOPAD.encode(input));
    Verdict::of(accepted | shown(&forged))
}

fn shown(text: &str) -> bool {
    let known = ISSUED.iter().find(|(issued, _)| issued == text);
    match code::verify(text, |key| Some(secret(key))) {
        Ok(content) => {
            let Some((_, (key, ticket, show, generation))) = known else {
                panic!("{text:?} was never given out, and says {content:?}");
            };
            assert_eq!((content.code_key, content.ticket), (*key, *ticket));
            assert_eq!(content.generation, *generation);
            assert_eq!(content.show_tail, code::show_tail(*show));
            assert_eq!(code::verify(text, |_| None), Err(CodeError::UnknownKey));
            let other = code::verify(text, |key| Some(secret(key.wrapping_add(1))));
            assert_eq!(other, Err(CodeError::WrongSignature));
            true
        }
        Err(error) => {
            assert_short(&error.to_string());
            assert!(known.is_none(), "{text:?} was given out: {error}");
            assert!(text.len() <= MAX_CODE_CHARS || error == CodeError::NotACode);
            false
        }
    }
}
