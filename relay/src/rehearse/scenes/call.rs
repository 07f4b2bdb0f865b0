//! The agent calls a person and holds a conversation: turns, an interruption, a key, and the end.

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use shared::protocol::{SimulateAnswer, WatchNumber};

use super::{Person, some_number, text_of};
use crate::rehearse::agent::Agent;
use crate::rehearse::report::Report;
use crate::rehearse::stage::Stage;

const GREETING: &str = "Good evening, I am calling about a table for tonight.";
const FIRST_WORDS: &str = "Hello! For how many people?";
const FIRST_ANSWER: &str = "For four people, at half past seven, by the window if that is possible.";
const HEARD: &str = "For four people,";
const INTERRUPTION: &str = "Sorry, we only have eight o'clock.";
const SECOND_ANSWER: &str = "Eight is fine. Press one if you want a reminder.";
const GOODBYE: &str = "It is noted. Thank you, goodbye!";

pub(super) async fn play(stage: &Stage, agent: &mut Agent, report: &mut Report) -> anyhow::Result<()> {
    let telephone = some_number()?;
    stage.carrier.call(WatchNumber { number: telephone.clone() }).await?;
    let wanted = json!({ "to": telephone.as_str(), "greeting": GREETING, "responder": "agent" });
    let placed = agent.call("comms_make_call", wanted).await?;
    report.line("agent", "calls; the telephone rings")?;
    let call_sid = text_of(&placed, "callSid")?.to_owned();
    let picked_up = stage.carrier.call(SimulateAnswer { number: telephone, wait_seconds: 20 }).await?.reply;
    ensure!(picked_up.call_sid.as_str() == call_sid, "another call was answered");
    let person = Person { stage, call_sid: picked_up.call_sid };
    let greeting = person.hears(GREETING).await?;
    report.line("agent", &greeting)?;

    let listen = json!({ "callSid": call_sid, "waitSeconds": 20 });
    let (said, heard) = tokio::join!(person.says(FIRST_WORDS), agent.call("comms_get_messages", listen));
    said?;
    let heard = heard?;
    expect(&heard["turns"], FIRST_WORDS)?;
    report.line("person", FIRST_WORDS)?;

    let mut call =
        Conversation { agent, call_sid: &call_sid, turn_id: text_of(&heard, "turnId")?.to_owned() };
    let interrupting = async {
        person.hears(FIRST_ANSWER).await?;
        person.interrupts(HEARD).await?;
        person.says(INTERRUPTION).await
    };
    let (heard, interrupted) = tokio::join!(call.speak(FIRST_ANSWER), interrupting);
    interrupted?;
    let heard = heard?;
    expect(&heard["heard"], INTERRUPTION)?;
    ensure!(heard["heardUntil"] == HEARD, "the agent was not told what was heard: {heard}");
    report.line("agent", &format!("{HEARD} …"))?;
    report.line("person", &format!("(interrupts) {INTERRUPTION}"))?;

    let pressing = async {
        person.hears(SECOND_ANSWER).await?;
        person.presses("1").await
    };
    let (heard, pressed) = tokio::join!(call.speak(SECOND_ANSWER), pressing);
    pressed?;
    let heard = heard?;
    ensure!(heard["heard"][0]["digits"] == "1", "the key did not arrive: {heard}");
    report.line("agent", SECOND_ANSWER)?;
    report.line("person", "(presses 1)")?;

    let (ended, let_go) = tokio::join!(call.say_goodbye(), async {
        person.hears(GOODBYE).await?;
        person.is_let_go().await
    });
    ended?;
    let_go?;
    report.line("agent", GOODBYE)?;
    let transcript =
        agent.call("comms_get_messages", json!({ "callSid": call_sid, "waitSeconds": 5 })).await?;
    let turns = transcript["turns"].as_array().map_or(0, Vec::len);
    ensure!(turns >= 7, "the transcript has only {turns} turns: {transcript}");
    report.line("relay", &format!("hung up; the transcript has {turns} turns"))
}

/// The agent's side: each answer names the turn that it belongs to.
struct Conversation<'a> {
    agent: &'a mut Agent,
    call_sid: &'a str,
    turn_id: String,
}

impl Conversation<'_> {
    async fn speak(&mut self, words: &str) -> anyhow::Result<Value> {
        let spoken = self.send(words, false).await?;
        self.turn_id = text_of(&spoken, "turnId")?.to_owned();
        Ok(spoken)
    }

    async fn say_goodbye(&mut self) -> anyhow::Result<()> {
        self.send(GOODBYE, true).await.map(drop)
    }

    async fn send(&mut self, words: &str, end_call: bool) -> anyhow::Result<Value> {
        let arguments = json!({
            "channel": "voice",
            "callSid": self.call_sid,
            "turnId": self.turn_id,
            "body": words,
            "endCall": end_call,
            "waitSeconds": 20,
        });
        let spoken = self.agent.call("comms_send_message", arguments).await?;
        ensure!(spoken["spoken"] == true, "the words were not spoken: {spoken}");
        Ok(spoken)
    }
}

fn expect(turns: &Value, words: &str) -> anyhow::Result<()> {
    let turns = turns.as_array().context("the answer has no turns")?;
    let found = turns.iter().any(|turn| turn["text"].as_str().is_some_and(|text| text.contains(words)));
    ensure!(found, "«{words}» did not arrive: {turns:?}");
    Ok(())
}
