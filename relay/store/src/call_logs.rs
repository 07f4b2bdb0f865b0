//! The `call_logs` table: one row a call, from before the provider has named it. Which status may follow which
//! is decided by the caller.

use shared::ids::{AgentId, CallSid, MessageId, SessionId};
use shared::model::{CallStatus, Direction, Responder, Timestamp};

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `call_logs`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallLog {
    pub session_id: SessionId,
    pub agent_id: AgentId,
    pub call_sid: Option<CallSid>,
    pub direction: Direction,
    pub from_address: String,
    pub to_address: String,
    pub status: CallStatus,
    pub responder: Responder,
    pub greeting: Option<String>,
    pub system_prompt: Option<String>,
    pub voice: Option<String>,
    pub language: Option<String>,
    pub max_duration_seconds: i64,
    pub idempotency_key: Option<String>,
    pub request_hash: Option<String>,
    pub error_code: Option<String>,
    /// The carrier's last SequenceNumber; -1 before the first.
    pub sequence: i64,
    pub created_at: Timestamp,
    pub answered_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub duration_seconds: Option<i64>,
    /// All that is said, in a call that only delivers a text. Of a call without such a text: it was put through to
    /// another telephone, with this announcement, which may be empty.
    pub say: Option<String>,
    /// The message that the call delivers.
    pub message_id: Option<MessageId>,
}

from_row!(CallLog {
    session_id,
    agent_id,
    call_sid,
    direction,
    from_address,
    to_address,
    status,
    responder,
    greeting,
    system_prompt,
    voice,
    language,
    max_duration_seconds,
    idempotency_key,
    request_hash,
    error_code,
    sequence,
    created_at,
    answered_at,
    ended_at,
    duration_seconds,
    say,
    message_id,
});

/// The calls of one agent in one direction, and how long they took in all.
#[derive(Clone, Debug, PartialEq)]
pub struct CallCount {
    pub agent_id: AgentId,
    pub direction: Direction,
    pub n: i64,
    pub seconds: i64,
}

from_row!(CallCount { agent_id, direction, n, seconds });

/// A step of a call. What is `None` stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct CallStatusChange<'a> {
    /// The statuses from which the step is allowed.
    pub from: &'a [CallStatus],
    pub to: CallStatus,
    pub sequence: Option<i64>,
    pub duration_seconds: Option<i64>,
    pub error_code: Option<String>,
    pub now: Timestamp,
}

/// A conflict if the call, its provider's name or the agent's idempotency key is there already.
pub async fn insert(conn: &mut Conn, call: &CallLog) -> Result<()> {
    conn.execute(
        "INSERT INTO call_logs
           (session_id, agent_id, call_sid, direction, from_address, to_address, status, responder, greeting,
            system_prompt, voice, language, max_duration_seconds, idempotency_key, request_hash, error_code,
            sequence, created_at, answered_at, ended_at, duration_seconds, say, message_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
            $22, $23)",
        params![
            call.session_id,
            call.agent_id,
            call.call_sid,
            call.direction,
            call.from_address,
            call.to_address,
            call.status,
            call.responder,
            call.greeting,
            call.system_prompt,
            call.voice,
            call.language,
            call.max_duration_seconds,
            call.idempotency_key,
            call.request_hash,
            call.error_code,
            call.sequence,
            call.created_at,
            call.answered_at,
            call.ended_at,
            call.duration_seconds,
            call.say,
            call.message_id,
        ],
    )
    .await
    .map(drop)
}

/// The call with our own name for it.
pub async fn find(conn: &mut Conn, session_id: &SessionId) -> Result<Option<CallLog>> {
    conn.find("SELECT * FROM call_logs WHERE session_id = $1", params![session_id]).await
}

/// The call with the provider's name for it.
pub async fn find_by_sid(conn: &mut Conn, call_sid: &CallSid) -> Result<Option<CallLog>> {
    conn.find("SELECT * FROM call_logs WHERE call_sid = $1", params![call_sid]).await
}

/// The call that the agent asked for with this key.
pub async fn find_by_idempotency_key(
    conn: &mut Conn,
    agent_id: &AgentId,
    key: &str,
) -> Result<Option<CallLog>> {
    let sql = "SELECT * FROM call_logs WHERE agent_id = $1 AND idempotency_key = $2";
    conn.find(sql, params![agent_id, key]).await
}

