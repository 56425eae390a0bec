//! Tiles: a log's hashes and entries in fixed pieces that never change, so that anybody's monitor reads
//! it (<https://c2sp.org/tlog-tiles>).
//!
//! A tile is named by a path. `tile/L/N` holds the hashes of 256 subtrees of `2^(8 L)` leaves each,
//! `tile/entries/N` the data of 256 leaves; with `.p/W` the first `W` of them, where there are no more
//! yet. `N` is written in groups of three digits, all but the last with an `x`: 1234067 is
//! `x001/x234/067`.

use std::fmt;
use std::str::FromStr;

use super::entry::LogEntry;
use super::text::{decimal, shown};

/// Hashes or entries of a full tile.
pub const TILE_WIDTH: u16 = 256;

/// Levels of tiles that a log of 64-bit sizes can have, and names may have.
const MAX_LEVEL: u8 = 63;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileOf {
    /// Hashes of subtrees of `2^(8 level)` leaves.
    Hashes {
        /// The level.
        level: u8,
    },
    /// Data of leaves, each after its length of 16 bits, the highest byte first.
    Entries,
}

/// Which tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tile {
    /// What is in it.
    pub of: TileOf,
    /// Its number at its level, from 0.
    pub index: u64,
    /// Hashes or entries in it: 1 to [`TILE_WIDTH`].
    pub width: u16,
}

/// A path that names no tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a tile's path as C2SP's tlog-tiles has it, L/N or entries/N with N in groups of three digits (067, x001/x234/067) and perhaps .p/W with W from 1 to 255, got {0:?}"
)]
pub struct TileError(String);

impl Tile {
    /// The place of its first hash or entry at its level.
    pub fn start(&self) -> u64 {
        self.index.saturating_mul(TILE_WIDTH.into())
    }

    /// The bytes of a tile of entries.
    pub fn bundle(entries: &[LogEntry]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for entry in entries {
            let data = entry.data();
            // A label and a digest: some 80 bytes.
            let length = u16::try_from(data.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(&data);
        }
        bytes
    }
}

impl FromStr for Tile {
    type Err = TileError;

    /// Reads what follows `tile/`.
    fn from_str(path: &str) -> Result<Self, TileError> {
        let refuse = || TileError(shown(path));
        let (of, rest) = path.split_once('/').ok_or_else(refuse)?;
        let of = match of {
            "entries" => TileOf::Entries,
            level => {
                let level = decimal(level).and_then(|level| u8::try_from(level).ok());
                let level = level.filter(|level| *level <= MAX_LEVEL).ok_or_else(refuse)?;
                TileOf::Hashes { level }
            }
        };
        let (index, width) = match rest.split_once(".p/") {
            None => (rest, TILE_WIDTH),
            Some((index, width)) => {
                let width = decimal(width).and_then(|width| u16::try_from(width).ok());
                (index, width.filter(|width| (1..TILE_WIDTH).contains(width)).ok_or_else(refuse)?)
            }
        };
        Ok(Self { of, index: number(index).ok_or_else(refuse)?, width })
    }
}

impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.of {
            TileOf::Entries => f.write_str("entries/")?,
            TileOf::Hashes { level } => write!(f, "{level}/")?,
        }
        let (mut rest, mut groups) = (self.index / 1000, vec![format!("{:03}", self.index % 1000)]);
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1000));
            rest /= 1000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        match self.width {
            TILE_WIDTH => Ok(()),
            width => write!(f, ".p/{width}"),
        }
    }
}

/// The number that groups of digits spell, in the only way.
fn number(groups: &str) -> Option<u64> {
    let (before, last) = groups.rsplit_once('/').map_or((None, groups), |(b, l)| (Some(b), l));
    let digits = |group: &str| {
        let is_group = group.len() == 3 && group.bytes().all(|byte| byte.is_ascii_digit());
        is_group.then(|| group.parse::<u64>().ok()).flatten()
    };
    let mut number = 0u64;
    for (place, group) in before.into_iter().flat_map(|before| before.split('/')).enumerate() {
        let group = digits(group.strip_prefix('x')?)?;
        if place == 0 && group == 0 {
            return None;
        }
        number = number.checked_mul(1000)?.checked_add(group)?;
    }
    number.checked_mul(1000)?.checked_add(digits(last)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_tile_in_one_way() {
        let hashes = |level, index, width| Tile { of: TileOf::Hashes { level }, index, width };
        for (path, tile) in [
            ("0/000", hashes(0, 0, 256)),
            ("0/x001/x234/067", hashes(0, 1_234_067, 256)),
            ("2/x001/x234/067.p/1", hashes(2, 1_234_067, 1)),
            ("63/999.p/255", hashes(63, 999, 255)),
            ("entries/x001/000", Tile { of: TileOf::Entries, index: 1000, width: 256 }),
            ("entries/007.p/13", Tile { of: TileOf::Entries, index: 7, width: 13 }),
        ] {
            assert_eq!(path.parse(), Ok(tile));
            assert_eq!(tile.to_string(), path);
        }
        for bad in [
            "",
            "0",
            "0/",
            "/000",
            "0/0",
            "0/0000",
            "00/000",
            "64/000",
            "+1/000",
            "-1/000",
            "a/000",
            "0/x000/001",
            "0/x01/001",
            "0/001/001",
            "0/x001",
            "0/x001/x001",
            "0/+01",
            "0/001/",
            "0/000.p/0",
            "0/000.p/256",
            "0/000.p/01",
            "0/000.p/",
            "0/000.p",
            "0/000.p/1/",
            "0/000.q/1",
            "entries/000/000",
            "checkpoint",
            "0/x999/x999/x999/x999/x999/x999/x999/999",
            "0/0%30",
        ] {
            let refused = bad.parse::<Tile>().unwrap_err().to_string();
            assert!(refused.contains("x001/x234/067"), "{bad}: {refused}");
        }
    }
}
