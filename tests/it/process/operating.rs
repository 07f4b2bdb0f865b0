//! What the operator does from the command line, beside a relay that runs or without one: what is listed, what is
//! refused and how, and that a running relay obeys.

use anyhow::{Context, Result};
use rstest::rstest;
use serde_json::{Value, json};
use shared::ids::AgentId;
use shared::ipc::Client;
use shared::model::{Channel, LimitsPatch};
use shared::protocol::{
    Envelope, ErrorCode, GetChannelStatus, Health, Hello, PROTOCOL_VERSION, PeerProgram, Ping,
    ProvisionChannels, SendMessage, SetAgentLimits,
};
use tests::process::{Home, RelayProcess};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON};
use tests::wait::until;

use super::{Ended, comms_relay, session};

const NOBODY: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// Runs a command that must succeed.
async fn done(home: &Home, arguments: &[&str]) -> Result<Ended> {
    let ended = comms_relay(home, arguments, &[]).await?;
    assert_eq!(ended.code, Some(0), "{arguments:?}: {ended:?}");
    Ok(ended)
}

async fn listed(home: &Home, arguments: &[&str]) -> Result<Value> {
    let ended = done(home, &[arguments, &["--json"]].concat()).await?;
    serde_json::from_str(&ended.stdout).context("a listing is JSON")
}

async fn with_token(home: &Home, token: &Value) -> Result<Client> {
    let client = PeerProgram { name: "test".to_owned(), version: "0".to_owned() };
    let token = token["token"].as_str().map(str::to_owned);
    let hello = Hello { protocol: PROTOCOL_VERSION, client, host: None, token };
    Client::connect(&home.paths().socket(), &hello).await.context("the session is refused")
}

fn raising() -> SetAgentLimits {
    let limits = LimitsPatch { max_actions_per_day: Some(7), ..LimitsPatch::default() };
    SetAgentLimits { agent_id: AgentId::default_agent(), limits }
}

#[tokio::test]
async fn an_agent_is_shown_as_it_was_made() -> Result<()> {
    let home = Home::temp();
    done(&home, &["agent", "create", "sales", "--name", "Sales desk", "--time-zone", "europe/berlin"])
        .await?;
    done(&home, &["agent", "recipients", "sales", "allow-list"]).await?;
    done(&home, &["agent", "block", "sales"]).await?;
    let expected = json!({
        "id": "sales", "name": "Sales desk", "status": "blocked", "responder": "auto",
        "timeZone": "Europe/Berlin", "recipients": "allow-list", "channels": {},
    });
    assert_eq!(listed(&home, &["agent", "show", "sales"]).await?, expected);
    Ok(())
}

#[tokio::test]
async fn what_goes_back_to_the_settings_is_not_the_agents_own_any_more() -> Result<()> {
    let home = Home::temp();
    done(&home, &["agent", "create", "sales", "--name", "Sales", "--time-zone", "Asia/Tokyo"]).await?;
    for [verb, value] in [["recipients", "open"], ["recipients", "default"], ["time-zone", "default"]] {
        done(&home, &["agent", verb, "sales", value]).await?;
    }
    for verb in ["block", "unblock"] {
        done(&home, &["agent", verb, "sales"]).await?;
    }
    let expected = json!([
        { "id": "sales", "name": "Sales", "status": "active", "responder": "auto", "channels": {} }
    ]);
    assert_eq!(listed(&home, &["agent", "list"]).await?, expected);
    Ok(())
}

#[tokio::test]
async fn an_address_is_listed_once_in_its_one_form() -> Result<()> {
    let home = Home::temp();
    done(&home, &["agent", "create", "sales", "--name", "Sales"]).await?;
    for address in [" +12025550147", "+12025550147", "Ann@Example.ORG", "bob@example.org"] {
        done(&home, &["agent", "allow", "sales", address]).await?;
    }
    done(&home, &["agent", "disallow", "sales", "bob@EXAMPLE.org"]).await?;
    assert_eq!(
        listed(&home, &["agent", "allowed", "sales"]).await?,
        json!(["+12025550147", "Ann@example.org"])
    );
    Ok(())
}

