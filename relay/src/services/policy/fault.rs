//! A fault on purpose, for the test of several relays on one database: a cap is held against what this relay saw when
//! it last took something, and what is taken then is held against nothing. Called by `reserve` in a build with the
//! feature, which must never be shipped.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use relay_store::Conn;
use relay_store::usage_counters::{self, Caps};
use shared::ids::AgentId;
use shared::model::Micros;

use super::{Departure, Rules};
use crate::services::ServiceError;

#[cfg(not(debug_assertions))]
compile_error!("fault-check-before-take lets agents spend more than they may: it is for a test only");

/// What each agent had spent in the month after this relay's last taking for it.
static SEEN: Mutex<BTreeMap<AgentId, i64>> = Mutex::new(BTreeMap::new());

/// No caps, if there was room by what was seen; else those that were given.
pub(super) async fn loosened(tx: &mut Conn, departure: &Departure, caps: Caps) -> Result<Caps, ServiceError> {
    let Departure { agent, charge: Micros(charge), .. } = departure;
    let seen = || SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let spent = seen().get(agent).copied().unwrap_or(0);
    if spent + charge > caps.spend_per_month.0 {
        return Ok(caps);
    }
    let counters = usage_counters::find(tx, agent.as_str()).await?;
    let spent = counters.map_or(0, |counters| counters.month_spent.0);
    seen().insert(agent.clone(), spent + charge);
    Ok(Rules::no_caps())
}
