//! The members of a gzip file, one continuing the other (RFC 1952, 2.2), and the zeros that may follow
//! them: programs fill up blocks with these, and `gzip -d` passes over them.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

/// What the members of a gzip file inflate to, up to the end of the file.
pub(crate) struct Members<'a> {
    /// The member that is being read; `None` once all are.
    member: Option<GzDecoder<&'a [u8]>>,
}

impl<'a> Members<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { member: Some(GzDecoder::new(bytes)) }
    }
}

impl Read for Members<'_> {
    /// # Errors
    /// What the decoder says of a member, and how many bytes follow the last one that are neither a
    /// member nor zeros.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        while let Some(member) = &mut self.member {
            let read = member.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            let rest = self.member.take().map_or(&[][..], GzDecoder::into_inner);
            if super::is_gzip(rest) {
                self.member = Some(GzDecoder::new(rest));
            } else if rest.iter().any(|byte| *byte != 0) {
                let what = format!("after it {} bytes that are neither; cut them off", rest.len());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
        }
        Ok(0)
    }
}
