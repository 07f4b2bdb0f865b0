//! What the rules cost: a message recorded and synced, with and without what is read, counted and reserved for it in
//! the same transaction.

use std::time::{Duration, Instant};

use anyhow::Result;
use relay_core::audit::link;
use relay_store::messages::Message;
use relay_store::{
    BoxFuture, Conn, Database, FutureExt, StoreError, agents, audit_log, messages, usage_counters, usage_logs,
};
use shared::ids::{AgentId, MessageId};
use shared::model::{Channel, Direction, MessageKind, MessageStatus, Standing, Timestamp};
use tests::process::Home;

use super::{ALL_AGENTS, CAPS, CHARGE, at, database, reservation, take};
use crate::audit::ENTRY;
use crate::report::{Figure, figure};
use crate::sample::Samples;

const MESSAGES: i64 = 2_000;

pub(super) async fn measure() -> Result<()> {
    let home = Home::temp();
    let db = database(&home).await?;
    let (mut with, mut without) = (Samples::default(), Samples::default());
    for number in 0..MESSAGES {
        without.push(timed(&db, move |tx| record(tx, number).boxed()).await?);
        with.push(timed(&db, move |tx| admit_and_record(tx, number).boxed()).await?);
    }
    db.close().await;
    let (with, without) = (with.micros(0.5), without.micros(0.5));
    figure(&Figure {
        name: "message recorded with its reservation, p50",
        unit: "us",
        product: with,
        bare: Some(without),
        aim: "bare: the message alone",
    });
    figure(&Figure {
        name: "the rules and the reservation of a message",
        unit: "us",
        product: with - without,
        bare: None,
        aim: "<= 300",
    });
    Ok(())
}

/// How long a transaction takes until it is synced.
async fn timed(
    db: &Database,
    work: impl for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, relay_store::Result<()>> + Send + 'static,
) -> Result<Duration> {
    let start = Instant::now();
    db.transaction(work).await?;
    Ok(start.elapsed())
}

async fn record(tx: &mut Conn, number: i64) -> relay_store::Result<()> {
    let seq = audit_log::append(tx, at(number), ENTRY, link).await?;
    messages::insert(tx, &message(seq, at(number))).await
}

/// The same, in the order in which a relay does it.
async fn admit_and_record(tx: &mut Conn, number: i64) -> relay_store::Result<()> {
    let seq = audit_log::append(tx, at(number), ENTRY, link).await?;
    admit(tx, number).await?;
    messages::insert(tx, &message(seq, at(number))).await
}

async fn admit(tx: &mut Conn, number: i64) -> relay_store::Result<()> {
    let agent = AgentId::default_agent();
    agents::find_terms(tx, &agent).await?.ok_or(StoreError::Misuse("the agent is there"))?;
    let own = usage_counters::take(tx, &take(agent.as_str(), &CAPS, number)).await?;
    let all = usage_counters::take(tx, &take(ALL_AGENTS, &CAPS, number)).await?;
    let n = own.filter(|_| all.is_some()).ok_or(StoreError::Misuse("no cap is reached"))?;
    usage_logs::insert(tx, &usage_logs::UsageLog { n, ..reservation(number) }).await
}

fn message(seq: i64, now: Timestamp) -> Message {
    Message {
        id: MessageId::generate(),
        seq,
        agent_id: AgentId::default_agent(),
        kind: MessageKind::Message,
        channel: Channel::Sms,
        direction: Direction::Outbound,
        from_address: "+12025550100".to_owned(),
        to_address: "+14155550123".to_owned(),
        contact_address: "+14155550123".to_owned(),
        contact_name: None,
        standing: Standing::Known,
        subject: None,
        body: "Thursday at three it is. See you then!".to_owned(),
        media: Vec::new(),
        call_sid: None,
        status: MessageStatus::Sending,
        external_id: None,
        error_code: None,
        attempt: 0,
        lease_id: None,
        lease_until: Timestamp::from_millis(0),
        read_at: Some(now),
        removed_characters: 0,
        segments: Some(1),
        cost_micros: Some(CHARGE),
        currency: Some("USD".to_owned()),
        idempotency_key: None,
        request_hash: None,
        created_at: now,
        updated_at: now,
    }
}
