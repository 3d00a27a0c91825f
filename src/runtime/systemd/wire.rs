//! D-Bus messages as bytes (D-Bus Specification, "Message Protocol"), as far as one method call, its answer and a signal need
//! them. What comes in is untrusted: every length is checked against what is there.

use crate::base::{Error, Result};

/// The longest message that is read; the specification allows 128 MiB, and none that is waited for is near this.
const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of a message's header before its fields.
pub(super) const FIXED: usize = 16;

/// A message under construction, little-endian.
#[derive(Debug, Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// Fills up with zeros to a multiple of `boundary`.
    pub(super) fn align(&mut self, boundary: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(boundary), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    /// A string or an object path.
    pub(super) fn string(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
    }

    pub(super) fn signature(&mut self, text: &str) {
        self.bytes.push(text.len() as u8);
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
    }

    /// An array: its length in bytes stands before it and does not count the padding before the first element.
    pub(super) fn array(&mut self, boundary: usize, elements: impl FnOnce(&mut Self)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(boundary);
        let begin = self.bytes.len();
        elements(self);
        let length = (self.bytes.len() - begin) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    /// A property: a structure of a name and a variant.
    pub(super) fn property(&mut self, name: &str, signature: &str, value: impl FnOnce(&mut Self)) {
        self.align(8);
        self.string(name);
        self.signature(signature);
        value(self);
    }

    #[cfg(test)]
    pub(super) fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// What is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// Of the arguments.
    pub(super) signature: &'a str,
}

impl Call<'_> {
    /// The whole message; `serial` is not 0.
    pub(super) fn encode(&self, serial: u32, body: &[u8]) -> Vec<u8> {
        let mut out = Writer::default();
        // Little-endian, method call, no flags, protocol version.
        out.bytes.extend([b'l', 1, 0, 1]);
        out.u32(body.len() as u32);
        out.u32(serial);
        out.array(8, |out| {
            for (code, kind, text) in
                [(1, "o", self.path), (2, "s", self.interface), (3, "s", self.member), (6, "s", self.destination)]
            {
                out.align(8);
                out.bytes.push(code);
                out.signature(kind);
                out.string(text);
            }
            if !self.signature.is_empty() {
                out.align(8);
                out.bytes.push(8);
                out.signature("g");
                out.signature(self.signature);
            }
        });
        out.align(8);
        out.bytes.extend(body);
        out.bytes
    }
}

/// What a message that came in is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MessageKind {
    /// An answer.
    Return,
    /// A refusal.
    Error,
    Signal,
    /// Anything else.
    Other,
}

/// A message that came in.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: MessageKind,
    /// Whose answer it is.
    pub(super) reply_to: Option<u32>,
    pub(super) member: String,
    pub(super) error: String,
    signature: String,
    body: Vec<u8>,
}

fn broken() -> Error {
    Error::corrupt("the service manager sent a message that is not D-Bus")
}

/// How long the message is that begins with these bytes.
pub(super) fn length(fixed: &[u8; FIXED]) -> Result<usize> {
    let mut reader = Reader { bytes: fixed, at: 4 };
    // Both ends are on one machine; big-endian ones are not supported.
    if fixed[0] != b'l' || fixed[3] != 1 {
        return Err(broken());
    }
    let (body, _serial, fields) = (reader.u32()? as usize, reader.u32()?, reader.u32()? as usize);
    let whole = FIXED.checked_add(fields).map(|n| n.next_multiple_of(8)).and_then(|n| n.checked_add(body));
    whole.filter(|n| *n <= MAX_MESSAGE).ok_or_else(broken)
}

