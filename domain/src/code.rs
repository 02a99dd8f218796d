//! Ticket codes: `T1.` and upper-case Base32 (RFC 4648, no padding) over 42 bytes, so that a QR
//! code can use its alphanumeric mode (71 characters, version 4 at level M).
//!
//! | bytes | what |
//! |---|---|
//! | 1 | profile: 1 = HMAC-SHA256, the first 16 bytes of it |
//! | 1 | key id, 1 to 255, of the organizer |
//! | 16 | ticket |
//! | 6 | the last 6 bytes of the show's id |
//! | 2 | generation, big-endian, from 1 |
//! | 16 | signature over a domain tag, the organizer and all bytes before |
//!
//! A further profile (Ed25519, for gates that hold no secret) is a further arm of [`Profile`].

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use ulid::Ulid;

use crate::{
    guard::Guard,
    names::{OrganizerId, ShowId, TicketId},
};

const PREFIX: &str = "T1.";
const SIGNED_DOMAIN: &[u8] = b"hakken ticket code v1\0";
const KEY_DOMAIN: &[u8] = b"hakken ticket code key v1\0";
const PAYLOAD_BYTES: usize = 26;
const HMAC_BYTES: usize = 16;

/// Most characters that a code can have; anything longer is none.
pub const MAX_CODE_CHARS: usize = 256;

/// How a code is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// Short; whoever can check it can make it, so only the server does.
    HmacSha256,
}

impl Profile {
    fn byte(self) -> u8 {
        match self {
            Self::HmacSha256 => 1,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::HmacSha256),
            _ => None,
        }
    }
}

/// What a code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodeContent {
    /// How it is signed.
    pub profile: Profile,
    /// With which of the organizer's keys.
    pub code_key: u8,
    /// Which ticket.
    pub ticket: TicketId,
    /// The end of the show's id.
    pub show_tail: [u8; 6],
    /// 1 at first issuance, one more at each reissue.
    pub generation: u16,
}

/// Why a text is no valid code. A gate is told only that it is `invalid`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Not `T1.` and Base32 of the right length.
    #[error("not a ticket code")]
    NotACode,
    /// Signed in a way that this version does not know.
    #[error("unknown profile")]
    UnknownProfile,
    /// No such key, or a disabled one.
    #[error("unknown or disabled key")]
    UnknownKey,
    /// The signature is not ours.
    #[error("wrong signature")]
    WrongSignature,
}

/// The last bytes of a show's id, as codes carry them.
pub fn show_tail(show: ShowId) -> [u8; 6] {
    let bytes = show.0.to_bytes();
    let mut tail = [0; 6];
    tail.copy_from_slice(&bytes[10..]);
    tail
}

/// The secret of one key of one organizer, derived from the engine's own secret.
#[derive(Clone)]
pub struct CodeSecret(Hmac<Sha256>);

impl CodeSecret {
    /// Derives it: HMAC-SHA256 under the engine's secret over a domain tag, organizer and key id.
    pub fn derive(engine_secret: &[u8; 32], organizer: OrganizerId, code_key: u8) -> Self {
        let mut mac = keyed(engine_secret);
        mac.update(KEY_DOMAIN);
        mac.update(&organizer.0.to_bytes());
        mac.update(&[code_key]);
        let mut signing = keyed(&mac.finalize().into_bytes());
        signing.update(SIGNED_DOMAIN);
        signing.update(&organizer.0.to_bytes());
        Self(signing)
    }

    fn mac(&self, payload: &[u8]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(payload);
        mac
    }
}

impl std::fmt::Debug for CodeSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeSecret(…)")
    }
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes keys of any length")
}

/// The code of a ticket.
pub fn sign(
    secret: &CodeSecret,
    code_key: u8,
    ticket: TicketId,
    show: ShowId,
    generation: u16,
) -> String {
    let mut bytes = Vec::with_capacity(PAYLOAD_BYTES + HMAC_BYTES);
    bytes.push(Profile::HmacSha256.byte());
    bytes.push(code_key);
    bytes.extend(ticket.0.to_bytes());
    bytes.extend(show_tail(show));
    bytes.extend(generation.to_be_bytes());
    let mac = secret.mac(&bytes).finalize().into_bytes();
    bytes.extend(&mac[..HMAC_BYTES]);
    let mut code = String::with_capacity(PREFIX.len() + BASE32_NOPAD.encode_len(bytes.len()));
    code.push_str(PREFIX);
    BASE32_NOPAD.encode_append(&bytes, &mut code);
    code
}

