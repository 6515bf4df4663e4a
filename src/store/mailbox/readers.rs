//! Who fetches from a mailbox. Every endpoint of its owner does, each by the link key that it proves: what one has released
//! is not handed to it again, and stays for the others.
//!
//! A reader that was not here for [`AWAY_S`] holds nothing back, and of one mailbox [`MOST`] are remembered.

use super::rows;
use super::{Place, Tag, Totals};
use ostrakon_transports::relay::Reader;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

/// Readers of one mailbox: another one takes the place of the one that was away for longest.
pub(super) const MOST: usize = 8;
/// For how long frames wait for a reader that does not come, in seconds.
pub(super) const AWAY_S: u64 = 30 * 24 * 3600;

/// By mailbox key and link key: the second in which the reader was here last.
const READERS: TableDefinition<(&[u8; 32], &[u8; 32]), u64> = TableDefinition::new("readers");
/// By the number of a frame and the link key of a reader that has released it: its tag and class.
const RELEASED: TableDefinition<(u64, &[u8; 32]), (&Tag, u8)> = TableDefinition::new("released");

/// Released frames that are looked at to make room.
const LOOK: usize = 4096;

const LEAST_KEY: &[u8; 32] = &[0; 32];
const GREATEST_KEY: &[u8; 32] = &[255; 32];

pub(super) fn prepare(txn: &WriteTransaction) -> Result<(), redb::Error> {
    txn.open_table(READERS)?;
    txn.open_table(RELEASED)?;
    Ok(())
}

/// A reader is here.
pub(super) fn note(txn: &WriteTransaction, reader: &Reader, now_s: u64) -> Result<(), redb::Error> {
    let mut table = txn.open_table(READERS)?;
    table.insert((&reader.mailbox, &reader.link), now_s)?;
    let mut all = of_mailbox(&table, &reader.mailbox)?;
    all.sort_by_key(|(_, seen)| *seen);
    let surplus = all.len().saturating_sub(MOST);
    let others = all.iter().filter(|(link, _)| *link != reader.link);
    for (link, _) in others.take(surplus) {
        table.remove((&reader.mailbox, link))?;
    }
    Ok(())
}

/// A reader has the frames at these places. Those that nobody else waits for are deleted.
pub(super) fn release(
    txn: &WriteTransaction,
    totals: &mut Totals,
    reader: &Reader,
    now_s: u64,
    places: &[Place],
) -> Result<(), redb::Error> {
    let mut others = of_mailbox(&txn.open_table(READERS)?, &reader.mailbox)?;
    let comes = |seen: u64| now_s.saturating_sub(seen) < AWAY_S;
    others.retain(|(link, seen)| *link != reader.link && comes(*seen));
    for place in places {
        let mut waits = false;
        {
            let mut released = txn.open_table(RELEASED)?;
            for (link, _) in &others {
                waits |= released.get((place.number, link))?.is_none();
            }
            if waits {
                let at = (&place.tag, place.class);
                released.insert((place.number, &reader.link), at)?;
            }
        }
        if !waits {
            rows::drop_one(txn, totals, place)?;
        }
    }
    Ok(())
}

/// A frame is gone.
pub(super) fn forget(txn: &WriteTransaction, number: u64) -> Result<(), redb::Error> {
    let range = (number, LEAST_KEY)..=(number, GREATEST_KEY);
    txn.open_table(RELEASED)?.retain_in(range, |_, _| false)?;
    Ok(())
}

/// Whether somebody has released a frame, so that it waits for others only.
pub(super) fn was_released(txn: &WriteTransaction, number: u64) -> Result<bool, redb::Error> {
    let table = txn.open_table(RELEASED)?;
    let mut range = table.range((number, LEAST_KEY)..=(number, GREATEST_KEY))?;
    Ok(range.next().is_some())
}

/// Tells which frames a reader has released.
pub(super) struct Marks<'a> {
    table: redb::ReadOnlyTable<(u64, &'static [u8; 32]), (&'static Tag, u8)>,
    reader: &'a Reader,
}

impl<'a> Marks<'a> {
    pub(super) fn of(txn: &ReadTransaction, reader: &'a Reader) -> Result<Self, redb::Error> {
        let table = txn.open_table(RELEASED)?;
        Ok(Self { table, reader })
    }

    pub(super) fn has(&self, number: u64) -> Result<bool, redb::Error> {
        Ok(self.table.get((number, &self.reader.link))?.is_some())
    }
}

/// Deletes frames with a tag that only wait for readers who are away, the oldest first, until there is room for one more.
/// Looks at a bounded number of them: it is asked at every frame that comes while there is no room.
pub(super) fn make_room(
    txn: &WriteTransaction,
    totals: &mut Totals,
    tag: &Tag,
    fits: impl Fn(Totals, Totals) -> bool,
) -> Result<(), redb::Error> {
    let mut places = Vec::new();
    for row in txn.open_table(RELEASED)?.iter()?.take(LOOK) {
        let (key, value) = row?;
        let (number, (of, class)) = (key.value().0, value.value());
        let tag = *of;
        places.push(Place { tag, class, number });
    }
    for place in places.iter().filter(|place| place.tag == *tag) {
        if fits(*totals, rows::tag_totals(txn, tag)?) {
            break;
        }
        rows::drop_one(txn, totals, place)?;
    }
    Ok(())
}

fn of_mailbox(
    table: &impl ReadableTable<(&'static [u8; 32], &'static [u8; 32]), u64>,
    mailbox: &[u8; 32],
) -> Result<Vec<([u8; 32], u64)>, redb::Error> {
    let range = (mailbox, LEAST_KEY)..=(mailbox, GREATEST_KEY);
    let rows = table.range(range)?.map(|row| {
        let (key, seen) = row?;
        Ok((*key.value().1, seen.value()))
    });
    rows.collect()
}
