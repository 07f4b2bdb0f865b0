//! The `usage_logs` table: one row for every action that counts against the limits, and what it cost. What an
//! action costs is decided by the caller.

use shared::ids::AgentId;
use shared::model::{Channel, Micros, Timestamp};

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result};

/// A row of `usage_logs`.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageLog {
    /// The id of the message or of the call's session.
    pub id: String,
    pub agent_id: AgentId,
    /// The number that `usage_counters` gave to it.
    pub n: i64,
    pub kind: UsageKind,
    pub channel: Channel,
    pub status: UsageStatus,
    /// What it counts as spent: the most that it may cost, until the price is known.
    pub charge: Micros,
    pub currency: String,
    pub country: String,
    /// Segments, seconds or messages, by kind.
    pub quantity: i64,
    pub at: Timestamp,
    /// The periods that the charge was counted in.
    pub day_start: Timestamp,
    pub month_start: Timestamp,
    pub updated_at: Timestamp,
}

from_row!(UsageLog {
    id,
    agent_id,
    n,
    kind,
    channel,
    status,
    charge: "charge_micros",
    currency,
    country,
    quantity,
    at,
    day_start,
    month_start,
    updated_at,
});

text_enum!(
    /// What was done.
    UsageKind { Message = "message", VoiceMessage = "voice-message", Call = "call", Transfer = "transfer" }
);
text_enum!(
    /// How sure the charge is.
    UsageStatus {
        /// It may still not happen at all.
        Reserved = "reserved",
        /// It happened; the price is an estimate.
        Charged = "charged",
        /// The provider has told the price.
        Settled = "settled",
        /// It did not happen. Final.
        Released = "released",
    }
);

/// A better knowledge of a charge.
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    /// What the caller believes to be charged so far. The difference is its to correct in `usage_counters`.
    pub from: Micros,
    pub status: UsageStatus,
    pub charge: Micros,
    /// What is `None` stays as it is.
    pub quantity: Option<i64>,
    pub now: Timestamp,
}

/// What rows that are alike come to.
#[derive(Clone, Debug, PartialEq)]
pub struct UsageSum {
    pub agent_id: AgentId,
    pub channel: Channel,
    pub kind: UsageKind,
    pub count: i64,
    pub charge: Micros,
    pub quantity: i64,
}

from_row!(UsageSum { agent_id, channel, kind, count, charge, quantity });

