//! How a transfer stands, as it is recorded: asked for, put through, over. Called by whoever learns it: the one who
//! asked the carrier, the carrier's webhooks, the lost socket of the call, and the call's own end.

use futures_util::FutureExt;
use relay_store::call_logs::{self, CallLog};
use relay_store::call_transfers::{self, CallTransfer, TransferStatus};
use relay_store::{Conn, StoreError};
use shared::ids::SessionId;
use shared::model::Timestamp;

use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::audit::{self, Act};
use crate::services::charges::{self, Outcome};
use crate::services::policy::Rules;

/// The carrier may have taken this call from us: it was asked, and what it made of that is not known.
pub(in crate::services::calls) async fn is_asked(
    app: &App,
    session: &SessionId,
) -> Result<bool, ServiceError> {
    let session = session.clone();
    let open = app
        .db
        .read::<_, StoreError, _>(move |conn| {
            async move { call_transfers::list_open(conn, &session).await }.boxed()
        })
        .await?;
    Ok(!open.is_empty())
}

/// The carrier has taken the call. Logs its own failure: what is recorded has happened, whatever the disk says.
pub(crate) async fn put_through(app: &App, session: &SessionId) {
    let (now, session) = (app.now(), session.clone());
    let recorded = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move { record_put_through(tx, &session, now).await.map(drop) }.boxed()
        })
        .await;
    if let Err(problem) = recorded {
        events::failed_inside("record a transfer", &problem);
    }
}

/// From here on nobody talks in the call for us. Gives the transfer, the same however often; `None` if there is none
/// or it is over.
pub(super) async fn record_put_through(
    tx: &mut Conn,
    session: &SessionId,
    now: Timestamp,
) -> Result<Option<CallTransfer>, ServiceError> {
    audit::lock(tx).await?;
    // One call's transfers follow one another, so an older one that is open is one that never was.
    let Some(transfer) = call_transfers::list_open(tx, session).await?.pop() else { return Ok(None) };
    let step = (TransferStatus::Asked, TransferStatus::PutThrough);
    if call_transfers::set_status(tx, &transfer.id, step).await? {
        let detail = [("transfer", transfer.id.as_str())];
        audit::append(tx, now, Act("relay", "call.transferred", session.as_str()), &detail).await?;
        call_logs::set_announcement(tx, session, &transfer.announcement).await?;
    }
    Ok(Some(transfer))
}

/// The call is over, and so are its transfers of which the carrier has told no end: what never was put through costs
/// nothing, the rest at the most the time from the asking.
pub(in crate::services::calls) async fn follow(
    tx: &mut Conn,
    rules: &Rules,
    call: &CallLog,
    now: Timestamp,
) -> Result<(), ServiceError> {
    for transfer in call_transfers::list_open(tx, &call.session_id).await? {
        let (status, seconds) = match transfer.status {
            TransferStatus::PutThrough => {
                let lasted = call.ended_at.unwrap_or(now).since(transfer.created_at);
                let seconds = i64::try_from(lasted.as_millis().div_ceil(1_000)).unwrap_or(i64::MAX);
                (TransferStatus::Ended, Some(seconds.min(call.max_duration_seconds)))
            }
            TransferStatus::Asked => (TransferStatus::Failed, None),
            TransferStatus::Ended | TransferStatus::Failed => continue,
        };
        call_transfers::set_status(tx, &transfer.id, (transfer.status, status)).await?;
        charges::settle(tx, rules, (transfer.id.as_str(), outcome(rules, &transfer, seconds)), now).await?;
    }
    Ok(())
}

/// What a transfer has come to cost if the two have talked for so long; `None`: the other telephone was not answered.
pub(super) fn outcome(rules: &Rules, transfer: &CallTransfer, seconds: Option<i64>) -> Outcome {
    match (seconds, transfer.to_address.parse()) {
        (Some(seconds), Ok(number)) => {
            Outcome::Charged { charge: rules.prices.transfer(&number, seconds), quantity: seconds }
        }
        _ => Outcome::Released,
    }
}
