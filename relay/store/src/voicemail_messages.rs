//! The `voicemail_messages` table: what callers left on the answering machine. The entry in the inbox is a row
//! of `messages` with the same id.

use shared::ids::{AgentId, MessageId, SessionId};
use shared::model::Timestamp;

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `voicemail_messages`.
#[derive(Clone, Debug, PartialEq)]
pub struct Voicemail {
    pub id: MessageId,
    pub session_id: SessionId,
    pub agent_id: AgentId,
    pub caller: String,
    pub callback: Option<String>,
    pub transcript: String,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

from_row!(Voicemail { id, session_id, agent_id, caller, callback, transcript, created_at, updated_at });

/// Stores what the caller has said up to this moment. The row of a call keeps its id while it grows.
pub async fn upsert(conn: &mut Conn, row: &Voicemail) -> Result<()> {
    conn.execute(
        "INSERT INTO voicemail_messages
           (id, session_id, agent_id, caller, callback, transcript, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (session_id) DO UPDATE SET
           callback = COALESCE(excluded.callback, voicemail_messages.callback),
           transcript = excluded.transcript,
           updated_at = excluded.updated_at",
        params![
            row.id,
            row.session_id,
            row.agent_id,
            row.caller,
            row.callback,
            row.transcript,
            row.created_at,
            row.updated_at,
        ],
    )
    .await
    .map(drop)
}

/// What was left in this call.
pub async fn find_by_session(conn: &mut Conn, session_id: &SessionId) -> Result<Option<Voicemail>> {
    conn.find("SELECT * FROM voicemail_messages WHERE session_id = $1", params![session_id]).await
}

/// The agent's, newest first.
pub async fn list(conn: &mut Conn, agent_id: &AgentId, limit: i64) -> Result<Vec<Voicemail>> {
    let sql =
        "SELECT * FROM voicemail_messages WHERE agent_id = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
    conn.list(sql, params![agent_id, limit]).await
}

/// Those that no inbox shows: their call ended together with the relay that took it.
pub async fn list_unannounced(conn: &mut Conn) -> Result<Vec<Voicemail>> {
    let sql = "SELECT v.* FROM voicemail_messages v LEFT JOIN messages m ON m.id = v.id
               WHERE m.id IS NULL ORDER BY v.created_at, v.id";
    conn.list(sql, &[]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::{agent, at, open};

    fn voicemail(created_at: i64) -> Voicemail {
        Voicemail {
            id: MessageId::generate(),
            session_id: SessionId::generate(),
            agent_id: agent(),
            caller: "+14155550123".to_owned(),
            callback: None,
            transcript: "Hello".to_owned(),
            created_at: at(created_at),
            updated_at: at(created_at),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn a_voicemail_grows_and_keeps_its_id(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first = Voicemail { callback: Some("+14155550199".to_owned()), ..voicemail(1) };
        let grown =
            Voicemail { transcript: "Hello, it's Ann".to_owned(), updated_at: at(2), ..first.clone() };
        let told_again = Voicemail { id: MessageId::generate(), callback: None, ..grown.clone() };
        let found = db
            .run(move |tx| {
                async move {
                    upsert(tx, &first).await?;
                    upsert(tx, &told_again).await?;
                    find_by_session(tx, &first.session_id).await
                }
                .boxed()
            })
            .await;
        assert_eq!(found, Some(grown));
    }

    #[rstest]
    #[tokio::test]
    async fn voicemails_are_listed_newest_first(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows = [voicemail(1), voicemail(2), voicemail(3)];
        let expected = (vec![rows[2].clone(), rows[1].clone()], vec![], None);
        let found = db
            .run(move |tx| {
                async move {
                    for row in &rows {
                        upsert(tx, row).await?;
                    }
                    Ok((
                        list(tx, &agent(), 2).await?,
                        list(tx, &"other".parse().unwrap(), 2).await?,
                        find_by_session(tx, &SessionId::generate()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
