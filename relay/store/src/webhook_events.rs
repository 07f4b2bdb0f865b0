//! The `webhook_events` table: what providers have told us, so that being told twice is noticed.

use shared::model::Timestamp;

use crate::value::params;
use crate::{Conn, Result};

/// Gives true the first time, and false ever after.
pub async fn record(conn: &mut Conn, source: &str, event_id: &str, now: Timestamp) -> Result<bool> {
    let sql = "INSERT INTO webhook_events (source, event_id, received_at) VALUES ($1, $2, $3)
               ON CONFLICT (source, event_id) DO NOTHING";
    Ok(conn.execute(sql, params![source, event_id, now]).await? == 1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::{at, open};

    #[rstest]
    #[tokio::test]
    async fn an_event_is_recorded_once_per_source(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first_time = db
            .run(move |tx| {
                async move {
                    Ok([
                        record(tx, "twilio", "e1", at(1)).await?,
                        record(tx, "twilio", "e1", at(2)).await?,
                        record(tx, "resend", "e1", at(3)).await?,
                        record(tx, "twilio", "e2", at(4)).await?,
                    ])
                }
                .boxed()
            })
            .await;
        assert_eq!(first_time, [true, false, true, true]);
    }
}
