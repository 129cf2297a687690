//! Names of hosts, looked up by a program.

use std::io::{ErrorKind, Read};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};

use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Bytes that an answer may have.
const MOST: u64 = 64 << 10;

/// Addresses that are tried; as many as fit.
const ADDRESSES: usize = 16;

/// Asks a program that answers as `getent ahosts NAME` does, or the C library where there is none or it cannot be run.
#[derive(Debug)]
pub(crate) struct Names {
    program: Option<PathBuf>,
    library: DefaultResolver,
}

impl Names {
    pub(crate) fn new(program: Option<PathBuf>) -> Self {
        Self { program, library: DefaultResolver::default() }
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let place = uri.scheme().zip(uri.authority()).and_then(|(scheme, authority)| {
            let place = DefaultResolver::host_and_port(scheme, authority)?;
            let (host, port) = place.rsplit_once(':')?;
            let is_name = place.parse::<SocketAddr>().is_err();
            Some((is_name.then(|| host.to_owned())?, port.parse::<u16>().ok()?))
        });
        let (Some(program), Some((name, port))) = (&self.program, place) else {
            return self.library.resolve(uri, config, timeout);
        };
        // After the dashes, whatever a name begins with.
        let mut command = Command::new(program);
        command.args(["ahosts", "--", &name]).stdin(Stdio::null()).stderr(Stdio::null()).stdout(Stdio::piped());
        let mut child = match command.spawn() {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                return self.library.resolve(uri, config, timeout);
            }
            child => child?,
        };
        let answer = child.stdout.take();
        let (sender, receiver) = sync_channel(1);
        let read = move || {
            let mut text = String::new();
            let read = answer.map_or(Ok(0), |answer| answer.take(MOST).read_to_string(&mut text));
            // Whoever waited for it may have gone.
            let _ = sender.send(read.map(|_| text));
        };
        let reads = std::thread::Builder::new().spawn(read);
        let answer = receiver.recv_timeout(*timeout.after);
        // It has nothing more to say, or too much, or took too long.
        let _ = child.kill();
        child.wait()?;
        reads?;
        let text = match answer {
            Ok(text) => text?,
            Err(RecvTimeoutError::Timeout) => return Err(Error::Timeout(timeout.reason)),
            Err(RecvTimeoutError::Disconnected) => String::new(),
        };
        let mut found = self.empty();
        for address in addresses(&text).take(ADDRESSES) {
            found.push(SocketAddr::new(address, port));
        }
        if found.is_empty() { Err(Error::HostNotFound) } else { Ok(found) }
    }
}

/// The addresses of an answer: one a line, followed by a kind of socket. Each comes once for every kind.
fn addresses(text: &str) -> impl Iterator<Item = IpAddr> {
    text.lines().filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = words.next()?.parse().ok()?;
        (words.next() == Some("STREAM")).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::addresses;

    #[test]
    fn each_address_of_an_answer_counts_once() {
        let text = "::1             STREAM localhost\n::1             DGRAM  \n::1             RAW    \n\
            127.0.0.1       STREAM \n127.0.0.1       DGRAM  \nfe80::1%eth0 STREAM\nnonsense\n\n";
        let found: Vec<String> = addresses(text).map(|address| address.to_string()).collect();
        assert_eq!(found, ["::1", "127.0.0.1"]);
    }
}