impl Message {
    /// Reads a whole message.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or_else(broken)?;
        if length(fixed)? != bytes.len() {
            return Err(broken());
        }
        let kind = match fixed[1] {
            2 => MessageKind::Return,
            3 => MessageKind::Error,
            4 => MessageKind::Signal,
            _ => MessageKind::Other,
        };
        let mut message = Self {
            kind,
            reply_to: None,
            member: String::new(),
            error: String::new(),
            signature: String::new(),
            body: Vec::new(),
        };
        let mut reader = Reader { bytes, at: 4 };
        let (body, _serial, fields) = (reader.u32()? as usize, reader.u32()?, reader.u32()? as usize);
        let end = FIXED + fields;
        while reader.at < end {
            reader.align(8)?;
            let code = reader.u8()?;
            match (code, reader.signature()?.as_str()) {
                (3, "s") => message.member = reader.string()?,
                (4, "s") => message.error = reader.string()?,
                (5, "u") => message.reply_to = Some(reader.u32()?),
                (8, "g") => message.signature = reader.signature()?,
                (_, "s" | "o") => drop(reader.string()?),
                (_, "u") => drop(reader.u32()?),
                (_, "g") => drop(reader.signature()?),
                _ => return Err(broken()),
            }
        }
        if reader.at != end {
            return Err(broken());
        }
        message.body = bytes.get(bytes.len() - body..).ok_or_else(broken)?.to_vec();
        Ok(message)
    }

    /// The strings and object paths among the arguments, in their order; arguments behind anything but those and 32-bit numbers
    /// are not read.
    pub(super) fn strings(&self) -> Result<Vec<String>> {
        let mut reader = Reader { bytes: &self.body, at: 0 };
        let mut list = Vec::new();
        for kind in self.signature.bytes() {
            match kind {
                b's' | b'o' => list.push(reader.string()?),
                b'u' | b'i' | b'b' => drop(reader.u32()?),
                _ => break,
            }
        }
        Ok(list)
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(count).ok_or_else(broken)?;
        let part = self.bytes.get(self.at..end).ok_or_else(broken)?;
        self.at = end;
        Ok(part)
    }

    fn align(&mut self, boundary: usize) -> Result<()> {
        let next = self.at.next_multiple_of(boundary);
        self.take(next - self.at).map(drop)
    }

    fn u8(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    fn u32(&mut self) -> Result<u32> {
        self.align(4)?;
        Ok(self.take(4)?.try_into().map(u32::from_le_bytes).unwrap_or_default())
    }

    fn string(&mut self) -> Result<String> {
        let length = self.u32()? as usize;
        self.text(length)
    }

    fn signature(&mut self) -> Result<String> {
        let length = usize::from(self.u8()?);
        self.text(length)
    }

    fn text(&mut self, length: usize) -> Result<String> {
        let text = String::from_utf8(self.take(length)?.to_vec()).map_err(|_| broken())?;
        if self.u8()? != 0 || text.contains('\0') {
            return Err(broken());
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALL: Call<'_> =
        Call { destination: "org.d", path: "/p", interface: "org.i", member: "Go", signature: "sau" };

    fn encoded() -> Vec<u8> {
        let mut body = Writer::default();
        body.string("hi");
        body.array(4, |b| b.u32(7));
        CALL.encode(1, &body.into_bytes())
    }

    /// The same bytes as a signal: they have the same form.
    fn signal(signature: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = Call { signature, ..CALL }.encode(9, body);
        bytes[1] = 4;
        bytes
    }

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let bytes = encoded();
        assert_eq!(&bytes[..12], b"l\x01\x00\x01\x10\0\0\0\x01\0\0\0");
        assert_eq!(bytes[12..16], 73u32.to_le_bytes());
        // Path: code 1, signature "o", then aligned to 4 its length and text.
        assert_eq!(&bytes[16..27], b"\x01\x01o\0\x02\0\0\0/p\0");
        assert_eq!(&bytes[bytes.len() - 16..], b"\x02\0\0\0hi\0\0\x04\0\0\0\x07\0\0\0");
        assert_eq!(length(bytes.first_chunk().unwrap()).unwrap(), bytes.len());
    }

    #[test]
    fn messages_are_read_back() {
        let mut body = Writer::default();
        body.u32(3);
        body.string("/job/1");
        body.string("a.scope");
        body.string("done");
        let message = Message::decode(&signal("uoss", &body.into_bytes())).unwrap();
        assert_eq!((message.kind, message.member.as_str()), (MessageKind::Signal, "Go"));
        assert_eq!(message.strings().unwrap(), ["/job/1", "a.scope", "done"]);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let bytes = signal("s", b"\x02\0\0\0hi\0");
        for end in 0..bytes.len() {
            assert!(Message::decode(&bytes[..end]).is_err(), "{end}");
        }
        for at in 0..bytes.len() {
            for value in [0, 1, 2, 7, 8, 64, 127, 128, 254, 255] {
                let mut bad = bytes.clone();
                bad[at] = value;
                if let Ok(message) = Message::decode(&bad) {
                    drop(message.strings());
                }
            }
        }
        let mut huge = bytes;
        huge[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(length(huge.first_chunk().unwrap()).is_err());
    }
}
