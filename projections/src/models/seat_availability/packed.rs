//! Seats in packed blocks: for each seat a mask of the legs on which it is sold, one of those on
//! which it is held, and a bit that says whether it is out of sale.

use std::sync::Arc;

use crate::rows::Value;

/// Seats of a block.
pub(super) const SEATS_PER_BLOCK: usize = 256;
const FLAG_BYTES: usize = SEATS_PER_BLOCK / 8;

/// The block of a seat, by its number in the order of the map.
pub(super) fn block_of(number: u32) -> u32 {
    number / SEATS_PER_BLOCK as u32
}

/// What is with one seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeatState {
    /// A bit for each leg on which it is sold.
    pub(super) sold: u64,
    /// A bit for each leg on which it is held.
    pub(super) held: u64,
    /// Out of sale.
    pub(super) blocked: bool,
}

impl SeatState {
    /// Neither held nor sold nor blocked.
    pub(super) fn is_plain(&self) -> bool {
        self.sold == 0 && self.held == 0 && !self.blocked
    }

    pub(super) fn hold(&mut self, legs: u64) -> Result<(), &'static str> {
        self.check_free(legs)?;
        self.held |= legs;
        Ok(())
    }

    pub(super) fn sell(&mut self, legs: u64) -> Result<(), &'static str> {
        self.check_free(legs)?;
        self.sold |= legs;
        Ok(())
    }

    pub(super) fn free_held(&mut self, legs: u64) -> Result<(), &'static str> {
        if self.held & legs != legs {
            return Err("is not held");
        }
        self.held &= !legs;
        Ok(())
    }

    pub(super) fn free_sold(&mut self, legs: u64) -> Result<(), &'static str> {
        if self.sold & legs != legs {
            return Err("is not sold");
        }
        self.sold &= !legs;
        Ok(())
    }

    fn check_free(&self, legs: u64) -> Result<(), &'static str> {
        if (self.held | self.sold) & legs == 0 {
            Ok(())
        } else {
            Err("is taken already on one of the legs")
        }
    }
}

/// A block as it stands in its row: the masks, each of as many bytes as the legs need, and then
/// a bit for each seat.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct SeatBlock {
    /// Bytes of a mask.
    width: usize,
    bytes: Vec<u8>,
}

impl SeatBlock {
    /// All of them free, in a show of so many legs.
    pub(super) fn empty(legs: u8) -> Self {
        let width = usize::from(legs).div_ceil(8);
        Self { width, bytes: vec![0; SEATS_PER_BLOCK * 2 * width + FLAG_BYTES] }
    }

    /// From what is stored.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let masks = bytes.len().checked_sub(FLAG_BYTES)?;
        let width = masks / (SEATS_PER_BLOCK * 2);
        let is_whole = (1..=8).contains(&width) && masks == SEATS_PER_BLOCK * 2 * width;
        is_whole.then(|| Self { width, bytes: bytes.to_vec() })
    }

    /// As it is stored.
    pub(super) fn to_value(&self) -> Value {
        Value::Bytes(Arc::from(self.bytes.as_slice()))
    }

    /// Nothing is held, sold or blocked.
    pub(super) fn is_plain(&self) -> bool {
        self.bytes.iter().all(|byte| *byte == 0)
    }

    fn mask(&self, at: usize) -> u64 {
        let mut mask = [0; 8];
        mask[..self.width].copy_from_slice(&self.bytes[at..at + self.width]);
        u64::from_le_bytes(mask)
    }

    fn set_mask(&mut self, at: usize, mask: u64) {
        self.bytes[at..at + self.width].copy_from_slice(&mask.to_le_bytes()[..self.width]);
    }

    fn flag(&self, seat: usize) -> (usize, u8) {
        (SEATS_PER_BLOCK * 2 * self.width + seat / 8, 1 << (seat % 8))
    }

    /// The state of a seat, by its number in the order of the map.
    pub(super) fn get(&self, number: u32) -> SeatState {
        let seat = number as usize % SEATS_PER_BLOCK;
        let at = seat * 2 * self.width;
        let (byte, bit) = self.flag(seat);
        SeatState {
            sold: self.mask(at),
            held: self.mask(at + self.width),
            blocked: self.bytes[byte] & bit != 0,
        }
    }

    /// Changes it.
    pub(super) fn set(&mut self, number: u32, state: SeatState) {
        let seat = number as usize % SEATS_PER_BLOCK;
        let at = seat * 2 * self.width;
        let (byte, bit) = self.flag(seat);
        self.set_mask(at, state.sold);
        self.set_mask(at + self.width, state.held);
        if state.blocked {
            self.bytes[byte] |= bit;
        } else {
            self.bytes[byte] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_keeps_what_is_set_and_nothing_else() {
        for legs in [1, 8, 9, 64] {
            let mut block = SeatBlock::empty(legs);
            let top = 1 << (legs - 1);
            let state = SeatState { sold: top, held: 1, blocked: true };
            block.set(257, state);
            assert_eq!(block.get(257), state);
            assert_eq!(block.get(256), SeatState { sold: 0, held: 0, blocked: false });
            let value = block.to_value();
            let back = SeatBlock::from_bytes(value.as_bytes().expect("bytes"));
            assert_eq!(back.as_ref(), Some(&block));
            block.set(257, SeatState { sold: 0, held: 0, blocked: false });
            assert!(block.is_plain());
        }
        assert_eq!(SeatBlock::from_bytes(&[0; 100]), None);
    }

    #[test]
    fn a_seat_is_taken_once_on_a_leg_and_freed_only_where_it_was_taken() {
        let mut seat = SeatState { sold: 0, held: 0, blocked: false };
        assert_eq!(seat.hold(0b011), Ok(()));
        assert!(seat.sell(0b010).is_err());
        assert!(seat.free_held(0b110).is_err());
        assert_eq!(seat.free_held(0b011), Ok(()));
        assert_eq!(seat.sell(0b110), Ok(()));
        assert!(seat.free_sold(0b001).is_err());
        assert_eq!(seat.free_sold(0b110), Ok(()));
        assert_eq!((seat.sold, seat.held), (0, 0));
    }
}
