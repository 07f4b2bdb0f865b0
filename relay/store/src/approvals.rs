//! The `approvals` table: questions to the person whose agents these are, and the answers. An answer serves
//! one request of one agent, once; that holds in the statements here, whatever callers race for it.

use shared::ids::{AgentId, ApprovalId};
use shared::model::Timestamp;

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result};

/// A row of `approvals`.
#[derive(Clone, Debug, PartialEq)]
pub struct Approval {
    pub id: ApprovalId,
    pub agent_id: AgentId,
    pub action: String,
    /// Of the request that the answer is for, and for no other.
    pub request_hash: String,
    /// What the person is asked.
    pub summary: String,
    pub status: ApprovalStatus,
    pub created_at: Timestamp,
    /// From then on it can be neither answered nor used.
    pub expires_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub decided_by: Option<String>,
    pub used_at: Option<Timestamp>,
}

from_row!(Approval {
    id,
    agent_id,
    action,
    request_hash,
    summary,
    status,
    created_at,
    expires_at,
    decided_at,
    decided_by,
    used_at,
});

text_enum!(
    /// How far a question has come. One that has run out keeps its status.
    ApprovalStatus { Pending = "pending", Approved = "approved", Denied = "denied", Used = "used" }
);

/// A conflict if the question is there already.
pub async fn insert(conn: &mut Conn, approval: &Approval) -> Result<()> {
    conn.execute(
        "INSERT INTO approvals
           (id, agent_id, action, request_hash, summary, status, created_at, expires_at, decided_at, decided_by,
            used_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        params![
            approval.id,
            approval.agent_id,
            approval.action,
            approval.request_hash,
            approval.summary,
            approval.status,
            approval.created_at,
            approval.expires_at,
            approval.decided_at,
            approval.decided_by,
            approval.used_at,
        ],
    )
    .await
    .map(drop)
}

/// The question with this id, be it old or answered.
pub async fn find(conn: &mut Conn, id: &ApprovalId) -> Result<Option<Approval>> {
    conn.find("SELECT * FROM approvals WHERE id = $1", params![id]).await
}

/// The agent's newest question on this request that waits for an answer, or whose yes can be used.
pub async fn find_open(
    conn: &mut Conn,
    agent_id: &AgentId,
    request_hash: &str,
    now: Timestamp,
) -> Result<Option<Approval>> {
    let sql = "SELECT * FROM approvals WHERE agent_id = $1 AND request_hash = $2
               AND status IN ('pending', 'approved') AND expires_at > $3 ORDER BY id DESC LIMIT 1";
    conn.find(sql, params![agent_id, request_hash, now]).await
}

/// How many of the agent's questions wait for an answer.
pub async fn count_pending(conn: &mut Conn, agent_id: &AgentId, now: Timestamp) -> Result<i64> {
    let sql = "SELECT COUNT(*) AS n FROM approvals
               WHERE agent_id = $1 AND status = 'pending' AND expires_at > $2";
    conn.number(sql, params![agent_id, now]).await
}

/// Answers a question, and gives it with its answer. `None` if it does not wait for one.
pub async fn decide(
    conn: &mut Conn,
    id: &ApprovalId,
    status: ApprovalStatus,
    by: &str,
    now: Timestamp,
) -> Result<Option<Approval>> {
    let sql = "UPDATE approvals SET status = $2, decided_by = $3, decided_at = $4
               WHERE id = $1 AND status = 'pending' AND expires_at > $4 RETURNING *";
    conn.find(sql, params![id, status, by, now]).await
}

/// Spends a yes on the agent's request. Gives false if there is none, and for all but one of those who try.
pub async fn use_up(
    conn: &mut Conn,
    id: &ApprovalId,
    agent_id: &AgentId,
    request_hash: &str,
    now: Timestamp,
) -> Result<bool> {
    let sql = "UPDATE approvals SET status = 'used', used_at = $4
               WHERE id = $1 AND agent_id = $2 AND request_hash = $3
               AND status = 'approved' AND expires_at > $4";
    Ok(conn.execute(sql, params![id, agent_id, request_hash, now]).await? == 1)
}

/// All agents' questions that wait for an answer, or whose yes can be used, oldest first.
pub async fn list_open(conn: &mut Conn, now: Timestamp) -> Result<Vec<Approval>> {
    let sql =
        "SELECT * FROM approvals WHERE status IN ('pending', 'approved') AND expires_at > $1 ORDER BY id";
    conn.list(sql, params![now]).await
}

/// All agents' questions, newest first.
pub async fn list_recent(conn: &mut Conn, limit: i64) -> Result<Vec<Approval>> {
    // The ids sort by time, and have an index.
    conn.list("SELECT * FROM approvals ORDER BY id DESC LIMIT $1", params![limit]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use tokio::task::JoinSet;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, Database, StoreError};

    fn other() -> AgentId {
        "other".parse().unwrap()
    }

    /// Asked at `created_at`, good for ten milliseconds.
    fn question(created_at: i64) -> Approval {
        Approval {
            id: ApprovalId::generate(),
            agent_id: agent(),
            action: "comms_send_message".to_owned(),
            request_hash: "ab".to_owned(),
            summary: "Send a text to somebody for the first time?".to_owned(),
            status: ApprovalStatus::Pending,
            created_at: at(created_at),
            expires_at: at(created_at + 10),
            decided_at: None,
            decided_by: None,
            used_at: None,
        }
    }

    async fn insert_all(tx: &mut Conn, questions: &[Approval]) -> Result<()> {
        for question in questions {
            insert(tx, question).await?;
        }
        Ok(())
    }

    #[rstest]
    #[tokio::test]
    async fn a_yes_is_kept_with_who_gave_it_and_used_once(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let asked = question(1);
        let answered = Approval {
            status: ApprovalStatus::Approved,
            decided_at: Some(at(5)),
            decided_by: Some("admin".to_owned()),
            ..asked.clone()
        };
        let used = Approval { status: ApprovalStatus::Used, used_at: Some(at(7)), ..answered.clone() };
        let expected = (Some(asked.clone()), Some(answered), [true, false], Some(used));
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &asked).await?;
                    let id = &asked.id;
                    Ok((
                        find(tx, id).await?,
                        decide(tx, id, ApprovalStatus::Approved, "admin", at(5)).await?,
                        [
                            use_up(tx, id, &agent(), "ab", at(7)).await?,
                            use_up(tx, id, &agent(), "ab", at(8)).await?,
                        ],
                        find(tx, id).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::again(ApprovalStatus::Approved, 5)]
    #[case::denied(ApprovalStatus::Denied, 5)]
    #[case::used(ApprovalStatus::Used, 5)]
    #[case::run_out(ApprovalStatus::Pending, 11)]
    #[tokio::test]
    async fn only_a_question_that_waits_can_be_answered(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] status: ApprovalStatus,
        #[case] now: i64,
    ) {
        let Some(db) = open(backend).await else { return };
        let asked = Approval { status, ..question(1) };
        let expected = (None, Some(asked.clone()));
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &asked).await?;
                    let decided = decide(tx, &asked.id, ApprovalStatus::Approved, "admin", at(now)).await?;
                    Ok((decided, find(tx, &asked.id).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[case::a_yes(ApprovalStatus::Approved, ("default", "ab", 10), true)]
    #[case::another_agent(ApprovalStatus::Approved, ("other", "ab", 10), false)]
    #[case::another_request(ApprovalStatus::Approved, ("default", "cd", 10), false)]
    #[case::run_out(ApprovalStatus::Approved, ("default", "ab", 11), false)]
    #[case::no_answer(ApprovalStatus::Pending, ("default", "ab", 10), false)]
    #[case::a_no(ApprovalStatus::Denied, ("default", "ab", 10), false)]
    #[case::used(ApprovalStatus::Used, ("default", "ab", 10), false)]
    #[tokio::test]
    async fn an_answer_serves_its_agent_and_request_only(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
        #[case] status: ApprovalStatus,
        #[case] (agent_id, hash, now): (&'static str, &'static str, i64),
        #[case] expected: bool,
    ) {
        let Some(db) = open(backend).await else { return };
        let asked = Approval { status, ..question(1) };
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &asked).await?;
                    use_up(tx, &asked.id, &agent_id.parse().unwrap(), hash, at(now)).await
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    async fn use_one(db: Database, id: ApprovalId) -> Result<bool> {
        db.transaction(move |tx| async move { use_up(tx, &id, &agent(), "ab", at(5)).await }.boxed()).await
    }

    #[rstest]
    #[tokio::test(flavor = "multi_thread")]
    async fn one_of_many_who_race_for_an_answer_gets_it(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let asked = Approval { status: ApprovalStatus::Approved, ..question(1) };
        let id = asked.id.clone();
        db.run(move |tx| async move { insert(tx, &asked).await }.boxed()).await;
        let other = db.open_again().await.unwrap();
        let handles = [&db.db, &other].into_iter().cycle().take(16);
        let tasks: JoinSet<_> = handles.map(|db| use_one(db.clone(), id.clone())).collect();
        let used: Vec<bool> = tasks.join_all().await.into_iter().collect::<Result<_>>().unwrap();
        assert_eq!(used.into_iter().filter(|used| *used).count(), 1);
    }

    #[rstest]
    #[tokio::test]
    async fn the_newest_question_that_is_open_is_found(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [
            question(1),
            Approval { status: ApprovalStatus::Approved, ..question(2) },
            Approval { status: ApprovalStatus::Denied, ..question(3) },
            Approval { status: ApprovalStatus::Used, ..question(3) },
            Approval { request_hash: "cd".to_owned(), ..question(3) },
            Approval { agent_id: other(), ..question(3) },
        ];
        let expected = (Some(rows[1].clone()), Some(rows[4].clone()), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    Ok((
                        find_open(tx, &agent(), "ab", at(11)).await?,
                        find_open(tx, &agent(), "cd", at(11)).await?,
                        find_open(tx, &agent(), "ab", at(12)).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn questions_are_listed_and_counted_while_they_are_open(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [
            question(1),
            Approval { status: ApprovalStatus::Approved, ..question(5) },
            Approval { status: ApprovalStatus::Denied, ..question(5) },
            question(5),
            Approval { agent_id: other(), ..question(5) },
        ];
        let open_ones = vec![rows[1].clone(), rows[3].clone(), rows[4].clone()];
        let recent = vec![rows[4].clone(), rows[3].clone()];
        let found = db
            .run(move |tx| {
                async move {
                    insert_all(tx, &rows).await?;
                    Ok((
                        list_open(tx, at(11)).await?,
                        list_recent(tx, 2).await?,
                        [
                            count_pending(tx, &agent(), at(10)).await?,
                            count_pending(tx, &agent(), at(11)).await?,
                        ],
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, (open_ones, recent, [2, 1]));
    }

    #[rstest]
    #[tokio::test]
    async fn a_question_is_asked_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let asked = question(1);
        let taken: Result<()> = db
            .db
            .transaction(move |tx| async move { insert_all(tx, &[asked.clone(), asked]).await }.boxed())
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }
}
