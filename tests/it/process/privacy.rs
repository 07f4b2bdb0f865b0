//! The log tells what happens and never who said what to whom, at any level.

use anyhow::{Context, Result};
use futures_util::{SinkExt, StreamExt};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use shared::ipc::Client;
use shared::protocol::{GetMessages, MakeCall, SendMessage};
use tests::emulators::twilio::{Emulator, Fault};
use tests::process::{Home, RelayProcess};
use tests::relay::{OUR_NUMBER, text_form};
use tokio_tungstenite::tungstenite::Message;

use super::carrier::{Carrier, LIVE, TOKEN};
use super::{comms_relay, session, until};

/// The other people's numbers begin like this; ours is in none of the log's lines either.
const PEOPLE: &str = "202555017";
const WORD: &str = "kanarienvogel";
const SMS: &str = "/webhooks/default/sms";

fn person(last: u8) -> String {
    format!("+1{PEOPLE}{last}")
}

/// Texts that come in: a good one, again, a forged one, and ones that cannot be read.
async fn texts_come_in(carrier: &Carrier) -> Result<()> {
    let sid = "SM00000000000000000000000000000001";
    let from = person(1);
    let good = text_form(sid, &from, WORD);
    assert_eq!(carrier.post(SMS, &good).await?.0, 200);
    assert_eq!(carrier.post(SMS, &good).await?.0, 200);
    assert_eq!(carrier.post_as(SMS, &good, WORD).await?.0, 403);
    assert_eq!(carrier.post(SMS, &[("From", &from), ("Body", WORD)]).await?.0, 422);
    assert_eq!(carrier.post(SMS, &text_form("", &from, WORD)).await?.0, 422);
    assert_eq!(carrier.post(&format!("/webhooks/{WORD}/sms"), &good).await?.0, 404);
    Ok(())
}

/// Texts that go out: over a provider that is well, and over one that fails in every way.
async fn texts_go_out(session: &Client, twilio: &Emulator) -> Result<()> {
    for fault in [Fault::None, Fault::Status(500), Fault::Status(400), Fault::Break, Fault::Garbage] {
        twilio.fail(fault);
        let text = SendMessage::sms(person(2), WORD);
        assert_eq!(session.call(text).await.is_ok(), fault == Fault::None, "{fault:?}");
    }
    twilio.fail(Fault::None);
    Ok(())
}

/// A call that nobody takes: words, keys, nonsense, and a voicemail.
async fn a_call_comes_in(carrier: &Carrier, session: &Client) -> Result<()> {
    let mut socket = carrier.call("CA00000000000000000000000000000001", &person(3)).await?;
    socket.next().await.context("the relay closed the call")??;
    let frames = [
        json!({ "type": "prompt", "voicePrompt": WORD, "lang": "en-US", "last": true }),
        json!({ "type": "dtmf", "digit": "7" }),
        json!({ "type": "interrupt", "utteranceUntilInterrupt": WORD, "durationUntilInterruptMs": "1" }),
        json!({ "type": "error", "description": WORD }),
        json!({ "type": "new-kind", "said": WORD }),
        json!({ "type": "prompt", "voicePrompt": [WORD] }),
        json!({ "type": "prompt", "voicePrompt": WORD, "lang": "en-US", "last": true }),
    ];
    for frame in frames {
        socket.send(Message::text(frame.to_string())).await?;
    }
    socket.send(Message::text(WORD)).await?;
    socket.close(None).await?;
    drop(socket);
    let form = [("CallSid", "CA00000000000000000000000000000001"), ("CallStatus", "completed")];
    assert_eq!(carrier.post("/webhooks/default/call-status", &form).await?.0, 200);
    let page = session.call(GetMessages::default()).await?.reply;
    assert!(!page.messages.is_empty());
    Ok(())
}

async fn a_call_goes_out(session: &Client) -> Result<()> {
    let call = json!({ "to": person(4), "systemPrompt": WORD, "greeting": WORD });
    let call: MakeCall = serde_json::from_value(call)?;
    session.call(call).await?;
    Ok(())
}

#[tokio::test]
async fn no_number_no_word_and_no_secret_is_in_the_log() -> Result<()> {
    let twilio = Emulator::start(OUR_NUMBER.parse()?).await?;
    let home = Home::temp();
    let more = [("COMMS_TWILIO__BASE_URL", twilio.settings.base_url.as_str()), ("COMMS_LOG__LEVEL", "trace")];
    let mut relay = RelayProcess::start(&home, &[&LIVE[..], &more].concat()).await?;
    let (carrier, session) = (Carrier::of(&relay)?, session(&home).await?);
    texts_come_in(&carrier).await?;
    texts_go_out(&session, &twilio).await?;
    a_call_comes_in(&carrier, &session).await?;
    a_call_goes_out(&session).await?;
    let said = comms_relay(&home, &["audit", "verify"], &LIVE).await?;
    kill_process(Pid::from_raw(i32::try_from(relay.pid())?).context("no process")?, Signal::TERM)?;
    relay.exited().await?;
    until("the last line", || relay.stderr().contains("the relay stops")).await?;
    let log = format!("{}{}{}", relay.stderr(), said.stdout, said.stderr);
    assert!(log.contains("message received"), "the log is not at the level that is looked for: {log}");
    let found: Vec<_> =
        [PEOPLE, &OUR_NUMBER[2..], WORD, TOKEN].into_iter().filter(|word| log.contains(word)).collect();
    assert_eq!(found, [""; 0], "{log}");
    Ok(())
}
