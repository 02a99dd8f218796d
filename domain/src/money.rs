//! Money: whole minor units of one currency. Never a float, never an overflow.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::shortened;

/// Most minor units that one amount may have: 10^15, so that sums over thousands of items fit.
pub const MAX_AMOUNT_MINOR: u64 = 1_000_000_000_000_000;

/// A currency code of ISO 4217: three capital letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// A text that is no currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a currency: three capital letters of ISO 4217, such as JPY")]
pub struct NotACurrency(pub String);

impl Currency {
    /// Japanese yen.
    pub const JPY: Self = Self(*b"JPY");

    /// The three letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only capital letters are taken")
    }

    /// Digits after the decimal point, by ISO 4217.
    pub fn minor_digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// An amount as people read it: `JPY 12,000`, `EUR 12.50`.
    pub fn display(self, amount_minor: u64) -> String {
        let digits = self.minor_digits();
        let unit = 10_u64.pow(digits);
        let whole = (amount_minor / unit).to_string();
        let mut grouped = String::with_capacity(whole.len() + whole.len() / 3);
        for (at, digit) in whole.chars().enumerate() {
            if at > 0 && (whole.len() - at).is_multiple_of(3) {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        if digits == 0 {
            format!("{self} {grouped}")
        } else {
            format!("{self} {grouped}.{:0width$}", amount_minor % unit, width = digits as usize)
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = NotACurrency;
    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        match text.as_bytes().try_into() {
            Ok(code) if text.bytes().all(|b| b.is_ascii_uppercase()) => Ok(Self(code)),
            _ => Err(NotACurrency(shortened(text, 60))),
        }
    }
}

impl Serialize for Currency {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_people_write_them() {
        assert_eq!(Currency::JPY.display(1_234_567), "JPY 1,234,567");
        assert_eq!("EUR".parse::<Currency>().unwrap().display(5), "EUR 0.05");
        assert_eq!("KWD".parse::<Currency>().unwrap().display(1_000_001), "KWD 1,000.001");
        assert!("jpy".parse::<Currency>().is_err());
        assert!("円".parse::<Currency>().is_err());
    }
}
