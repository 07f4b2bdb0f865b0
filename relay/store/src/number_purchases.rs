//! The `number_purchases` table: numbers that are bought for agents. A row is there before the provider is asked,
//! so that no number is paid for that nobody knows of.

use shared::ids::{AgentId, PurchaseId};
use shared::model::Timestamp;

use crate::value::{from_row, params, text_enum};
use crate::{Conn, Result};

/// A row of `number_purchases`.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberPurchase {
    pub id: PurchaseId,
    pub agent_id: AgentId,
    pub number: Option<String>,
    pub provider: String,
    pub status: PurchaseStatus,
    /// The provider's own name for the number.
    pub external_id: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

from_row!(NumberPurchase { id, agent_id, number, provider, status, external_id, created_at, updated_at });

text_enum!(
    /// How far a purchase has come.
    PurchaseStatus {
        /// The provider may have been asked.
        Intended = "intended",
        Bought = "bought",
        /// Given back.
        Released = "released",
        Failed = "failed",
    }
);

/// A step of a purchase. What is `None` stays as it is.
#[derive(Clone, Debug, PartialEq)]
pub struct PurchaseChange<'a> {
    pub status: PurchaseStatus,
    pub number: Option<&'a str>,
    pub external_id: Option<&'a str>,
    pub now: Timestamp,
}

/// A conflict if the purchase is there already.
pub async fn insert(conn: &mut Conn, row: &NumberPurchase) -> Result<()> {
    conn.execute(
        "INSERT INTO number_purchases
           (id, agent_id, number, provider, status, external_id, created_at, updated_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![
            row.id,
            row.agent_id,
            row.number,
            row.provider,
            row.status,
            row.external_id,
            row.created_at,
            row.updated_at,
        ],
    )
    .await
    .map(drop)
}

/// The purchase with this id.
pub async fn find(conn: &mut Conn, id: &PurchaseId) -> Result<Option<NumberPurchase>> {
    conn.find("SELECT * FROM number_purchases WHERE id = $1", params![id]).await
}

/// Takes the step. Gives false if there is no such purchase.
pub async fn set(conn: &mut Conn, id: &PurchaseId, change: &PurchaseChange<'_>) -> Result<bool> {
    let sql = "UPDATE number_purchases SET
                 status = $2, number = COALESCE($3, number), external_id = COALESCE($4, external_id),
                 updated_at = $5
               WHERE id = $1";
    let changed =
        conn.execute(sql, params![id, change.status, change.number, change.external_id, change.now]).await?;
    Ok(changed == 1)
}

/// All that stand at `status`, oldest first.
pub async fn list_by_status(conn: &mut Conn, status: PurchaseStatus) -> Result<Vec<NumberPurchase>> {
    conn.list("SELECT * FROM number_purchases WHERE status = $1 ORDER BY id", params![status]).await
}

/// The purchase by which we have this number.
pub async fn find_by_number(conn: &mut Conn, number: &str) -> Result<Option<NumberPurchase>> {
    let sql =
        "SELECT * FROM number_purchases WHERE number = $1 AND status = 'bought' ORDER BY id DESC LIMIT 1";
    conn.find(sql, params![number]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::{agent, at, open};
    use crate::{Backend, StoreError};

    fn purchase(created_at: i64) -> NumberPurchase {
        NumberPurchase {
            id: PurchaseId::generate(),
            agent_id: agent(),
            number: None,
            provider: "twilio".to_owned(),
            status: PurchaseStatus::Intended,
            external_id: None,
            created_at: at(created_at),
            updated_at: at(created_at),
        }
    }

    fn bought() -> PurchaseChange<'static> {
        PurchaseChange {
            status: PurchaseStatus::Bought,
            number: Some("+14155550100"),
            external_id: Some("PN01"),
            now: at(5),
        }
    }

    #[rstest]
    #[tokio::test]
    async fn a_purchase_goes_from_the_intent_to_the_number_and_back(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let intended = purchase(1);
        let owned = NumberPurchase {
            number: Some("+14155550100".to_owned()),
            status: PurchaseStatus::Bought,
            external_id: Some("PN01".to_owned()),
            updated_at: at(5),
            ..intended.clone()
        };
        let released =
            NumberPurchase { status: PurchaseStatus::Released, updated_at: at(6), ..owned.clone() };
        let expected = (Some(intended.clone()), [true, true], Some(owned), Some(released), None);
        let found = db
            .run(move |tx| {
                async move {
                    let id = &intended.id;
                    insert(tx, &intended).await?;
                    let first = find(tx, id).await?;
                    let is_bought = set(tx, id, &bought()).await?;
                    let ours = find_by_number(tx, "+14155550100").await?;
                    let release = PurchaseChange {
                        status: PurchaseStatus::Released,
                        number: None,
                        external_id: None,
                        now: at(6),
                    };
                    let is_released = set(tx, id, &release).await?;
                    Ok((
                        first,
                        [is_bought, is_released],
                        ours,
                        find(tx, id).await?,
                        find_by_number(tx, "+14155550100").await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn purchases_are_listed_by_status_oldest_first(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let rows =
            [purchase(1), NumberPurchase { status: PurchaseStatus::Failed, ..purchase(2) }, purchase(3)];
        let expected = (vec![rows[0].clone(), rows[2].clone()], vec![], false);
        let found = db
            .run(move |tx| {
                async move {
                    for row in rows.iter().rev() {
                        insert(tx, row).await?;
                    }
                    Ok((
                        list_by_status(tx, PurchaseStatus::Intended).await?,
                        list_by_status(tx, PurchaseStatus::Bought).await?,
                        set(tx, &PurchaseId::generate(), &bought()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_purchase_is_recorded_once(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let row = purchase(1);
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
