//! Names and ids. Ids are ULIDs, names are what an organizer or an integrator chose.
//! Both are checked once, when they are made, and are cheap to clone.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use ulid::Ulid;

/// Why a text is not a valid id or name. `Display` says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Not 26 characters of Crockford Base32.
    #[error(
        "{what} must be a ULID: 26 characters of Crockford Base32, such as 01ARZ3NDEKTSV4RRFFQ69G5FAV"
    )]
    NotAUlid {
        /// Which id.
        what: &'static str,
    },
    /// No characters at all.
    #[error("{what} must not be empty")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// More characters than allowed.
    #[error("{what} has {length} characters, at most {max} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Characters it has.
        length: usize,
        /// Characters allowed.
        max: usize,
    },
    /// A character that is not allowed here.
    #[error("{what} has the character {character:?} at {at}, which is not allowed: {allowed}")]
    BadCharacter {
        /// Which name.
        what: &'static str,
        /// The first bad character.
        character: char,
        /// Its place, counted in characters from 0.
        at: usize,
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

macro_rules! ulid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub Ulid);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::from_text::deserialize(deserializer)
            }
        }

        impl $name {
            /// The id that a command key stands for: the same scope and key give the same id,
            /// so a retried command finds what its first try made.
            pub fn derived(scope: &str, key: &str) -> Self {
                Self(derived_ulid(&[$what, scope, key]))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                read_ulid(text).map(Self).ok_or(NameError::NotAUlid { what: $what })
            }
        }
    };
}

ulid_id!(
    /// Who sells; the tenant.
    OrganizerId, "organizer id");
ulid_id!(
    /// A venue.
    VenueId, "venue id");
ulid_id!(
    /// Anything dated that one is admitted to.
    ShowId, "show id");
ulid_id!(
    /// Seats set aside until a time.
    HoldId, "hold id");
ulid_id!(
    /// What a buyer reserved.
    OrderId, "order id");
ulid_id!(
    /// The right to enter.
    TicketId, "ticket id");
ulid_id!(
    /// Money on its way out.
    RefundId, "refund id");
ulid_id!(
    /// A request to cancel items of an order.
    CancellationId, "cancellation id");
ulid_id!(
    /// An API key.
    ApiKeyId, "api key id");
ulid_id!(
    /// One recorded event.
    EventId, "event id");

/// A ULID from its text. 26 digits of Base32 can say 130 bits, a ULID has 128: a text that begins
/// with more than 7 is none, and is not another text for a smaller one.
pub fn read_ulid(text: &str) -> Option<Ulid> {
    let fits = text.as_bytes().first().is_some_and(|first| *first <= b'7');
    Ulid::from_string(text).ok().filter(|_| fits)
}

/// The ULID whose 128 bits are the first of the SHA-256 of the parts, each with its length.
pub fn derived_ulid(parts: &[&str]) -> Ulid {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Ulid::from_bytes(bytes)
}

/// Which characters a name may have.
enum Charset {
    /// Any visible text in any script; no control characters, no space at the ends.
    Text,
    /// ASCII letters, digits and `-_.:`, so that no e-mail address or person's name fits.
    Opaque,
}

impl Charset {
    /// Allows the whole text, as almost every text shows at a glance: printable ASCII without a
    /// space at its ends.
    fn allows_plainly(&self, text: &[u8]) -> bool {
        match self {
            Self::Text => {
                text.iter().all(|byte| (0x20..0x7f).contains(byte))
                    && text.first() != Some(&b' ')
                    && text.last() != Some(&b' ')
            }
            Self::Opaque => {
                text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte))
            }
        }
    }
}

