//! Everything that is read from a short text: names, ids, times, currencies, streams, legs.

use std::{fmt::Debug, fmt::Display, str::FromStr};

use hakken_api::GlobalId;
use hakken_domain::{
    envelope::{Fingerprint, Position, StreamId},
    legs::Legs,
    money::{Currency, MAX_AMOUNT_MINOR},
    names::{
        ActorRef, Allotment, ApiKeyId, BuyerRef, CancellationId, Category, CommandKey, EventId,
        GateName, HoldId, Label, MoneyRef, OrderId, OrganizerId, PaymentId, PaymentMethod, PoolId,
        Reason, RefundId, SeatId, ShowId, TicketId, TicketTypeId, VenueId,
    },
    seatmap::Point,
    time::Timestamp,
};
use serde_json::Value;

use crate::fuzz::{Target, Verdict, assert_short};

pub(in crate::fuzz) const TARGET: Target = Target {
    name: "text",
    run: text,
    words: &[
        "JPY",
        "jpy",
        "EUR",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "01arz3ndektsv4rrffq69g5fav",
        "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "inventory-",
        "order-",
        "order_",
        "ticket_",
        "T",
        "t",
        "Z",
        "z",
        "+09:00",
        "-00:00",
        "+23:59",
        "+24:00",
        "[Asia/Tokyo]",
        "2026-11-21",
        "2024-02-29",
        "2023-02-29",
        "24:00:00",
        "23:59:60",
        ".123456789",
        ",5",
        "key:",
        "system:",
        "[0,1]",
        "[0,64]",
        "[64,65]",
        "-000001-01-01",
    ],
    made: Vec::new,
    mutations: 4_000,
};

/// Each reader takes the text or says why not, shortly; what it takes has one text form, which it
/// takes again, alone and inside JSON.
pub fn text(input: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(input) else { return Verdict::Refused };
    let named = names(text);
    let known = ids(text);
    let time = shown::<Timestamp>(text).is_some_and(|time| {
        assert_eq!(Timestamp::from_micros(time.as_micros()), time, "within the range");
        assert!(time.plus_seconds(u64::MAX) <= Timestamp::MAX && time.minus_seconds(9) <= time);
        true
    });
    let money = shown::<Currency>(text).is_some_and(|currency| {
        assert!(text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_uppercase()));
        for amount in [0, 1, 99, 100, MAX_AMOUNT_MINOR, u64::MAX] {
            let display = currency.display(amount);
            let digits: String = display.chars().filter(char::is_ascii_digit).collect();
            assert_eq!(digits.parse(), Ok(amount), "{display}");
        }
        true
    });
    let stream = shown::<StreamId>(text).is_some_and(|stream| {
        assert!(canonical_ulid(text.rsplit('-').next().unwrap_or_default(), stream.id.0), "{text}");
        true
    });
    Verdict::of(named | known | time | money | stream | small_json(text))
}

fn names(text: &str) -> bool {
    let mut taken = false;
    macro_rules! names {
        ($($name:ident)*) => { $(
            taken |= shown::<$name>(text).is_some_and(|name| {
                assert_eq!(name.as_str(), text, "a name is what was written");
                let count = text.chars().count();
                assert!((1..=$name::MAX_CHARS).contains(&count), "{count} characters");
                assert!(!text.contains(char::is_control), "{text:?}");
                assert_eq!(text.trim(), text);
                true
            });
        )* };
    }
    names!(SeatId PoolId Category TicketTypeId Allotment GateName Label Reason CommandKey);
    names!(BuyerRef ActorRef PaymentId PaymentMethod MoneyRef);
    if BuyerRef::new(text).is_ok() {
        assert!(!text.contains(['@', ' ']), "an address or a name: {text:?}");
    }
    taken
}

fn ids(text: &str) -> bool {
    let mut taken = false;
    macro_rules! ids {
        ($($id:ident)*) => { $(
            taken |= shown::<$id>(text).is_some_and(|id| canonical_ulid(text, id.0.0));
        )* };
    }
    ids!(OrganizerId VenueId ShowId HoldId OrderId TicketId RefundId CancellationId ApiKeyId EventId);
    taken | global::<OrderId>(text) | global::<TicketId>(text) | global::<EventId>(text)
}

fn global<T: GlobalId + PartialEq + Debug>(text: &str) -> bool {
    match T::parse(text) {
        Ok(id) => {
            let rest = &text[T::PREFIX.len() + 1..];
            assert!(canonical_ulid(rest, id.ulid().0), "{text:?}");
            assert_eq!(T::parse(id.global().as_str()), Ok(id));
            true
        }
        Err(error) => {
            assert_short(&error.to_string());
            false
        }
    }
}

/// The 26 digits of Crockford Base32 are this number and no other; small letters count as large
/// ones.
fn canonical_ulid(text: &str, number: u128) -> bool {
    const DIGITS: &[u8] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let digit = |at: u32| char::from(DIGITS[(number >> (5 * at)) as usize & 31]);
    let canonical: String = (0..26).rev().map(digit).collect();
    let plain = text.to_ascii_uppercase().replace(['I', 'L'], "1").replace('O', "0");
    assert_eq!(plain, canonical, "two texts for one id");
    true
}

/// JSON of small things that are not written as a string.
fn small_json(text: &str) -> bool {
    fn back<T>(text: &str) -> bool
    where
        T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
    {
        let Ok(taken) = serde_json::from_str::<T>(text) else { return false };
        let json = serde_json::to_string(&taken).expect("small things can be written");
        assert_eq!(serde_json::from_str::<T>(&json).ok(), Some(taken), "{json}");
        true
    }
    let legs = serde_json::from_str::<Legs>(text).is_ok_and(|legs| {
        assert_eq!(legs.mask().count_ones() as usize, legs.indices().len());
        assert_eq!(legs.mask().trailing_zeros(), u32::from(legs.from()));
        true
    });
    let number = back::<Legs>(text) | back::<Point>(text) | back::<Position>(text);
    legs | number | back::<Fingerprint>(text)
}

/// What the text means, if anything: the same as what its own text form and its JSON mean.
fn shown<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + Debug + PartialEq + serde::Serialize + serde::de::DeserializeOwned,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let form = value.to_string();
            match form.parse::<T>() {
                Ok(again) => {
                    assert_eq!(again, value, "{form:?}");
                    assert_eq!(again.to_string(), form, "one text form");
                }
                Err(error) => panic!("{form:?} is not taken: {error}"),
            }
            let json = serde_json::to_value(&value).expect("it can be written");
            assert_eq!(json, Value::String(form));
            assert_eq!(serde_json::from_value::<T>(json).ok(), Some(value), "through JSON");
            text.parse().ok()
        }
        Err(error) => {
            assert_short(&error.to_string());
            None
        }
    }
}
