//! The `call_transfers` table: one row for every time that the carrier was asked to put a call through to another
//! telephone, from before it was asked. What a status means for the call is decided by the caller.

use shared::ids::{AgentId, MessageId, SessionId};
use shared::model::Timestamp;

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result};

/// A row of `call_transfers`.
#[derive(Clone, Debug, PartialEq)]
pub struct CallTransfer {
    /// Also the id of its row in `usage_logs`.
    pub id: MessageId,
    pub session_id: SessionId,
    pub agent_id: AgentId,
    pub to_address: String,
    /// May be empty.
    pub announcement: String,
    pub status: TransferStatus,
    pub created_at: Timestamp,
}

from_row!(CallTransfer { id, session_id, agent_id, to_address, announcement, status, created_at });

text_enum!(
    /// How far a transfer has come.
    TransferStatus {
        /// Whether the carrier has taken the call is not known.
        Asked = "asked",
        PutThrough = "put-through",
        /// The two have parted, or the other telephone was not answered.
        Ended = "ended",
        /// The carrier did not take the call, as far as it has told.
        Failed = "failed",
    }
);

/// A conflict if the transfer is there already.
pub async fn insert(conn: &mut Conn, transfer: &CallTransfer) -> Result<()> {
    let sql = "INSERT INTO call_transfers
                 (id, session_id, agent_id, to_address, announcement, status, created_at)
               VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let CallTransfer { id, session_id, agent_id, to_address, announcement, status, created_at } = transfer;
    conn.execute(sql, params![id, session_id, agent_id, to_address, announcement, status, created_at])
        .await
        .map(drop)
}

/// The transfer with this id.
pub async fn find(conn: &mut Conn, id: &MessageId) -> Result<Option<CallTransfer>> {
    conn.find("SELECT * FROM call_transfers WHERE id = $1", params![id]).await
}

/// Moves it on, if it stands where the caller believes.
pub async fn set_status(
    conn: &mut Conn,
    id: &MessageId,
    (from, to): (TransferStatus, TransferStatus),
) -> Result<bool> {
    let sql = "UPDATE call_transfers SET status = $3 WHERE id = $1 AND status = $2";
    Ok(conn.execute(sql, params![id, from, to]).await? == 1)
}

/// The transfers of a call that were asked for and have come to no end, oldest first.
pub async fn list_open(conn: &mut Conn, session_id: &SessionId) -> Result<Vec<CallTransfer>> {
    let sql = "SELECT * FROM call_transfers WHERE session_id = $1 AND status IN ('asked', 'put-through')
               ORDER BY created_at, id";
    conn.list(sql, params![session_id]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    fn transfer(session_id: &SessionId, created_at: i64) -> CallTransfer {
        CallTransfer {
            id: MessageId::generate(),
            session_id: session_id.clone(),
            agent_id: agent(),
            to_address: "+14155550123".to_owned(),
            announcement: "Bob.".to_owned(),
            status: TransferStatus::Asked,
            created_at: at(created_at),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn a_transfer_moves_on_from_where_it_is_believed_to_stand(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let stored = transfer(&SessionId::generate(), 1);
        let through = CallTransfer { status: TransferStatus::PutThrough, ..stored.clone() };
        let expected = (Some(stored.clone()), [true, false], Some(through), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &stored).await?;
                    let before = find(tx, &stored.id).await?;
                    let step = (TransferStatus::Asked, TransferStatus::PutThrough);
                    let moved =
                        [set_status(tx, &stored.id, step).await?, set_status(tx, &stored.id, step).await?];
                    let absent = find(tx, &MessageId::generate()).await?;
                    Ok((before, moved, find(tx, &stored.id).await?, absent))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn the_open_transfers_of_a_call_are_listed_in_order(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let session = SessionId::generate();
        let of = |status, created_at| CallTransfer { status, ..transfer(&session, created_at) };
        let rows = [
            of(TransferStatus::PutThrough, 4),
            of(TransferStatus::Failed, 3),
            of(TransferStatus::Ended, 2),
            of(TransferStatus::Asked, 1),
            transfer(&SessionId::generate(), 5),
        ];
        let expected = vec![rows[3].clone(), rows[0].clone()];
        let found = db
            .run(move |tx| {
                async move {
                    for row in &rows {
                        insert(tx, row).await?;
                    }
                    list_open(tx, &session).await
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_transfer_is_recorded_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let row = transfer(&SessionId::generate(), 1);
        let taken: Result<()> = db
            .db
            .transaction(move |tx| {
                async move {
                    insert(tx, &row).await?;
                    insert(tx, &row).await
                }
                .boxed()
            })
            .await;
        assert!(matches!(taken, Err(StoreError::Conflict(_))), "{taken:?}");
    }
}
