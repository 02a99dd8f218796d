//! What stands behind the last whole batch: nothing, an append that was cut off, or damage.
//!
//! A batch is acknowledged when it is synced, and the next one is written only then. So a batch
//! that is not whole was never acknowledged, unless
//!
//! - a frame of a later batch stands behind it, or
//! - it does not look cut off. What was not written before the end is zero, in whole sectors or
//!   from some byte on, and no frame ends with a zero; a flipped bit leaves no such traces.
//!
//! In these two cases the file is damaged and nothing of it is dropped.

use std::io;

use hakken_domain::guard::Guard;

use super::{
    cursor::BLOCK_BYTES,
    fault::{Damage, LogFault},
    frame::{self, Frame},
    segment::Segment,
};

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// What was found behind the last whole batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) enum Tail {
    /// Only room.
    Clean,
    /// An append that was cut off, up to this offset.
    CutOff { used_end: u64 },
}

/// Takes in every whole batch of the newest file, and judges what stands behind. Another process
/// may go on writing meanwhile: only what a second look finds as it was is damage.
pub(super) fn recover(segment: &Segment) -> Result<Tail, LogFault> {
    let mut stopped = segment.scan()?;
    loop {
        let judged = judge(segment, stopped);
        let looks_again = Guard::BeingWritten.sees(judged.is_err());
        let again = if looks_again { segment.scan()? } else { stopped };
        if again == stopped {
            return judged;
        }
        stopped = again;
    }
}

/// Judges what stands behind the last whole batch, where a scan stopped.
fn judge(segment: &Segment, stopped: u64) -> Result<Tail, LogFault> {
    let (end, last) = {
        let table = segment.table();
        (table.end, table.last)
    };
    let io = |error| segment.io(error);
    let Some(used_end) = used_end(segment, end).map_err(io)? else { return Ok(Tail::Clean) };
    let is_cut_off = !has_later_batch(segment, stopped, last + 1, used_end).map_err(io)?
        && looks_cut_off(segment, stopped, used_end).map_err(io)?;
    if is_cut_off {
        Ok(Tail::CutOff { used_end })
    } else {
        let damage = Damage::Checksum { after: last, offset: stopped };
        Err(LogFault::damaged(&segment.path, damage))
    }
}

/// Where the last byte that is not zero ends.
fn used_end(segment: &Segment, from: u64) -> io::Result<Option<u64>> {
    let mut cursor = segment.cursor();
    let mut used_end = None;
    let mut offset = from;
    while offset < cursor.end() {
        let length = BLOCK_BYTES.min(usize::try_from(cursor.end() - offset).unwrap_or(usize::MAX));
        let Some(bytes) = cursor.get(offset, length)? else { break };
        if let Some(at) = bytes.iter().rposition(|byte| *byte != 0) {
            used_end = Some(offset + at as u64 + 1);
        }
        offset += length as u64;
    }
    Ok(used_end)
}

/// Does a whole frame of a batch after the one that begins with `batch` stand somewhere behind?
/// Frames begin at multiples of eight.
fn has_later_batch(segment: &Segment, from: u64, batch: u64, used_end: u64) -> io::Result<bool> {
    let mut cursor = segment.cursor();
    let mut offset = from;
    while offset < used_end {
        let Some(bytes) = cursor.get(offset, frame::HEADER_BYTES)? else { break };
        let frame = Frame::parse(bytes).filter(|frame| frame.batch > batch);
        if let Some(frame) = frame
            && cursor.get(offset, frame.extent())?.is_some_and(|bytes| frame.is_whole(bytes))
        {
            return Ok(true);
        }
        offset += 8;
    }
    Ok(false)
}

/// Is the frame that should begin here zero from some byte on, or in a whole sector before the
/// last byte that is used?
fn looks_cut_off(segment: &Segment, offset: u64, used_end: u64) -> io::Result<bool> {
    let mut cursor = segment.cursor();
    let frame = cursor.get(offset, frame::HEADER_BYTES)?.and_then(Frame::parse);
    let extent = frame.map_or(frame::HEADER_BYTES, |frame| frame.extent());
    if used_end < offset + extent as u64 {
        return Ok(true);
    }
    let mut start = offset;
    while start < used_end {
        // The first may begin in the middle of a sector: what was before it is whole.
        let end = (start + 1).next_multiple_of(SECTOR_BYTES);
        let sector = cursor.get(start, (end - start) as usize)?;
        if sector.is_none_or(|bytes| bytes.iter().all(|byte| *byte == 0)) {
            return Ok(true);
        }
        start = end;
    }
    Ok(false)
}
