//! The bytes of a checkpoint: a head, then a record per sync point that was kept.
//! Integers are big-endian. Pure but for the reader and the writer it is given.
//!
//! ```text
//! head    "attest-checkpoint/1\n", c, be32 lanes, each lane's UUID, checksum
//! record  be32 first, be32 last, be64 elapsed in ns, each lane, checksum
//! lane    s(g,last), SM tiles, D(g,first) … D(g,last), their tile roots
//! SM tiles  byte 0: not a GPU; 1: be32 count, be64 each; 2: be32 bytes, why there are none
//! ```
//!
//! The head's checksum is SHA-256 of what stands before it; a record's of the
//! checksum before it and of the record: none can be left out or moved.

use super::CheckpointError;
use crate::executor::SmTiles;
use crate::executor::lanes::{Kept, KeptLane};
use crate::protocol::challenge::{Challenge, LANES_MAX};
use crate::protocol::digest::{Digest, Uuid};
use crate::protocol::names::{Root, State};
use sha2::{Digest as _, Sha256};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::time::Duration;

const MAGIC: &[u8; 20] = b"attest-checkpoint/1\n";
/// Longest reason for missing counters.
const REASON_BYTES_MAX: usize = 1024;
/// Digests read at a time: a length that lies costs no more memory than this.
const DIGESTS_AT_ONCE: u64 = 1 << 14;

/// Whose run it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) challenge: Digest,
    pub(super) uuids: Vec<Uuid>,
}

/// How a head is not the one expected.
#[derive(Debug)]
pub(super) enum OtherHead {
    Io(std::io::Error),
    NotOne,
    Checksum,
    Challenge(Digest),
    Lanes(Vec<Uuid>, Vec<Uuid>),
}

impl OtherHead {
    /// As an error of the file at `path`.
    pub(super) fn at(self, path: PathBuf) -> CheckpointError {
        match self {
            Self::Io(cause) => CheckpointError::Io { path, cause },
            Self::NotOne => CheckpointError::NotOne { path },
            Self::Checksum => CheckpointError::Damaged {
                path,
                what: "the checksum of its head differs".to_owned(),
            },
            Self::Challenge(got) => CheckpointError::OtherChallenge { path, got },
            Self::Lanes(expected, got) => {
                let most = expected.len().max(got.len());
                let lane = (0..most).find(|&g| expected.get(g) != got.get(g)).unwrap_or(0);
                let name = |uuids: &[Uuid]| {
                    uuids.get(lane).map_or_else(|| "absent".to_owned(), Uuid::to_string)
                };
                let (expected, got) = (name(&expected), name(&got));
                CheckpointError::OtherLanes { path, lane, expected, got }
            }
        }
    }
}

impl Head {
    /// As it stands in the file, checksum included.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.challenge.0);
        bytes.extend((self.uuids.len() as u32).to_be_bytes());
        bytes.extend(self.uuids.iter().flat_map(|uuid| uuid.0));
        bytes.extend(Digest::of(&[&bytes]).0);
        bytes
    }

    /// Reads a head and compares it with this one: its checksum.
    pub(super) fn compare(&self, reader: &mut impl Read) -> Result<Digest, OtherHead> {
        let (head, sum) = Self::read(reader)?;
        if head.challenge != self.challenge {
            Err(OtherHead::Challenge(head.challenge))
        } else if head.uuids != self.uuids {
            Err(OtherHead::Lanes(head.uuids, self.uuids.clone()))
        } else {
            Ok(sum)
        }
    }

    /// Reads a head and its checksum.
    pub(super) fn read(reader: &mut impl Read) -> Result<(Self, Digest), OtherHead> {
        let short = |error: std::io::Error| match error.kind() {
            ErrorKind::UnexpectedEof => OtherHead::NotOne,
            _ => OtherHead::Io(error),
        };
        let mut reader = Summing::new(reader, None);
        if reader.array(MAGIC.len()).map_err(short)? != MAGIC {
            return Err(OtherHead::NotOne);
        }
        let challenge = reader.digest().map_err(short)?;
        let lanes = reader.u32().map_err(short)?;
        if lanes > LANES_MAX {
            return Err(OtherHead::Checksum);
        }
        let mut uuids = Vec::new();
        for _ in 0..lanes {
            let bytes = reader.array(16).map_err(short)?;
            uuids.push(Uuid(bytes.try_into().expect("16 bytes were read")));
        }
        let sum = reader.checksum().map_err(short)?.ok_or(OtherHead::Checksum)?;
        Ok((Self { challenge, uuids }, sum))
    }
}

/// Why there is no next record.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It ends early, its checksum differs, or it cannot be one.
    Torn,
    /// The file cannot be read.
    Io(std::io::Error),
}

impl From<std::io::Error> for ReadError {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == ErrorKind::UnexpectedEof { Self::Torn } else { Self::Io(error) }
    }
}

