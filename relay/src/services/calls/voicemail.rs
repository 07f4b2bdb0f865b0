//! Voicemails: stored as they grow, announced when they are whole or the call is over.

use std::sync::Arc;

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
use crate::services::audit::{self, Act};
use crate::services::inbox::{CallEntry, insert_call_entry};
use crate::services::live_calls::LiveCall;

/// Stores what the caller has said so far. A complete one is announced in the same transaction, so that the caller
/// is thanked only for what the agent will get.
pub(crate) async fn store_voicemail(
    app: &App,
    call: &Arc<LiveCall>,
    spoken: Spoken,
) -> Result<(), ServiceError> {
    let now = app.now();
    let left_to = Arc::clone(call);
    let complete = spoken.complete;
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                let earlier = voicemail_messages::find_by_session(tx, &left_to.session_id).await?;
                let spoken_text = sanitize::clean(&spoken.transcript).text;
                let row = match earlier {
                    Some(row) => Voicemail {
                        callback: spoken.callback.or(row.callback),
                        transcript: joined(left_to.voicemail_before(&row.transcript), &spoken_text),
                        updated_at: now,
                        ..row
                    },
                    None => Voicemail {
                        id: MessageId::generate(),
                        session_id: left_to.session_id.clone(),
                        agent_id: left_to.agent_id.clone(),
                        caller: left_to.from.clone(),
                        callback: spoken.callback,
                        transcript: joined(left_to.voicemail_before(""), &spoken_text),
                        created_at: now,
                        updated_at: now,
                    },
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

fn joined(before: &str, text: &str) -> String {
    [before, text].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("\n")
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

/// Puts a voicemail into the inbox, once; what the caller adds later amends the entry.
async fn announce(tx: &mut Conn, row: Voicemail, now: Timestamp) -> Result<(), ServiceError> {
    let text = match &row.callback {
        Some(callback) => format!("{}\nCall back: {callback}", row.transcript),
        None => row.transcript,
    };
    if messages::find(tx, &row.agent_id, &row.id).await?.is_some() {
        if messages::amend(tx, &row.id, &text, now).await? {
            audit::append(tx, now, Act("carrier", "voicemail.amended", row.id.as_str()), &[]).await?;
        }
        return Ok(());
    }
    let Some(call) = call_logs::find(tx, &row.session_id).await? else { return Ok(()) };
    let Some(call_sid) = call.call_sid else { return Ok(()) };
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
