//! Who may import whom: between packages by their manifests, inside the relay by the paths that a file names.

use super::source::{Source, closing, line_of, names};
use super::{Finding, Rule};

/// Folder of every package, sorted.
pub(super) const PACKAGES: [&str; 7] =
    ["mcp-stdio", "relay", "relay/core", "relay/providers", "relay/store", "shared", "tests"];

const OURS: [&str; 7] =
    ["mcp-stdio", "relay", "relay-core", "relay-providers", "relay-store", "shared", "tests"];
const DATABASE: [&str; 3] = ["deadpool-postgres", "rusqlite", "tokio-postgres"];
const SERVER: [&str; 4] = ["axum", "hyper", "hyper-util", "tower-http"];
const CLIENT: [&str; 2] = ["reqwest", "tokio-tungstenite"];
const RUNTIME: [&str; 3] = ["interprocess", "tokio", "tokio-util"];

/// A package: which of ours it may import, and what from outside it must not.
struct Wall {
    folder: &'static str,
    ours: &'static [&'static str],
    never: &'static [&'static [&'static str]],
}

const WALLS: [Wall; 6] = [
    Wall { folder: "mcp-stdio", ours: &["shared"], never: &[&DATABASE, &SERVER, &CLIENT] },
    Wall {
        folder: "relay",
        ours: &["relay-core", "relay-providers", "relay-store", "shared"],
        never: &[&DATABASE, &CLIENT],
    },
    Wall { folder: "relay/core", ours: &["shared"], never: &[&DATABASE, &SERVER, &CLIENT, &RUNTIME] },
    Wall { folder: "relay/providers", ours: &["shared"], never: &[&DATABASE, &SERVER] },
    Wall { folder: "relay/store", ours: &["shared"], never: &[&SERVER, &CLIENT] },
    Wall { folder: "shared", ours: &[], never: &[&DATABASE, &SERVER, &CLIENT] },
];

/// The relay's doors to the outside, which know services and not each other.
const ENTRY_POINTS: [&str; 5] = ["admin", "http", "ipc", "jobs", "voice"];
/// What an entry point may name beside its own folder.
const BELOW_ENTRY_POINTS: [&str; 4] = ["app", "config", "observability", "services"];
/// What knows every entry point: it starts them.
const COMPOSERS: [&str; 3] = ["relay/src/lib.rs", "relay/src/main.rs", "relay/src/start.rs"];
/// File, module it may name against the rule, and why.
const EXCEPTIONS: [(&str, &str, &str); 1] =
    [("relay/src/http/webhooks/voice_ws.rs", "voice", "a live call starts as an HTTP request")];
/// The only places that make a provider act, because the rules are asked just before them.
const ROADS_OUT: [(&str, &str); 3] = [
    ("providers.messages.send(", "relay/src/services/outbox/parcel.rs"),
    ("providers.voice.place(", "relay/src/services/calls/place.rs"),
    ("providers.voice.redirect(", "relay/src/services/calls/transfer.rs"),
];

/// Packages import as ARCHITECTURE.md draws it, so that the core stays pure and the MCP server small.
pub(super) fn packages(file: &Source) -> Vec<Finding> {
    let Some(wall) =
        file.path.strip_suffix("/Cargo.toml").and_then(|at| WALLS.iter().find(|wall| wall.folder == at))
    else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for (line, section, name) in dependencies(&file.text) {
        let what = format!("{} depends on {name}", wall.folder);
        let finding = |instead| Finding { file: file.path.clone(), line, what, instead };
        if OURS.contains(&name) && !wall.ours.contains(&name) {
            findings.push(finding("import downwards only, see ARCHITECTURE.md"));
        } else if section != "dev-dependencies" && wall.never.iter().any(|names| names.contains(&name)) {
            findings.push(finding("that work belongs to another package, call it there"));
        }
    }
    findings
}

