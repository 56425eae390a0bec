//! The plain sum that an opened one is held against.

use std::collections::BTreeMap;

use anyhow::Context;
use ringfence_crypto::id::SiteId;
use ringfence_site::Done;

/// The plain integer sum: the only place that sees all updates in the clear.
pub(crate) struct Plain {
    sum: Vec<u64>,
    /// What sites contributed that misbehave: it is taken out where they are.
    suspects: BTreeMap<SiteId, Vec<u32>>,
    contributed: Vec<SiteId>,
}

impl Plain {
    pub(crate) fn new(values: usize) -> Self {
        Self { sum: vec![0; values], suspects: BTreeMap::new(), contributed: Vec::new() }
    }

    pub(crate) fn add(&mut self, site: &SiteId, quantized: &[u32], suspect: bool) {
        let values = quantized.iter().map(|value| u64::from(*value));
        self.sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        self.contributed.push(site.clone());
        if suspect {
            self.suspects.insert(site.clone(), quantized.to_vec());
        }
    }

    /// The sum over the sites that are in a mean.
    pub(crate) fn of(&self, done: &Done<'_>) -> anyhow::Result<Vec<u64>> {
        let mut sum = self.sum.clone();
        let inside: Vec<&SiteId> = done.sites().collect();
        for out in self.contributed.iter().filter(|site| !inside.contains(site)) {
            let values = self.suspects.get(out);
            let values = values
                .with_context(|| format!("{out} kept to the protocol and is not in the mean"))?;
            let values = values.iter().map(|value| u64::from(*value));
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum = sum.wrapping_sub(value));
        }
        Ok(sum)
    }
}
