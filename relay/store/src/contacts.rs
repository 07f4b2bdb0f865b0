//! The `contacts` table: the other sides that an agent has heard from or written to.

use shared::ids::AgentId;
use shared::model::{Channel, Timestamp};

use crate::value::{from_row, params};
use crate::{Conn, Result};

/// A row of `contacts`.
#[derive(Clone, Debug, PartialEq)]
pub struct Contact {
    pub agent_id: AgentId,
    pub channel: Channel,
    pub address: String,
    pub name: Option<String>,
    pub inbound_count: i64,
    pub outbound_count: i64,
    pub blocked: bool,
    pub first_seen_at: Timestamp,
    pub last_inbound_at: Option<Timestamp>,
    pub last_outbound_at: Option<Timestamp>,
    /// Since when the agent may reach it on its own.
    pub approved_at: Option<Timestamp>,
}

from_row!(Contact {
    agent_id,
    channel,
    address,
    name,
    inbound_count,
    outbound_count,
    blocked,
    first_seen_at,
    last_inbound_at,
    last_outbound_at,
    approved_at,
});

/// Whom a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContactKey {
    pub agent_id: AgentId,
    pub channel: Channel,
    pub address: String,
}

/// Counts something that came in, and gives the contact with it counted. A name that is told replaces the one
/// that was known.
pub async fn record_inbound(
    conn: &mut Conn,
    key: &ContactKey,
    name: Option<&str>,
    now: Timestamp,
) -> Result<Contact> {
    conn.get(
        "INSERT INTO contacts (agent_id, channel, address, name, inbound_count, outbound_count, blocked,
           first_seen_at, last_inbound_at)
         VALUES ($1, $2, $3, $4, 1, 0, FALSE, $5, $5)
         ON CONFLICT (agent_id, channel, address) DO UPDATE SET
           name = COALESCE(excluded.name, contacts.name),
           inbound_count = contacts.inbound_count + 1,
           last_inbound_at = excluded.last_inbound_at
         RETURNING *",
        params![key.agent_id, key.channel, key.address, name, now],
    )
    .await?
    .try_into()
}

/// Counts something that goes out, and gives the contact with it counted.
pub async fn record_outbound(conn: &mut Conn, key: &ContactKey, now: Timestamp) -> Result<Contact> {
    conn.get(
        "INSERT INTO contacts (agent_id, channel, address, inbound_count, outbound_count, blocked,
           first_seen_at, last_outbound_at)
         VALUES ($1, $2, $3, 0, 1, FALSE, $4, $4)
         ON CONFLICT (agent_id, channel, address) DO UPDATE SET
           outbound_count = contacts.outbound_count + 1,
           last_outbound_at = excluded.last_outbound_at
         RETURNING *",
        params![key.agent_id, key.channel, key.address, now],
    )
    .await?
    .try_into()
}

/// The contact, if there was anything between it and the agent.
pub async fn find(conn: &mut Conn, key: &ContactKey) -> Result<Option<Contact>> {
    let sql = "SELECT * FROM contacts WHERE agent_id = $1 AND channel = $2 AND address = $3";
    conn.find(sql, params![key.agent_id, key.channel, key.address]).await
}

/// Lets the agent reach it on its own, be it known or not.
pub async fn approve(conn: &mut Conn, key: &ContactKey, now: Timestamp) -> Result<()> {
    conn.execute(
        "INSERT INTO contacts (agent_id, channel, address, inbound_count, outbound_count, blocked,
           first_seen_at, approved_at)
         VALUES ($1, $2, $3, 0, 0, FALSE, $4, $4)
         ON CONFLICT (agent_id, channel, address) DO UPDATE SET approved_at = excluded.approved_at",
        params![key.agent_id, key.channel, key.address, now],
    )
    .await
    .map(drop)
}

/// Whether anything came to the agent from this address on any channel, or the address was approved.
pub async fn is_known(conn: &mut Conn, agent_id: &AgentId, address: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM contacts WHERE agent_id = $1 AND address = $2
                 AND (inbound_count > 0 OR approved_at IS NOT NULL)) AS n";
    conn.number(sql, params![agent_id, address]).await
}