/// Notes the provider's name for the call. `None` if it has one, or if there is no such call.
pub async fn set_call_sid(
    conn: &mut Conn,
    session_id: &SessionId,
    call_sid: &CallSid,
    status: CallStatus,
) -> Result<Option<CallLog>> {
    let sql = "UPDATE call_logs SET call_sid = $2, status = $3
               WHERE session_id = $1 AND call_sid IS NULL RETURNING *";
    conn.find(sql, params![session_id, call_sid, status]).await
}

/// Takes the step if the call stands where the step is allowed, and gives the row after it.
pub async fn set_status(
    conn: &mut Conn,
    session_id: &SessionId,
    change: &CallStatusChange<'_>,
) -> Result<Option<CallLog>> {
    let from = change.from.iter().map(|status| format!(",{status},")).collect::<String>();
    let answered_at = (change.to == CallStatus::InProgress).then_some(change.now);
    let ended_at = change.to.is_final().then_some(change.now);
    conn.find(
        "UPDATE call_logs SET
           status = $3,
           sequence = COALESCE($4, sequence),
           duration_seconds = COALESCE($5, duration_seconds),
           error_code = COALESCE($6, error_code),
           answered_at = COALESCE(answered_at, $7),
           ended_at = COALESCE(ended_at, $8)
         WHERE session_id = $1 AND $2 LIKE '%,' || status || ',%'
         RETURNING *",
        params![
            session_id,
            from,
            change.to,
            change.sequence,
            change.duration_seconds,
            change.error_code,
            answered_at,
            ended_at,
        ],
    )
    .await
}

/// Notes that the call is put through to another telephone, and what is announced. Gives false if the call is over,
/// or delivers a message.
pub async fn set_announcement(conn: &mut Conn, session_id: &SessionId, announcement: &str) -> Result<bool> {
    let sql = "UPDATE call_logs SET say = $2 WHERE session_id = $1 AND message_id IS NULL
               AND status IN ('queued', 'ringing', 'in-progress')";
    Ok(conn.execute(sql, params![session_id, announcement]).await? == 1)
}

/// The calls that have not ended, oldest first.
pub async fn list_unfinished(conn: &mut Conn) -> Result<Vec<CallLog>> {
    let sql = "SELECT * FROM call_logs WHERE status IN ('queued', 'ringing', 'in-progress')
               ORDER BY created_at, session_id";
    conn.list(sql, &[]).await
}

/// The agent's, newest first.
pub async fn list_recent(conn: &mut Conn, agent_id: &AgentId, limit: i64) -> Result<Vec<CallLog>> {
    let sql =
        "SELECT * FROM call_logs WHERE agent_id = $1 ORDER BY created_at DESC, session_id DESC LIMIT $2";
    conn.list(sql, params![agent_id, limit]).await
}

/// How often the agent has called this number since then, or has put a call through to it; failed attempts are not
/// counted.
pub async fn count_to_number(conn: &mut Conn, agent_id: &AgentId, to: &str, since: Timestamp) -> Result<i64> {
    let sql = "SELECT (SELECT COUNT(*) FROM call_logs
                 WHERE agent_id = $1 AND to_address = $2 AND created_at >= $3
                 AND direction = 'outbound' AND status <> 'failed')
               + (SELECT COUNT(*) FROM call_transfers
                 WHERE agent_id = $1 AND to_address = $2 AND created_at >= $3 AND status <> 'failed') AS n";
    conn.number(sql, params![agent_id, to, since]).await
}

/// The same for the number for which it is most.
pub async fn most_to_one_number(conn: &mut Conn, agent_id: &AgentId, since: Timestamp) -> Result<i64> {
    let sql = "SELECT COALESCE(MAX(calls), 0) AS n FROM (
                 SELECT COUNT(*) AS calls FROM (
                   SELECT to_address FROM call_logs
                   WHERE agent_id = $1 AND created_at >= $2 AND direction = 'outbound' AND status <> 'failed'
                   UNION ALL
                   SELECT to_address FROM call_transfers
                   WHERE agent_id = $1 AND created_at >= $2 AND status <> 'failed') AS attempts
                 GROUP BY to_address) AS numbers";
    conn.number(sql, params![agent_id, since]).await
}

