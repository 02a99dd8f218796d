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
        if let Some(time) = parse_stored(text.as_bytes()) {
            return Ok(time);
        }
        let error = || NotATime(shortened(text, 60));
        let time: jiff::Timestamp = text.parse().map_err(|_| error())?;
        let micros = time.as_microsecond();
        let kept = Self::from_micros(micros);
        if kept.0 == micros { Ok(kept) } else { Err(error()) }
    }
}

/// The form in which times are stored, from 1970 to 9998: `2026-11-21T18:30:00Z`, with up to six
/// digits behind a point after the seconds. Others, and what is no time, are not for this.
fn parse_stored(text: &[u8]) -> Option<Timestamp> {
    const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let (clock, rest) = text.split_at_checked(19)?;
    let number = |range: std::ops::Range<usize>| {
        clock[range].iter().try_fold(0_i64, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
        })
    };
    let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if marks.iter().any(|(at, mark)| clock[*at] != *mark) {
        return None;
    }
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let before = *DAYS_BEFORE.get(usize::try_from(month - 1).ok()?)?;
    let february = i64::from(is_leap);
    let next = DAYS_BEFORE.get(month as usize).copied().unwrap_or(365);
    let length = next - before + if month == 2 { february } else { 0 };
    if !(1970..=9998).contains(&year)
        || !(1..=length).contains(&day)
        || hour > 23
        || minute > 59
        || second > 59
    {
        return None;
    }
    let fraction = match rest {
        b"Z" => 0,
        [b'.', digits @ .., b'Z'] if (1..=6).contains(&digits.len()) => {
            let mut micros = 0;
            for at in 0..6 {
                let digit = digits.get(at).copied().unwrap_or(b'0');
                micros = micros * 10 + i64::from(digit.is_ascii_digit().then(|| digit - b'0')?);
            }
            micros
        }
        _ => return None,
    };
    // Leap days of the years before this one, less those before 1970.
    let leaps = |year: i64| year / 4 - year / 100 + year / 400;
    let after_february = if month > 2 { february } else { 0 };
    let days = (year - 1970) * 365 + leaps(year - 1) - leaps(1969) + before + after_february + day;
    let seconds = (((days - 1) * 24 + hour) * 60 + minute) * 60 + second;
    Some(Timestamp::from_micros(seconds * 1_000_000 + fraction))
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::from_text::deserialize(deserializer)
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
    fn stored_times_are_read_as_the_calendar_has_them() {
        let day = 86_400_000_000;
        for micros in (0..120_000).map(|days| days * day * 24 + days * 7_654_321_987 % day) {
            let time = Timestamp::from_micros(micros);
            let text = time.to_string();
            assert_eq!(parse_stored(text.as_bytes()), Some(time), "{text}");
        }
        for text in [
            "2026-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-04-30T24:00:00Z",
            "2026-04-30T23:60:00Z",
            "2026-04-30T23:00:61Z",
            "2026-04-30T23:00:00.1234567Z",
            "2026-04-30T23:00:00.Z",
            "2026-04-30T23:00:00.+1Z",
            "2026-04-30T23:00:00+09:00",
            "2026-04-30 23:00:00Z",
            "1969-12-31T23:59:59Z",
            "",
        ] {
            assert_eq!(parse_stored(text.as_bytes()), None, "{text}");
        }
        assert!("2024-02-29T00:00:00Z".parse::<Timestamp>().is_ok());
        assert!("2100-02-29T00:00:00Z".parse::<Timestamp>().is_err());
    }

    #[test]
    fn arithmetic_stays_in_range() {
        assert_eq!(Timestamp::MAX.plus_seconds(u64::MAX), Timestamp::MAX);
        assert!(Timestamp::from_micros(i64::MIN).minus_seconds(u64::MAX).to_string().len() > 4);
    }
}
