//! Taking an agent back: the reverse of setting it up. Whatever fails is told, and done by the next call or by the relay
//! itself.

use futures_util::FutureExt;
use relay_store::agent_channels::AgentChannel;
use relay_store::agent_pool::PoolStatus;
use relay_store::agents::AgentStatus;
use relay_store::number_purchases::{self, NumberPurchase, PurchaseChange, PurchaseStatus};
use relay_store::{Conn, agent_channels, agent_pool, agent_tokens, agents, whatsapp_pool};
use shared::ids::AgentId;
use shared::model::{Channel, Timestamp};
use shared::protocol::{ChannelsReleased, DeprovisionChannels, ReleasedChannel};

use super::purchasing::{Purchasing, free_place, label, unsettled};
use super::recovery::settle_later;
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::agents::{refresh, rehearsal_agent};
use crate::services::audit::{self, Act};
use crate::services::identity::Admin;

/// What an agent had when it was let go.
struct LetGo {
    channels: Vec<AgentChannel>,
    /// Its WhatsApp sender is in the pool again.
    sender_is_back: bool,
    /// Its numbers that are to be given back.
    purchases: Vec<NumberPurchase>,
}

/// Takes an agent's channels, and ends it. A second call finishes what the first could not.
pub(crate) async fn deprovision(
    app: &App,
    admin: &Admin,
    call: DeprovisionChannels,
) -> Result<ChannelsReleased, ServiceError> {
    check(&call)?;
    let agent = call.agent_id;
    let gives_back = call.release_number.unwrap_or(true);
    let LetGo { channels, sender_is_back, purchases } = let_go(app, admin, &agent, gives_back).await?;
    let mut given_back = Vec::new();
    let mut not_undone = Vec::new();
    for purchase in purchases {
        match Purchasing::of(app).settle(&purchase.id).await {
            Ok(true) => given_back.extend(purchase.number),
            unfinished => {
                if let Err(problem) = unfinished {
                    events::answered_with_failure("give a number back", &problem);
                }
                settle_later(app, &purchase.id);
                not_undone.push(format!(
                    "A number is still paid for; the provider has it as {}. The relay goes on trying to give it back, \
                     and so does another call.",
                    label(&purchase.id)
                ));
            }
        }
    }
    refresh(app).await?;
    let released = |own: AgentChannel| ReleasedChannel {
        released: match own.channel {
            Channel::Sms | Channel::Voice => given_back.contains(&own.address),
            Channel::Whatsapp => sender_is_back,
            Channel::Email => false,
        },
        channel: own.channel,
        address: own.address,
    };
    Ok(ChannelsReleased {
        agent_id: agent,
        channels: channels.into_iter().map(released).collect(),
        not_undone,
        slots_remaining: slots_remaining(app).await?,
    })
}

fn check(call: &DeprovisionChannels) -> Result<(), ServiceError> {
    let invalid = |field, problem: &str| Err(ServiceError::Invalid { field, problem: problem.to_owned() });
    if call.agent_id == AgentId::default_agent() || call.agent_id == rehearsal_agent() {
        return invalid("agentId", "this agent belongs to the relay and stays");
    }
    if call.confirm != Some(true) {
        return invalid("confirm", "it must be true: the agent ends, and a number that is released is lost");
    }
    Ok(())
}

/// From here on the agent is gone; only its numbers may still be there.
async fn let_go(app: &App, admin: &Admin, agent: &AgentId, gives_back: bool) -> Result<LetGo, ServiceError> {
    let (now, actor, agent) = (app.now(), admin.actor().to_owned(), agent.clone());
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let found = agents::find(tx, &agent).await?.ok_or(ServiceError::NotFound("agent"))?;
                let action = if found.status == AgentStatus::Released {
                    "agent.release_repeated"
                } else {
                    "agent.released"
                };
                audit::append(tx, now, Act(&actor, action, agent.as_str()), &[]).await?;
                agents::set_status(tx, &agent, AgentStatus::Released).await?;
                agent_tokens::revoke_all(tx, &agent, now).await?;
                agent_pool::set_status(tx, &agent, PoolStatus::Releasing).await?;
                if gives_back {
                    let_go_of_numbers(tx, &agent, now).await?;
                }
                let purchases = unsettled(tx, &agent).await?;
                let channels = agent_channels::list(tx, &agent).await?;
                let is_waiting = |own: &&AgentChannel| {
                    purchases.iter().any(|purchase| purchase.number.as_ref() == Some(&own.address))
                };
                for own in channels.iter().filter(|own| !is_waiting(own)) {
                    agent_channels::delete(tx, &agent, own.channel).await?;
                }
                let sender_is_back = whatsapp_pool::give_back(tx, &agent).await? > 0;
                free_place(tx, &agent).await?;
                Ok(LetGo { channels, sender_is_back, purchases })
            }
            .boxed()
        })
        .await
}

/// The numbers that were bought for it, nobody wants any more.
async fn let_go_of_numbers(tx: &mut Conn, agent: &AgentId, now: Timestamp) -> Result<(), ServiceError> {
    let bought = number_purchases::list_by_status(tx, PurchaseStatus::Bought).await?;
    for purchase in bought.iter().filter(|purchase| purchase.agent_id == *agent) {
        let change =
            PurchaseChange { status: PurchaseStatus::Intended, number: None, external_id: None, now };
        number_purchases::set(tx, &purchase.id, &change).await?;
    }
    Ok(())
}

async fn slots_remaining(app: &App) -> Result<i64, ServiceError> {
    let taken = app
        .db
        .read::<_, ServiceError, _>(|conn| async move { Ok(agent_pool::count(conn).await?) }.boxed())
        .await?;
    Ok((app.config.limits.pool - taken).max(0))
}
