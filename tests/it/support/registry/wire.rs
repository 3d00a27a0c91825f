//! HTTP/1.1 as far as a test's server needs it, over plain TCP or TLS.

use super::Faulty;
use rustls::{ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A connection, whatever it runs over.
pub(super) trait Stream: Read + Write + Send {}
impl Stream for TcpStream {}
impl Stream for StreamOwned<ServerConnection, TcpStream> {}

/// One request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    pub fn route(&self) -> &str {
        self.path.split('?').next().unwrap()
    }

    /// All values of a query parameter, decoded.
    pub fn query(&self, name: &str) -> Vec<String> {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        pairs(query).into_iter().filter(|(key, _)| key == name).map(|(_, value)| value).collect()
    }

    /// A field of a form body.
    pub fn form(&self, name: &str) -> Option<String> {
        let body = String::from_utf8_lossy(&self.body).into_owned();
        pairs(&body).into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut out = Vec::new();
        let mut bytes = text.bytes();
        while let Some(byte) = bytes.next() {
            match byte {
                b'+' => out.push(b' '),
                b'%' => {
                    let hex: String = bytes.by_ref().take(2).map(char::from).collect();
                    out.push(u8::from_str_radix(&hex, 16).unwrap());
                }
                other => out.push(other),
            }
        }
        String::from_utf8(out).unwrap()
    };
    let split =
        |pair: &str| pair.split_once('=').map_or((decode(pair), String::new()), |(k, v)| (decode(k), decode(v)));
    text.split('&').filter(|pair| !pair.is_empty()).map(split).collect()
}

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Arc<Vec<u8>>,
    /// The part of the body to send.
    pub(super) from: usize,
    /// How to misbehave.
    pub(super) fault: Option<Faulty>,
}

impl Answer {
    /// An answer with this status and body.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: Arc::new(body.into()), from: 0, fault: None }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// What answers requests.
pub(super) type Handler = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// A listener on loopback with a thread per connection; closed when dropped.
#[derive(Debug)]
pub struct Server {
    /// `127.0.0.1:port`.
    pub(super) address: String,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start(tls: Option<Arc<rustls::ServerConfig>>, handler: Handler) -> Self {
        Self::start_on(TcpListener::bind("127.0.0.1:0").unwrap(), tls, handler)
    }

    pub(super) fn start_on(listener: TcpListener, tls: Option<Arc<rustls::ServerConfig>>, handler: Handler) -> Self {
        let address = listener.local_addr().unwrap().to_string();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(stream), tls, handler) = (stream, tls.clone(), handler.clone()) else { return };
                std::thread::spawn(move || connection(stream, tls, &handler));
            }
        });
        Self { address, stop }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(&self.address));
    }
}

fn connection(stream: TcpStream, tls: Option<Arc<rustls::ServerConfig>>, handler: &Handler) {
    drop(stream.set_nodelay(true));
    drop(stream.set_read_timeout(Some(Duration::from_secs(30))));
    let Some(config) = tls else {
        let mut first = [0];
        // A TLS client at a plain port: answer in plain text, as other servers do.
        if stream.peek(&mut first).is_ok() && first[0] == 0x16 {
            drop((&stream).write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent TLS to a plain port\n"));
            return;
        }
        return serve(stream, handler);
    };
    let Ok(connection) = ServerConnection::new(config) else { return };
    serve(StreamOwned::new(connection, stream), handler);
}

fn serve(mut stream: impl Stream, handler: &Handler) {
    while let Some(request) = read_request(&mut stream) {
        let last = request.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let mut answer = handler(&request);
        if last {
            answer = answer.header("Connection", "close");
        }
        if send(&mut stream, &answer).is_none() || last {
            return;
        }
    }
}

fn read_request(stream: &mut impl Stream) -> Option<Request> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
        if head.len() > 64 << 10 {
            return None;
        }
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let header = |line: &str| line.split_once(':').map(|(k, v)| (k.to_ascii_lowercase(), v.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(header).collect();
    let length = headers.iter().find(|(key, _)| key == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body })
}

/// Sends an answer; `None` when the connection is to be closed.
fn send(stream: &mut impl Stream, answer: &Answer) -> Option<()> {
    let body = &answer.body[answer.from..];
    let mut head = format!("HTTP/1.1 {} Status\r\n", answer.status);
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let chunked = matches!(answer.fault, Some(Faulty::Chunked { .. }));
    match answer.fault {
        Some(Faulty::Length(by)) => head.push_str(&format!("Content-Length: {}\r\n", body.len() as i64 + by)),
        _ if chunked => head.push_str("Transfer-Encoding: chunked\r\n"),
        _ => head.push_str(&format!("Content-Length: {}\r\n", body.len())),
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    match &answer.fault {
        Some(Faulty::CutAfter(count)) => {
            stream.write_all(&body[..body.len().min(*count)]).ok()?;
            drop(stream.flush());
            return None;
        }
        Some(Faulty::StallAfter(count)) => {
            stream.write_all(&body[..body.len().min(*count)]).ok()?;
            drop(stream.flush());
            // Until the client has had enough.
            drop(stream.read(&mut [0]));
            return None;
        }
        Some(Faulty::WrongBytes) => {
            let wrong: Vec<u8> = body.iter().map(|byte| byte ^ 1).collect();
            stream.write_all(&wrong).ok()?;
        }
        Some(Faulty::Chunked { less, more }) => {
            for piece in body[..body.len() - less].chunks(10_000) {
                stream.write_all(format!("{:x}\r\n", piece.len()).as_bytes()).ok()?;
                stream.write_all(piece).ok()?;
                stream.write_all(b"\r\n").ok()?;
            }
            if *more > 0 {
                stream.write_all(format!("{more:x}\r\n{}\r\n", "x".repeat(*more)).as_bytes()).ok()?;
            }
            stream.write_all(b"0\r\n\r\n").ok()?;
        }
        _ => stream.write_all(body).ok()?,
    }
    stream.flush().ok()?;
    if matches!(answer.fault, Some(Faulty::Length(_))) { None } else { Some(()) }
}