/// A conflict if the action, or another of the agent's with this number, is there already.
pub async fn insert(conn: &mut Conn, row: &UsageLog) -> Result<()> {
    conn.execute(
        "INSERT INTO usage_logs
           (id, agent_id, n, kind, channel, status, charge_micros, currency, country, quantity, at, day_start,
            month_start, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
        params![
            row.id,
            row.agent_id,
            row.n,
            row.kind,
            row.channel,
            row.status,
            row.charge,
            row.currency,
            row.country,
            row.quantity,
            row.at,
            row.day_start,
            row.month_start,
            row.updated_at,
        ],
    )
    .await
    .map(drop)
}

/// What the message or call with this id was counted as.
pub async fn find(conn: &mut Conn, id: &str) -> Result<Option<UsageLog>> {
    conn.find("SELECT * FROM usage_logs WHERE id = $1", params![id]).await
}

/// When the agent's action with this number was.
pub async fn at_number(conn: &mut Conn, agent_id: &AgentId, n: i64) -> Result<Option<Timestamp>> {
    let sql = "SELECT at FROM usage_logs WHERE agent_id = $1 AND n = $2";
    conn.query_opt(sql, params![agent_id, n]).await?.map(|row| row.get("at")).transpose()
}

/// Takes the better knowledge, if the charge is what the caller believes. What is settled is corrected by nothing
/// less than another price or a release; what was released may turn out to have happened.
pub async fn settle(conn: &mut Conn, id: &str, settlement: &Settlement) -> Result<bool> {
    let sql = "UPDATE usage_logs SET
                 status = $3, charge_micros = $4, quantity = COALESCE($5, quantity), updated_at = $6
               WHERE id = $1 AND charge_micros = $2
               AND NOT (status = 'settled' AND $3 = 'charged') AND NOT (status = 'released' AND $3 = 'released')";
    let settled = conn
        .execute(
            sql,
            params![
                id,
                settlement.from,
                settlement.status,
                settlement.charge,
                settlement.quantity,
                settlement.now,
            ],
        )
        .await?;
    Ok(settled == 1)
}

/// Actions whose price is not known, by time: those that come after the action `after` and before the time `before`.
pub async fn list_unsettled(
    conn: &mut Conn,
    (after, after_id): (Timestamp, &str),
    before: Timestamp,
    limit: i64,
) -> Result<Vec<UsageLog>> {
    let sql = "SELECT * FROM usage_logs
               WHERE status IN ('reserved', 'charged') AND at < $3 AND (at > $1 OR (at = $1 AND id > $2))
               ORDER BY at, id LIMIT $4";
    conn.list(sql, params![after, after_id, before, limit]).await
}

/// What one agent or all have done since then, without what was released.
pub async fn sums(conn: &mut Conn, agent_id: Option<&AgentId>, since: Timestamp) -> Result<Vec<UsageSum>> {
    let sql =
        "SELECT agent_id, channel, kind, COUNT(*) AS count, CAST(SUM(charge_micros) AS BIGINT) AS charge,
                      CAST(SUM(quantity) AS BIGINT) AS quantity
               FROM usage_logs
               WHERE (CAST($1 AS TEXT) IS NULL OR agent_id = $1) AND at >= $2 AND status <> 'released'
               GROUP BY agent_id, channel, kind ORDER BY agent_id, channel, kind";
    conn.list(sql, params![agent_id, since]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    fn other() -> AgentId {
        "other".parse().unwrap()
    }

    fn usage(n: i64) -> UsageLog {
        UsageLog {
            id: format!("m{n}"),
            agent_id: agent(),
            n,
            kind: UsageKind::Message,
            channel: Channel::Sms,
            status: UsageStatus::Reserved,
            charge: Micros(100),
            currency: "USD".to_owned(),
            country: "US".to_owned(),
            quantity: 1,
            at: at(n),
            day_start: at(0),
            month_start: at(-5),
            updated_at: at(n),
        }
    }

    fn settlement(from: i64, status: UsageStatus) -> Settlement {
        Settlement { from: Micros(from), status, charge: Micros(70), quantity: None, now: at(9) }
    }

    async fn insert_all(tx: &mut Conn, rows: &[UsageLog]) -> Result<()> {
        for row in rows {
            insert(tx, row).await?;
        }
        Ok(())
    }

    #[rstest]
    #[tokio::test]
    async fn an_action_is_found_by_its_id_and_by_its_number(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let row = usage(7);
        let expected = (Some(row.clone()), None, [Some(at(7)), None, None]);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &row).await?;
                    Ok((
                        find(tx, "m7").await?,
                        find(tx, "m8").await?,
                        [
                            at_number(tx, &agent(), 7).await?,
                            at_number(tx, &agent(), 8).await?,
                            at_number(tx, &other(), 7).await?,
                        ],
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::same_id(UsageLog { n: 2, ..usage(1) })]
    #[case::same_number(UsageLog { id: "another".to_owned(), ..usage(1) })]
    #[tokio::test]
    async fn an_action_is_counted_once(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] again: UsageLog,
    ) {
        let Some(db) = open(backend).await else { return };
        let taken: Result<()> = db
            .db
            .transaction(move |tx| async move { insert_all(tx, &[usage(1), again]).await }.boxed())
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }

    #[rstest]
    #[case::sent(UsageStatus::Reserved, 100, UsageStatus::Charged, true)]
    #[case::priced_at_once(UsageStatus::Reserved, 100, UsageStatus::Settled, true)]
    #[case::not_sent(UsageStatus::Reserved, 100, UsageStatus::Released, true)]
    #[case::priced(UsageStatus::Charged, 100, UsageStatus::Settled, true)]
    #[case::failed(UsageStatus::Charged, 100, UsageStatus::Released, true)]
    #[case::corrected(UsageStatus::Settled, 100, UsageStatus::Settled, true)]
    #[case::somebody_was_faster(UsageStatus::Reserved, 99, UsageStatus::Charged, false)]
    #[case::unsettled(UsageStatus::Settled, 100, UsageStatus::Charged, false)]
    #[case::released_after_all(UsageStatus::Settled, 100, UsageStatus::Released, true)]
    #[case::it_happened_after_all(UsageStatus::Released, 100, UsageStatus::Charged, true)]
    #[case::priced_after_all(UsageStatus::Released, 100, UsageStatus::Settled, true)]
    #[case::released_again(UsageStatus::Released, 100, UsageStatus::Released, false)]
    #[tokio::test]
    async fn a_charge_is_settled_from_where_it_may_be(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] before: UsageStatus,
        #[case] from: i64,
        #[case] status: UsageStatus,
        #[case] settles: bool,
    ) {
        let Some(db) = open(backend).await else { return };
        let stored = UsageLog { status: before, ..usage(1) };
        let settled = UsageLog { status, charge: Micros(70), updated_at: at(9), ..stored.clone() };
        let expected = (settles, Some(if settles { settled } else { stored.clone() }));
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &stored).await?;
                    let settles = settle(tx, "m1", &settlement(from, status)).await?;
                    Ok((settles, find(tx, "m1").await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_settlement_may_tell_another_quantity(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let step = Settlement { quantity: Some(3), ..settlement(100, UsageStatus::Settled) };
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &usage(1)).await?;
                    settle(tx, "m1", &step).await?;
                    Ok(find(tx, "m1").await?.map(|row| row.quantity))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, Some(3));
    }

    #[rstest]
    #[tokio::test]
    async fn what_has_no_price_yet_is_listed_oldest_first(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [
            usage(1),
            UsageLog { status: UsageStatus::Settled, ..usage(2) },
            UsageLog { status: UsageStatus::Released, ..usage(3) },
            UsageLog { status: UsageStatus::Charged, ..usage(4) },
            usage(5),
        ];
        let (first, second) = (rows[0].clone(), rows[3].clone());
        let expected = (vec![first.clone(), second.clone()], vec![first.clone()], vec![second]);
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    let start = (at(0), "");
                    Ok((
                        list_unsettled(tx, start, at(5), 9).await?,
                        list_unsettled(tx, start, at(5), 1).await?,
                        list_unsettled(tx, (first.at, &first.id), at(5), 9).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn sums_leave_out_what_was_released(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [
            usage(1),
            usage(2),
            UsageLog { quantity: 2, status: UsageStatus::Settled, ..usage(3) },
            UsageLog { status: UsageStatus::Released, ..usage(4) },
            UsageLog { kind: UsageKind::Call, channel: Channel::Voice, quantity: 60, ..usage(5) },
            UsageLog { id: "other".to_owned(), agent_id: other(), ..usage(6) },
        ];
        let sum = |agent_id, channel, kind, (count, charge, quantity)| UsageSum {
            agent_id,
            channel,
            kind,
            count,
            charge: Micros(charge),
            quantity,
        };
        let texts = sum(agent(), Channel::Sms, UsageKind::Message, (2, 200, 3));
        let call = sum(agent(), Channel::Voice, UsageKind::Call, (1, 100, 60));
        let others = sum(other(), Channel::Sms, UsageKind::Message, (1, 100, 1));
        let expected = (vec![texts.clone(), call.clone()], vec![texts, call, others], vec![]);
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    Ok((
                        sums(tx, Some(&agent()), at(2)).await?,
                        sums(tx, None, at(2)).await?,
                        sums(tx, Some(&agent()), at(9)).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
