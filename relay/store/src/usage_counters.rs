//! The `usage_counters` table: how much an agent has done and spent in its periods. Whether an action fits its
//! caps is asked and noted in one statement, so that no two callers ever get the same last place.

use shared::model::{Micros, Timestamp};

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `usage_counters`. Amounts include what is reserved for actions whose price is not known yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Counters {
    /// An agent's id, or `*` for the whole relay.
    pub agent_id: String,
    /// All actions ever.
    pub total: i64,
    pub last_at: Timestamp,
    pub day_start: Timestamp,
    pub day_actions: i64,
    pub day_spent: Micros,
    pub month_start: Timestamp,
    pub month_spent: Micros,
}

from_row!(Counters { agent_id, total, last_at, day_start, day_actions, day_spent, month_start, month_spent });

/// What must not be exceeded. `i64::MAX`: no cap.
#[derive(Clone, Debug, PartialEq)]
pub struct Caps {
    /// In any 60 seconds. It and the next look at `usage_logs`, which has no rows for the whole relay.
    pub per_minute: i64,
    /// In any 60 minutes.
    pub per_hour: i64,
    pub per_day: i64,
    pub spend_per_day: Micros,
    pub spend_per_month: Micros,
}

/// The day and the month that an action falls into, by their starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub day_start: Timestamp,
    pub month_start: Timestamp,
}

/// An action that is about to happen.
#[derive(Clone, Debug, PartialEq)]
pub struct Take<'a> {
    /// An agent's id, or `*` for the whole relay.
    pub key: &'a str,
    /// The most that it may cost.
    pub charge: Micros,
    pub caps: &'a Caps,
    pub period: Period,
    pub now: Timestamp,
}