/// The record after iteration `through` and its checksum; `None` at the end.
pub(super) fn read(
    reader: &mut impl Read,
    challenge: &Challenge,
    through: u32,
    sm_counts: &[u32],
    before: &Digest,
) -> Result<Option<(Kept, Digest)>, ReadError> {
    let mut reader = Summing::new(reader, Some(before));
    let Some(first) = reader.u32_or_end()? else { return Ok(None) };
    let last = reader.u32()?;
    let possible = first == through.saturating_add(1)
        && (first..=challenge.iterations()).contains(&last)
        && last.is_multiple_of(challenge.sync_interval());
    if !possible {
        return Err(ReadError::Torn);
    }
    let elapsed = Duration::from_nanos(reader.u64()?);
    let iterations = u64::from(last - first + 1);
    let mut lanes = Vec::with_capacity(sm_counts.len());
    for &sm_count in sm_counts {
        let state = State(reader.digest()?.0);
        let sm_tiles = reader.sm_tiles(sm_count)?;
        let roots = reader.digests(iterations)?.into_iter().map(Root::of_tree).collect();
        let tile_roots = reader.digests(iterations * challenge.work().tiles())?;
        lanes.push(KeptLane { state, roots, tile_roots, sm_tiles });
    }
    let sum = reader.checksum()?.ok_or(ReadError::Torn)?;
    Ok(Some((Kept { first, last, elapsed, lanes }, sum)))
}

/// Writes a record after the one with checksum `before`: its checksum.
pub(super) fn write(
    writer: &mut impl Write,
    kept: &Kept,
    before: &Digest,
) -> std::io::Result<Digest> {
    let mut hash = Sha256::new();
    hash.update(before.0);
    let mut put = |bytes: &[u8]| {
        hash.update(bytes);
        writer.write_all(bytes)
    };
    put(&kept.first.to_be_bytes())?;
    put(&kept.last.to_be_bytes())?;
    put(&u64::try_from(kept.elapsed.as_nanos()).unwrap_or(u64::MAX).to_be_bytes())?;
    for lane in &kept.lanes {
        put(&lane.state.0)?;
        match &lane.sm_tiles {
            SmTiles::NotApplicable => put(&[0])?,
            SmTiles::Counted(counts) => {
                put(&[1])?;
                put(&(counts.len() as u32).to_be_bytes())?;
                counts.iter().try_for_each(|count| put(&count.to_be_bytes()))?;
            }
            SmTiles::Unavailable(why) => {
                let why = &why[..why.floor_char_boundary(REASON_BYTES_MAX)];
                put(&[2])?;
                put(&(why.len() as u32).to_be_bytes())?;
                put(why.as_bytes())?;
            }
        }
        lane.roots.iter().try_for_each(|root| put(&root.0))?;
        lane.tile_roots.iter().try_for_each(|digest| put(&digest.0))?;
    }
    let sum = Digest(hash.finalize().into());
    writer.write_all(&sum.0)?;
    Ok(sum)
}

/// A reader that sums what it reads.
struct Summing<'a, R> {
    reader: &'a mut R,
    hash: Sha256,
}

impl<'a, R: Read> Summing<'a, R> {
    fn new(reader: &'a mut R, before: Option<&Digest>) -> Self {
        let mut hash = Sha256::new();
        if let Some(before) = before {
            hash.update(before.0);
        }
        Self { reader, hash }
    }

    fn array(&mut self, bytes: usize) -> std::io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        self.reader.read_exact(&mut read)?;
        self.hash.update(&read);
        Ok(read)
    }

    /// `None` if there is no further byte; part of a number is an early end.
    fn u32_or_end(&mut self) -> std::io::Result<Option<u32>> {
        let mut bytes = Vec::new();
        self.reader.by_ref().take(4).read_to_end(&mut bytes)?;
        self.hash.update(&bytes);
        match <[u8; 4]>::try_from(bytes.as_slice()) {
            Ok(bytes) => Ok(Some(u32::from_be_bytes(bytes))),
            Err(_) if bytes.is_empty() => Ok(None),
            Err(_) => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    fn u32(&mut self) -> std::io::Result<u32> {
        let bytes = self.array(4)?;
        Ok(u32::from_be_bytes(bytes.try_into().expect("4 bytes were read")))
    }

    fn u64(&mut self) -> std::io::Result<u64> {
        let bytes = self.array(8)?;
        Ok(u64::from_be_bytes(bytes.try_into().expect("8 bytes were read")))
    }

    fn digest(&mut self) -> std::io::Result<Digest> {
        let bytes = self.array(32)?;
        Ok(Digest(bytes.try_into().expect("32 bytes were read")))
    }

    fn digests(&mut self, count: u64) -> std::io::Result<Vec<Digest>> {
        let mut digests = Vec::new();
        let mut left = count;
        while left > 0 {
            let now = left.min(DIGESTS_AT_ONCE);
            let bytes = self.array(32 * now as usize)?;
            let (chunks, _) = bytes.as_chunks::<32>();
            digests.extend(chunks.iter().map(|bytes| Digest(*bytes)));
            left -= now;
        }
        Ok(digests)
    }

    fn sm_tiles(&mut self, sm_count: u32) -> Result<SmTiles, ReadError> {
        Ok(match self.array(1)?[0] {
            0 => SmTiles::NotApplicable,
            1 if self.u32()? == sm_count => {
                let counts: std::io::Result<_> = (0..sm_count).map(|_| self.u64()).collect();
                SmTiles::Counted(counts?)
            }
            2 => {
                let bytes = self.u32()? as usize;
                if bytes > REASON_BYTES_MAX {
                    return Err(ReadError::Torn);
                }
                let why = String::from_utf8(self.array(bytes)?).map_err(|_| ReadError::Torn)?;
                SmTiles::Unavailable(why)
            }
            _ => return Err(ReadError::Torn),
        })
    }

    /// The checksum that follows, if it is the right one.
    fn checksum(self) -> std::io::Result<Option<Digest>> {
        let mut bytes = [0; 32];
        self.reader.read_exact(&mut bytes)?;
        let sum = Digest(self.hash.finalize().into());
        Ok((bytes == sum.0).then_some(sum))
    }
}
