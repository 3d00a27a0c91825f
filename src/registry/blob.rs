//! A blob as a stream that outlives its connections.
//!
//! When a connection breaks, stalls or ends early, the reader waits and asks again from where it stopped (`Range`, RFC 9110,
//! 14). A server that ignores the range sends all of it again, and what was read already is dropped. Bytes are passed on as
//! they come: at most one piece of the HTTP library (some hundred KiB) is held. Digests are the caller's business.

use super::failure::Failure;
use super::session::Session;
use super::transport::{Request, Response};
use crate::base::{Error, Kind, Result};
use crate::image::manifest::Descriptor;
use bytes::{Buf, Bytes};
use reqwest::Url;
use reqwest::header::{ACCEPT_ENCODING, CONTENT_RANGE, HeaderName, RANGE};
use std::io::Read;
use std::sync::Arc;

/// So many new bytes make earlier failures forgotten: a long download over a bad line ends, one that only crawls does not go
/// on for ever.
const FORGIVE_AFTER: u64 = 256 << 10;

/// See the module documentation. Never yields more than the descriptor's size.
#[derive(Debug)]
pub struct BlobReader {
    session: Arc<Session>,
    descriptor: Descriptor,
    /// The next byte to hand out.
    offset: u64,
    /// Bytes to drop before that: the server ignored our range.
    skip: u64,
    response: Option<Response>,
    piece: Bytes,
    failed: u32,
    failed_at: u64,
    ended: bool,
}

impl BlobReader {
    /// Opens the blob at `offset`, with retries. At `offset == size` nothing is asked.
    pub(super) fn open(session: Arc<Session>, descriptor: &Descriptor, offset: u64) -> Result<Self> {
        let mut reader = Self {
            session,
            descriptor: descriptor.clone(),
            offset,
            skip: 0,
            response: None,
            piece: Bytes::new(),
            failed: 0,
            failed_at: offset,
            ended: offset == descriptor.size,
        };
        if offset > descriptor.size {
            let text = format!("offset {offset} is beyond the blob's {} bytes", descriptor.size);
            return Err(Error::new(Kind::Bug, text));
        }
        while !reader.ended && reader.response.is_none() {
            reader.connect()?;
        }
        Ok(reader)
    }

    /// Asks once; a failure that may pass is waited out.
    fn connect(&mut self) -> Result<()> {
        match self.request() {
            Ok((response, skip)) => {
                self.response = Some(response);
                self.skip = skip;
                Ok(())
            }
            Err(failure) => self.fail(failure),
        }
    }

    /// Counts a failure and waits, or gives up.
    fn fail(&mut self, failure: Failure) -> Result<()> {
        self.response = None;
        self.piece = Bytes::new();
        if self.offset - self.failed_at >= FORGIVE_AFTER {
            self.failed = 0;
        }
        self.failed_at = self.offset;
        self.session.http().pause(failure, &mut self.failed)
    }

    /// Sends the request to wherever the blob is to be had; gives the answer and how many of its bytes to drop.
    fn request(&self) -> Result<(Response, u64), Failure> {
        let foreign =
            self.descriptor.media_type.contains("foreign") || self.descriptor.media_type.contains("nondistributable");
        let own = || self.own();
        if self.descriptor.urls.is_empty() {
            return own();
        }
        // Registries may not serve foreign layers, but some do; other layers are theirs, and the URLs are second choice.
        let tries: [&dyn Fn() -> Result<(Response, u64), Failure>; 2] =
            if foreign { [&|| self.elsewhere(), &own] } else { [&own, &|| self.elsewhere()] };
        match tries[0]() {
            Err(first) if first.retry == super::failure::Retry::Never => tries[1]().map_err(|_| first),
            other => other,
        }
    }

    fn own(&self) -> Result<(Response, u64), Failure> {
        let path = format!("blobs/{}", self.descriptor.digest);
        let range = self.range();
        let response = self.session.get(&path, &headers(range.as_deref()))?;
        self.check(response)
    }

