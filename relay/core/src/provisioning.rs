//! What a new agent is called, and what is told to whoever connects its host.
//!
//! Called by the provisioning service. No text that is made here may hold a token: it says where the token goes.

use data_encoding::BASE32_NOPAD;
use serde_json::json;
use shared::ids::AgentId;
use shared::protocol::ConnectionInstructions;

/// Leaves room for a hyphen and the five random letters within 40.
const MAX_NAME: usize = 34;

/// An identifier that tells the name and is nobody else's, such as `sales-desk-x7k2q`.
#[must_use]
pub fn slug(display_name: &str, random: &[u8; 3]) -> AgentId {
    let lower = display_name.to_ascii_lowercase();
    let words = lower.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut name = words.collect::<Vec<_>>().join("-");
    name.truncate(MAX_NAME);
    let name = if name.is_empty() { "agent" } else { name.trim_end_matches('-') };
    let suffix = BASE32_NOPAD.encode(random).to_ascii_lowercase();
    format!("{name}-{suffix}").parse().expect("letters, digits and hyphens, at most 40")
}

/// What stands before the `@` of an agent's e-mail address.
#[must_use]
pub fn local_part(agent: &AgentId) -> &str {
    agent.as_str()
}

/// How an agent's host is connected, with the program `comms_mcp`.
#[must_use]
pub fn connection(agent: &AgentId, comms_mcp: &str) -> ConnectionInstructions {
    let server = json!({ "command": comms_mcp, "env": { "COMMS_TOKEN": "<the token>" } });
    let config = format!("{:#}", json!({ "mcpServers": { "comms": server } }));
    let text = |place: &str| {
        format!("Put this into {place}, with the token of {agent} in place of <the token>:\n{config}")
    };
    ConnectionInstructions {
        claude_desktop: text("claude_desktop_config.json (Settings, Developer, Edit Config)"),
        cursor: text("~/.cursor/mcp.json"),
        http: None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use shared::model::EmailAddress;

    use super::*;

    #[rstest]
    #[case::words("Sales Desk", "sales-desk-xps4c")]
    #[case::marks_between("  Ann's  (2nd) desk!", "ann-s-2nd-desk-xps4c")]
    #[case::other_letters("Büro", "b-ro-xps4c")]
    #[case::no_letter_of_ours("営業", "agent-xps4c")]
    #[case::nothing("", "agent-xps4c")]
    #[case::too_long("abcdefghij klmnopqrst uvwxyzabcd efg hij", "abcdefghij-klmnopqrst-uvwxyzabcd-e-xps4c")]
    #[case::cut_at_a_hyphen(
        "abcdefghij klmnopqrst uvwxyzabcde hij",
        "abcdefghij-klmnopqrst-uvwxyzabcde-xps4c"
    )]
    fn an_id_tells_the_name(#[case] name: &str, #[case] id: &str) {
        assert_eq!(slug(name, &[0xbb, 0xe5, 0xc1]).as_str(), id);
    }

    #[test]
    fn agents_of_one_name_differ_by_chance() {
        assert_ne!(slug("Sales", &[1, 2, 3]), slug("Sales", &[1, 2, 4]));
    }

    #[test]
    fn the_host_is_told_where_the_token_goes() {
        let agent = "sales".parse().unwrap();
        let text = |place: &str| {
            format!(
                "Put this into {place}, with the token of sales in place of <the token>:\n{}",
                r#"{
  "mcpServers": {
    "comms": {
      "command": "/opt/comms-mcp",
      "env": {
        "COMMS_TOKEN": "<the token>"
      }
    }
  }
}"#
            )
        };
        let expected = ConnectionInstructions {
            claude_desktop: text("claude_desktop_config.json (Settings, Developer, Edit Config)"),
            cursor: text("~/.cursor/mcp.json"),
            http: None,
        };
        assert_eq!(connection(&agent, "/opt/comms-mcp"), expected);
    }

    #[test]
    fn a_path_of_windows_stays_valid_json() {
        let text = connection(&AgentId::default_agent(), r"C:\comms\comms-mcp.exe").cursor;
        let (_, json) = text.split_once('\n').unwrap();
        let config: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(config["mcpServers"]["comms"]["command"], r"C:\comms\comms-mcp.exe");
    }

    proptest! {
        #[test]
        fn every_name_makes_an_id_that_can_have_mail(name in any::<String>(), random in any::<[u8; 3]>()) {
            let id = slug(&name, &random);
            prop_assert!(id.as_str().len() <= 40);
            let address = format!("{}@example.org", local_part(&id));
            prop_assert_eq!(address.parse::<EmailAddress>().map(|parsed| parsed.to_string()), Ok(address));
        }
    }
}