fn check(what: &'static str, text: &str, max: usize, charset: &Charset) -> Result<(), NameError> {
    if (1..=max).contains(&text.len()) && charset.allows_plainly(text.as_bytes()) {
        return Ok(());
    }
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    let length = text.chars().count();
    if length > max {
        return Err(NameError::TooLong { what, length, max });
    }
    for (at, character) in text.chars().enumerate() {
        let (good, allowed) = match charset {
            Charset::Text => (
                !character.is_control()
                    && !(character.is_whitespace() && (at == 0 || at + 1 == length)),
                "no control characters, and no space at the ends",
            ),
            Charset::Opaque => (
                character.is_ascii_alphanumeric() || "-_.:".contains(character),
                "ASCII letters, digits and - _ . : (an opaque reference, never a person's name or address)",
            ),
        };
        if !good {
            return Err(NameError::BadCharacter { what, character, at, allowed });
        }
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $charset:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Most characters it may have.
            pub const MAX_CHARS: usize = $max;

            /// Checks and takes the text.
            pub fn new(text: &str) -> Result<Self, NameError> {
                check($what, text, $max, &Charset::$charset)?;
                Ok(Self(text.into()))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::from_text::deserialize(deserializer)
            }
        }
    };
}

name!(
    /// A seat, unique in its seat map (the `seat_guid` of a pretix plan).
    SeatId, "seat id", 64, Text);
name!(
    /// Unnumbered capacity, unique in its seat map.
    PoolId, "pool id", 64, Text);
name!(
    /// A price category of a seat map.
    Category, "category", 64, Text);
name!(
    /// A ticket type, unique in its show: `adult`, `child`, `学生`.
    TicketTypeId, "ticket type", 64, Text);
name!(
    /// Seats and places kept for somebody: `sponsors`, `fan-club`.
    Allotment, "allotment", 64, Text);
name!(
    /// An entrance.
    GateName, "gate", 64, Text);
name!(
    /// A name that people read.
    Label, "name", 200, Text);
name!(
    /// Why somebody did something, in their words.
    Reason, "reason", 300, Text);
name!(
    /// A read model: `tickets`, `seat_availability`.
    ProjectionName, "projection", 64, Opaque);
name!(
    /// The buyer, as the integrator knows them: opaque.
    BuyerRef, "buyer", 64, Opaque);
name!(
    /// Who did it: `key:01J…`, `system:checkout`.
    ActorRef, "actor", 64, Opaque);
name!(
    /// A payment, as its provider knows it: `pi_3Nx…`.
    PaymentId, "payment", 100, Opaque);
name!(
    /// How the money moved: `card`, `konbini`, `cash`.
    PaymentMethod, "payment method", 32, Opaque);
name!(
    /// The provider's or bank's own word for a money movement.
    MoneyRef, "reference", 100, Opaque);
name!(
    /// The key that makes a command safe to repeat.
    CommandKey, "idempotency key", 128, Text);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_id_depends_on_every_part() {
        let id = OrderId::derived("a", "b");
        assert_eq!(id, OrderId::derived("a", "b"));
        assert_ne!(id, OrderId::derived("ab", ""));
        assert_ne!(id.0, HoldId::derived("a", "b").0);
    }

    #[test]
    fn a_text_of_more_than_128_bits_is_no_id() {
        assert!("7ZZZZZZZZZZZZZZZZZZZZZZZZZ".parse::<OrderId>().is_ok());
        for text in ["8ZZZZZZZZZZZZZZZZZZZZZZZZZ", "80000000000000000000000000", "Z", ""] {
            assert_eq!(text.parse::<OrderId>(), Err(NameError::NotAUlid { what: "order id" }));
        }
    }

    #[test]
    fn an_e_mail_address_is_no_buyer_reference() {
        assert_eq!(
            BuyerRef::new("a@b.jp").unwrap_err().to_string(),
            "buyer has the character '@' at 1, which is not allowed: ASCII letters, digits and \
             - _ . : (an opaque reference, never a person's name or address)"
        );
    }

    #[test]
    fn japanese_seat_names_are_seat_names() {
        assert!(SeatId::new("1階 い列 12番").is_ok());
        assert_eq!(SeatId::new(""), Err(NameError::Empty { what: "seat id" }));
        assert!(SeatId::new(&"席".repeat(65)).is_err());
        assert!(SeatId::new("A\n1").is_err());
        assert!(SeatId::new(" A1").is_err());
    }
}
