//! Under which names the dashboard answers.
//!
//! A page of somebody else can have its own name lead to this machine (DNS rebinding) and
//! would then read the dashboard through the browser of whoever visits it: but its requests
//! carry that name.
//!
//! Guarantees: a name that was not given is refused; an address is no name.

use std::net::{IpAddr, SocketAddr};

/// The port that a URL of http has unless it says another.
const PORT_OF_HTTP: u16 = 80;

/// What a Host header may say.
#[derive(Clone, Debug)]
pub(super) struct Hosts {
    address: SocketAddr,
    names: Vec<String>,
}

impl Hosts {
    /// Those of a server that listens on `address` and answers to `names`, too.
    pub(super) fn new(address: SocketAddr, names: &[String]) -> Self {
        let names = names.iter().take(super::HOSTS_MAX);
        Self { address, names: names.map(|name| name.to_ascii_lowercase()).collect() }
    }

    /// Whether a request for `host`, as the header has it, is meant for this server.
    pub(super) fn answers(&self, host: &str) -> bool {
        let Some((name, port)) = parts(host) else { return false };
        // A proxy's port is its own.
        if self.names.contains(&name.to_ascii_lowercase()) {
            return true;
        }
        if port.unwrap_or(PORT_OF_HTTP) != self.address.port() {
            return false;
        }
        let own = self.address.ip();
        if name.eq_ignore_ascii_case("localhost") {
            return own.is_loopback() || own.is_unspecified();
        }
        let Ok(ip) = name.parse::<IpAddr>() else { return false };
        ip == own || own.is_unspecified()
    }
}

/// The name and the port of "name", "name:port", "[::1]" or "[::1]:port".
fn parts(host: &str) -> Option<(&str, Option<u16>)> {
    let (name, rest) = match host.strip_prefix('[') {
        Some(ip) => ip.split_once(']')?,
        None => match host.find(':') {
            Some(at) => host.split_at(at),
            None => (host, ""),
        },
    };
    match rest.strip_prefix(':') {
        Some(port) => {
            let digits = port.bytes().all(|byte| byte.is_ascii_digit());
            Some((name, Some(port.parse().ok().filter(|_| digits)?)))
        }
        None => rest.is_empty().then_some((name, None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(listen: &str, names: &[&str], host: &str) -> bool {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Hosts::new(listen.parse().unwrap(), &names).answers(host)
    }

    #[test]
    fn names_that_were_not_given_are_refused() {
        let loopback = |host| answers("127.0.0.1:7421", &["Attest.example"], host);
        for host in ["127.0.0.1:7421", "localhost:7421", "LOCALHOST:7421", "attest.example"] {
            assert!(loopback(host), "{host}");
        }
        assert!(loopback("attest.EXAMPLE:8443"), "a proxy's port");
        for host in [
            "",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.0.0.1:+7421",
            "127.0.0.1:7421:7421",
            "127.0.0.1:7421.evil.example",
            "evil.example:7421",
            "localhost.evil.example:7421",
            "attest.example.evil",
            "[::1]:7421",
            "[127.0.0.1]x:7421",
            "10.0.0.1:7421",
        ] {
            assert!(!loopback(host), "{host}");
        }
    }

    #[test]
    fn an_address_is_no_name() {
        for host in ["10.1.2.3:7421", "[fe80::1]:7421", "localhost:7421"] {
            assert!(answers("0.0.0.0:7421", &[], host), "{host}");
        }
        assert!(!answers("0.0.0.0:7421", &[], "evil.example:7421"));
        assert!(answers("[::1]:80", &[], "[::1]"), "80 need not be said");
        assert!(!answers("10.0.0.1:7421", &[], "localhost:7421"));
    }
}
