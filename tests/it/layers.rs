//! The invariants of this workspace as tests: who may import whom, how large a thing may grow, what no file may
//! contain. Each rule is a pure function over one file, with a test beside it that shows it finds a planted
//! violation; here every rule reads the real tree. A finding names the place and what to do instead.

mod budgets;
mod imports;
mod protocol;
mod source;
mod sql;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};

use rstest::rstest;
use source::Source;

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    file: String,
    line: usize,
    what: String,
    instead: &'static str,
}

/// What a rule looks like.
type Rule = fn(&Source) -> Vec<Finding>;

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.what, self.instead)
    }
}

#[rstest]
#[case::packages_import_in_one_direction(imports::packages)]
#[case::entry_points_call_services_only(imports::entry_points)]
#[case::inner_modules_never_name_entry_points(imports::inner_modules)]
#[case::messages_and_calls_leave_by_one_road(imports::roads_out)]
#[case::files_stay_small(budgets::files)]
#[case::functions_stay_small(budgets::functions)]
#[case::tests_wait_for_events(words::sleeps)]
#[case::modules_say_what_they_are_for(words::module_docs)]
#[case::nothing_is_silenced_or_unfinished(words::unfinished)]
#[case::no_file_knows_the_machine_it_was_made_on(words::places)]
#[case::sql_is_the_shared_dialect(sql::dialect)]
fn the_tree_keeps(#[case] rule: Rule) {
    let findings: Vec<String> = tree().iter().flat_map(rule).map(|finding| finding.to_string()).collect();
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

#[test]
fn every_package_has_its_wall() {
    let tree = tree();
    let manifests = tree.iter().filter_map(|file| file.path.strip_suffix("/Cargo.toml")).collect::<Vec<_>>();
    assert_eq!(manifests, imports::PACKAGES);
}

#[test]
fn both_databases_share_every_migration() {
    let tree = tree();
    assert_eq!(sql::pairs(tree.iter().map(|file| file.path.as_str())), Vec::<&str>::new());
}

#[test]
fn every_call_is_used_by_a_tool_or_has_a_reason() {
    assert_eq!(protocol::calls_without_a_tool(&tree()), Vec::<String>::new());
}

/// Every text file of the project, sorted by path; what `.gitignore` names is no part of it.
fn tree() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace");
    let ignored = std::fs::read_to_string(root.join(".gitignore")).expect(".gitignore is there");
    let skipped: Vec<PathBuf> = ignored.lines().chain(["/.git"]).map(|line| root.join(&line[1..])).collect();
    let mut files = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("the tree is readable").flatten() {
            let path = entry.path();
            if skipped.contains(&path) {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(path),
                Ok(kind) if kind.is_file() => files.extend(read(root, &path)),
                Ok(_) | Err(_) => {}
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    mark_test_modules(&mut files);
    files
}

/// The file, unless it is no text.
fn read(root: &Path, path: &Path) -> Option<Source> {
    let name = path.strip_prefix(root).expect("found below the root").to_str()?.replace('\\', "/");
    Some(Source::new(&name, &std::fs::read_to_string(path).ok()?))
}

fn mark_test_modules(files: &mut [Source]) {
    let modules: Vec<String> = files.iter().flat_map(Source::test_modules).collect();
    for file in files {
        let stem = file.path.trim_end_matches(".rs");
        file.is_test_module = modules.iter().any(|module| {
            stem.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
    }
}

/// What a rule finds in a file made up for its test, as lines.
fn found(rule: Rule, path: &str, text: &str) -> Vec<usize> {
    rule(&Source::new(path, text)).into_iter().map(|finding| finding.line).collect()
}
