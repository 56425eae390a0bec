//! JSON of a round that each of its sites asks for: made once, however many ask.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use ringfence_crypto::wire::json;
use serde::Serialize;

use crate::core::refusal::Refusal;

/// What is kept as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Text {
    /// The signed manifest.
    Manifest,
    /// The signed freeze.
    Freeze,
    /// The reviews.
    Reviews,
    /// The signed closing.
    Closing,
    /// The certificate.
    Certificate,
    /// Acknowledgements of one model.
    Agreed,
}

/// Texts, and how many statements each was made of: statements are added and never replaced, so that
/// a text is out of date where there are more now.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<BTreeMap<Text, (usize, Bytes)>>);

impl Texts {
    /// The JSON of something that is made of so many statements.
    ///
    /// # Errors
    /// What `made` refuses.
    pub(crate) fn of<T: Serialize>(
        &self,
        text: Text,
        statements: usize,
        made: impl FnOnce() -> Result<T, Refusal>,
    ) -> Result<Bytes, Refusal> {
        // Held while it is made: the others wait for it rather than make it, too.
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = texts.get(&text).filter(|(of, _)| *of == statements) {
            return Ok(known.clone());
        }
        let bytes = Bytes::from(json::compact(&made()?));
        texts.insert(text, (statements, bytes.clone()));
        Ok(bytes)
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_made_anew_where_there_is_more_and_a_refusal_is_not_kept() {
        let texts = Texts::default();
        let of = |statements, made: Result<u8, Refusal>| {
            texts.of(Text::Reviews, statements, || made).map(|bytes| bytes.to_vec())
        };
        assert!(of(1, Err(Refusal::missing("none"))).is_err());
        assert_eq!(of(1, Ok(1)).unwrap(), b"1");
        assert_eq!(of(1, Ok(2)).unwrap(), b"1");
        assert_eq!(of(2, Ok(3)).unwrap(), b"3");
        texts.forget();
        assert_eq!(of(2, Ok(4)).unwrap(), b"4");
        assert_eq!(texts.of(Text::Agreed, 2, || Ok(5)).unwrap().as_ref(), b"5");
    }
}
