//! Messages that wait for their time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_core::{delivery, recipient};
use relay_store::messages::{self, Message, StatusChange};
use relay_store::usage_logs::{self, UsageKind};
use relay_store::{Conn, agent_channels, scheduled_messages};
use shared::ids::MessageId;
use shared::model::{MessageStatus, Timestamp};
use shared::protocol::ErrorCode;
use tokio::sync::oneshot;

use super::{Step, TOO_LATE, deliver, move_to, parcel};
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::approvals::Question;
use crate::services::audit::{self, Act};
use crate::services::messages::not_provisioned;
use crate::services::policy::{self, Departure};

/// A clock may jump, and another relay may have taken messages in: so often the table is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// What is left over is looked at again after this.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(50);
/// While something waits, more often: a clock that is set forward is noticed within this time.
const LOOK_EVERY_WHILE_DUE: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 100;
/// Messages of one agent that wait at once.
const MAX_WAITING: i64 = 100;

/// Sends what is due, until the relay stops.
pub(crate) async fn send_when_due(app: App) {
    loop {
        let pause = match send_due(&app).await {
            Ok(Some(next)) => next.since(app.now()).clamp(LOOK_AGAIN_AFTER, LOOK_EVERY_WHILE_DUE),
            Ok(None) => LOOK_EVERY,
            Err(problem) => {
                events::failed_inside("send what is due", &problem);
                LOOK_EVERY_WHILE_DUE
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = app.due.notified() => (),
            () = app.stop.cancelled() => return,
        }
    }
}

/// Takes a message in that waits until then, in the transaction that records it.
pub(crate) async fn wait_for(tx: &mut Conn, row: &Message, at: Timestamp) -> Result<(), ServiceError> {
    if scheduled_messages::count(tx, &row.agent_id).await? >= MAX_WAITING {
        return Err(ServiceError::refused(
            ErrorCode::RateLimited,
            format!(
                "{MAX_WAITING} messages of this agent already wait for their time; no other was taken in."
            ),
            "Send the next one once some of them have gone.",
        ));
    }
    Ok(scheduled_messages::insert(tx, &row.id, at).await?)
}

/// Gives the time of the next one.
async fn send_due(app: &App) -> Result<Option<Timestamp>, ServiceError> {
    let now = app.now();
    let due = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(scheduled_messages::list_due(conn, now, AT_ONCE).await?) }.boxed()
        })
        .await?;
    for id in due {
        // One that cannot be sent keeps no other waiting.
        if let Err(problem) = send(app, &id).await {
            events::failed_inside("send a message that is due", &problem);
        }
    }
    app.db
        .read::<_, ServiceError, _>(|conn| {
            async move { Ok(scheduled_messages::next_at(conn).await?) }.boxed()
        })
        .await
}

/// Sends one message, if it may go: what was right when it was taken in need not be so by then.
async fn send(app: &App, id: &MessageId) -> Result<(), ServiceError> {
    let extras = parcel::extras_of(app, id).await?;
    let code = match claim(app, id).await {
        Ok(Claim::Ours(row)) => {
            let (told, _) = oneshot::channel();
            app.tasks.spawn(deliver(app.clone(), *row, extras, told));
            return Ok(());
        }
        Ok(Claim::NotOurs) => return forget(app, id).await,
        Ok(Claim::TooLate) => "expired",
        Err(problem @ ServiceError::Store(_)) => return Err(problem),
        Err(problem) => {
            let error = problem.to_api_error();
            let soon = error.retry_after_seconds.map(Duration::from_secs).filter(|pause| *pause < TOO_LATE);
            if let Some(pause) = soon {
                return put_off(app, id, app.now().plus(pause)).await;
            }
            error.code.as_str()
        }
    };
    fail(app, id, code).await
}

/// Whether a message is ours to send.
enum Claim {
    Ours(Box<Message>),
    /// Another relay sends it, or it was sent before.
    NotOurs,
    /// Nobody expects it any more.
    TooLate,
}

/// Makes a message ours to send, with everything that is asked of one that goes out at this moment.
async fn claim(app: &App, id: &MessageId) -> Result<Claim, ServiceError> {
    let (id, now, rules) = (id.clone(), app.now(), Arc::clone(&app.rules));
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                audit::append(tx, now, Act("relay", "message.sending", id.as_str()), &[]).await?;
                let row = messages::find_any(tx, &id).await?;
                let Some(row) = row.filter(|row| row.status == MessageStatus::Intended) else {
                    return Ok(Claim::NotOurs);
                };
                let due_at = scheduled_messages::find(tx, &id).await?.unwrap_or(row.created_at);
                if now.since(due_at) > TOO_LATE {
                    return Ok(Claim::TooLate);
                }
                let own = agent_channels::find(tx, &row.agent_id, row.channel).await?;
                if own.is_none_or(|own| own.address != row.from_address) {
                    return Err(not_provisioned(row.channel));
                }
                match usage_logs::find(tx, id.as_str()).await? {
                    None => policy::admit(tx, &rules, &departure(&row)?, now).await?,
                    // It was to be sent at once, and its money is reserved.
                    Some(_) => policy::allow(tx, &rules, &departure(&row)?, now).await?,
                }
                scheduled_messages::remove(tx, &id).await?;
                let step = StatusChange {
                    from: delivery::may_follow(MessageStatus::Sending),
                    to: MessageStatus::Sending,
                    external_id: None,
                    error_code: None,
                    cost: None,
                    segments: None,
                    now,
                };
                let ours = messages::set_status(tx, &id, &step).await?;
                Ok(ours.map_or(Claim::NotOurs, |row| Claim::Ours(Box::new(row))))
            }
            .boxed()
        })
        .await
}

/// A person was asked, if one had to be, when the message was taken in.
fn departure(row: &Message) -> Result<Departure, ServiceError> {
    Ok(Departure {
        agent: row.agent_id.clone(),
        from: row.from_address.clone(),
        to: recipient::parse(row.channel, &row.to_address)
            .map_err(|_| ServiceError::NotFound("recipient"))?,
        channel: row.channel,
        kind: UsageKind::Message,
        id: row.id.to_string(),
        charge: row.cost_micros.unwrap_or_default(),
        quantity: row.segments.unwrap_or(1),
        approval: None,
        question: Question::new(&row.agent_id, "send_message", &row.id, String::new()),
    })
}

/// A limit has no room at the moment.
async fn put_off(app: &App, id: &MessageId, at: Timestamp) -> Result<(), ServiceError> {
    let id = id.clone();
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move { Ok(scheduled_messages::set(tx, &id, at).await.map(drop)?) }.boxed()
        })
        .await
}

async fn fail(app: &App, id: &MessageId, code: &str) -> Result<(), ServiceError> {
    let failed = Step { error_code: Some(code.to_owned()), ..Step::to(MessageStatus::Failed) };
    move_to(app, id, failed).await?;
    forget(app, id).await
}

async fn forget(app: &App, id: &MessageId) -> Result<(), ServiceError> {
    let id = id.clone();
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move { Ok(scheduled_messages::remove(tx, &id).await.map(drop)?) }.boxed()
        })
        .await
}

/// At the start of the relay: a message that was intended. One that has a time waits for it; any other is sent at
/// once, unless nobody expects it any more.
pub(super) async fn take_up(app: &App, row: Message) -> Result<(), ServiceError> {
    let id = row.id.clone();
    let scheduled = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(scheduled_messages::find(conn, &id).await?) }.boxed()
        })
        .await?;
    if scheduled.is_none() { send(app, &row.id).await } else { Ok(()) }
}
