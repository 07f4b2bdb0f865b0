//! What channels an agent has, and whether they work. Called for `comms_get_channel_status`; asks the database, and
//! never a provider.

use futures_util::FutureExt;
use relay_providers::Providers;
use relay_store::agent_channels::AgentChannel;
use relay_store::agents::AgentStatus;
use relay_store::{Conn, agent_channels, agents, contacts, messages};
use shared::ids::AgentId;
use shared::model::{Channel, MessageStatus, Timestamp};
use shared::protocol::{ChannelStatus, ChannelStatuses, Health};

use super::ServiceError;
use crate::app::App;

/// So many failures in a row are no accident of one recipient.
const FAILURES: usize = 3;

/// What the database knows of a channel.
struct Record {
    channel: AgentChannel,
    last_inbound_at: Option<Timestamp>,
    last_outbound_at: Option<Timestamp>,
    last_sent: Vec<MessageStatus>,
}

/// What of a channel does not work, and what to do about it.
struct Problem {
    health: Health,
    text: String,
}

/// Every channel of an agent, with its health.
pub(crate) async fn status(app: &App, agent: &AgentId) -> Result<ChannelStatuses, ServiceError> {
    let id = agent.clone();
    let (agent_status, records) = app.db.read(move |conn| read(conn, id).boxed()).await?;
    let providers = app.providers();
    let report = |record: Record| {
        let is_blocked = agent_status != AgentStatus::Active || record.channel.status != AgentStatus::Active;
        let problems = problems(app, &providers, &record, is_blocked);
        ChannelStatus {
            channel: record.channel.channel,
            address: record.channel.address,
            provider: record.channel.provider,
            status: if is_blocked { AgentStatus::Blocked } else { AgentStatus::Active }.as_str().to_owned(),
            health: worst(&problems),
            last_inbound_at: record.last_inbound_at,
            last_outbound_at: record.last_outbound_at,
            problems: problems.into_iter().map(|problem| problem.text).collect(),
        }
    };
    Ok(ChannelStatuses { agent_id: agent.clone(), channels: records.into_iter().map(report).collect() })
}

async fn read(conn: &mut Conn, id: AgentId) -> Result<(AgentStatus, Vec<Record>), ServiceError> {
    let agent = agents::find(conn, &id).await?.ok_or(ServiceError::NotFound("agent"))?;
    let mut records = Vec::new();
    for channel in agent_channels::list(conn, &id).await? {
        let (last_inbound_at, last_outbound_at) = contacts::last_seen(conn, &id, channel.channel).await?;
        let last_sent = messages::last_outbound(conn, &id, channel.channel, FAILURES as i64).await?;
        records.push(Record { channel, last_inbound_at, last_outbound_at, last_sent });
    }
    Ok((agent.status, records))
}

fn problems(app: &App, providers: &Providers, record: &Record, is_blocked: bool) -> Vec<Problem> {
    let blocked = is_blocked.then(|| Problem {
        health: Health::Down,
        text: "It is blocked: nothing goes out. The person who runs the relay can unblock the agent with \
               `comms-relay agent unblock`."
            .to_owned(),
    });
    let foreign = foreign(app, providers, &record.channel);
    let unreachable = if app.can_be_called() { None } else { Some(unreachable(record.channel.channel)) };
    [blocked, foreign, unreachable, failing(&record.last_sent)].into_iter().flatten().collect()
}

/// What the other mode has left, or a provider that is no longer there.
fn foreign(app: &App, providers: &Providers, own: &AgentChannel) -> Option<Problem> {
    let in_use = match own.channel {
        Channel::Sms | Channel::Voice => Some(providers.telephony_name),
        Channel::Whatsapp => Some(providers.whatsapp_name),
        Channel::Email => providers.email_name,
    };
    let (provider, mode) = (&own.provider, app.config.mode.as_str());
    (in_use != Some(provider)).then(|| Problem {
        health: Health::Down,
        text: format!(
            "Its provider «{provider}» is not in use in {mode} mode. The person who runs the relay can change the \
             mode, or give the agent another address."
        ),
    })
}

fn unreachable(channel: Channel) -> Problem {
    let (health, what) = match channel {
        Channel::Voice => (Health::Down, "No call can be placed or come in."),
        Channel::Sms | Channel::Whatsapp | Channel::Email => (Health::Degraded, "Nothing can come in."),
    };
    let remedy = "The person who runs the relay can set public.url to its public https address.";
    Problem { health, text: format!("{what} {remedy}") }
}

fn failing(last_sent: &[MessageStatus]) -> Option<Problem> {
    let has_failed =
        |status: &MessageStatus| matches!(status, MessageStatus::Failed | MessageStatus::Undelivered);
    (last_sent.len() == FAILURES && last_sent.iter().all(has_failed)).then(|| Problem {
        health: Health::Degraded,
        text: format!(
            "The last {FAILURES} messages that were sent have failed. Check the recipients; if they are right, the \
             person who runs the relay can look at the account at the provider."
        ),
    })
}

fn worst(problems: &[Problem]) -> Health {
    let has = |health| problems.iter().any(|problem| problem.health == health);
    if has(Health::Down) {
        Health::Down
    } else if has(Health::Degraded) {
        Health::Degraded
    } else {
        Health::Ok
    }
}
