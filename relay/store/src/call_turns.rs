//! The `call_turns` table: who said what in a call, in order.

use shared::ids::{MessageId, SessionId};
use shared::model::CallTurn;

use crate::value::params;
use crate::{Conn, Result, Row, StoreError};

/// A row of `call_turns`.
struct Stored(CallTurn);

impl TryFrom<Row> for Stored {
    type Error = StoreError;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self(CallTurn {
            id: row.get("id")?,
            turn_id: row.get("turn_id")?,
            direction: row.get("direction")?,
            speaker: row.get("speaker")?,
            text: row.get("body")?,
            heard_until: row.get("heard_until")?,
            digits: row.get("digits")?,
            at: row.get("created_at")?,
        }))
    }
}

/// Stores a turn; `position` orders the turns of the call.
pub async fn insert(conn: &mut Conn, session_id: &SessionId, position: i64, turn: &CallTurn) -> Result<()> {
    conn.execute(
        "INSERT INTO call_turns
           (id, session_id, position, turn_id, direction, speaker, body, heard_until, digits, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            turn.id,
            session_id,
            position,
            turn.turn_id,
            turn.direction,
            turn.speaker,
            turn.text,
            turn.heard_until,
            turn.digits,
            turn.at,
        ],
    )
    .await
    .map(drop)
}

/// Notes how much of our speech was heard before the other side cut it short.
pub async fn set_heard_until(conn: &mut Conn, id: &MessageId, heard_until: &str) -> Result<()> {
    let sql = "UPDATE call_turns SET heard_until = $2 WHERE id = $1";
    conn.execute(sql, params![id, heard_until]).await.map(drop)
}

/// The turns of a call, in order.
pub async fn list(conn: &mut Conn, session_id: &SessionId) -> Result<Vec<CallTurn>> {
    let sql = "SELECT * FROM call_turns WHERE session_id = $1 ORDER BY position";
    let turns: Vec<Stored> = conn.list(sql, params![session_id]).await?;
    Ok(turns.into_iter().map(|Stored(turn)| turn).collect())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;
    use shared::ids::TurnId;
    use shared::model::{Direction, Speaker};

    use super::*;
    use crate::Backend;
    use crate::testing::{at, open};

    fn turn(direction: Direction, speaker: Speaker, text: &str) -> CallTurn {
        CallTurn {
            id: MessageId::generate(),
            turn_id: TurnId::generate(),
            direction,
            speaker,
            text: text.to_owned(),
            heard_until: None,
            digits: None,
            at: at(5),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn turns_come_back_in_order_with_what_was_heard(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let ours = turn(Direction::Outbound, Speaker::Agent, "We are open until six");
        let theirs =
            CallTurn { digits: Some("1#".to_owned()), ..turn(Direction::Inbound, Speaker::Caller, "") };
        let heard = CallTurn { heard_until: Some("We are open".to_owned()), ..ours.clone() };
        let expected = vec![heard, theirs.clone()];
        let found = db
            .run(move |tx| {
                async move {
                    let (session, other) = (SessionId::generate(), SessionId::generate());
                    insert(tx, &session, 2, &theirs).await?;
                    insert(tx, &session, 1, &ours).await?;
                    insert(tx, &other, 1, &turn(Direction::Inbound, Speaker::Caller, "Hello")).await?;
                    set_heard_until(tx, &ours.id, "We are open").await?;
                    list(tx, &session).await
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }
}
