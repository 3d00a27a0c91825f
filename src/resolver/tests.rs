//! The resolver against a name server written for the purpose.

use super::*;
use hickory_proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

/// A name server on loopback, UDP and TCP at one port; its threads end with the test process.
struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    dir: tempfile::TempDir,
}

impl Server {
    fn start() -> Self {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (udp, tcp) = sockets();
        let port = udp.local_addr().unwrap().port();
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 1500];
            while let Ok((size, from)) = udp.recv_from(&mut buffer) {
                for reply in answers(&buffer[..size], false, &log) {
                    udp.send_to(&reply, from).unwrap();
                }
            }
        });
        let log = asked.clone();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = tcp.accept() {
                let mut size = [0; 2];
                stream.read_exact(&mut size).unwrap();
                let mut question = vec![0; usize::from(u16::from_be_bytes(size))];
                stream.read_exact(&mut question).unwrap();
                for reply in answers(&question, true, &log) {
                    stream.write_all(&(reply.len() as u16).to_be_bytes()).unwrap();
                    stream.write_all(&reply).unwrap();
                }
            }
        });
        Self { port, asked, dir: tempfile::tempdir().unwrap() }
    }

    fn resolver(&self, hosts: &str, conf: &str) -> Resolver {
        let (hosts_path, conf_path) = (self.dir.path().join("hosts"), self.dir.path().join("resolv.conf"));
        std::fs::write(&hosts_path, hosts).unwrap();
        std::fs::write(&conf_path, format!("nameserver 127.0.0.1\noptions timeout:1\n{conf}")).unwrap();
        Resolver::with_files(hosts_path, conf_path).with_port(self.port)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

/// A port that is free for UDP and for TCP.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

/// The server's zone: the first label says how it behaves.
fn answers(question: &[u8], tcp: bool, log: &Mutex<Vec<String>>) -> Vec<Vec<u8>> {
    let question = Message::from_vec(question).unwrap();
    let query = question.queries[0].clone();
    let name = query.name().to_ascii();
    log.lock().unwrap().push(format!("{name} {} {}", query.query_type(), if tcp { "tcp" } else { "udp" }));
    let mut reply = Message::new(question.metadata.id, MessageType::Response, OpCode::Query);
    reply.add_query(query.clone());
    let v4 = query.query_type() == RecordType::A;
    let record = |owner: &Name, data| Record::from_rdata(owner.clone(), 60, data);
    let a = |owner: &Name, last: u8| record(owner, RData::A(A([10, 0, 0, last].into())));
    match name.trim_end_matches('.').split('.').next().unwrap() {
        "plain" if v4 => drop(reply.add_answer(a(query.name(), 1))),
        "plain" => drop(reply.add_answer(record(query.name(), RData::AAAA(AAAA("fd00::1".parse().unwrap()))))),
        "alias" if v4 => {
            let (one, two) = (Name::from_ascii("one.test.").unwrap(), Name::from_ascii("two.test.").unwrap());
            reply.add_answer(a(&two, 2));
            reply.add_answer(record(&one, RData::CNAME(CNAME(two))));
            reply.add_answer(record(query.name(), RData::CNAME(CNAME(one))));
            // Not at the end of the chain: must not be used.
            reply.add_answer(a(&Name::from_ascii("evil.test.").unwrap(), 66));
        }
        "loop" => drop(reply.add_answer(record(query.name(), RData::CNAME(CNAME(query.name().clone()))))),
        "big" if v4 && tcp => drop(reply.add_answers((0..200).map(|n| a(query.name(), n)))),
        "big" if !tcp => reply.metadata.truncation = true,
        "v4only" if v4 => drop(reply.add_answer(a(query.name(), 4))),
        "v4only" => return Vec::new(),
        "spoof" if v4 => {
            let mut wrong = reply.clone();
            wrong.metadata.id = wrong.metadata.id.wrapping_add(1);
            wrong.add_answer(a(query.name(), 66));
            let mut other = reply.clone();
            other.queries[0].set_name(Name::from_ascii("other.test.").unwrap());
            other.add_answer(a(query.name(), 67));
            reply.add_answer(a(query.name(), 6));
            return vec![vec![0; 3], wrong.to_vec().unwrap(), other.to_vec().unwrap(), reply.to_vec().unwrap()];
        }
        "broken" => reply.metadata.response_code = ResponseCode::ServFail,
        "silent" => return Vec::new(),
        "empty" | "alias" | "big" | "spoof" => {}
        _ => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    vec![reply.to_vec().unwrap()]
}

fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

#[test]
fn literals_localhost_and_hosts_need_no_server() {
    let server = Server::start();
    let resolver = server.resolver("10.9.9.9 Plain.test docker.io\n::2 docker.io\n", "");
    for (name, expected) in [
        ("127.0.0.1", ips(&["127.0.0.1"])),
        ("[::1]", ips(&["::1"])),
        ("::1", ips(&["::1"])),
        ("localhost", ips(&["127.0.0.1", "::1"])),
        ("a.LocalHost.", ips(&["127.0.0.1", "::1"])),
        ("plain.test", ips(&["10.9.9.9"])),
        ("docker.io.", ips(&["10.9.9.9", "::2"])),
    ] {
        assert_eq!(resolver.lookup(name).unwrap(), expected, "{name}");
    }
    assert!(server.asked().is_empty());
}

#[test]
fn answers_are_taken_from_the_alias_chain_only() {
    let server = Server::start();
    let resolver = server.resolver("", "");
    let mut both = resolver.lookup("plain.test").unwrap();
    both.sort();
    assert_eq!(both, ips(&["10.0.0.1", "fd00::1"]));
    assert_eq!(resolver.lookup("alias.test").unwrap(), ips(&["10.0.0.2"]));
    assert_eq!(resolver.lookup("spoof.test").unwrap(), ips(&["10.0.0.6"]));
    let e = resolver.lookup("loop.test").unwrap_err();
    assert_eq!((e.kind(), e.to_string().as_str()), (Kind::NotFound, "look up `loop.test`: the name has no address"));
}

#[test]
fn a_cut_answer_is_asked_again_by_tcp_and_bounded() {
    let server = Server::start();
    assert_eq!(server.resolver("", "").lookup("big.test").unwrap().len(), MAX_ADDRESSES / 2);
    assert!(server.asked().contains(&"big.test. A tcp".to_owned()));
    assert_eq!(server.resolver("", "options use-vc no-aaaa").lookup("v4only.test").unwrap(), ips(&["10.0.0.4"]));
    assert_eq!(server.asked(), ["v4only.test. A tcp"]);
}

#[test]
fn a_server_that_never_answers_aaaa_does_not_hide_the_address() {
    let server = Server::start();
    assert_eq!(server.resolver("", "").lookup("v4only.test").unwrap(), ips(&["10.0.0.4"]));
}

#[test]
fn the_search_list_is_walked_until_a_name_has_an_address() {
    let server = Server::start();
    let resolver = server.resolver("", "search nothere.corp empty.corp corp\noptions no-aaaa");
    assert_eq!(resolver.lookup("plain").unwrap(), ips(&["10.0.0.1"]));
    let e = resolver.lookup("nx.name.").unwrap_err();
    assert_eq!((e.kind(), e.to_string().as_str()), (Kind::NotFound, "look up `nx.name.`: no such host"));
}

#[test]
fn failures_name_the_server_and_are_not_taken_for_a_missing_name() {
    let server = Server::start();
    let resolver = server.resolver("", "options no-aaaa attempts:2");
    for (name, reason) in [("silent.test", "no answer in time"), ("broken.test", "it says `Server Failure`")] {
        server.asked();
        let e = resolver.lookup(name).unwrap_err();
        assert_eq!(e.kind(), Kind::Remote);
        let port = server.port;
        assert_eq!(e.to_string(), format!("look up `{name}`: ask name server `127.0.0.1:{port}`: {reason}"));
        assert_eq!(server.asked().len(), 2, "two attempts");
    }
}

#[test]
fn a_name_that_no_message_can_hold_does_not_exist() {
    let server = Server::start();
    let name = format!("{}.test", "a".repeat(64));
    assert_eq!(server.resolver("", "").lookup(&name).unwrap_err().kind(), Kind::NotFound);
}

proptest! {
    #[test]
    fn any_packet_is_decoded_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        drop(Message::from_vec(&bytes));
    }
}
