//! Messages whose outcome is not known: the provider is asked, nothing is sent again.

use std::time::Duration;

use futures_util::FutureExt;
use relay_providers::Accepted;
use relay_store::messages::{self, Message};
use shared::ids::MessageId;
use shared::model::{Channel, MessageStatus};

use super::{CLOCK_SLACK, Step, move_to, parcel, schedule};
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;

/// When the provider is asked about an unknown outcome.
const ASK_AFTER: [Duration; 3] = [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60)];

/// Asks the provider what became of a message whose answer was lost.
pub(super) async fn settle(app: App, row: Message) {
    let Ok(Some(parcel)) = parcel::pack_again(&app, &row).await else { return };
    let not_before = row.updated_at.minus(CLOCK_SLACK);
    for pause in ASK_AFTER {
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = app.stop.cancelled() => return,
        }
        match parcel.find_sent(&app.providers(), not_before).await {
            Ok(Some(accepted)) => {
                if let Err(problem) = settle_as(&app, &row.id, &accepted).await {
                    events::failed_inside("settle a message", &problem);
                }
                return;
            }
            Ok(None) => (),
            Err(problem) => events::provider_failed("find_sent", &problem),
        }
    }
    events::message_unsettled(&row.id);
}

async fn settle_as(app: &App, id: &MessageId, accepted: &Accepted) -> Result<(), ServiceError> {
    let external_id = accepted.external_id.clone();
    let other = app
        .db
        .read::<_, ServiceError, _>(move |conn| {
            async move { Ok(messages::find_by_external_id(conn, &external_id).await?) }.boxed()
        })
        .await?;
    // Two equal texts to one person: what the provider found may be the other one.
    if other.is_none_or(|other| other.id == *id) {
        move_to(app, id, Step::accepted(accepted)).await?;
    }
    Ok(())
}

/// At the start of the relay: what a dead process left. Runs before anything new can be sent.
pub async fn recover(app: &App) -> Result<(), ServiceError> {
    const AT_ONCE: i64 = 1_000;
    let (interrupted, unknown, intended) = app
        .db
        .read::<_, ServiceError, _>(|conn| {
            async move {
                Ok((
                    messages::list_by_status(conn, MessageStatus::Sending, AT_ONCE).await?,
                    messages::list_by_status(conn, MessageStatus::Unknown, AT_ONCE).await?,
                    messages::list_by_status(conn, MessageStatus::Intended, AT_ONCE).await?,
                ))
            }
            .boxed()
        })
        .await?;
    // A voice message follows its call.
    let is_own = |row: &Message| row.channel != Channel::Voice;
    let interrupted: Vec<_> = interrupted.into_iter().filter(is_own).collect();
    for row in &interrupted {
        move_to(app, &row.id, Step::to(MessageStatus::Unknown)).await?;
    }
    for row in interrupted.into_iter().chain(unknown.into_iter().filter(is_own)) {
        app.tasks.spawn(settle(app.clone(), row));
    }
    for row in intended.into_iter().filter(|row| row.channel != Channel::Voice) {
        schedule::take_up(app, row).await?;
    }
    Ok(())
}
