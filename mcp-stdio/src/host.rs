//! How long a tool call may wait, by agent host: hosts kill long calls, whatever progress is reported.

/// Waits where nothing else is asked for.
const DEFAULT_WAIT: u64 = 25;
/// The longest wait where the host is not known.
const UNKNOWN_HOST: u64 = 45;
/// Seconds that a call may wait, by the beginning of the host's `clientInfo.name`.
const LONGEST: [(&str, u64); 10] = [
    ("claude-code", 110),
    ("claude-ai", 50),
    ("local-agent-mode-", 50),
    ("cursor-vscode", 45),
    ("windsurf-client", 45),
    ("Zed", 45),
    ("Visual Studio Code", 110),
    ("codex-mcp-client", 280),
    ("goose", 280),
    ("gemini-cli-mcp-client", 280),
];

/// The longest wait that the host survives, in seconds.
pub(crate) fn longest(host: Option<&str>) -> u64 {
    let known = LONGEST.iter().find(|(name, _)| host.is_some_and(|host| host.starts_with(name)));
    known.map_or(UNKNOWN_HOST, |(_, longest)| *longest)
}

/// Cuts a wait to what the host survives.
pub(crate) fn capped(host: Option<&str>, seconds: u64) -> u64 {
    seconds.min(longest(host))
}

/// The wait of a call that listens: as asked, else a while.
pub(crate) fn listening(host: Option<&str>, asked: Option<u64>) -> u64 {
    capped(host, asked.unwrap_or(DEFAULT_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("claude-code", 110)]
    #[case("claude-ai", 50)]
    #[case("local-agent-mode-comms", 50)]
    #[case("cursor-vscode", 45)]
    #[case("windsurf-client", 45)]
    #[case("Zed", 45)]
    #[case("Visual Studio Code", 110)]
    #[case("Visual Studio Code - Insiders", 110)]
    #[case("codex-mcp-client", 280)]
    #[case("goose", 280)]
    #[case("gemini-cli-mcp-client", 280)]
    #[case("mcp", 45)]
    fn a_wait_ends_before_the_host_kills_it(#[case] host: &str, #[case] longest: u64) {
        assert_eq!(capped(Some(host), 3600), longest);
    }

    #[test]
    fn a_host_without_a_name_gets_the_safest_wait() {
        assert_eq!(capped(None, 3600), 45);
    }

    #[test]
    fn a_short_wait_is_left_as_it_is() {
        assert_eq!((capped(Some("goose"), 7), listening(None, Some(0))), (7, 0));
    }

    #[test]
    fn listening_waits_25_seconds_if_nothing_is_said() {
        assert_eq!(listening(Some("claude-code"), None), 25);
    }
}
