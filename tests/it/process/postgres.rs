//! Relays on Postgres, each test in a schema of its own. The rows of the store have their own tests; this is the
//! whole relay, and several of them on one database.

use anyhow::Result;
use futures_util::future::try_join_all;
use serde_json::json;
use shared::ids::MessageId;
use shared::protocol::GetMessages;
use tests::process::{Home, RelayProcess};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

use super::carrier::{Carrier, LIVE};
use super::rehearsal::verdict;
use super::{comms_relay, session, setting, skip};

/// An empty schema.
pub(super) struct Schema {
    name: String,
    /// What a relay is given: the server and the schema.
    pub(super) url: String,
    /// On the same server, for the test itself.
    client: Client,
    _speaking: JoinSet<Result<(), tokio_postgres::Error>>,
}

impl Schema {
    /// `None`, said aloud, if there is no Postgres to make one in.
    pub(super) async fn fresh() -> Result<Option<Self>> {
        let Some(server) = setting("TEST_POSTGRES_URL") else {
            skip("TEST_POSTGRES_URL is not set");
            return Ok(None);
        };
        let (client, connection) = tokio_postgres::connect(&server, NoTls).await?;
        let mut speaking = JoinSet::new();
        speaking.spawn(connection);
        let name = format!("p{}", MessageId::generate().as_str().replace('-', ""));
        client.batch_execute(&format!("CREATE SCHEMA {name}")).await?;
        let separator = if server.contains('?') { '&' } else { '?' };
        let url = format!("{server}{separator}options=-csearch_path%3D{name}");
        Ok(Some(Self { name, url, client, _speaking: speaking }))
    }

    /// The settings of a relay in live mode that stores here.
    fn live(&self) -> Vec<(&str, &str)> {
        [&LIVE[..], &[("COMMS_DATABASE__URL", &self.url)]].concat()
    }
}

#[tokio::test]
async fn the_rehearsal_passes_on_postgres() -> Result<()> {
    let Some(schema) = Schema::fresh().await? else { return Ok(()) };
    let home = Home::temp();
    let settings = [("COMMS_DATABASE__URL", schema.url.as_str())];
    let _relay = RelayProcess::start(&home, &settings).await?;
    let played = comms_relay(&home, &["rehearse", "--json"], &settings).await?;
    assert_eq!(verdict(&played)?, (Some(0), json!(true), json!("running")), "{played:?}");
    assert!(!home.path().join("comms.db").exists(), "nothing is stored elsewhere");
    Ok(())
}

#[tokio::test]
async fn the_same_event_fifty_times_at_once_is_one_message() -> Result<()> {
    let Some(schema) = Schema::fresh().await? else { return Ok(()) };
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &schema.live()).await?;
    let carrier = Carrier::of(&relay)?;
    let answers = try_join_all((0..50).map(|_| carrier.text(1))).await?;
    assert_eq!((answers, total(&home).await?), (vec![200; 50], 1));
    Ok(())
}

#[tokio::test]
async fn two_relays_take_an_event_once_between_them() -> Result<()> {
    let Some(schema) = Schema::fresh().await? else { return Ok(()) };
    let homes = [Home::temp(), Home::temp()];
    let one = RelayProcess::start(&homes[0], &schema.live()).await?;
    let other = RelayProcess::start(&homes[1], &schema.live()).await?;
    let carriers = [Carrier::of(&one)?, Carrier::of(&other)?];
    // Ten events, each four times to both.
    let posts = (0..80).map(|post| carriers[post as usize % 2].text(post / 2 % 10));
    let answers = try_join_all(posts).await?;
    let totals = (total(&homes[0]).await?, total(&homes[1]).await?);
    assert_eq!((answers, totals), (vec![200; 80], (10, 10)));
    Ok(())
}

#[tokio::test]
async fn what_the_database_refuses_is_not_acknowledged_and_is_taken_later() -> Result<()> {
    let Some(schema) = Schema::fresh().await? else { return Ok(()) };
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &schema.live()).await?;
    let carrier = Carrier::of(&relay)?;
    let name = &schema.name;
    schema.client.batch_execute(&format!("ALTER TABLE {name}.messages RENAME TO messages_away")).await?;
    let refused = carrier.text(1).await?;
    schema.client.batch_execute(&format!("ALTER TABLE {name}.messages_away RENAME TO messages")).await?;
    assert_eq!((refused, carrier.text(1).await?, total(&home).await?), (503, 200, 1));
    Ok(())
}

/// How many messages the agent has.
async fn total(home: &Home) -> Result<i64> {
    let peek = GetMessages { mark_read: Some(false), limit: Some(200), ..GetMessages::default() };
    Ok(session(home).await?.call(peek).await?.reply.total)
}
