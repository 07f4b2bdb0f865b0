//! Voicemails: stored as they grow, announced when they are whole or the call is over.

use futures_util::FutureExt;
use relay_core::call::Voicemail as Spoken;
use relay_core::sanitize;
use relay_store::voicemail_messages::{self, Voicemail};
use relay_store::{Conn, call_logs, messages};
use shared::ids::{AgentId, MessageId, SessionId};
use shared::model::{MessageKind, Timestamp};

use crate::app::App;
use crate::observability::events;
use crate::services::ServiceError;
use crate::services::inbox::{CallEntry, insert_call_entry};
use crate::services::live_calls::LiveCall;

/// Stores what the caller has said so far. A complete one is announced in the same transaction, so that the caller
/// is thanked only for what the agent will get.
pub(crate) async fn store_voicemail(app: &App, call: &LiveCall, spoken: Spoken) -> Result<(), ServiceError> {
    let now = app.now();
    let (session, agent, caller) = (call.session_id.clone(), call.agent_id.clone(), call.from.clone());
    let complete = spoken.complete;
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let earlier = voicemail_messages::find_by_session(tx, &session).await?;
                let row = Voicemail {
                    id: earlier.as_ref().map_or_else(MessageId::generate, |row| row.id.clone()),
                    session_id: session,
                    agent_id: agent,
                    caller,
                    callback: spoken.callback,
                    transcript: sanitize::clean(&spoken.transcript).text,
                    created_at: earlier.map_or(now, |row| row.created_at),
                    updated_at: now,
                };
                voicemail_messages::upsert(tx, &row).await?;
                if complete { announce(tx, row, now).await } else { Ok(()) }
            }
            .boxed()
        })
        .await?;
    if complete {
        app.inboxes.changed(&call.agent_id);
        events::voicemail_stored(&call.session_id);
    }
    Ok(())
}

/// The call is over: what was said until then is a voicemail, too.
pub(crate) async fn announce_voicemail(app: &App, session: &SessionId) -> Result<(), ServiceError> {
    let (now, session) = (app.now(), session.clone());
    let announced: Option<AgentId> = app
        .db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let Some(row) = voicemail_messages::find_by_session(tx, &session).await? else {
                    return Ok(None);
                };
                let agent = row.agent_id.clone();
                announce(tx, row, now).await?;
                Ok(Some(agent))
            }
            .boxed()
        })
        .await?;
    if let Some(agent) = announced {
        app.inboxes.changed(&agent);
    }
    Ok(())
}

/// At the start of the relay: voicemails whose call ended with the process that took them.
pub(crate) async fn announce_unannounced(app: &App) -> Result<(), ServiceError> {
    let sessions = app
        .db
        .read::<_, ServiceError, _>(|conn| {
            async move { Ok(voicemail_messages::list_unannounced(conn).await?) }.boxed()
        })
        .await?;
    for row in sessions {
        announce_voicemail(app, &row.session_id).await?;
    }
    Ok(())
}

/// Puts a voicemail into the inbox, once.
async fn announce(tx: &mut Conn, row: Voicemail, now: Timestamp) -> Result<(), ServiceError> {
    if messages::find(tx, &row.agent_id, &row.id).await?.is_some() {
        return Ok(());
    }
    let Some(call) = call_logs::find(tx, &row.session_id).await? else { return Ok(()) };
    let Some(call_sid) = call.call_sid else { return Ok(()) };
    let text = match &row.callback {
        Some(callback) => format!("{}\nCall back: {callback}", row.transcript),
        None => row.transcript,
    };
    let entry = CallEntry {
        id: row.id,
        kind: MessageKind::Voicemail,
        agent_id: row.agent_id,
        call_sid,
        from: row.caller,
        to: call.to_address,
        text,
    };
    insert_call_entry(tx, entry, now).await
}
