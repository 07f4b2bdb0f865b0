//! What the relay can be asked for is there because something asks it.

use super::source::{Source, closing, names};

/// Calls that no tool makes, and who does.
const NOT_FOR_TOOLS: [(&str, &str); 8] = [
    ("GetStatus", "`comms-relay status`"),
    ("SimulateText", "the rehearsal's telephones"),
    ("SimulatedOutbox", "the rehearsal's telephones"),
    ("SimulateCall", "the rehearsal's telephones"),
    ("WatchNumber", "the rehearsal's telephones"),
    ("SimulateAnswer", "the rehearsal's telephones"),
    ("SimulateAct", "the rehearsal's telephones"),
    ("SimulateHear", "the rehearsal's telephones"),
];

/// Calls of the protocol that the MCP server never makes, and that nobody else is known to make.
pub(super) fn calls_without_a_tool(tree: &[Source]) -> Vec<String> {
    let tools: Vec<&Source> = tree.iter().filter(|file| file.path.starts_with("mcp-stdio/src/")).collect();
    let made = |call: &str| tools.iter().any(|file| names(&file.code, call).next().is_some());
    let known = |call: &str| NOT_FOR_TOOLS.iter().any(|(name, _)| *name == call);
    let protocol = tree.iter().filter(|file| file.path == "shared/src/protocol.rs");
    protocol.flat_map(|file| calls(&file.code)).filter(|call| !made(call) && !known(call)).collect()
}

/// The names in `calls! { Name => Reply, … }`.
fn calls(code: &str) -> Vec<String> {
    let start = code.find("\ncalls! {").expect("the protocol lists its calls");
    let open = start + "\ncalls! ".len();
    let list = &code[open + 1..closing(code, open) - 1];
    list.lines().filter_map(|line| Some(line.split_once("=>")?.0.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_without_a_tool_is_found() {
        let protocol = "\ncalls! {\n    Ping => Pong,\n    // The operator's.\n    GetStatus => S,\n    Forgotten => F,\n}\n";
        let tree = [
            Source::new("shared/src/protocol.rs", protocol),
            Source::new("mcp-stdio/src/tools/ping.rs", "relay.call(Ping {}) // Forgotten"),
        ];
        assert_eq!(calls_without_a_tool(&tree), ["Forgotten"]);
    }
}
