//! Where a Postgres URL leads, and how far the server's certificate is verified: `sslmode` and `sslrootcert` as
//! libpq has them (<https://www.postgresql.org/docs/current/libpq-ssl.html>). tokio-postgres knows half of the
//! modes only, so these two parameters are taken out of the URL before it sees it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::{Result, StoreError};

/// Server and encryption, ready to connect.
pub(super) struct Target {
    pub(super) config: tokio_postgres::Config,
    pub(super) connector: MakeRustlsConnect,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Disable,
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

impl Target {
    /// `sslrootcert` is relative to `base`.
    pub(super) fn parse(url: &str, base: &Path) -> Result<Self> {
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let (mut mode, mut root_cert, mut others) = (Mode::Prefer, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=').unwrap_or((pair, "")) {
                ("sslmode", value) => mode = Mode::parse(value)?,
                ("sslrootcert", value) => root_cert = Some(base.join(decoded(value))),
                _ => others.push(pair),
            }
        }
        let mut config: tokio_postgres::Config = format!("{address}?{}", others.join("&")).parse()?;
        config.ssl_mode(mode.on_the_wire(&config));
        Ok(Self { config, connector: MakeRustlsConnect::new(client_config(mode, root_cert)?) })
    }
}

impl Mode {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "disable" => Self::Disable,
            "prefer" => Self::Prefer,
            "require" => Self::Require,
            "verify-ca" => Self::VerifyCa,
            "verify-full" => Self::VerifyFull,
            _ => {
                return Err(StoreError::Misuse(
                    "sslmode is disable, prefer, require, verify-ca or verify-full",
                ));
            }
        })
    }

    /// Whether to encrypt at all.
    fn on_the_wire(self, config: &tokio_postgres::Config) -> SslMode {
        // As in libpq: a local socket is never encrypted, whatever the mode.
        if config.get_hosts().iter().all(|host| !matches!(host, Host::Tcp(_))) {
            return SslMode::Disable;
        }
        match self {
            Self::Disable => SslMode::Disable,
            Self::Prefer => SslMode::Prefer,
            Self::Require | Self::VerifyCa | Self::VerifyFull => SslMode::Require,
        }
    }
}

/// The part's text; a `+` in a path is a `+`.
fn decoded(value: &str) -> PathBuf {
    let escaped = value.replace('+', "%2B");
    form_urlencoded::parse(escaped.as_bytes()).map(|(text, _)| PathBuf::from(text.into_owned())).collect()
}

fn client_config(mode: Mode, root_cert: Option<PathBuf>) -> Result<ClientConfig> {
    let provider = ring::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let builder = with_provider(provider)?;
    let roots = match (mode, root_cert) {
        // As in libpq: `require` with a root certificate verifies like `verify-ca`.
        (Mode::Require | Mode::VerifyCa | Mode::VerifyFull, Some(path)) => Some(roots_in(&path)?),
        (Mode::VerifyCa | Mode::VerifyFull, None) => {
            Some(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() })
        }
        (Mode::Require, None) | (Mode::Disable | Mode::Prefer, _) => None,
    };
    let builder = match (mode, roots) {
        (Mode::VerifyFull, Some(roots)) => builder.with_root_certificates(roots),
        (_, roots) => {
            let verifier = NameIgnored { roots, algorithms };
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        }
    };
    Ok(builder.with_no_client_auth())
}

fn with_provider(
    provider: CryptoProvider,
) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>> {
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| StoreError::Driver(error.into()))
}

fn roots_in(path: &Path) -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    roots.add_parsable_certificates(certificates.map_err(|error| StoreError::Driver(error.into()))?);
    if roots.is_empty() {
        return Err(StoreError::Misuse("the file named by sslrootcert holds no certificate"));
    }
    Ok(roots)
}

/// Verifies the chain (`verify-ca`), or nothing at all if there are no roots (`prefer`, `require`).
#[derive(Debug)]
struct NameIgnored {
    roots: Option<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for NameIgnored {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(roots) = &self.roots {
            let certificate = ParsedCertificate::try_from(end_entity)?;
            let accepted = self.algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, roots, intermediates, now, accepted)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::thread::JoinHandle;

    use rstest::rstest;
    use rustls::pki_types::PrivateKeyDer;
    use rustls::{ServerConfig, ServerConnection};

    use super::*;

    /// What a server gets to see of a client.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Seen {
        /// The start-up message with the user's name, readable by everyone.
        PlainStartup,
        /// A request to encrypt, and no more once that is refused.
        OnlyTlsRequest,
        /// The start-up message inside TLS.
        EncryptedStartup,
        /// The client broke the handshake off.
        BrokenHandshake,
    }
    use Seen::{BrokenHandshake, EncryptedStartup, OnlyTlsRequest, PlainStartup};

    fn fixture(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
    }

