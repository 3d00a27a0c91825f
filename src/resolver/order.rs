//! Which of several addresses to try first: a small part of RFC 6724.

use std::net::{IpAddr, Ipv6Addr, UdpSocket};

/// Puts IPv6 in front when this machine can send to it, else behind; keeps the server's order otherwise. The HTTP client
/// tries the other family after a short wait anyway (RFC 8305), so this saves that wait and nothing depends on it.
pub(super) fn reachable_first(addresses: &mut [IpAddr]) {
    let first_v6 = addresses.iter().find_map(|ip| if let IpAddr::V6(ip) = ip { Some(*ip) } else { None });
    let prefer_v6 = first_v6.is_some_and(has_global_route);
    addresses.sort_by_key(|ip| ip.is_ipv6() != prefer_v6);
}

/// Connecting a datagram socket sends nothing; the kernel picks a route and a source address, or says there is none.
fn has_global_route(target: Ipv6Addr) -> bool {
    let source = || {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0))?;
        socket.connect((target, 53))?;
        socket.local_addr()
    };
    match source().map(|address| address.ip()) {
        // A private source for a global target (fc00::/7 for 2000::/3) reaches nothing beyond the site.
        Ok(IpAddr::V6(ip)) => ip.is_unique_local() == target.is_unique_local() && !ip.is_unicast_link_local(),
        _ => false,
    }
}
