//! Messages whose outcome is not known: the provider is asked, nothing is sent again.

use std::time::Duration;

use futures_util::FutureExt;
use relay_store::messages::{self, Message};
use shared::model::{Channel, MessageStatus};

use super::{CLOCK_SLACK, Step, move_to, parcel, schedule};
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;

/// When the provider is asked about an unknown outcome.
const ASK_AFTER_SECONDS: [u64; 6] = [2, 15, 60, 600, 3_600, 6 * 3_600];

/// Asks the provider what became of a message whose answer was lost.
pub(super) async fn settle(app: App, row: Message) {
    let Ok(Some(parcel)) = parcel::pack_again(&app, &row).await else { return };
    // What is `unknown` has been moved by every start that could not ask.
    let handed_over = if row.status == MessageStatus::Sending { row.updated_at } else { row.created_at };
    let not_before = handed_over.minus(CLOCK_SLACK);
    for seconds in ASK_AFTER_SECONDS {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(seconds)) => (),
            () = app.stop.cancelled() => return,
        }
        match parcel.find_sent(&app.providers(), not_before).await {
            Ok(Some(accepted)) => match move_to(&app, &row.id, Step::accepted(&accepted)).await {
                Ok(Some(_)) => return,
                // It is that of another message, or a report was faster.
                Ok(None) => (),
                Err(problem) => events::failed_inside("settle a message", &problem),
            },
            Ok(None) => (),
            Err(problem) => events::provider_failed("find_sent", &problem),
        }
    }
    events::message_unsettled(&row.id);
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
