//! A second agent beside the default one, for tests of what each has of its own.

use anyhow::Result;
use relay::services::tokens;
use relay_core::clock::Clock;
use relay_core::token::Role;
use relay_providers::simulated::Hooks;
use relay_store::agent_channels::{self, AgentChannel};
use relay_store::agents::{self, Agent, AgentStatus};
use relay_store::{FutureExt, StoreError};
use shared::ids::AgentId;
use shared::ipc::Client;
use shared::model::{Channel, Responder};
use tests::relay::TestRelay;

const NUMBER: &str = "+12025550155";

fn id() -> AgentId {
    "sales".parse().expect("it is an agent id")
}

/// Adds the agent `sales`, with a number of its own at the carrier, to a relay in live mode; it is known after a
/// restart with these settings.
pub(crate) async fn with_sales(relay: TestRelay, settings: &str) -> Result<TestRelay> {
    let emulator = relay.twilio.as_ref().expect("in live mode there is one");
    emulator.carrier.attach(NUMBER.parse()?, Hooks::default());
    let now = relay.clock.now();
    let agent = Agent {
        id: id(),
        name: "Sales".to_owned(),
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        responder: Responder::Auto,
        status: AgentStatus::Active,
        time_zone: None,
        recipients: None,
        created_at: now,
    };
    let own = |channel| AgentChannel {
        agent_id: id(),
        channel,
        address: NUMBER.to_owned(),
        provider: "twilio".to_owned(),
        status: AgentStatus::Active,
        created_at: now,
    };
    let channels = [Channel::Sms, Channel::Voice].map(own);
    let added = relay.app().db.transaction::<_, StoreError, _>(move |tx| {
        async move {
            agents::insert_if_absent(tx, &agent).await?;
            for channel in &channels {
                agent_channels::upsert(tx, channel).await?;
            }
            Ok(())
        }
        .boxed()
    });
    added.await?;
    relay.restart(settings).await
}

/// A session of that agent.
pub(crate) async fn sales_session(relay: &TestRelay) -> Result<Client> {
    let (db, now) = (&relay.app().db, relay.clock.now());
    let token = tokens::create(db, &id(), Role::Agent, None, now).await?;
    relay.session_as(Some(token.secret.expose().to_owned())).await
}