    /// The code of a message of the start-up phase, of which the length comes first
    /// (<https://www.postgresql.org/docs/current/protocol-message-formats.html>).
    fn startup_code(stream: &mut impl Read) -> Option<u32> {
        let mut head = [0; 8];
        stream.read_exact(&mut head).ok()?;
        Some(u32::from_be_bytes(head[4..].try_into().unwrap()))
    }

    const PROTOCOL_3: u32 = 196_608;

    fn serve_once(listener: &TcpListener, tls: Option<Arc<ServerConfig>>) -> Seen {
        let (mut stream, _) = listener.accept().unwrap();
        if startup_code(&mut stream).unwrap() == PROTOCOL_3 {
            return PlainStartup;
        }
        let Some(tls) = tls else {
            stream.write_all(b"N").unwrap();
            return if startup_code(&mut stream) == Some(PROTOCOL_3) { PlainStartup } else { OnlyTlsRequest };
        };
        stream.write_all(b"S").unwrap();
        let mut stream =
            rustls::StreamOwned::<_, TcpStream>::new(ServerConnection::new(tls).unwrap(), stream);
        if startup_code(&mut stream) == Some(PROTOCOL_3) { EncryptedStartup } else { BrokenHandshake }
    }

    fn server(tls: Option<Arc<ServerConfig>>) -> (u16, JoinHandle<Seen>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        (port, std::thread::spawn(move || serve_once(&listener, tls)))
    }

    /// A server with a certificate for `localhost`, signed by the root in the fixtures.
    fn tls_config() -> Arc<ServerConfig> {
        let chain =
            CertificateDer::pem_file_iter(fixture("server.pem")).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(fixture("server.key")).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        Arc::new(builder.with_single_cert(chain, key).unwrap())
    }

    async fn connect(url: &str) {
        let target = Target::parse(url, Path::new("/")).unwrap();
        // The server hangs up in any case: what it saw is what counts.
        assert!(target.config.connect(target.connector).await.is_err());
    }

    #[rstest]
    #[case("", PlainStartup)]
    #[case("?sslmode=disable", PlainStartup)]
    #[case("?sslmode=prefer", PlainStartup)]
    #[case("?sslmode=require", OnlyTlsRequest)]
    #[case("?sslmode=verify-ca", OnlyTlsRequest)]
    #[case("?sslmode=verify-full", OnlyTlsRequest)]
    #[tokio::test]
    async fn a_server_without_tls_sees_no_more_than_the_mode_allows(
        #[case] query: &str,
        #[case] expected: Seen,
    ) {
        let (port, seen) = server(None);
        connect(&format!("postgres://comms@localhost:{port}/comms{query}")).await;
        assert_eq!(seen.join().unwrap(), expected);
    }

    #[rstest]
    #[case("disable", "localhost", None, PlainStartup)]
    #[case("prefer", "localhost", None, EncryptedStartup)]
    #[case("require", "127.0.0.1", None, EncryptedStartup)]
    #[case("require", "127.0.0.1", Some("root.pem"), EncryptedStartup)]
    #[case("require", "localhost", Some("server.pem"), BrokenHandshake)]
    #[case("verify-ca", "127.0.0.1", None, BrokenHandshake)]
    #[case("verify-ca", "127.0.0.1", Some("root.pem"), EncryptedStartup)]
    #[case("verify-full", "localhost", None, BrokenHandshake)]
    #[case("verify-full", "127.0.0.1", Some("root.pem"), BrokenHandshake)]
    #[case("verify-full", "localhost", Some("root.pem"), EncryptedStartup)]
    #[tokio::test]
    async fn a_certificate_is_verified_as_far_as_the_mode_says(
        #[case] mode: &str,
        #[case] host: &str,
        #[case] root: Option<&str>,
        #[case] expected: Seen,
    ) {
        let (port, seen) = server(Some(tls_config()));
        let root = root.map_or(String::new(), |name| format!("&sslrootcert={}", fixture(name).display()));
        connect(&format!("postgres://comms@{host}:{port}/comms?sslmode={mode}{root}")).await;
        assert_eq!(seen.join().unwrap(), expected);
    }

    #[rstest]
    #[case("postgres://comms@%2Frun%2Fpostgresql/comms?sslmode=verify-full", SslMode::Disable)]
    #[case("postgres:///comms?host=/run/postgresql&user=comms", SslMode::Disable)]
    #[case("postgres://comms@db.example/comms", SslMode::Prefer)]
    fn a_local_socket_is_not_encrypted(#[case] url: &str, #[case] expected: SslMode) {
        assert_eq!(Target::parse(url, Path::new("/")).unwrap().config.get_ssl_mode(), expected);
    }

    #[test]
    fn a_root_certificate_is_looked_for_beside_the_configuration() {
        let url = "postgres://comms@localhost/comms?sslmode=verify-full&sslrootcert=root%2Epem";
        let base = fixture("");
        assert_eq!(
            (Target::parse(url, &base).is_ok(), Target::parse(url, &base.join("none")).is_ok()),
            (true, false)
        );
    }
}
