//! Questions to DNS servers: UDP, TCP when the answer is cut, and what to believe of a reply.
//!
//! A reply counts only if it comes from the server's address (the socket is connected), to the random port of this question,
//! with its random id and the very question. Addresses are taken from the records that the answer's own chain of aliases
//! leads to, never from others.

use super::MAX_ADDRESSES;
use super::resolvconf::ResolvConf;
use crate::base::{Doing, Error, Result};
use crate::sys::random;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

/// Aliases that are followed within one answer.
const MAX_ALIASES: usize = 16;
/// How long the second address family may lag behind when the first has given addresses: some servers never answer AAAA.
const LAG: Duration = Duration::from_millis(500);
/// Stray packets that are read before a server is given up.
const MAX_STRAYS: usize = 256;

/// What a name turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It has these addresses.
    Addresses(Vec<IpAddr>),
    /// It exists, but has no address.
    NoData,
    /// It does not exist.
    NoName,
}

/// Asks the servers of `conf`, one after the other and `conf.attempts` times, for the addresses of the absolute name `name`.
///
/// Errors: `Remote` with the last server's failure when none answered.
pub fn query(name: &str, conf: &ResolvConf, port: u16) -> Result<Answer> {
    // A name that cannot be written as one (a label of 64 bytes, say) does not exist.
    let Ok(mut name) = Name::from_ascii(name) else { return Ok(Answer::NoName) };
    name.set_fqdn(true);
    let mut servers: Vec<SocketAddr> = conf.servers.iter().map(|server| server.socket_address(port)).collect();
    if conf.rotate {
        let first = random::number()? as usize % servers.len();
        servers.rotate_left(first);
    }
    let mut last = Error::remote("no name server is configured");
    for _ in 0..conf.attempts {
        for server in &servers {
            match ask_server(&name, conf, *server) {
                Ok(answer) => return Ok(answer),
                Err(e) => last = e.step(format!("ask name server `{server}`")),
            }
        }
    }
    Err(last.with_kind(crate::base::Kind::Remote))
}

/// One question and what came back for it.
struct Question {
    id: u16,
    query: Query,
    reply: Option<Message>,
}

impl Question {
    fn new(name: &Name, kind: RecordType) -> Result<Self> {
        Ok(Self { id: random::number()? as u16, query: Query::query(name.clone(), kind), reply: None })
    }

    fn bytes(&self) -> Result<Vec<u8>> {
        let mut message = Message::new(self.id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(self.query.clone());
        message.to_vec().map_err(|e| Error::remote(format!("encode question: {e}")))
    }

    /// True if `message` answers this very question.
    fn matches(&self, message: &Message) -> bool {
        let head = &message.metadata;
        let same = |q: &Query| {
            q.name().eq_ignore_root(self.query.name())
                && q.query_type() == self.query.query_type()
                && q.query_class() == DNSClass::IN
        };
        head.id == self.id
            && head.message_type == MessageType::Response
            && head.op_code == OpCode::Query
            && message.queries.len() == 1
            && same(&message.queries[0])
    }
}

fn ask_server(name: &Name, conf: &ResolvConf, server: SocketAddr) -> Result<Answer> {
    let mut questions = vec![Question::new(name, RecordType::A)?];
    if !conf.no_aaaa {
        questions.push(Question::new(name, RecordType::AAAA)?);
    }
    if !conf.tcp_only {
        ask_by_udp(&mut questions, server, conf.timeout)?;
    }
    for question in &mut questions {
        let cut = question.reply.as_ref().is_some_and(|reply| reply.metadata.truncation);
        if cut || conf.tcp_only {
            question.reply = Some(ask_by_tcp(question, server, conf.timeout)?);
        }
    }
    judge(&questions)
}

/// Sends all questions from one socket and collects the replies.
fn ask_by_udp(questions: &mut [Question], server: SocketAddr, timeout: Duration) -> Result<()> {
    let local: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Port 0: the kernel picks an unpredictable free one.
    let socket = UdpSocket::bind((local, 0)).doing(|| "open socket")?;
    socket.connect(server).doing(|| "connect")?;
    for question in questions.iter() {
        socket.send(&question.bytes()?).doing(|| "send question")?;
    }
    let mut deadline = Instant::now() + timeout;
    let mut buffer = [0; 4096];
    for _ in 0..MAX_STRAYS {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left)).doing(|| "set time limit")?;
        let size = match socket.recv(&mut buffer) {
            Ok(size) => size,
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => break,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e).doing(|| "receive answer"),
        };
        let Ok(message) = Message::from_vec(&buffer[..size]) else { continue };
        if let Some(question) = questions.iter_mut().find(|q| q.reply.is_none() && q.matches(&message)) {
            question.reply = Some(message);
            deadline = deadline.min(Instant::now() + LAG.max(timeout / 8));
        }
        if questions.iter().all(|q| q.reply.is_some()) {
            break;
        }
    }
    Ok(())
}

