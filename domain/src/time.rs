//! Instants and durations. The domain never asks what time it is: `Context::now` says so.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::shortened;

/// An instant: microseconds since 1970-01-01T00:00:00Z. RFC 3339 UTC as text and in JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// A text that is no RFC 3339 time between the years 0001 and 9998.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time in RFC 3339, such as 2026-11-21T18:30:00Z")]
pub struct NotATime(pub String);

impl Timestamp {
    /// The last instant of the year 9998, so that adding a duration always fits.
    pub const MAX: Self = Self(253_370_764_799_999_999);

    /// From microseconds since the epoch, kept within the range that has a text form.
    pub const fn from_micros(micros: i64) -> Self {
        const MIN: i64 = -62_135_596_800_000_000;
        if micros > Self::MAX.0 {
            Self::MAX
        } else if micros < MIN {
            Self(MIN)
        } else {
            Self(micros)
        }
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> i64 {
        self.0
    }

    /// So many seconds later; stops at [`Timestamp::MAX`].
    #[must_use]
    pub const fn plus_seconds(self, seconds: u64) -> Self {
        let seconds = if seconds > 1 << 40 { 1 << 40 } else { seconds as i64 };
        Self::from_micros(self.0.saturating_add(seconds * 1_000_000))
    }

    /// So many seconds earlier.
    #[must_use]
    pub const fn minus_seconds(self, seconds: u64) -> Self {
        let seconds = if seconds > 1 << 40 { 1 << 40 } else { seconds as i64 };
        Self::from_micros(self.0.saturating_sub(seconds * 1_000_000))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = jiff::Timestamp::from_microsecond(self.0).map_err(|_| fmt::Error)?;
        write!(f, "{time}")
    }
}

impl FromStr for Timestamp {
    type Err = NotATime;
    fn from_str(text: &str) -> Result<Self, NotATime> {
        let error = || NotATime(shortened(text, 60));
        let time: jiff::Timestamp = text.parse().map_err(|_| error())?;
        let micros = time.as_microsecond();
        let kept = Self::from_micros(micros);
        if kept.0 == micros { Ok(kept) } else { Err(error()) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let text = "2026-11-21T18:30:00.123456Z";
        let time: Timestamp = text.parse().unwrap();
        assert_eq!(time.to_string(), text);
        assert_eq!("2026-11-22T03:30:00.123456+09:00".parse(), Ok(time));
        assert!("tomorrow".parse::<Timestamp>().is_err());
        assert_eq!(Timestamp::MAX.to_string().parse(), Ok(Timestamp::MAX));
    }

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!(Timestamp::MAX.plus_seconds(u64::MAX), Timestamp::MAX);
        assert!(Timestamp::from_micros(i64::MIN).minus_seconds(u64::MAX).to_string().len() > 4);
    }
}
