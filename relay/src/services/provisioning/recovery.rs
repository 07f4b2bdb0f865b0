//! What a failure or a dead process left half done, brought to its end.

use std::time::Duration;

use futures_util::FutureExt;
use relay_store::agent_pool::PoolStatus;
use relay_store::number_purchases::{self, NumberPurchase, PurchaseStatus};
use relay_store::{Conn, agent_pool, agents, whatsapp_pool};
use shared::ids::PurchaseId;
use shared::model::Timestamp;

use super::purchasing::{Purchasing, free_place};
use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::agents::SIMULATED;
use crate::services::audit::{self, Act};

/// When the provider is asked again; after the last, it is asked at that pace for as long as it takes.
const ASK_AFTER: [Duration; 4] =
    [Duration::from_secs(2), Duration::from_secs(15), Duration::from_secs(60), Duration::from_secs(600)];

/// At the start of the relay, before anything new can be set up.
pub(crate) async fn recover(app: &App) -> Result<(), ServiceError> {
    let now = app.now();
    let unsettled = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                free_places(tx, now).await?;
                Ok(number_purchases::list_by_status(tx, PurchaseStatus::Intended).await?)
            }
            .boxed()
        })
        .await?;
    let provider = app.providers().telephony_name;
    let is_ours = |purchase: &NumberPurchase| [provider, SIMULATED].contains(&purchase.provider.as_str());
    for purchase in unsettled.into_iter().filter(is_ours) {
        app.tasks.spawn(settle_in_the_end(app.clone(), purchase.id, Duration::ZERO));
    }
    Ok(())
}

/// Goes on trying to settle a purchase that nobody wants any more.
pub(super) fn settle_later(app: &App, id: &PurchaseId) {
    app.tasks.spawn(settle_in_the_end(app.clone(), id.clone(), ASK_AFTER[0]));
}

async fn free_places(tx: &mut Conn, now: Timestamp) -> Result<(), ServiceError> {
    for place in agent_pool::list(tx).await? {
        let agent = &place.agent_id;
        match place.status {
            PoolStatus::Reserved if agents::find(tx, agent).await?.is_none() => {
                audit::append(tx, now, Act("relay", "agent.provisioning_failed", agent.as_str()), &[])
                    .await?;
                agent_pool::remove(tx, agent).await?;
                whatsapp_pool::give_back(tx, agent).await?;
            }
            PoolStatus::Releasing => free_place(tx, agent).await?,
            PoolStatus::Reserved | PoolStatus::Active => (),
        }
    }
    Ok(())
}

async fn settle_in_the_end(app: App, id: PurchaseId, first: Duration) {
    let [.., last] = ASK_AFTER;
    let pauses = ASK_AFTER.into_iter().skip_while(|pause| *pause <= first);
    for pause in std::iter::once(first).chain(pauses).chain(std::iter::repeat(last)) {
        tokio::select! {
            () = tokio::time::sleep(pause) => (),
            () = app.stop.cancelled() => return,
        }
        match Purchasing::of(&app).settle(&id).await {
            Ok(true) => return,
            Ok(false) => (),
            Err(problem) => events::answered_with_failure("settle a purchase", &problem),
        }
        events::purchase_unsettled(&id);
    }
}
