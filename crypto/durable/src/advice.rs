//! What to do about a file that cannot be read or written.

use std::io::{Error, ErrorKind};

/// What to do about an error of a file, to follow what the operating system says: `; ` and a few
/// words. Nothing where the kind of error tells nothing.
#[must_use]
pub fn advice(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => "; check that the path exists",
        ErrorKind::PermissionDenied => "; check that it may be accessed",
        ErrorKind::StorageFull => "; the disk is full: make room on it, and run this again",
        ErrorKind::QuotaExceeded => "; the quota is used up: make room, and run this again",
        ErrorKind::ReadOnlyFilesystem => "; it lies on a disk that takes no writes",
        _ => "",
    }
}

/// As [`advice`] where a disk has no room or takes no writes; nothing of other errors. What commands
/// end with says this once, whoever met the error.
#[must_use]
pub fn advice_on_room(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::ReadOnlyFilesystem => {
            advice(error)
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_of_the_kind_of_error() {
        for (kind, expected) in [
            (ErrorKind::NotFound, "path exists"),
            (ErrorKind::PermissionDenied, "may be accessed"),
            (ErrorKind::StorageFull, "make room"),
        ] {
            assert!(advice(&kind.into()).contains(expected), "{kind}");
        }
        assert_eq!(advice(&ErrorKind::BrokenPipe.into()), "");
        assert!(advice_on_room(&ErrorKind::StorageFull.into()).contains("make room"));
        assert_eq!(advice_on_room(&ErrorKind::NotFound.into()), "");
    }
}