#[rstest]
#[case::shown(&["agent", "show", "nobody"], "no agent `nobody`: see `comms-relay agent list`")]
#[case::blocked(&["agent", "block", "nobody"], "there is no such agent: see `comms-relay agent list`")]
#[case::allowed(&["agent", "allowed", "nobody"], "there is no such agent: see `comms-relay agent list`")]
#[case::no_address(
    &["agent", "allow", "sales", "12"],
    "`address` is not valid: not a phone number in E.164 form, such as +14155550123"
)]
#[case::not_listed(
    &["agent", "disallow", "sales", "+12025550147"],
    "That address is not on the agent's list; nothing was done. `comms-relay agent allowed` shows the list."
)]
#[case::zone(
    &["agent", "time-zone", "sales", "Mars/Olympus"],
    "`time-zone` is not valid: not the name of a time zone, such as Europe/Berlin"
)]
#[case::there(
    &["agent", "create", "sales", "--name", "Sales"],
    "There is or was an agent `sales`; nothing was done. Choose another id."
)]
#[case::name(
    &["agent", "create", "other", "--name", " "],
    "`name` is not valid: must be one line of 1 to 80 characters"
)]
#[case::pool(
    &["agent", "create", "other", "--name", "Other"],
    "All places of the pool (1) are taken; no agent was made. Release an agent with comms_deprovision_channels, or \
     raise limits.pool."
)]
#[case::token(&["token", "create", "--agent", "nobody"], "there is no such agent: see `comms-relay agent list`")]
#[case::revoked(&["token", "revoke", NOBODY], "there is no such open token: see `comms-relay token list`")]
#[case::rotated(&["token", "rotate", NOBODY], "there is no such open token: see `comms-relay token list`")]
#[case::approved(
    &["approval", "approve", NOBODY],
    "there is no such open approval: see `comms-relay approval list`"
)]
#[tokio::test]
async fn a_refusal_is_one_line_that_says_what_to_do(
    #[case] arguments: &[&str],
    #[case] line: &str,
) -> Result<()> {
    let home = Home::temp();
    done(&home, &["agent", "create", "sales", "--name", "Sales"]).await?;
    let ended = comms_relay(&home, arguments, &[("COMMS_LIMITS__POOL", "1")]).await?;
    let said = (ended.code, ended.stdout.as_str(), ended.stderr);
    assert_eq!(said, (Some(1), "", format!("comms-relay: {line}\n")));
    Ok(())
}

#[rstest]
#[case::policy(&["agent", "recipients", "default", "sometimes"])]
#[case::agent(&["agent", "show", "No Such Id"])]
#[case::token(&["token", "revoke", "cat_AAAA"])]
#[case::approval(&["approval", "approve", "yes"])]
#[case::days(&["token", "create", "--days", "0"])]
#[tokio::test]
async fn an_argument_of_the_wrong_form_is_wrong_usage(#[case] arguments: &[&str]) -> Result<()> {
    let ended = comms_relay(&Home::temp(), arguments, &[]).await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    Ok(())
}

#[tokio::test]
async fn a_list_of_tokens_tells_what_became_of_them_and_no_secret() -> Result<()> {
    let home = Home::temp();
    done(&home, &["agent", "create", "sales", "--name", "Sales"]).await?;
    let create = ["token", "create", "--agent", "sales"];
    let first = listed(&home, &create).await?;
    let second = listed(&home, &[&create[..], &["--admin", "--days", "2"]].concat()).await?;
    let third =
        listed(&home, &["token", "rotate", second["id"].as_str().context("a token has an id")?]).await?;
    done(&home, &["token", "revoke", first["id"].as_str().context("a token has an id")?]).await?;
    let ended = done(&home, &["token", "list", "--agent", "sales", "--json"]).await?;
    for made in [&first, &second, &third] {
        let secret = made["token"].as_str().context("a token is shown when it is made")?;
        assert!(!ended.stdout.contains(secret), "a secret is listed");
    }
    let rows: Vec<Value> = serde_json::from_str(&ended.stdout)?;
    let of = |row: &Value| (row["id"].clone(), row["role"].clone(), row["status"].clone());
    let expected = [(&first, "agent", "revoked"), (&second, "admin", "revoked"), (&third, "admin", "open")]
        .map(|(made, role, status)| (made["id"].clone(), json!(role), json!(status)));
    assert_eq!(rows.iter().map(of).collect::<Vec<_>>(), expected);
    Ok(())
}

