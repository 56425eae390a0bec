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
        let mut number = None;
        for Entry { kind, count, at, .. } in self.entries(tag)? {
            let value = match (kind, count) {
                (3, 1) => self.short(at).map(usize::from),
                (4, 1) => self.long(at),
                _ => {
                    let kind = kind_name(kind);
                    return Err(format!(
                        "expected one SHORT or LONG, found {count} of type {kind}"
                    ));
                }
            };
            let value = value.ok_or_else(cut_off)?;
            let first = *number.get_or_insert(value);
            if first != value {
                return Err(format!(
                    "expected one value, found it twice in one directory, as {first} and as {value}"
                ));
            }
        }
        Ok(number)
    }

    /// Whether the first directory is whole.
    ///
    /// # Errors
    /// That it is cut off.
    pub(super) fn check(&self) -> Result<(), String> {
        self.entries(0).map(drop)
    }

    /// The bytes of a tag of the first directory, where it stands with a type of bytes.
    ///
    /// # Errors
    /// As of [`Tiff::number`]; or what it says lies beyond the file.
    pub(super) fn data(&self, tag: u16) -> Result<Option<&'a [u8]>, String> {
        let Some(Entry { kind, count, at }) = self.entries(tag)?.pop() else { return Ok(None) };
        if !matches!(kind, 1 | 2 | 7) {
            return Err(format!("expected BYTE or UNDEFINED, found type {}", kind_name(kind)));
        }
        // Four bytes and fewer stand in the entry itself.
        let at = if count > 4 { self.long(at) } else { Some(at) };
        let bytes = at.and_then(|at| self.bytes.get(at..)?.get(..count));
        bytes
            .map(Some)
            .ok_or_else(|| format!("expected {count} bytes within the file, found fewer"))
    }

    /// The entries of a tag in the first directory.
    fn entries(&self, tag: u16) -> Result<Vec<Entry>, String> {
        let start = self.long(4).ok_or_else(cut_off)?;
        let count = self.short(start).ok_or_else(cut_off)?;
        let mut found = Vec::new();
        for at in (start + 2..).step_by(12).take(count.into()) {
            // An entry is whole where its value is.
            let (of, entry) = (|| {
                self.long(at + 8)?;
                let kind = self.short(at + 2)?;
                let entry = Entry { kind, count: self.long(at + 4)?, at: at + 8 };
                Some((self.short(at)?, entry))
            })()
            .ok_or_else(cut_off)?;
            if of == tag {
                found.push(entry);
            }
        }
        Ok(found)
    }
}

/// An entry of a directory: its type, how many values, and where these stand, or where it stands
/// where they do.
struct Entry {
    kind: u16,
    count: usize,
    at: usize,
}

fn cut_off() -> String {
    "expected a whole first directory, found one that is cut off".to_string()
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
