//! Money after the reservation: corrected when the outcome is known, and again when the provider tells its price.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use relay_store::Conn;
use relay_store::usage_counters::{self, Period};
use relay_store::usage_logs::{self, Settlement, UsageKind, UsageLog, UsageStatus};
use shared::model::{Micros, Timestamp};

use super::ServiceError;
use super::policy::{ALL_AGENTS, CURRENCY, Rules, current};
use crate::app::App;
use crate::observability::events;

/// How often providers are asked for the prices that they have not told.
const ASK_EVERY: Duration = Duration::from_secs(600);
/// A price is not known before the provider has done its own accounts.
const ASK_AFTER: Duration = Duration::from_secs(60);
/// After this the estimate stays what was charged.
const GIVE_UP_AFTER: Duration = Duration::from_secs(3 * 86_400);
const AT_ONCE: i64 = 100;

/// What a departure has come to cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It surely was not sent, so nothing is charged.
    Released,
    /// It happened; this is what our table says of it.
    Charged { charge: Micros, quantity: i64 },
    /// The provider's own price.
    Settled { charge: Micros },
}

/// Corrects a reservation and the counters that hold it, in the transaction of what is learned. What has no
/// reservation, such as what came in, is passed over.
pub(crate) async fn settle(
    tx: &mut Conn,
    rules: &Rules,
    (id, outcome): (&str, Outcome),
    now: Timestamp,
) -> Result<(), ServiceError> {
    let Some(row) = usage_logs::find(tx, id).await? else { return Ok(()) };
    let (status, charge, quantity) = match outcome {
        Outcome::Released => (UsageStatus::Released, Micros(0), None),
        Outcome::Charged { charge, quantity } => (UsageStatus::Charged, charge, Some(quantity)),
        Outcome::Settled { charge } => (UsageStatus::Settled, charge, None),
    };
    let step = Settlement { from: row.charge, status, charge, quantity, now };
    if !usage_logs::settle(tx, id, &step).await? {
        return Ok(());
    }
    let delta = Micros(charge.0 - row.charge.0);
    if delta != Micros(0) {
        let own = Period { day_start: row.day_start, month_start: row.month_start };
        usage_counters::adjust(tx, row.agent_id.as_str(), delta, own).await?;
        usage_counters::adjust(tx, ALL_AGENTS, delta, current(rules.own_zone(), row.at)).await?;
    }
    Ok(())
}

/// Asks for the prices that providers tell only later, now and then, until the relay stops.
pub(crate) async fn ask_for_prices(app: App) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(ASK_EVERY) => (),
            () = app.stop.cancelled() => return,
        }
        if let Err(problem) = sweep(&app).await {
            events::failed_inside("settle what was charged", &problem);
        }
    }
}

/// Asks once for each price that is due.
pub(crate) async fn sweep(app: &App) -> Result<(), ServiceError> {
    let before = app.now().minus(ASK_AFTER);
    let mut last = (Timestamp::from_millis(0), String::new());
    loop {
        let after = last.clone();
        let due = app
            .db
            .read::<_, ServiceError, _>(move |conn| {
                let (at, id) = after;
                async move { Ok(usage_logs::list_unsettled(conn, (at, &id), before, AT_ONCE).await?) }.boxed()
            })
            .await?;
        let Some(end) = due.last() else { return Ok(()) };
        last = (end.at, end.id.clone());
        for row in &due {
            ask_for_price(app, row).await?;
        }
    }
}

/// Something has come to its end: its price may be known by now.
pub(crate) fn ended(app: &App, id: &str) {
    let (app, id) = (app.clone(), id.to_owned());
    let tasks = app.tasks.clone();
    tasks.spawn(async move {
        let found = app
            .db
            .read::<_, ServiceError, _>(move |conn| {
                async move { Ok(usage_logs::find(conn, &id).await?) }.boxed()
            })
            .await;
        let settled = match found {
            Ok(Some(row)) => ask_for_price(&app, &row).await,
            Ok(None) => Ok(()),
            Err(problem) => Err(problem),
        };
        if let Err(problem) = settled {
            events::failed_inside("settle what was charged", &problem);
        }
    });
}

async fn ask_for_price(app: &App, row: &UsageLog) -> Result<(), ServiceError> {
    let too_old = app.now().since(row.at) > GIVE_UP_AFTER;
    let price = match row.kind {
        UsageKind::Message => super::outbox::price(app, row).await,
        UsageKind::Call | UsageKind::VoiceMessage => super::calls::price(app, row).await,
        // The leg that a transfer adds has a name that only the carrier knows.
        UsageKind::Transfer => Ok(None),
    };
    let outcome = match price {
        Ok(Some((charge, currency))) if currency.eq_ignore_ascii_case(CURRENCY) => {
            Outcome::Settled { charge }
        }
        // In another currency the estimate is nearer than no conversion.
        Ok(_) | Err(_) if too_old => Outcome::Settled { charge: row.charge },
        Ok(_) => return Ok(()),
        Err(problem) => {
            events::failed_inside("ask for a price", &problem);
            return Ok(());
        }
    };
    let (id, now, rules) = (row.id.clone(), app.now(), Arc::clone(&app.rules));
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let detail = [("what", "price")];
                super::audit::append(tx, now, super::audit::Act("relay", "charge.settled", &id), &detail)
                    .await?;
                settle(tx, &rules, (&id, outcome), now).await
            }
            .boxed()
        })
        .await
}