/// A route, a socket, a page or a job calls services: it names no store, no provider and no other entry point.
pub(super) fn entry_points(file: &Source) -> Vec<Finding> {
    let Some(own) = relay_module(&file.path).filter(|module| ENTRY_POINTS.contains(module)) else {
        return Vec::new();
    };
    let tests = file.test_lines();
    let below = ["relay_store", "relay_providers"]
        .into_iter()
        .flat_map(|name| names(&file.code, name).map(move |offset| (line_of(&file.code, offset), name)));
    let beside = own_modules(&file.code).into_iter().filter(|(_, name)| {
        *name != own && !BELOW_ENTRY_POINTS.contains(name) && !is_exception(&file.path, name)
    });
    let finding = |(line, name): (usize, &str)| Finding {
        file: file.path.clone(),
        line,
        what: format!("{own} uses {name}"),
        instead: "call a service instead",
    };
    below.chain(beside).filter(|(line, _)| !tests[line - 1]).map(finding).collect()
}

/// Services and what they stand on do not know who calls them.
pub(super) fn inner_modules(file: &Source) -> Vec<Finding> {
    let Some(own) = relay_module(&file.path) else { return Vec::new() };
    if ENTRY_POINTS.contains(&own) || COMPOSERS.contains(&file.path.as_str()) {
        return Vec::new();
    }
    let tests = file.test_lines();
    let upwards = own_modules(&file.code).into_iter().filter(|(line, name)| {
        ENTRY_POINTS.contains(name) && !tests[line - 1] && !is_exception(&file.path, name)
    });
    let finding = |(line, name): (usize, &str)| Finding {
        file: file.path.clone(),
        line,
        what: format!("{own} uses the entry point {name}"),
        instead: "hand in what it needs, or move it down",
    };
    upwards.map(finding).collect()
}

