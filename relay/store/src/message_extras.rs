//! The `message_extras` table: what only few outbound messages have, kept out of `messages` to keep that narrow.

use std::collections::BTreeMap;

use shared::ids::MessageId;
use shared::model::Attachment;

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `message_extras`.
#[derive(Clone, Debug, PartialEq)]
pub struct MessageExtras {
    pub message_id: MessageId,
    pub html: Option<String>,
    pub reply_to: Option<String>,
    pub template_id: Option<String>,
    pub template_vars: BTreeMap<String, String>,
    pub attachments: Vec<Attachment>,
}

from_row!(MessageExtras { message_id, html, reply_to, template_id, template_vars, attachments });

/// A conflict if the message has some already.
pub async fn insert(conn: &mut Conn, extras: &MessageExtras) -> Result<()> {
    conn.execute(
        "INSERT INTO message_extras (message_id, html, reply_to, template_id, template_vars, attachments)
         VALUES ($1, $2, $3, $4, $5, $6)",
        params![
            extras.message_id,
            extras.html,
            extras.reply_to,
            extras.template_id,
            extras.template_vars,
            extras.attachments,
        ],
    )
    .await
    .map(drop)
}

/// What the message has of it.
pub async fn find(conn: &mut Conn, message_id: &MessageId) -> Result<Option<MessageExtras>> {
    conn.find("SELECT * FROM message_extras WHERE message_id = $1", params![message_id]).await
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::testing::open;
    use crate::{Backend, StoreError};

    fn bare() -> MessageExtras {
        MessageExtras {
            message_id: MessageId::generate(),
            html: None,
            reply_to: None,
            template_id: None,
            template_vars: BTreeMap::new(),
            attachments: vec![],
        }
    }

    #[rstest]
    #[tokio::test]
    async fn what_a_message_has_besides_comes_back_as_it_was(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let full = MessageExtras {
            html: Some("<p>héllo</p>".to_owned()),
            reply_to: Some("ann@example.org".to_owned()),
            template_id: Some("HX01".to_owned()),
            template_vars: BTreeMap::from([("1".to_owned(), "\"x\" $1".to_owned())]),
            attachments: vec![Attachment {
                filename: "a.txt".to_owned(),
                content_type: "text/plain".to_owned(),
                content_base64: "aGk=".to_owned(),
            }],
            ..bare()
        };
        let none = bare();
        let expected = (Some(full.clone()), Some(none.clone()), None);
        let found = db
            .run(move |tx| {
                async move {
                    insert(tx, &full).await?;
                    insert(tx, &none).await?;
                    Ok((
                        find(tx, &full.message_id).await?,
                        find(tx, &none.message_id).await?,
                        find(tx, &MessageId::generate()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_message_has_one_set_of_extras(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
        let Some(db) = open(backend).await else { return };
        let row = bare();
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
