//! A range of legs of a show. A concert has one leg; a trip with n+1 stops has n, up to 64.

use serde::{Deserialize, Serialize};

/// Most legs that a show may have: one bit each in a seat's mask.
pub const MAX_LEGS: u8 = 64;

/// The legs from `from` up to but not including `to`: on a train, the stops between which one
/// rides. In JSON `[from, to]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u8, u8)", into = "(u8, u8)")]
pub struct Legs {
    from: u8,
    to: u8,
}

/// A range that is empty, turned round, or ends after leg 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("legs {from} to {to} are no range: from must be less than to, and to at most 64")]
pub struct NotLegs {
    /// First leg.
    pub from: u8,
    /// The leg after the last.
    pub to: u8,
}

impl Legs {
    /// The only leg of a concert.
    pub const ONE: Self = Self { from: 0, to: 1 };

    /// The legs `from..to`.
    pub fn new(from: u8, to: u8) -> Result<Self, NotLegs> {
        if from < to && to <= MAX_LEGS { Ok(Self { from, to }) } else { Err(NotLegs { from, to }) }
    }

    /// First leg.
    pub fn from(self) -> u8 {
        self.from
    }

    /// The leg after the last.
    pub fn to(self) -> u8 {
        self.to
    }

    /// A bit for each leg.
    pub fn mask(self) -> u64 {
        let width = u32::from(self.to - self.from);
        (u64::MAX >> (64 - width)) << self.from
    }

    /// Leg numbers, as indices.
    pub fn indices(self) -> std::ops::Range<usize> {
        usize::from(self.from)..usize::from(self.to)
    }

    /// True for the one leg of a concert: JSON leaves it out.
    pub fn is_one(&self) -> bool {
        *self == Self::ONE
    }
}

impl Default for Legs {
    fn default() -> Self {
        Self::ONE
    }
}

impl From<Legs> for (u8, u8) {
    fn from(legs: Legs) -> Self {
        (legs.from, legs.to)
    }
}

impl TryFrom<(u8, u8)> for Legs {
    type Error = NotLegs;
    fn try_from((from, to): (u8, u8)) -> Result<Self, NotLegs> {
        Self::new(from, to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks() {
        assert_eq!(Legs::ONE.mask(), 1);
        assert_eq!(Legs::new(0, 64).unwrap().mask(), u64::MAX);
        assert_eq!(Legs::new(2, 4).unwrap().mask(), 0b1100);
        assert_eq!(Legs::new(63, 64).unwrap().mask(), 1 << 63);
        assert!(Legs::new(3, 3).is_err());
        assert!(Legs::new(0, 65).is_err());
    }
}