    /// The URLs of a foreign layer, without any of our credentials. Plain http will do: the digest protects the content.
    fn elsewhere(&self) -> Result<(Response, u64), Failure> {
        let mut last = Failure::fatal(Error::remote("none of its URLs can be used"));
        let usable = |text: &&String| text.starts_with("https://") || text.starts_with("http://");
        for url in self.descriptor.urls.iter().filter(usable).filter_map(|text| Url::parse(text).ok()).take(8) {
            let http = self.session.http();
            let policy = http.policy(&super::transport::authority(&url));
            let mut request = Request::get(url);
            for (name, value) in headers(self.range().as_deref()) {
                let Ok(value) = value.parse() else { continue };
                request.headers.insert(name, value);
            }
            match http.follow(&policy, &request) {
                Ok(response) if matches!(response.status(), 200..300) => match self.check(response) {
                    Ok(found) => return Ok(found),
                    Err(failure) => last = failure,
                },
                Ok(response) => last = self.session.refusal(response),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    fn range(&self) -> Option<String> {
        (self.offset > 0).then(|| format!("bytes={}-", self.offset))
    }

    /// Compares what the answer's head says with what was asked for.
    fn check(&self, response: Response) -> Result<(Response, u64), Failure> {
        let size = self.descriptor.size;
        let lies = |text: String| Failure::fatal(Error::corrupt(text));
        if response.status() == 206 {
            let header = response.header(CONTENT_RANGE.as_str()).unwrap_or("");
            return match content_range(header) {
                Some((start, total)) if start == self.offset && total.is_none_or(|total| total == size) => {
                    Ok((response, 0))
                }
                _ => {
                    let shown = super::failure::clip(header, 100);
                    let asked = format!("from byte {} of {size}", self.offset);
                    Err(lies(format!("`{}` sends the range `{shown}`; it was asked {asked}", response.peer())))
                }
            };
        }
        match response.length() {
            Some(length) if length != size => {
                Err(lies(format!("`{}` has {length} bytes of it; the manifest says {size}", response.peer())))
            }
            _ => Ok((response, self.offset)),
        }
    }

    /// Takes the next piece of the body, past what is to be dropped. False when the blob is complete.
    fn advance(&mut self) -> Result<bool> {
        loop {
            if self.ended {
                return Ok(false);
            }
            let Some(response) = &mut self.response else {
                self.connect()?;
                continue;
            };
            let peer = response.peer().to_owned();
            match response.chunk() {
                Ok(Some(mut piece)) => {
                    let dropped = self.skip.min(piece.len() as u64);
                    piece.advance(dropped as usize);
                    self.skip -= dropped;
                    let left = self.descriptor.size - self.offset;
                    if piece.len() as u64 > left {
                        let text = format!("`{peer}` sends more than the {} bytes", self.descriptor.size);
                        return Err(Error::corrupt(text));
                    }
                    if !piece.is_empty() {
                        self.piece = piece;
                        return Ok(true);
                    }
                }
                Ok(None) if self.offset == self.descriptor.size => self.ended = true,
                Ok(None) => {
                    let text = format!("`{peer}` ended it after {} of {} bytes", self.offset, self.descriptor.size);
                    self.fail(Failure::passing(Error::remote(text)))?;
                }
                // All bytes are here; how the connection ends is of no interest.
                Err(_) if self.offset == self.descriptor.size => self.ended = true,
                Err(failure) => {
                    let text = format!("after {} of {} bytes", self.offset, self.descriptor.size);
                    self.fail(failure.step(text))?;
                }
            }
        }
    }
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if buffer.is_empty() || self.piece.is_empty() && !self.advance()? {
            return Ok(0);
        }
        let count = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..count]);
        self.offset += count as u64;
        Ok(count)
    }
}

fn headers(range: Option<&str>) -> Vec<(HeaderName, &str)> {
    // A blob's digest is that of the bytes as stored; nothing in between may pack them.
    let mut list = vec![(ACCEPT_ENCODING, "identity")];
    list.extend(range.map(|range| (RANGE, range)));
    list
}

/// `bytes 100-199/200` or `bytes 100-199/*`: the first byte, and the total if given.
fn content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = span.split_once('-')?;
    let (start, end): (u64, u64) = (start.trim().parse().ok()?, end.trim().parse().ok()?);
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    // A range that ends before the blob does would be taken for a broken connection: that is fine, it is resumed.
    if start > end || total.is_some_and(|total| end >= total) { None } else { Some((start, total)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn content_ranges_are_read_strictly() {
        assert_eq!(content_range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(content_range("bytes 0-0/*"), Some((0, None)));
        for bad in ["", "bytes", "bytes */200", "bytes 5-4/9", "bytes 0-9/9", "items 0-1/2", "bytes -1-2/3"] {
            assert_eq!(content_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_range_is_read_without_panic(text in "(bytes )?\\PC{0,30}") {
            prop_assert!(content_range(&text).is_none_or(|(start, total)| total.is_none_or(|total| start < total)));
        }
    }
}
