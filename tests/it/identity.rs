//! Who may do what for whom: every tool, for oneself, for another agent and for one that is not there, by an agent, by
//! an admin and by the user of this machine. Through the real programs, as a host starts them.

mod handles;
mod table;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tests::process::{Home, McpProcess, RelayProcess};
use tests::relay::PERSON;

use crate::process::comms_relay;

/// Who has a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// With the token of `sales`.
    Agent,
    /// With an admin's token; the default agent where none is named.
    Admin,
    /// Without a token: the default agent.
    LocalUser,
}

impl Who {
    const ALL: [Self; 3] = [Self::Agent, Self::Admin, Self::LocalUser];

    fn own(self) -> &'static str {
        match self {
            Self::Agent => "sales",
            Self::Admin | Self::LocalUser => "default",
        }
    }
}

/// Nothing here is about how much.
const SETTINGS: [(&str, &str); 6] = [
    ("COMMS_LIMITS__ACTIONS_PER_MINUTE", "100000"),
    ("COMMS_LIMITS__ACTIONS_PER_HOUR", "100000"),
    ("COMMS_LIMITS__SPEND_PER_DAY", "100000"),
    ("COMMS_LIMITS__SPEND_PER_MONTH", "100000"),
    ("COMMS_LIMITS__CALLS_PER_DAY_SAME_NUMBER", "100"),
    ("COMMS_LIMITS__POOL", "20"),
];

/// A relay in demo mode with the agents `default`, `sales`, `support` and `spare`, and a server for each [`Who`].
struct Stage {
    _home: Home,
    relay: RelayProcess,
    agent: McpProcess,
    admin: McpProcess,
    local_user: McpProcess,
}

impl Stage {
    async fn set() -> Result<Self> {
        let home = Home::temp();
        let relay = RelayProcess::start(&home, &SETTINGS).await?;
        let made = comms_relay(&home, &["token", "create", "--admin", "--json"], &SETTINGS).await?;
        let token: Value = serde_json::from_str(&made.stdout).with_context(|| format!("{made:?}"))?;
        let mut admin = connected(&home, token["token"].as_str()).await?;
        let token = agent(&mut admin, "sales").await?;
        for id in ["support", "spare"] {
            agent(&mut admin, id).await?;
        }
        let agent = connected(&home, Some(&token)).await?;
        let local_user = connected(&home, None).await?;
        Ok(Self { relay, agent, admin, local_user, _home: home })
    }

    async fn call(&mut self, who: Who, tool: &str, arguments: Value) -> Result<Told> {
        let server = match who {
            Who::Agent => &mut self.agent,
            Who::Admin => &mut self.admin,
            Who::LocalUser => &mut self.local_user,
        };
        let result = server.call_tool(tool, arguments).await?;
        let text = result["content"][0]["text"].as_str().context("no text")?.to_owned();
        if result["isError"] == json!(true) { Ok(Told::Failure(text)) } else { Ok(Told::Result(text)) }
    }

    async fn end(self) -> Result<()> {
        assert!(self.relay.terminate().await?.success());
        Ok(())
    }
}

/// What a tool tells, as its only text.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Told {
    Result(String),
    Failure(String),
}

impl Told {
    /// `ok`, or the failure's code.
    fn outcome(&self) -> Result<String> {
        match self {
            Self::Result(_) => Ok("ok".to_owned()),
            Self::Failure(text) => {
                let failure: Value = serde_json::from_str(text)?;
                Ok(failure["error"]["code"].as_str().context("no code")?.to_owned())
            }
        }
    }

    fn result(&self) -> Result<Value> {
        match self {
            Self::Result(text) => Ok(serde_json::from_str(text)?),
            Self::Failure(text) => anyhow::bail!("no result but {text}"),
        }
    }

    fn approval_id(&self) -> Option<String> {
        let Self::Failure(text) = self else { return None };
        let failure: Value = serde_json::from_str(text).ok()?;
        failure["error"]["approvalId"].as_str().map(str::to_owned)
    }
}

async fn connected(home: &Home, token: Option<&str>) -> Result<McpProcess> {
    let token = token.map(|token| ("COMMS_TOKEN", token));
    let env: Vec<_> = [("COMMS_AUTOSTART", "0")].into_iter().chain(token).collect();
    let mut server = McpProcess::start(home, &[], &env).await?;
    server.initialize("claude-code").await?;
    Ok(server)
}

/// Sets an agent up with a number of its own; gives its token.
async fn agent(admin: &mut McpProcess, id: &str) -> Result<String> {
    let wanted = json!({
        "displayName": "Another agent", "agentId": id, "capabilities": ["sms", "voice"], "confirm": true,
    });
    let made = admin.call_tool("comms_provision_channels", wanted).await?;
    Ok(made["structuredContent"]["token"].as_str().with_context(|| format!("no token: {made}"))?.to_owned())
}

/// A call of an agent to somebody who picks up and says something.
async fn live_call(stage: &mut Stage, who: Who, agent: &str) -> Result<String> {
    let placed = stage.call(who, "comms_make_call", json!({ "to": PERSON, "agentId": agent })).await?;
    let sid = placed.result()?["callSid"].as_str().context("no call")?.to_owned();
    let listening = json!({ "callSid": sid, "agentId": agent, "waitSeconds": 20 });
    let heard = stage.call(who, "comms_get_messages", listening).await?.result()?;
    assert_ne!(heard["turns"], json!([]), "nobody speaks");
    Ok(sid)
}