/// Counts the action and gives its number, or `None` if a cap forbids it. The caller inserts the row of
/// `usage_logs` with that number in the same transaction.
///
/// The caller has appended to the audit log before, in this transaction. On Postgres that makes takers follow one
/// another, and under READ COMMITTED the statement here then sees all that the one before has committed.
pub async fn take(conn: &mut Conn, take: &Take<'_>) -> Result<Option<i64>> {
    if let Some(number) = try_take(conn, take).await? {
        return Ok(Some(number));
    }
    let sql = "INSERT INTO usage_counters
                 (agent_id, total, last_at, day_start, day_actions, day_spent, month_start, month_spent)
               VALUES ($1, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT (agent_id) DO NOTHING";
    let is_first = conn.execute(sql, params![take.key]).await? == 1;
    if is_first { try_take(conn, take).await } else { Ok(None) }
}

/// A period starts anew only when a later one comes: a clock that goes back resets nothing. The hundredth action
/// of a cap of 100 fits if the one 100 before it, found by its number, is out of the window.
async fn try_take(conn: &mut Conn, take: &Take<'_>) -> Result<Option<i64>> {
    let number = conn
        .query_opt(
            "UPDATE usage_counters SET
               total = total + 1,
               last_at = CASE WHEN last_at < $2 THEN $2 ELSE last_at END,
               day_start = CASE WHEN day_start < $3 THEN $3 ELSE day_start END,
               day_actions = CASE WHEN day_start < $3 THEN 0 ELSE day_actions END + 1,
               day_spent = CASE WHEN day_start < $3 THEN 0 ELSE day_spent END + $5,
               month_start = CASE WHEN month_start < $4 THEN $4 ELSE month_start END,
               month_spent = CASE WHEN month_start < $4 THEN 0 ELSE month_spent END + $5
             WHERE agent_id = $1
               AND CASE WHEN day_start < $3 THEN 0 ELSE day_actions END < $8
               AND CASE WHEN day_start < $3 THEN 0 ELSE day_spent END + CAST($5 AS BIGINT) <= $9
               AND CASE WHEN month_start < $4 THEN 0 ELSE month_spent END + CAST($5 AS BIGINT) <= $10
               AND CAST($6 AS BIGINT) > 0 AND NOT EXISTS (
                 SELECT 1 FROM usage_logs u WHERE u.agent_id = $1 AND u.n = usage_counters.total + 1 - $6
                 AND u.at > CAST($2 AS BIGINT) - 60000)
               AND CAST($7 AS BIGINT) > 0 AND NOT EXISTS (
                 SELECT 1 FROM usage_logs u WHERE u.agent_id = $1 AND u.n = usage_counters.total + 1 - $7
                 AND u.at > CAST($2 AS BIGINT) - 3600000)
             RETURNING total",
            params![
                take.key,
                take.now,
                take.period.day_start,
                take.period.month_start,
                take.charge,
                take.caps.per_minute,
                take.caps.per_hour,
                take.caps.per_day,
                take.caps.spend_per_day,
                take.caps.spend_per_month,
            ],
        )
        .await?;
    number.map(|row| row.get("total")).transpose()
}

/// Corrects what was spent in the periods that an earlier action fell into, so far as they still run.
pub async fn adjust(conn: &mut Conn, key: &str, delta: Micros, period: Period) -> Result<()> {
    let sql = "UPDATE usage_counters SET
                 day_spent = CASE WHEN day_start = $3 THEN day_spent + $2 ELSE day_spent END,
                 month_spent = CASE WHEN month_start = $4 THEN month_spent + $2 ELSE month_spent END
               WHERE agent_id = $1";
    conn.execute(sql, params![key, delta, period.day_start, period.month_start]).await.map(drop)
}

/// What was counted, as of the last action: its periods may be over.
pub async fn find(conn: &mut Conn, key: &str) -> Result<Option<Counters>> {
    conn.find("SELECT * FROM usage_counters WHERE agent_id = $1", params![key]).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt;
    use rstest::rstest;
    use shared::model::Channel;
    use tokio::sync::Barrier;
    use tokio::task::JoinSet;

    use super::*;
    use crate::testing::{TestDatabase, agent, at, open};
    use crate::usage_logs::{self, UsageKind, UsageLog, UsageStatus};
    use crate::{Backend, Database, StoreError, audit_log};

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;

    fn no_caps() -> Caps {
        Caps {
            per_minute: i64::MAX,
            per_hour: i64::MAX,
            per_day: i64::MAX,
            spend_per_day: Micros(i64::MAX),
            spend_per_month: Micros(i64::MAX),
        }
    }

    /// Days of UTC, and months of thirty of them.
    fn period(now: i64) -> Period {
        Period { day_start: at(now - now % DAY), month_start: at(now - now % (30 * DAY)) }
    }

    fn taking(caps: &Caps, now: i64, charge: i64) -> Take<'_> {
        Take { key: "default", charge: Micros(charge), caps, period: period(now), now: at(now) }
    }

    /// What a caller does: counts the action and inserts its row.
    async fn act(tx: &mut Conn, action: &Take<'_>) -> Result<Option<i64>> {
        let number = take(tx, action).await?;
        if let Some(n) = number {
            let row = UsageLog {
                id: format!("{n}"),
                agent_id: agent(),
                n,
                kind: UsageKind::Message,
                channel: Channel::Sms,
                status: UsageStatus::Reserved,
                charge: action.charge,
                currency: "USD".to_owned(),
                country: "US".to_owned(),
                quantity: 1,
                at: action.now,
                day_start: action.period.day_start,
                month_start: action.period.month_start,
                updated_at: action.now,
            };
            usage_logs::insert(tx, &row).await?;
        }
        Ok(number)
    }

    /// Actions by the moment and the charge, and the number that each gets.
    type Actions = &'static [(i64, i64, Option<i64>)];

    #[rstest]
    #[case::no_cap(no_caps(), &[(0, i64::MAX, Some(1))])]
    #[case::in_any_minute(
        Caps { per_minute: 2, ..no_caps() },
        &[
            (0, 0, Some(1)),
            (30_000, 0, Some(2)),
            (MINUTE - 1, 0, None),
            (MINUTE, 0, Some(3)),
            (MINUTE + 29_999, 0, None),
            (MINUTE + 30_000, 0, Some(4)),
        ]
    )]
    #[case::in_any_hour(
        Caps { per_hour: 2, ..no_caps() },
        &[
            (0, 0, Some(1)),
            (30 * MINUTE, 0, Some(2)),
            (HOUR - 1, 0, None),
            (HOUR, 0, Some(3)),
            (HOUR + 30 * MINUTE - 1, 0, None),
            (HOUR + 30 * MINUTE, 0, Some(4)),
        ]
    )]
    #[case::in_a_day(
        Caps { per_day: 2, ..no_caps() },
        &[(5, 0, Some(1)), (6, 0, Some(2)), (DAY - 1, 0, None), (DAY, 0, Some(3)), (DAY, 0, Some(4)), (DAY, 0, None)]
    )]
    #[case::money_in_a_day(
        Caps { spend_per_day: Micros(10), ..no_caps() },
        &[
            (5, 11, None),
            (5, 6, Some(1)),
            (6, 5, None),
            (6, 4, Some(2)),
            (DAY - 1, 1, None),
            (DAY - 1, 0, Some(3)),
            (DAY, 10, Some(4)),
        ]
    )]
    #[case::money_in_a_month(
        Caps { spend_per_month: Micros(10), ..no_caps() },
        &[(5, 6, Some(1)), (DAY, 5, None), (2 * DAY, 4, Some(2)), (29 * DAY, 1, None), (30 * DAY, 10, Some(3))]
    )]
    #[case::none_in_a_minute(Caps { per_minute: 0, ..no_caps() }, &[(5, 0, None), (HOUR, 0, None)])]
    #[case::none_in_an_hour(Caps { per_hour: 0, ..no_caps() }, &[(5, 0, None), (HOUR, 0, None)])]
    #[case::none_in_a_day(Caps { per_day: 0, ..no_caps() }, &[(5, 0, None), (DAY, 0, None)])]
    #[case::only_what_is_free(Caps { spend_per_day: Micros(0), ..no_caps() }, &[(5, 1, None), (5, 0, Some(1))])]
    #[case::a_clock_that_goes_back_starts_no_day(
        Caps { per_day: 1, ..no_caps() },
        &[(DAY, 0, Some(1)), (0, 0, None), (DAY, 0, None), (2 * DAY, 0, Some(2))]
    )]
    #[case::a_clock_that_goes_back_starts_no_month(
        Caps { spend_per_month: Micros(1), ..no_caps() },
        &[(30 * DAY, 1, Some(1)), (0, 1, None), (60 * DAY, 1, Some(2))]
    )]
    #[case::a_clock_that_goes_back_empties_no_window(
        Caps { per_minute: 1, ..no_caps() },
        &[(DAY, 0, Some(1)), (0, 0, None)]
    )]
    #[tokio::test]
    async fn an_action_is_counted_if_every_cap_has_room(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] caps: Caps,
        #[case] actions: Actions,
    ) {
        let Some(db) = open(backend).await else { return };
        let expected: Vec<_> = actions.iter().map(|(_, _, number)| *number).collect();
        let numbers = db
            .run(move |tx| {
                async move {
                    let mut numbers = vec![];
                    for (now, charge, _) in actions {
                        numbers.push(act(tx, &taking(&caps, *now, *charge)).await?);
                    }
                    Ok(numbers)
                }
                .boxed()
            })
            .await;
        assert_eq!(numbers, expected);
    }

    /// The counters of the default agent.
    fn counters(total: i64, last_at: i64, day: (i64, i64, i64), month: (i64, i64)) -> Counters {
        Counters {
            agent_id: "default".to_owned(),
            total,
            last_at: at(last_at),
            day_start: at(day.0),
            day_actions: day.1,
            day_spent: Micros(day.2),
            month_start: at(month.0),
            month_spent: Micros(month.1),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn counters_tell_what_was_done_and_spent_in_the_last_periods(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let caps = no_caps();
                    let mut found = vec![find(tx, "default").await?];
                    for (now, charge) in [(5, 1), (7, 2), (6, 4), (DAY + 1, 8), (30 * DAY, 16)] {
                        take(tx, &taking(&caps, now, charge)).await?;
                        found.push(find(tx, "default").await?);
                    }
                    Ok(found)
                }
                .boxed()
            })
            .await;
        let expected = [
            None,
            Some(counters(1, 5, (0, 1, 1), (0, 1))),
            Some(counters(2, 7, (0, 2, 3), (0, 3))),
            Some(counters(3, 7, (0, 3, 7), (0, 7))),
            Some(counters(4, DAY + 1, (DAY, 1, 8), (0, 15))),
            Some(counters(5, 30 * DAY, (30 * DAY, 1, 16), (30 * DAY, 16))),
        ];
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_refused_action_counts_for_nothing(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let caps = Caps { per_day: 1, ..no_caps() };
                    act(tx, &taking(&caps, 5, 1)).await?;
                    let before = find(tx, "default").await?;
                    let refused = act(tx, &taking(&caps, 6, 1)).await?;
                    Ok((refused, before == find(tx, "default").await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (None, true));
    }

    #[rstest]
    #[tokio::test]
    async fn the_whole_relay_and_each_agent_are_counted_apart(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move {
                    let caps = Caps { per_day: 1, ..no_caps() };
                    let whole = Take { key: "*", ..taking(&caps, 5, 3) };
                    let numbers = [
                        take(tx, &taking(&caps, 5, 1)).await?,
                        take(tx, &whole).await?,
                        take(tx, &whole).await?,
                    ];
                    let spent = find(tx, "*").await?.map(|counters| counters.month_spent);
                    Ok((numbers, spent))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, ([Some(1), Some(1), None], Some(Micros(3))));
    }

    #[rstest]
    #[case::today(DAY, 70, 70)]
    #[case::earlier_this_month(0, 100, 70)]
    #[case::last_month(-DAY, 100, 100)]
    #[tokio::test]
    async fn a_correction_counts_in_the_periods_that_still_run(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] of: i64,
        #[case] day_spent: i64,
        #[case] month_spent: i64,
    ) {
        let Some(db) = open(backend).await else { return };
        let month_start = at(if of < 0 { -30 * DAY } else { 0 });
        let found = db
            .run(move |tx| {
                async move {
                    take(tx, &taking(&no_caps(), DAY, 100)).await?;
                    adjust(tx, "default", Micros(-30), Period { day_start: at(of), month_start }).await?;
                    Ok(find(tx, "default").await?.map(|found| (found.day_spent, found.month_spent)))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, Some((Micros(day_spent), Micros(month_spent))));
    }

    fn link(seq: i64, prev_hash: &str, entry: &str) -> String {
        format!("{seq}:{entry}:{prev_hash:.8}")
    }

    async fn take_carefully(db: Database, caps: Caps) -> Result<bool> {
        db.transaction(move |tx| {
            async move {
                audit_log::append(tx, at(5), "an action", link).await?;
                Ok(act(tx, &taking(&caps, 5, 10)).await?.is_some())
            }
            .boxed()
        })
        .await
    }

    /// Looks in one transaction, after which everybody else looks too, and counts in the next.
    async fn take_carelessly(db: Database, cap: i64, all_have_looked: Arc<Barrier>) -> Result<bool> {
        let seen: Option<Counters> =
            db.read::<_, StoreError, _>(|tx| async move { find(tx, "default").await }.boxed()).await?;
        all_have_looked.wait().await;
        if seen.is_some_and(|seen| seen.day_actions >= cap) {
            Ok(false)
        } else {
            take_carefully(db, no_caps()).await
        }
    }

    /// Lets 64 race, half of them on another relay with the same database, and gives how many got through.
    async fn race<F>(db: &TestDatabase, taker: impl Fn(Database) -> F) -> usize
    where
        F: Future<Output = Result<bool>> + Send + 'static,
    {
        let other = db.open_again().await.unwrap();
        let handles = [&db.db, &other].into_iter().cycle().take(64);
        let tasks: JoinSet<_> = handles.map(|db| taker(db.clone())).collect();
        let taken: Vec<bool> = tasks.join_all().await.into_iter().collect::<Result<_>>().unwrap();
        taken.into_iter().filter(|taken| *taken).count()
    }

    #[rstest]
    #[case::a_minute(Caps { per_minute: 10, ..no_caps() }, 10)]
    #[case::an_hour(Caps { per_hour: 10, ..no_caps() }, 10)]
    #[case::a_day(Caps { per_day: 10, ..no_caps() }, 10)]
    #[case::money_for_three(Caps { spend_per_day: Micros(39), ..no_caps() }, 3)]
    #[case::a_month_s_money_for_three(Caps { spend_per_month: Micros(30), ..no_caps() }, 3)]
    #[tokio::test(flavor = "multi_thread")]
    async fn as_many_get_through_as_there_is_room_for(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] caps: Caps,
        #[case] room: usize,
    ) {
        let Some(db) = open(backend).await else { return };
        assert_eq!(race(&db, |db| take_carefully(db, caps.clone())).await, room);
    }

    /// Without it, nobody would know that the race above can be lost.
    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn more_get_through_where_looking_and_counting_are_two_steps(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let all_have_looked = Arc::new(Barrier::new(64));
        let taken = race(&db, |db| take_carelessly(db, 10, Arc::clone(&all_have_looked))).await;
        assert_eq!(taken, 64);
    }
}
