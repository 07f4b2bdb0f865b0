//! Messages that wait for their time.

use std::time::Duration;

use futures_util::FutureExt;
use relay_store::messages::Message;
use relay_store::scheduled_messages;
use shared::ids::MessageId;
use shared::model::{MessageStatus, Timestamp};
use tokio::sync::oneshot;

use super::{Step, TOO_LATE, deliver, move_to, parcel};
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;

/// A clock may jump, and another relay may have taken messages in: so often the table is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// While something waits, more often: a clock that is set forward is noticed within this time.
const LOOK_EVERY_WHILE_DUE: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 100;

/// Sends what is due, until the relay stops.
pub(crate) async fn send_when_due(app: App) {
    loop {
        let pause = match send_due(&app).await {
            Ok(Some(next)) => next.since(app.now()).min(LOOK_EVERY_WHILE_DUE),
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

/// Gives the time of the next one.
async fn send_due(app: &App) -> Result<Option<Timestamp>, ServiceError> {
    let now = app.now();
    let (due, next) = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move {
                let due = scheduled_messages::list_due(conn, now, AT_ONCE).await?;
                Ok((due, scheduled_messages::next_at(conn).await?))
            }
            .boxed()
        })
        .await?;
    for id in due {
        send(app, &id).await?;
    }
    Ok(next)
}

async fn send(app: &App, id: &MessageId) -> Result<(), ServiceError> {
    // `None`: another relay sends it, or it was sent before.
    let Some(row) = move_to(app, id, Step::to(MessageStatus::Sending)).await? else {
        return forget(app, id).await;
    };
    let extras = parcel::extras_of(app, &row.id).await?;
    let (told, _) = oneshot::channel();
    app.tasks.spawn(deliver(app.clone(), row, extras, told));
    Ok(())
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
    if app.now().since(scheduled.unwrap_or(row.created_at)) > TOO_LATE {
        let expired = Step { error_code: Some("expired".to_owned()), ..Step::to(MessageStatus::Failed) };
        move_to(app, &row.id, expired).await?;
        return forget(app, &row.id).await;
    }
    if scheduled.is_none() { send(app, &row.id).await } else { Ok(()) }
}
