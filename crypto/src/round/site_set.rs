//! Which sites of a roster have done something, in a bit each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

use crate::hexadecimal;
use crate::id::SiteId;
use crate::ring::params::MAX_SITES;
use crate::statement::RosterEntry;

/// A set of a study's sites. In JSON it is lower-case hexadecimal, one bit a site in the roster's
/// order: the roster's first site is the lowest bit of the first byte. A status of 1,000 sites is
/// sent to 1,000 sites, so names would cost 1,000 times as much as there is to say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiteSet(Vec<u8>);

impl SiteSet {
    /// These sites of a roster.
    pub fn of<'a>(roster: &[RosterEntry], sites: impl IntoIterator<Item = &'a SiteId>) -> Self {
        let sites: BTreeSet<&SiteId> = sites.into_iter().collect();
        let byte = |members: &[RosterEntry]| {
            let bits = members.iter().rev().map(|site| u8::from(sites.contains(&site.id)));
            bits.fold(0, |byte, bit| byte << 1 | bit)
        };
        Self(roster.chunks(8).map(byte).collect())
    }

    /// Puts the site at a place of the roster in or out.
    fn put(&mut self, place: usize, is_in: bool) {
        if let Some(byte) = self.0.get_mut(place / 8) {
            let bit = 1 << (place % 8);
            *byte = if is_in { *byte | bit } else { *byte & !bit };
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|byte| byte.count_ones() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sites, in the roster's order.
    pub fn sites<'a>(&'a self, roster: &'a [RosterEntry]) -> impl Iterator<Item = &'a SiteId> {
        roster.iter().enumerate().filter(|(place, _)| self.has(*place)).map(|(_, site)| &site.id)
    }

    /// Whether a site of the roster is one of them.
    pub fn contains(&self, roster: &[RosterEntry], site: &SiteId) -> bool {
        roster.iter().position(|member| member.id == *site).is_some_and(|place| self.has(place))
    }

    /// Whether it is one of a roster of so many sites.
    pub fn fits(&self, sites: usize) -> bool {
        self.0.len() == sites.div_ceil(8) && (sites..self.0.len() * 8).all(|place| !self.has(place))
    }

    /// Whether the site at a place of the roster is one of them.
    pub fn has(&self, place: usize) -> bool {
        self.0.get(place / 8).is_some_and(|byte| byte >> (place % 8) & 1 == 1)
    }
}

/// Where each site of a roster is: a set is asked for again and again, and looks up few sites so.
#[derive(Clone, Debug)]
pub(super) struct Places(Arc<BTreeMap<SiteId, usize>>);

impl Places {
    /// Those of a roster.
    pub(super) fn of(roster: &[RosterEntry]) -> Self {
        let places = roster.iter().enumerate().map(|(place, site)| (site.id.clone(), place));
        Self(Arc::new(places.collect()))
    }

    /// The set of these sites.
    pub(super) fn set<'a>(&self, sites: impl IntoIterator<Item = &'a SiteId>) -> SiteSet {
        let mut set = SiteSet(vec![0; self.0.len().div_ceil(8)]);
        sites.into_iter().for_each(|site| self.put(&mut set, site, true));
        set
    }

    /// Puts a site into a set of this roster's, or out of it.
    pub(super) fn put(&self, set: &mut SiteSet, site: &SiteId, is_in: bool) {
        if let Some(place) = self.0.get(site) {
            set.put(*place, is_in);
        }
    }
}

impl Serialize for SiteSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hexadecimal::encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for SiteSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = hexadecimal::decode(&text).map_err(|error| {
            D::Error::custom(format!("a set of sites is lower-case hexadecimal: {error}"))
        })?;
        if bytes.len() > MAX_SITES.div_ceil(8) {
            return Err(D::Error::custom(format!(
                "a set of sites has {MAX_SITES} bits at most, got {}",
                bytes.len() * 8
            )));
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::statement::HexBytes;

    fn roster(sites: u8) -> Vec<RosterEntry> {
        let site = |k: u8| RosterEntry {
            id: format!("site-{k}").parse().unwrap(),
            signature_key: SigningKey::from_bytes(&[k + 1; 32]).verifying_key().into(),
            kem_key: HexBytes(Vec::new()),
        };
        (0..sites).map(site).collect()
    }

    #[test]
    fn each_site_has_the_bit_of_its_place() {
        let roster = roster(11);
        let odd: Vec<SiteId> =
            roster.iter().skip(1).step_by(2).map(|site| site.id.clone()).collect();
        let set = SiteSet::of(&roster, &odd);
        let json = serde_json::to_string(&set).unwrap();
        // Places 1, 3, 5, 7 and 9.
        assert_eq!(json, r#""aa02""#);
        assert_eq!(serde_json::from_str::<SiteSet>(&json).unwrap(), set);
        assert_eq!(set.sites(&roster).cloned().collect::<Vec<_>>(), odd);
        assert_eq!((set.len(), set.is_empty()), (5, false));
        assert!(
            roster.iter().all(|site| set.contains(&roster, &site.id) == odd.contains(&site.id))
        );
        assert!(set.fits(11) && !set.fits(8) && !set.fits(9) && !set.fits(17));
        assert!(SiteSet::of(&roster, []).is_empty());
        let (places, stranger) = (Places::of(&roster), "stranger".parse().unwrap());
        assert_eq!(places.set(odd.iter().rev().chain([&stranger])), set);
        let mut changed = places.set([]);
        assert_eq!(changed, SiteSet::of(&roster, []));
        roster.iter().for_each(|site| places.put(&mut changed, &site.id, true));
        assert_eq!(changed.len(), 11);
        let even = roster.iter().filter(|site| !odd.contains(&site.id));
        even.for_each(|site| places.put(&mut changed, &site.id, false));
        assert_eq!(changed, set);
    }

    #[test]
    fn what_is_no_set_is_refused() {
        let long = format!("\"{}\"", "00".repeat(MAX_SITES / 8 + 1));
        for wrong in [r#""AA""#, r#""a""#, r#""0x""#, "[1]", &long] {
            assert!(serde_json::from_str::<SiteSet>(wrong).is_err(), "{wrong}");
        }
    }
}