fn ask_by_tcp(question: &Question, server: SocketAddr, timeout: Duration) -> Result<Message> {
    let deadline = Instant::now() + timeout;
    let mut stream = TcpStream::connect_timeout(&server, timeout).doing(|| "connect by TCP")?;
    stream.set_write_timeout(Some(timeout)).doing(|| "set time limit")?;
    let bytes = question.bytes()?;
    let mut framed = (bytes.len() as u16).to_be_bytes().to_vec();
    framed.extend_from_slice(&bytes);
    stream.write_all(&framed).doing(|| "send question by TCP")?;
    let mut size = [0; 2];
    read_before(&mut stream, &mut size, deadline)?;
    let mut reply = vec![0; usize::from(u16::from_be_bytes(size))];
    read_before(&mut stream, &mut reply, deadline)?;
    let message = Message::from_vec(&reply).map_err(|e| Error::remote(format!("malformed answer: {e}")))?;
    if question.matches(&message) { Ok(message) } else { Err(Error::remote("the answer is for another question")) }
}

/// `read_exact` that a server cannot stretch by sending a byte now and then.
fn read_before(stream: &mut TcpStream, mut buffer: &mut [u8], deadline: Instant) -> Result<()> {
    while !buffer.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Error::remote("no answer in time"));
        }
        stream.set_read_timeout(Some(left)).doing(|| "set time limit")?;
        match stream.read(buffer) {
            Ok(0) => return Err(Error::remote("the answer is cut")),
            Ok(n) => buffer = &mut buffer[n..],
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {}
            Err(e) => return Err(e).doing(|| "receive answer by TCP"),
        }
    }
    Ok(())
}

/// Puts the replies together. A server that fails one question but gives addresses for the other is believed.
fn judge(questions: &[Question]) -> Result<Answer> {
    let mut addresses = Vec::new();
    let (mut no_name, mut no_data) = (false, false);
    let mut failure = None;
    for question in questions {
        let Some(reply) = &question.reply else {
            failure = Some("no answer in time".to_owned());
            continue;
        };
        match reply.metadata.response_code {
            ResponseCode::NoError => match chain(reply, &question.query) {
                found if found.is_empty() => no_data = true,
                found => addresses.extend(found),
            },
            ResponseCode::NXDomain => no_name = true,
            other => failure = Some(format!("it says `{other}`")),
        }
    }
    match (addresses.is_empty(), failure) {
        (false, _) => Ok(Answer::Addresses(addresses)),
        (true, Some(text)) => Err(Error::remote(text)),
        (true, None) if no_name && !no_data => Ok(Answer::NoName),
        (true, None) => Ok(Answer::NoData),
    }
}

/// The addresses at the end of the answer's chain of aliases.
fn chain(reply: &Message, query: &Query) -> Vec<IpAddr> {
    let mut owner = query.name();
    for _ in 0..MAX_ALIASES {
        let alias = reply.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name.eq_ignore_root(owner) => Some(&target.0),
            _ => None,
        });
        match alias {
            Some(target) => owner = target,
            None => break,
        }
    }
    let of_owner = reply.answers.iter().filter(|r| r.dns_class == DNSClass::IN && r.name.eq_ignore_root(owner));
    let address = |data: &RData| match data {
        RData::A(ip) if query.query_type() == RecordType::A => Some(IpAddr::V4(ip.0)),
        RData::AAAA(ip) if query.query_type() == RecordType::AAAA => Some(IpAddr::V6(ip.0)),
        _ => None,
    };
    of_owner.filter_map(|record| address(&record.data)).take(MAX_ADDRESSES / 2).collect()
}
