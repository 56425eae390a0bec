//! How a command says why it failed.

/// An error with its causes, nothing of it twice: many errors hold their cause's text already, and
/// many contexts the path with which the error begins.
#[must_use]
pub fn failure(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain().map(ToString::to_string) {
        if parts.iter().any(|part| part.contains(&cause)) {
            continue;
        }
        if parts.last().is_some_and(|last| cause.starts_with(&format!("{last}:"))) {
            parts.pop();
        }
        parts.push(cause);
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::Context;
    use ringfence_learning::DataError;

    use super::failure;

    #[test]
    fn nothing_is_said_twice() {
        let path = std::path::PathBuf::from("images/labels.csv");
        let error =
            |kind: io::ErrorKind| DataError::File { path: path.clone(), source: kind.into() };
        let missing = Err::<(), _>(error(io::ErrorKind::NotFound)).context("images/labels.csv");
        assert_eq!(
            failure(&missing.unwrap_err()),
            "images/labels.csv: entity not found; check that the path exists"
        );
        let full = Err::<(), _>(error(io::ErrorKind::StorageFull)).context("study t");
        assert_eq!(failure(&full.unwrap_err()), "study t: images/labels.csv: no storage space");
    }
}