#[tokio::test]
async fn a_running_relay_stops_a_blocked_agent_at_once() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let session = session(&home).await?;
    done(&home, &["agent", "block", "default"]).await?;
    let blocked = refusal(session.call(SendMessage::sms(PERSON, "hello")).await)?.code;
    done(&home, &["agent", "unblock", "default"]).await?;
    session.call(SendMessage::sms(PERSON, "hello")).await?;
    assert_eq!(blocked, ErrorCode::ChannelBlocked);
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_running_relay_lets_an_agent_reach_whom_its_list_says() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let session = session(&home).await?;
    done(&home, &["agent", "recipients", "default", "allow-list"]).await?;
    let unlisted = refusal(session.call(SendMessage::sms(PERSON, "hello")).await)?.code;
    done(&home, &["agent", "allow", "default", PERSON]).await?;
    session.call(SendMessage::sms(PERSON, "hello")).await?;
    done(&home, &["agent", "disallow", "default", PERSON]).await?;
    let unlisted_again = refusal(session.call(SendMessage::sms(PERSON, "hello")).await)?.code;
    assert_eq!((unlisted, unlisted_again), (ErrorCode::Forbidden, ErrorCode::Forbidden));
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_running_relay_notices_an_agent_that_was_made_beside_it() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let admin = with_token(&home, &listed(&home, &["token", "create", "--admin"]).await?).await?;
    done(&home, &["agent", "create", "sales", "--name", "Sales"]).await?;
    let sales = Envelope { agent_id: Some("sales".parse()?), ..Envelope::default() };
    let found = until("the new agent", async || {
        let answer = admin.call_with(Ping { message: "x".to_owned() }, sales.clone()).await;
        Ok(answer.ok().map(|told| (told.reply.agent_id, told.reply.pool.active_agents)))
    })
    .await?;
    assert_eq!(found, ("sales".parse()?, 2));
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_running_relay_obeys_a_token_that_was_replaced_beside_it() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let old = listed(&home, &["token", "create", "--admin"]).await?;
    let session = with_token(&home, &old).await?;
    let fresh = listed(&home, &["token", "rotate", old["id"].as_str().context("a token has an id")?]).await?;
    let refused = refusal(session.call(raising()).await)?.code;
    let in_force = with_token(&home, &fresh).await?.call(raising()).await?.reply.limits;
    assert_eq!((refused, in_force.max_actions_per_day), (ErrorCode::AuthRequired, 7));
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_yes_at_the_command_line_lets_one_call_pass() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let session = session(&home).await?;
    let asked = refusal(session.call(raising()).await)?.approval_id.context("the question has an id")?;
    let open = listed(&home, &["approval", "list"]).await?;
    done(&home, &["approval", "approve", asked.as_str()]).await?;
    let envelope = Envelope { approval_id: Some(asked.clone()), ..Envelope::default() };
    session.call_with(raising(), envelope).await?;
    let left = listed(&home, &["approval", "list"]).await?;
    let all = listed(&home, &["approval", "list", "--all"]).await?;
    let seen = [&open, &all].map(|list| (list[0]["id"].clone(), list[0]["status"].clone()));
    let expected = ["pending", "used"].map(|status| (json!(asked), json!(status)));
    assert_eq!((seen, left), (expected, json!([])));
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn a_no_at_the_command_line_is_final() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let session = session(&home).await?;
    let asked = refusal(session.call(raising()).await)?.approval_id.context("the question has an id")?;
    done(&home, &["approval", "deny", asked.as_str()]).await?;
    let changed = comms_relay(&home, &["approval", "approve", asked.as_str()], &[]).await?.code;
    let envelope = Envelope { approval_id: Some(asked), ..Envelope::default() };
    let denied = refusal(session.call_with(raising(), envelope).await)?.code;
    assert_eq!((changed, denied), (Some(1), ErrorCode::ApprovalDenied));
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn an_agents_words_do_not_reach_the_terminal_as_commands() -> Result<()> {
    let home = Home::temp();
    let relay = RelayProcess::start(&home, &[]).await?;
    let tricky = ProvisionChannels {
        display_name: "Sales\u{1b}[2K\r\u{202e}\napproved: nothing".to_owned(),
        capabilities: vec![Channel::Sms],
        agent_id: None,
        country: None,
        area_code: None,
        email_domain: None,
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        confirm: None,
    };
    refusal(session(&home).await?.call(tricky).await)?;
    let ended = done(&home, &["approval", "list"]).await?;
    let acting = |c: &char| c.is_control() && *c != '\n' || *c == '\u{202e}';
    assert_eq!((ended.stdout.lines().count(), ended.stdout.chars().find(acting)), (1, None), "{ended:?}");
    assert!(relay.terminate().await?.success());
    Ok(())
}

#[tokio::test]
async fn without_a_public_address_texts_only_go_out_and_calls_do_not_work() -> Result<()> {
    let home = Home::temp();
    let account = [
        ("COMMS_MODE", "live"),
        ("TWILIO_ACCOUNT_SID", "AC00000000000000000000000000000001"),
        ("TWILIO_AUTH_TOKEN", "hush"),
        ("TWILIO_PHONE_NUMBER", OUR_NUMBER),
    ];
    let relay = RelayProcess::start(&home, &account).await?;
    let found = session(&home).await?.call(GetChannelStatus {}).await?.reply.channels;
    let told = found.iter().map(|own| {
        let says_what_to_do = own.problems.iter().any(|text| text.contains("public.url"));
        (own.channel, own.health, says_what_to_do)
    });
    let expected = [(Channel::Sms, Health::Degraded, true), (Channel::Voice, Health::Down, true)];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert!(relay.terminate().await?.success());
    Ok(())
}
