//! Why a program failed, in one line.

use std::error::Error;
use std::io;

/// An error with its causes, nothing of it twice: many errors hold their cause's text already, and
/// many contexts the path with which the error begins. `advice` knows what to do about an error of the
/// operating system, which is said at the end where no cause says it.
#[must_use]
pub fn failure(
    error: &(dyn Error + 'static),
    advice: impl Fn(&io::Error) -> &'static str,
) -> String {
    let mut parts: Vec<String> = Vec::new();
    let causes = || std::iter::successors(Some(error), |error| (*error).source());
    for cause in causes().map(ToString::to_string) {
        if parts.iter().any(|part| part.contains(&cause)) {
            continue;
        }
        if parts.last().is_some_and(|last| cause.starts_with(&format!("{last}:"))) {
            parts.pop();
        }
        parts.push(cause);
    }
    let mut said = parts.join(": ");
    let advice = causes().find_map(|cause| cause.downcast_ref::<io::Error>()).map_or("", advice);
    if !said.contains(advice) {
        said += advice;
    }
    said
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;

    /// A text, and what lies behind it.
    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn what_to_do_is_said_once_at_the_end() {
        let advice = |_: &io::Error| "; make room";
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(failure(&full(), advice), format!("{}; make room", full()));
        let said = io::Error::new(io::ErrorKind::StorageFull, "no space; make room");
        assert_eq!(failure(&said, advice), "no space; make room");
        assert_eq!(failure(&Layer("other", None), advice), "other");
    }

    #[test]
    fn nothing_is_said_twice() {
        for (layers, said) in [
            // A context that is the path with which the error begins.
            (&["a.csv", "a.csv: not found", "not found"][..], "a.csv: not found"),
            (&["study t", "a.csv: no space", "no space"], "study t: a.csv: no space"),
            (&["key: No such file", "No such file"], "key: No such file"),
            (&["cannot read", "denied"], "cannot read: denied"),
        ] {
            let chain =
                layers.iter().rev().fold(None, |cause, text| Some(Box::new(Layer(text, cause))));
            assert_eq!(failure(&*chain.unwrap(), |_| ""), said);
        }
    }
}
