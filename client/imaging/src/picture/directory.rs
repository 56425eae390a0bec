//! The directories of a TIFF file, which is also what EXIF is written in (TIFF 6.0, section 2).

/// A TIFF structure: numbers in one byte order, in directories of entries.
pub(super) struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
}

impl<'a> Tiff<'a> {
    /// `None` where it does not start as one.
    pub(super) fn new(bytes: &'a [u8]) -> Option<Self> {
        let big = match bytes.first_chunk::<4>()? {
            b"II\x2a\0" => false,
            b"MM\0\x2a" => true,
            _ => return None,
        };
        Some(Self { bytes, big })
    }

    pub(super) fn short(&self, at: usize) -> Option<u16> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }

    pub(super) fn long(&self, at: usize) -> Option<usize> {
        let bytes = *self.bytes.get(at..)?.first_chunk::<4>()?;
        let value = if self.big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) };
        usize::try_from(value).ok()
    }

    /// The value of a tag of the first directory that is one whole number; `None` where there is no
    /// such tag.
    ///
    /// # Errors
    /// What was expected and what came, where the tag holds anything else or stands there twice and
    /// differently, or the directory is cut off.
    pub(super) fn number(&self, tag: u16) -> Result<Option<usize>, String> {
        let cut_off = || "expected a whole first directory, found one that is cut off".to_string();
        let start = self.long(4).ok_or_else(cut_off)?;
        let entries = self.short(start).ok_or_else(cut_off)?;
        let mut number = None;
        for at in (start + 2..).step_by(12).take(entries.into()) {
            // An entry is whole where its value is.
            let (found, kind, count, low, value) = (|| {
                let value = self.long(at + 8)?;
                let kind = self.short(at + 2)?;
                Some((self.short(at)?, kind, self.long(at + 4)?, self.short(at + 8)?, value))
            })()
            .ok_or_else(cut_off)?;
            if found == tag {
                let value = match (kind, count) {
                    (3, 1) => low.into(),
                    (4, 1) => value,
                    _ => {
                        let kind = kind_name(kind);
                        return Err(format!(
                            "expected one SHORT or LONG, found {count} of type {kind}"
                        ));
                    }
                };
                if *number.get_or_insert(value) != value {
                    return Err("expected one, found two that differ".to_string());
                }
            }
        }
        Ok(number)
    }
}

/// The types of values (TIFF 6.0, section 2).
fn kind_name(kind: u16) -> String {
    let names = [
        "BYTE",
        "ASCII",
        "SHORT",
        "LONG",
        "RATIONAL",
        "SBYTE",
        "UNDEFINED",
        "SSHORT",
        "SLONG",
        "SRATIONAL",
        "FLOAT",
        "DOUBLE",
    ];
    let name = usize::from(kind).checked_sub(1).and_then(|kind| names.get(kind));
    name.map_or_else(|| kind.to_string(), |name| (*name).to_string())
}
