//! The documents say what is true: the settings, paths, names, tools and commands that they name are there.
//! Whether their sentences are true, no test can tell.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use relay::config::{Config, DEFAULTS};
use rstest::rstest;
use serde_json::{Value, json};
use tests::process::{Home, McpProcess, Programs};

/// Folders with the source that ARCHITECTURE.md tells of.
const SOURCES: [&str; 5] = ["mcp-stdio/src", "relay", "shared/src", "tests/it", "tests/src"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

fn document(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).expect("the document is there")
}

fn settings(text: &str) -> Result<Config, String> {
    Config::from_parts(text, "the document", []).map_err(|problem| problem.to_string())
}

#[test]
fn the_example_settings_are_the_defaults() {
    assert_eq!(document("docs/config.example.toml"), DEFAULTS);
}

#[test]
fn the_example_has_every_setting() {
    let example = document("docs/config.example.toml");
    let named: BTreeSet<&str> = example.lines().filter_map(setting).collect();
    let config = format!("{:#?}", settings(&example).expect("the example is valid"));
    let known: BTreeSet<&str> = config.lines().filter_map(field).collect();
    assert_eq!(named, known);
}

/// `listen` for `listen = "…"`, `public` for `[public]`.
fn setting(line: &str) -> Option<&str> {
    let section = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    section.or_else(|| Some(line.split_once(" = ")?.0).filter(|name| is_name(name)))
}

/// A field of `Config` or of one of its sections, by the depth at which it is printed.
fn field(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start().split_once(": ")?;
    matches!(line.len() - line.trim_start().len(), 4 | 8).then_some(name).filter(|name| is_name(name))
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The fenced blocks of a language, with the indent of their first line taken off.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let (opening, mut found, mut open) = (format!("```{language}"), Vec::new(), None::<String>);
    for line in text.lines().map(str::trim) {
        match &mut open {
            Some(_) if line == "```" => found.extend(open.take()),
            Some(block) => *block += &format!("{line}\n"),
            None if line == opening => open = Some(String::new()),
            None => (),
        }
    }
    found
}

#[test]
fn the_settings_in_the_readme_are_valid() {
    let blocks = blocks(&document("README.md"), "toml");
    let ours: Vec<_> = blocks.iter().filter(|block| block.contains("mode =")).map(|b| settings(b)).collect();
    assert!(matches!(ours.as_slice(), [Ok(_)]), "{ours:?}");
}

#[test]
fn what_is_copied_into_a_host_s_settings_is_json() {
    let texts = blocks(&document("README.md"), "json");
    let broken: Vec<_> = texts.iter().filter(|text| serde_json::from_str::<Value>(text).is_err()).collect();
    assert_eq!((texts.is_empty(), broken), (false, Vec::<&String>::new()));
}

#[rstest]
#[case("README.md")]
#[case("ARCHITECTURE.md")]
#[case("CHANGELOG.md")]
#[case("migrations/README.md")]
fn every_link_into_the_tree_leads_somewhere(#[case] name: &str) {
    let text = document(name);
    let folder = root().join(name).parent().expect("a document lies in a folder").to_owned();
    let targets = text.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0));
    let dead: Vec<&str> =
        targets.filter(|target| !target.contains("://") && !folder.join(target).exists()).collect();
    assert_eq!(dead, Vec::<&str>::new());
}

/// What stands between backticks, outside of fenced blocks.
fn spans(text: &str) -> Vec<&str> {
    let prose = text.split("```").step_by(2);
    prose.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_path_in_the_architecture_exists() {
    let text = document("ARCHITECTURE.md");
    let is_path = |span: &&str| {
        let relative = span.contains('/') && !span.starts_with('/');
        relative && span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
    };
    let (paths, packages): (Vec<_>, _) = (spans(&text).into_iter().filter(is_path).collect(), root());
    let missing: Vec<_> = paths.iter().filter(|path| !packages.join(path).exists()).collect();
    assert_eq!((paths.len() > 50, missing), (true, Vec::<&&str>::new()));
}

#[test]
fn every_name_in_the_architecture_exists() {
    let text = document("ARCHITECTURE.md");
    let sources = sources();
    let is_name = |span: &&str| {
        span.contains("::") && span.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let names: Vec<_> = spans(&text).into_iter().filter(is_name).collect();
    let missing: Vec<_> = names.iter().filter(|name| !is_defined(&sources, name)).collect();
    assert_eq!((names.len() > 40, missing), (true, Vec::<&&str>::new()));
}

/// Whether a file has the last part of `owner::name`, in the module `owner` or beside a type of that name.
fn is_defined(sources: &[(PathBuf, String)], path: &str) -> bool {
    let mut parts = path.rsplit("::");
    let (name, owner) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    sources.iter().any(|(path, text)| {
        let of_module = path.with_extension("").iter().any(|part| part == owner);
        (of_module || defines(text, owner)) && defines(text, name)
    })
}

fn defines(text: &str, name: &str) -> bool {
    let before = ["fn ", "struct ", "enum ", "trait ", "mod ", "impl ", "    "];
    before.iter().any(|word| {
        text.match_indices(&format!("{word}{name}")).any(|(at, found)| {
            text[at + found.len()..].starts_with(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        })
    })
}

/// Path and text of every Rust file.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = SOURCES.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the tree is readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("source is text");
                found.push((path.strip_prefix(root()).expect("found below the root").to_owned(), text));
            }
        }
    }
    found
}

#[tokio::test]
async fn the_readme_lists_the_tools_that_there_are() -> Result<()> {
    let home = Home::temp();
    let mut mcp = McpProcess::start(&home, &[], &[]).await?;
    mcp.initialize("documents").await?;
    let answer = mcp.request("tools/list", json!({})).await?;
    let tools = answer["result"]["tools"].as_array().context("no list of tools")?;
    let offered: BTreeSet<&str> = tools.iter().filter_map(|tool| tool["name"].as_str()).collect();
    let readme = document("README.md");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `comms_")?.split_once('`'));
    let names: Vec<String> = rows.map(|(name, _)| format!("comms_{name}")).collect();
    assert_eq!(names.iter().map(String::as_str).collect::<BTreeSet<_>>(), offered);
    Ok(())
}

/// The words after `comms-relay` wherever a document gives a command, flags included.
fn commands(text: &str) -> BTreeSet<Vec<&str>> {
    let end = |rest: &str| rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-' || c == ' '));
    let after = text.split("comms-relay ").skip(1);
    let given = after.map(|rest| rest[..end(rest).unwrap_or(rest.len())].split_whitespace().collect());
    given.filter(|command: &Vec<&str>| !command.is_empty()).collect()
}

#[tokio::test]
async fn every_command_in_the_readme_exists() -> Result<()> {
    let readme = document("README.md");
    let programs = tokio::task::spawn_blocking(Programs::built).await?;
    let mut wrong = Vec::new();
    for command in commands(&readme) {
        let words = command.iter().take_while(|word| !word.starts_with('-'));
        let asked = std::process::Command::new(&programs.relay).args(words).arg("--help").output()?;
        let help = String::from_utf8(asked.stdout)?;
        let mut flags = command.iter().filter(|word| word.starts_with('-'));
        if !asked.status.success() || flags.any(|flag| !help.contains(flag)) {
            wrong.push(command);
        }
    }
    assert_eq!(wrong, Vec::<Vec<&str>>::new());
    Ok(())
}
