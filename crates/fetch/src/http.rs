use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{Response, header};
use ureq::tls::{PemItem, RootCerts, TlsConfig};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Proxy};

use crate::error::Failure;
use crate::names::Names;
use crate::part::Part;
use crate::progress::Told;
use crate::store::{CHUNK, read_chunk};
use crate::{Error, Reason, Result};

/// How http and https are spoken.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// How long a name look-up and a connection may take, each.
    pub connect_timeout: Duration,
    /// How long the other side may be silent; a slow transfer may last as long as it likes.
    pub idle_timeout: Duration,
    /// How many redirects are followed.
    pub redirects: u32,
    /// How often a transfer that broke off is taken up again at once, as long as each try brings something.
    pub resumes: u32,
    /// `http://HOST:PORT` of a proxy.
    pub proxy: Option<String>,
    /// A PEM file with the certificates to trust, instead of Mozilla's that are built in.
    pub ca_file: Option<PathBuf>,
    /// A program that looks names up as `getent ahosts NAME` does, instead of the C library. For programs that have the C library
    /// linked in, which then cannot load what else the machine looks names up with (`/etc/nsswitch.conf`). Where it cannot be run
    /// the C library is asked.
    pub names: Option<PathBuf>,
    /// How the client calls itself.
    pub user_agent: String,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(20),
            idle_timeout: Duration::from_secs(30),
            redirects: 8,
            resumes: 3,
            proxy: None,
            ca_file: None,
            names: None,
            user_agent: concat!("kista/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Http {
    agent: Agent,
    resumes: u32,
}

impl Http {
    pub(crate) fn new(options: &HttpOptions) -> Result<Self> {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(options.redirects)
            .timeout_resolve(Some(options.connect_timeout))
            .timeout_connect(Some(options.connect_timeout))
            .timeout_per_read(Some(options.idle_timeout))
            .timeout_per_write(Some(options.idle_timeout))
            .user_agent(options.user_agent.as_str())
            // Else a `.tar.gz` may come as a `.tar`, which has another digest.
            .accept_encoding("identity")
            .tls_config(TlsConfig::builder().root_certs(root_certs(options)?).build())
            // Given in every case: the default is what the environment says.
            .proxy(proxy(options)?)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Names::new(options.names.clone()));
        Ok(Self { agent, resumes: options.resumes })
    }

    /// How often a transfer that broke off is taken up again.
    pub(crate) fn resumes(&self) -> u32 {
        self.resumes
    }

    /// Asks for `length` bytes of the file at `url`.
    pub(crate) fn range(&self, url: &str, from: u64, length: u64) -> Result<Response<Body>, Reason> {
        let last = from + length - 1;
        let request = self.agent.get(url).header(header::RANGE, format!("bytes={from}-{last}"));
        request.call().map_err(|error| Reason::Transfer { text: error.to_string(), received: 0 })
    }

    /// Brings the file at `url` into `part`, after what is there already.
    pub(crate) fn get(&self, url: &str, part: &mut Part<'_>, told: &Told<'_>) -> Result<(), Failure> {
        let mut tries = self.resumes;
        loop {
            let before = part.length();
            match self.transfer(url, part, told) {
                Err(Failure::Place(Reason::Transfer { .. })) if tries > 0 && part.length() > before => tries -= 1,
                done => return done,
            }
        }
    }

    fn transfer(&self, url: &str, part: &mut Part<'_>, told: &Told<'_>) -> Result<(), Failure> {
        let mut request = self.agent.get(url);
        if part.length() > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", part.length()));
        }
        let broken = |error: ureq::Error| Reason::Transfer { text: error.to_string(), received: part.length() };
        let response = request.call().map_err(broken)?;
        match response.status().as_u16() {
            200 => part.restart()?,
            206 if range_start(&response) == Some(part.length()) => {}
            // What is here does not fit; all of it, then.
            206 | 416 if part.length() > 0 => {
                part.restart()?;
                return self.transfer(url, part, told);
            }
            404 | 410 => return Err(Reason::NotFound.into()),
            status => return Err(Reason::Status { status }.into()),
        }
        receive(response, part, told)
    }
}

fn receive(response: Response<Body>, part: &mut Part<'_>, told: &Told<'_>) -> Result<(), Failure> {
    let total = content_length(&response).map(|rest| part.length().saturating_add(rest));
    if total.is_some_and(|total| total > part.limit()) {
        return Err(Reason::TooLarge { limit: part.limit() }.into());
    }
    let mut body = response.into_body().into_reader();
    let mut chunk = vec![0; CHUNK];
    loop {
        if !told.advance(part.length(), total) {
            return Err(Error::Cancelled.into());
        }
        match read_chunk(&mut body, &mut chunk) {
            Ok(0) => break,
            Ok(length) => part.write(&chunk[..length])?,
            Err(error) => return Err(Reason::Transfer { text: error.to_string(), received: part.length() }.into()),
        }
    }
    if total.is_some_and(|total| total != part.length()) {
        let text = "the connection was closed before the end".to_owned();
        return Err(Reason::Transfer { text, received: part.length() }.into());
    }
    Ok(())
}

pub(crate) fn content_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes START-END/TOTAL`
fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.trim().strip_prefix("bytes ")?.split_once('-')?.0.trim().parse().ok()
}

fn proxy(options: &HttpOptions) -> Result<Option<Proxy>> {
    let parse =
        |text: &String| Proxy::new(text).map_err(|error| Error::Settings { what: "proxy", reason: error.to_string() });
    options.proxy.as_ref().map(parse).transpose()
}

fn root_certs(options: &HttpOptions) -> Result<RootCerts> {
    let Some(path) = &options.ca_file else { return Ok(RootCerts::WebPki) };
    let settings = |reason| Error::Settings { what: "certificate file", reason };
    let text = std::fs::read(path).map_err(|error| settings(format!("{path:?}: {error}")))?;
    let mut certificates = Vec::new();
    for item in ureq::tls::parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| settings(format!("{path:?}: {error}")))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(settings(format!("{path:?} holds no certificate")));
    }
    Ok(RootCerts::Specific(Arc::new(certificates)))
}