/// The calls of one agent or of all since then.
pub async fn counts(conn: &mut Conn, agent_id: Option<&AgentId>, since: Timestamp) -> Result<Vec<CallCount>> {
    let sql = "SELECT agent_id, direction, COUNT(*) AS n,
                      CAST(COALESCE(SUM(duration_seconds), 0) AS BIGINT) AS seconds
               FROM call_logs WHERE (CAST($1 AS TEXT) IS NULL OR agent_id = $1) AND created_at >= $2
               GROUP BY agent_id, direction ORDER BY agent_id, direction";
    conn.list(sql, params![agent_id, since]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::call_transfers::{self, CallTransfer, TransferStatus};
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    const BEFORE_ANSWER: &[CallStatus] = &[CallStatus::Queued, CallStatus::Ringing];

    fn call(created_at: i64) -> CallLog {
        CallLog {
            session_id: SessionId::generate(),
            agent_id: agent(),
            call_sid: None,
            direction: Direction::Outbound,
            from_address: "+14155550100".to_owned(),
            to_address: "+14155550123".to_owned(),
            status: CallStatus::Queued,
            responder: Responder::Agent,
            greeting: Some("Hello".to_owned()),
            system_prompt: None,
            voice: None,
            language: None,
            max_duration_seconds: 600,
            idempotency_key: None,
            request_hash: None,
            error_code: None,
            sequence: -1,
            created_at: at(created_at),
            answered_at: None,
            ended_at: None,
            duration_seconds: None,
            say: None,
            message_id: None,
        }
    }

    fn step(from: &[CallStatus], to: CallStatus, now: i64) -> CallStatusChange<'_> {
        CallStatusChange { from, to, sequence: None, duration_seconds: None, error_code: None, now: at(now) }
    }

    #[rstest]
    #[tokio::test]
    async fn a_call_is_found_by_each_of_its_names(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let sid: CallSid = "CA01".parse().unwrap();
        let stored =
            CallLog { call_sid: Some(sid.clone()), idempotency_key: Some("k".to_owned()), ..call(1) };
        let expected = (Some(stored.clone()), Some(stored.clone()), Some(stored.clone()), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &stored).await?;
                    Ok((
                        find(tx, &stored.session_id).await?,
                        find_by_sid(tx, &sid).await?,
                        find_by_idempotency_key(tx, &agent(), "k").await?,
                        find_by_idempotency_key(tx, &"other".parse().unwrap(), "k").await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn an_idempotency_key_makes_one_call(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let taken: Result<()> = db
            .db
            .transaction(move |tx| {
                async move {
                    insert(tx, &CallLog { idempotency_key: Some("k".to_owned()), ..call(1) }).await?;
                    insert(tx, &CallLog { idempotency_key: Some("k".to_owned()), ..call(2) }).await
                }
                .boxed()
            })
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }

    #[rstest]
    #[tokio::test]
    async fn a_call_is_named_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let stored = call(1);
        let named = CallLog {
            call_sid: Some("CA01".parse().unwrap()),
            status: CallStatus::Ringing,
            ..stored.clone()
        };
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &stored).await?;
                    let id = &stored.session_id;
                    Ok((
                        set_call_sid(tx, id, &"CA01".parse().unwrap(), CallStatus::Ringing).await?,
                        set_call_sid(tx, id, &"CA02".parse().unwrap(), CallStatus::Queued).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (Some(named), None));
    }

    #[rstest]
    #[tokio::test]
    async fn a_call_steps_forward_only_and_keeps_its_times(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let stored = call(1);
        let answered = CallLog { status: CallStatus::InProgress, answered_at: Some(at(2)), ..stored.clone() };
        let ended = CallLog {
            status: CallStatus::Completed,
            sequence: 3,
            duration_seconds: Some(7),
            error_code: Some("31005".to_owned()),
            ended_at: Some(at(4)),
            ..answered.clone()
        };
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &stored).await?;
                    let id = &stored.session_id;
                    let last = CallStatusChange {
                        sequence: Some(3),
                        duration_seconds: Some(7),
                        error_code: Some("31005".to_owned()),
                        ..step(&[CallStatus::Ringing, CallStatus::InProgress], CallStatus::Completed, 4)
                    };
                    Ok((
                        set_status(tx, id, &step(BEFORE_ANSWER, CallStatus::InProgress, 2)).await?,
                        set_status(tx, id, &step(BEFORE_ANSWER, CallStatus::Ringing, 3)).await?,
                        set_status(tx, id, &last).await?,
                        set_status(tx, id, &step(&[], CallStatus::Ringing, 5)).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (Some(answered), None, Some(ended), None));
    }

    #[rstest]
    #[tokio::test]
    async fn only_a_call_that_goes_on_and_delivers_no_message_is_put_through(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let calls = [
            call(1),
            CallLog { status: CallStatus::Completed, ..call(2) },
            CallLog { message_id: Some(MessageId::generate()), ..call(3) },
        ];
        let found = db
            .run(move |tx| {
                async move {
                    let mut noted = Vec::new();
                    for call in &calls {
                        insert(tx, call).await?;
                        noted.push(set_announcement(tx, &call.session_id, "Hello").await?);
                    }
                    Ok((noted, find(tx, &calls[0].session_id).await?.and_then(|call| call.say)))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (vec![true, false, false], Some("Hello".to_owned())));
    }

    #[rstest]
    #[tokio::test]
    async fn ended_calls_are_recent_but_not_unfinished(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let calls =
            [call(1), CallLog { status: CallStatus::NoAnswer, ended_at: Some(at(9)), ..call(2) }, call(3)];
        let unfinished = vec![calls[0].clone(), calls[2].clone()];
        let recent = vec![calls[2].clone(), calls[1].clone()];
        let found = db
            .run(move |tx| {
                async move {
                    for call in &calls {
                        insert(tx, call).await?;
                    }
                    Ok((list_unfinished(tx).await?, list_recent(tx, &agent(), 2).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (unfinished, recent));
    }

    #[rstest]
    #[tokio::test]
    async fn calls_to_a_number_are_counted_unless_they_failed(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let calls = [
            call(1),
            call(5),
            CallLog { status: CallStatus::Completed, ..call(6) },
            CallLog { status: CallStatus::Failed, ..call(7) },
            CallLog { direction: Direction::Inbound, ..call(8) },
            CallLog { to_address: "+14155550199".to_owned(), ..call(9) },
            CallLog { agent_id: "other".parse().unwrap(), ..call(9) },
        ];
        let found = db
            .run(move |tx| {
                async move {
                    for call in &calls {
                        insert(tx, call).await?;
                    }
                    Ok([
                        count_to_number(tx, &agent(), "+14155550123", at(5)).await?,
                        count_to_number(tx, &agent(), "+14155550123", at(9)).await?,
                        most_to_one_number(tx, &agent(), at(5)).await?,
                        most_to_one_number(tx, &agent(), at(10)).await?,
                    ])
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [2, 0, 2, 0]);
    }

    #[rstest]
    #[tokio::test]
    async fn a_transfer_to_a_number_counts_as_a_call_to_it(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let transfer = |created_at| CallTransfer {
            id: MessageId::generate(),
            session_id: SessionId::generate(),
            agent_id: agent(),
            to_address: "+14155550123".to_owned(),
            announcement: String::new(),
            status: TransferStatus::Asked,
            created_at: at(created_at),
        };
        let transfers = [
            transfer(1),
            transfer(5),
            CallTransfer { status: TransferStatus::Ended, ..transfer(6) },
            CallTransfer { status: TransferStatus::Failed, ..transfer(7) },
            CallTransfer { to_address: "+14155550199".to_owned(), ..transfer(8) },
            CallTransfer { agent_id: "other".parse().unwrap(), ..transfer(9) },
        ];
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &call(5)).await?;
                    for transfer in &transfers {
                        call_transfers::insert(tx, transfer).await?;
                    }
                    Ok([
                        count_to_number(tx, &agent(), "+14155550123", at(5)).await?,
                        count_to_number(tx, &agent(), "+14155550199", at(5)).await?,
                        most_to_one_number(tx, &agent(), at(5)).await?,
                        most_to_one_number(tx, &agent(), at(10)).await?,
                    ])
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [3, 1, 3, 0]);
    }

    #[rstest]
    #[tokio::test]
    async fn calls_are_counted_by_agent_and_direction(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let other: AgentId = "other".parse().unwrap();
        let calls = [
            CallLog { duration_seconds: Some(100), ..call(1) },
            CallLog { duration_seconds: Some(7), ..call(5) },
            CallLog { duration_seconds: Some(8), ..call(6) },
            CallLog { direction: Direction::Inbound, ..call(7) },
            CallLog { agent_id: other.clone(), ..call(8) },
        ];
        let count = |agent_id, direction, n, seconds| CallCount { agent_id, direction, n, seconds };
        let inbound = count(agent(), Direction::Inbound, 1, 0);
        let outbound = count(agent(), Direction::Outbound, 2, 15);
        let others = count(other, Direction::Outbound, 1, 0);
        let expected = (vec![inbound.clone(), outbound.clone()], vec![inbound, outbound, others]);
        let found = db
            .run(move |tx| {
                async move {
                    for call in &calls {
                        insert(tx, call).await?;
                    }
                    Ok((counts(tx, Some(&agent()), at(2)).await?, counts(tx, None, at(2)).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