/// When something last came to the agent on this channel, and when something last went out.
pub async fn last_seen(
    conn: &mut Conn,
    agent_id: &AgentId,
    channel: Channel,
) -> Result<(Option<Timestamp>, Option<Timestamp>)> {
    let sql = "SELECT MAX(last_inbound_at) AS inbound, MAX(last_outbound_at) AS outbound
               FROM contacts WHERE agent_id = $1 AND channel = $2";
    let last = conn.get(sql, params![agent_id, channel]).await?;
    Ok((last.get("inbound")?, last.get("outbound")?))
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use rstest::rstest;

    use super::*;
    use crate::Backend;
    use crate::testing::{agent, at, open};

    fn key() -> ContactKey {
        ContactKey { agent_id: agent(), channel: Channel::Whatsapp, address: "+14155550123".to_owned() }
    }

    fn contact() -> Contact {
        Contact {
            agent_id: agent(),
            channel: Channel::Whatsapp,
            address: "+14155550123".to_owned(),
            name: None,
            inbound_count: 0,
            outbound_count: 0,
            blocked: false,
            first_seen_at: at(1),
            last_inbound_at: None,
            last_outbound_at: None,
            approved_at: None,
        }
    }

    #[rstest]
    #[tokio::test]
    async fn both_directions_are_counted_and_a_known_name_stays(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let first = Contact { inbound_count: 1, last_inbound_at: Some(at(1)), ..contact() };
        let named = Contact {
            inbound_count: 2,
            last_inbound_at: Some(at(2)),
            name: Some("Ann".to_owned()),
            ..first.clone()
        };
        let unnamed = Contact { inbound_count: 3, last_inbound_at: Some(at(3)), ..named.clone() };
        let answered = Contact { outbound_count: 1, last_outbound_at: Some(at(4)), ..unnamed.clone() };
        let expected = (first, named, unnamed, answered.clone(), Some(answered));
        let found = db
            .run(move |tx| {
                async move {
                    Ok((
                        record_inbound(tx, &key(), None, at(1)).await?,
                        record_inbound(tx, &key(), Some("Ann"), at(2)).await?,
                        record_inbound(tx, &key(), None, at(3)).await?,
                        record_outbound(tx, &key(), at(4)).await?,
                        find(tx, &key()).await?,
                    ))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn a_contact_can_begin_with_what_we_send(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let found = db
            .run(move |tx| {
                async move { Ok((find(tx, &key()).await?, record_outbound(tx, &key(), at(1)).await?)) }
                    .boxed()
            })
            .await;
        let written = Contact { outbound_count: 1, last_outbound_at: Some(at(1)), ..contact() };
        assert_eq!(found, (None, written));
    }

    #[rstest]
    #[tokio::test]
    async fn a_contact_is_known_on_every_channel_once_it_wrote_or_was_approved(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let elsewhere =
            |address: &str| ContactKey { channel: Channel::Sms, address: address.to_owned(), ..key() };
        let found = db
            .run(move |tx| {
                async move {
                    record_inbound(tx, &elsewhere("wrote"), None, at(1)).await?;
                    record_outbound(tx, &elsewhere("was written to"), at(1)).await?;
                    record_outbound(tx, &key(), at(1)).await?;
                    approve(tx, &key(), at(2)).await?;
                    let mut known = vec![];
                    for address in ["wrote", "was written to", "nobody", &key().address] {
                        known.push(is_known(tx, &agent(), address).await?);
                    }
                    known.push(is_known(tx, &"other".parse().unwrap(), "wrote").await?);
                    Ok(known)
                }
                .boxed()
            })
            .await;
        assert_eq!(found, [true, false, false, true, false]);
    }

    #[rstest]
    #[tokio::test]
    async fn an_approval_makes_a_contact_or_marks_the_one_there_is(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let approved = Contact { approved_at: Some(at(1)), ..contact() };
        let written = Contact { outbound_count: 1, last_outbound_at: Some(at(2)), ..approved.clone() };
        let again = Contact { approved_at: Some(at(3)), ..written.clone() };
        let expected = (Some(approved), written, Some(again));
        let found = db
            .run(move |tx| {
                async move {
                    approve(tx, &key(), at(1)).await?;
                    let approved = find(tx, &key()).await?;
                    let written = record_outbound(tx, &key(), at(2)).await?;
                    approve(tx, &key(), at(3)).await?;
                    Ok((approved, written, find(tx, &key()).await?))
                }
                .boxed()
            })
            .await;
        assert_eq!(found, expected);
    }

    #[rstest]
    #[tokio::test]
    async fn the_last_traffic_is_that_of_the_channel_with_anybody(
        #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    ) {
        let Some(db) = open(backend).await else { return };
        let other = ContactKey { address: "+14155550199".to_owned(), ..key() };
        let found = db
            .run(move |tx| {
                async move {
                    let nothing = last_seen(tx, &agent(), Channel::Whatsapp).await?;
                    record_inbound(tx, &key(), None, at(3)).await?;
                    record_inbound(tx, &other, None, at(2)).await?;
                    let heard = last_seen(tx, &agent(), Channel::Whatsapp).await?;
                    record_outbound(tx, &other, at(9)).await?;
                    let both = last_seen(tx, &agent(), Channel::Whatsapp).await?;
                    Ok([nothing, heard, both, last_seen(tx, &agent(), Channel::Sms).await?])
                }
                .boxed()
            })
            .await;
        let nothing = (None, None);
        assert_eq!(found, [nothing, (Some(at(3)), None), (Some(at(3)), Some(at(9))), nothing]);
    }
}