/// Reads and checks a code. `secret_of` knows the secrets of the organizer's keys that are not
/// disabled. The signature is compared in constant time.
pub fn verify(
    code: &str,
    secret_of: impl FnOnce(u8) -> Option<CodeSecret>,
) -> Result<CodeContent, CodeError> {
    if code.len() > MAX_CODE_CHARS {
        return Err(CodeError::NotACode);
    }
    let text = code.strip_prefix(PREFIX).ok_or(CodeError::NotACode)?;
    let bytes = BASE32_NOPAD.decode(text.as_bytes()).map_err(|_| CodeError::NotACode)?;
    let profile = bytes.first().copied().ok_or(CodeError::NotACode)?;
    let profile = Profile::from_byte(profile).ok_or(CodeError::UnknownProfile)?;
    if bytes.len() != PAYLOAD_BYTES + HMAC_BYTES {
        return Err(CodeError::NotACode);
    }
    let (payload, signature) = bytes.split_at(PAYLOAD_BYTES);
    let code_key = payload[1];
    let secret = secret_of(code_key).ok_or(CodeError::UnknownKey)?;
    let is_ours = secret.mac(payload).verify_truncated_left(signature).is_ok();
    if Guard::CodeForged.sees(!is_ours) {
        return Err(CodeError::WrongSignature);
    }
    let field = |range: std::ops::Range<usize>| &payload[range];
    Ok(CodeContent {
        profile,
        code_key,
        ticket: TicketId(Ulid::from_bytes(field(2..18).try_into().expect("16 bytes"))),
        show_tail: field(18..24).try_into().expect("6 bytes"),
        generation: u16::from_be_bytes(field(24..26).try_into().expect("2 bytes")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(organizer: u128, key: u8) -> CodeSecret {
        CodeSecret::derive(&[7; 32], OrganizerId(Ulid(organizer)), key)
    }

    fn code() -> String {
        sign(&secret(1, 1), 1, TicketId(Ulid(42)), ShowId(Ulid(99)), 3)
    }

    #[test]
    fn a_code_says_what_was_signed() {
        let content = verify(&code(), |key| Some(secret(1, key))).unwrap();
        assert_eq!(content.ticket, TicketId(Ulid(42)));
        assert_eq!(content.show_tail, show_tail(ShowId(Ulid(99))));
        assert_eq!((content.code_key, content.generation), (1, 3));
        assert_eq!(code().len(), 71);
    }

    #[test]
    fn the_code_is_the_same_for_ever() {
        assert_eq!(
            code(),
            "T1.AEAQAAAAAAAAAAAAAAAAAAAAAAACUAAAAAAAAYYAAPXY24BAFOABSJHLAMHKLJIGFJOA"
        );
    }

    #[test]
    fn every_flipped_bit_is_refused() {
        let bytes = BASE32_NOPAD.decode(&code().as_bytes()[3..]).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let text = format!("T1.{}", BASE32_NOPAD.encode(&flipped));
            assert!(verify(&text, |key| Some(secret(1, key))).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn other_keys_and_organizers_do_not_verify() {
        let wrong = Err(CodeError::WrongSignature);
        assert_eq!(verify(&code(), |_| Some(secret(1, 2))), wrong);
        assert_eq!(verify(&code(), |key| Some(secret(2, key))), wrong);
        assert_eq!(verify(&code(), |_| None), Err(CodeError::UnknownKey));
    }

    #[test]
    fn rubbish_is_no_code() {
        for text in ["", "T1.", "T1.券", "t1.AA", "T1.AA======", &"T1.A".repeat(200)] {
            assert!(verify(text, |key| Some(secret(1, key))).is_err(), "{text:?}");
        }
        let lower = code().to_lowercase();
        assert_eq!(verify(&lower, |_| None), Err(CodeError::NotACode));
    }
}