/// A message or a call leaves by one road, where the rules are asked: any other would get round them.
pub(super) fn roads_out(file: &Source) -> Vec<Finding> {
    if !file.path.starts_with("relay/src/") {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (road, _) in ROADS_OUT.iter().filter(|(_, owner)| file.path != *owner) {
        // A chain of calls may be broken over lines, and begin at a field or at a function.
        let taken = |&offset: &usize| {
            let code = file.code[offset..].chars().filter(|c| !c.is_whitespace()).take(road.len() + 2);
            code.collect::<String>().replacen("()", "", 1).starts_with(road)
        };
        findings.extend(names(&file.code, "providers").filter(taken).map(|offset| Finding {
            file: file.path.clone(),
            line: line_of(&file.code, offset),
            what: format!("`{road}` beside the road out"),
            instead: "call the service that asks the rules first",
        }));
    }
    findings
}

fn is_exception(path: &str, module: &str) -> bool {
    EXCEPTIONS.iter().any(|(file, name, _)| *file == path && *name == module)
}

/// The first module of a path in the relay: `http` for `relay/src/http.rs` and for `relay/src/http/router.rs`.
fn relay_module(path: &str) -> Option<&str> {
    let inner = path.strip_prefix("relay/src/")?;
    Some(inner.split_once('/').map_or_else(|| inner.trim_end_matches(".rs"), |(module, _)| module))
}

/// Line and name of each module that follows `crate::`, also in a braced list.
fn own_modules(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for start in names(code, "crate::").map(|offset| offset + "crate::".len()) {
        if code[start..].starts_with('{') {
            found.extend(
                top_level(code, start).into_iter().map(|at| (line_of(code, at), first_name(&code[at..]))),
            );
        } else {
            found.push((line_of(code, start), first_name(&code[start..])));
        }
    }
    found
}

/// Where each part of a braced list begins.
fn top_level(code: &str, open: usize) -> Vec<usize> {
    let mut starts = Vec::new();
    let (mut at, end) = (open + 1, closing(code, open) - 1);
    while at < end {
        at += code[at..end].len() - code[at..end].trim_start().len();
        starts.push(at);
        let comma = code[at..end].find([',', '{']).map_or(end, |offset| at + offset);
        at = if code[comma..].starts_with('{') { closing(code, comma) } else { comma };
        at = code[at..end].find(',').map_or(end, |offset| at + offset + 1);
    }
    starts.retain(|&at| at < end);
    starts
}

fn first_name(code: &str) -> &str {
    let end = code.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(code.len());
    &code[..end]
}

/// Line, section and name of each dependency of a manifest.
fn dependencies(manifest: &str) -> Vec<(usize, &str, &str)> {
    let mut section = "";
    let mut found = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if let Some(header) = line.strip_prefix('[') {
            section = header.trim_end_matches(']').rsplit('.').next().unwrap_or("");
        } else if section.ends_with("dependencies") && line.starts_with(char::is_alphanumeric) {
            found.push((index + 1, section, line.split(['.', ' ', '=']).next().unwrap_or("")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::found;
    use super::*;

    #[rstest]
    #[case::a_runtime_in_the_core("relay/core", "[dependencies]\nserde = \"1\"\ntokio.workspace = true", &[3])]
    #[case::a_server_in_the_store("relay/store", "[dependencies]\naxum = { version = \"1\" }", &[2])]
    #[case::a_sibling("relay/store", "[dev-dependencies]\nrelay-core.workspace = true", &[2])]
    #[case::the_relay_in_the_mcp_server("mcp-stdio", "[dependencies]\nrelay.workspace = true", &[2])]
    #[case::a_platform_section("relay/core", "[target.'cfg(unix)'.dependencies]\ntokio = \"1\"", &[2])]
    #[case::a_test_support_runtime("relay/core", "[dev-dependencies]\ntokio.workspace = true", &[])]
    #[case::downwards("relay", "[dependencies]\nrelay-core.workspace = true\n[features]\ntokio = []", &[])]
    fn a_dependency_through_a_wall_is_found(
        #[case] folder: &str,
        #[case] manifest: &str,
        #[case] lines: &[usize],
    ) {
        assert_eq!(found(packages, &format!("{folder}/Cargo.toml"), manifest), lines);
    }

    #[rstest]
    #[case::the_store(entry_points, "http/sms.rs", "\nuse relay_store::messages;", &[2])]
    #[case::a_provider(entry_points, "jobs.rs", "fn a() { relay_providers::twilio::send() }", &[1])]
    #[case::a_neighbour(entry_points, "ipc/dispatch.rs", "use crate::http::router;", &[1])]
    #[case::a_neighbour_in_a_list(entry_points, "ipc.rs", "use crate::{\n  app::{App, http},\n  voice::Line,\n};", &[3])]
    #[case::services(entry_points, "http/sms.rs", "use crate::{app::App, http::error, services};", &[])]
    #[case::a_comment(entry_points, "http/sms.rs", "// like relay_store\nfn relay_store_like() {}", &[])]
    #[case::its_tests(entry_points, "ipc.rs", "#[cfg(test)]\nmod tests { use relay_store::Database; }", &[])]
    #[case::the_exception(entry_points, "http/webhooks/voice_ws.rs", "use crate::voice::upgrade;", &[])]
    #[case::upwards(inner_modules, "services/calls.rs", "fn a() { crate::voice::hang_up() }", &[1])]
    #[case::a_second_road_out(roads_out, "services/calls.rs", "app.providers\n  .messages\n  .send(m)", &[1])]
    #[case::a_third(roads_out, "services/calls.rs", "app.providers()\n  .voice\n  .redirect(c)", &[1])]
    #[case::the_road_out(roads_out, "services/outbox/parcel.rs", "app.providers.messages.send(m)", &[])]
    #[case::a_look_at_a_call(roads_out, "services/calls.rs", "app.providers.voice.find_placed(c)", &[])]
    #[case::the_composer(inner_modules, "lib.rs", "use crate::voice::Line;", &[])]
    fn a_name_through_a_wall_is_found(
        #[case] rule: Rule,
        #[case] file: &str,
        #[case] text: &str,
        #[case] lines: &[usize],
    ) {
        assert_eq!(found(rule, &format!("relay/src/{file}"), text), lines);
    }
}
