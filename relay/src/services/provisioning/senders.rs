//! The WhatsApp senders that agents are given one of. A person registers them with the provider and names them in the
//! settings; here they are only lent.

use futures_util::FutureExt;
use relay_store::whatsapp_pool;
use shared::ids::AgentId;
use shared::model::PhoneNumber;

use crate::app::App;
use crate::config::Mode;
use crate::services::ServiceError;

/// Numbers of fiction, for demo mode.
const SIMULATED_SENDERS: [&str; 3] = ["+12025550171", "+12025550172", "+12025550173"];

/// Puts the senders of this mode into the pool. Called at every start; one that is there stays with its agent.
pub(crate) async fn fill_whatsapp_pool(app: &App) -> Result<(), ServiceError> {
    let twilio = &app.config.twilio;
    let senders: Vec<String> = match app.config.mode {
        Mode::Demo => SIMULATED_SENDERS.map(str::to_owned).to_vec(),
        Mode::Live => {
            // The default agent has that one.
            let is_free = |sender: &&PhoneNumber| twilio.whatsapp_number.as_ref() != Some(*sender);
            twilio.whatsapp_senders.iter().filter(is_free).map(ToString::to_string).collect()
        }
    };
    let provider = app.providers().whatsapp_name;
    app.db
        .transaction::<_, ServiceError, _>(move |tx| {
            async move {
                for sender in senders {
                    whatsapp_pool::add_if_absent(tx, &sender, provider).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
}

/// Tells the simulated carrier, where there is one, which agent a sender's messages are for. With a real provider a
/// person does that in its console.
pub(crate) fn attach_sender(app: &App, agent: &AgentId, number: PhoneNumber) {
    if let Some(carrier) = &app.providers().carrier {
        carrier.attach_whatsapp(number, app.webhook_url(agent, "whatsapp"));
    }
}
