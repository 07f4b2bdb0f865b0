//! The relay's two listeners against clients that mean it ill: real sockets, and the deadlines that ship.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use rstest::rstest;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tests::process::{Home, RelayProcess};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Far more than any deadline of a request.
const PATIENCE: Duration = Duration::from_secs(25);

const HEALTH: &str = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const HALF_A_HEAD: &str = "POST /webhooks/default/sms HTTP/1.1\r\nHost: localhost\r\nX-A: ";
const HALF_A_BODY: &str =
    "POST /webhooks/default/sms HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nBody=";

const TOO_MUCH: usize = 1024 * 1024 + 1;

async fn send(address: SocketAddr, text: &str) -> Result<TcpStream> {
    let mut client = TcpStream::connect(address).await.context("failed to connect")?;
    client.write_all(text.as_bytes()).await.context("failed to send")?;
    Ok(client)
}

/// What comes until the relay closes the connection. To be cut off with a reset is to be closed as well.
async fn until_closed(mut client: TcpStream) -> Result<String> {
    let mut received = Vec::new();
    let _ = timeout(PATIENCE, client.read_to_end(&mut received)).await.context("it was not closed")?;
    Ok(String::from_utf8(received)?)
}

async fn answer(address: SocketAddr, request: &str) -> Result<String> {
    until_closed(send(address, request).await?).await
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("none")
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

#[rstest]
#[case::nothing_sent("")]
#[case::half_a_request_line("PO")]
#[case::half_a_head(HALF_A_HEAD)]
#[case::half_a_body(HALF_A_BODY)]
#[tokio::test]
async fn a_client_that_stops_sending_is_cut_off(#[case] sent: &str) -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    assert_eq!(answer(relay.public_addr(), sent).await?, "");
    Ok(())
}

#[tokio::test]
async fn the_admin_listener_has_deadlines_as_well() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    assert_eq!(answer(relay.admin_addr(), HALF_A_HEAD).await?, "");
    Ok(())
}

#[tokio::test]
async fn a_flood_of_slow_clients_stops_nobody_else() -> Result<()> {
    // Both the relay, which inherits it, and this process hold an end of every connection.
    let files = getrlimit(Resource::Nofile);
    let current = files.current.map(|current| current.max(8_192));
    setrlimit(Resource::Nofile, Rlimit { current, ..files })?;
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let mut slow = Vec::new();
    for text in [HALF_A_HEAD; 2_000].into_iter().chain([HALF_A_BODY; 500]) {
        slow.push(send(relay.public_addr(), text).await?);
    }
    for _ in 0..40 {
        assert_eq!(status(&answer(relay.public_addr(), HEALTH).await?), "200");
    }
    for client in slow {
        assert_eq!(until_closed(client).await?, "");
    }
    Ok(())
}

#[tokio::test]
async fn a_client_that_floods_under_forged_addresses_is_limited_and_health_is_not() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let mut last = String::new();
    for number in 0..200 {
        let forged = format!(
            "GET /no-such-page HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 198.51.100.{number}\r\nConnection: \
             close\r\n\r\n"
        );
        last = answer(relay.public_addr(), &forged).await?;
    }
    let health = answer(relay.public_addr(), HEALTH).await?;
    assert_eq!((status(&last), header(&last, "retry-after"), status(&health)), ("429", Some("1"), "200"));
    Ok(())
}

#[rstest]
#[case::announced(format!("Content-Length: {TOO_MUCH}\r\n\r\n{}", "a".repeat(TOO_MUCH)))]
#[case::in_chunks(format!("Transfer-Encoding: chunked\r\n\r\n{TOO_MUCH:x}\r\n{}\r\n0\r\n\r\n", "a".repeat(TOO_MUCH)))]
#[tokio::test]
async fn a_body_over_one_mebibyte_is_refused(#[case] rest: String) -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let head = "POST /webhooks/default/sms HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = answer(relay.public_addr(), &format!("{head}{rest}")).await?;
    assert_eq!(status(&answer), "413");
    Ok(())
}

#[tokio::test]
async fn the_admin_listener_refuses_a_foreign_name() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let rebound = HEALTH.replace("localhost", "evil.example");
    let answer = answer(relay.admin_addr(), &rebound).await?;
    assert_eq!(status(&answer), "403");
    Ok(())
}
