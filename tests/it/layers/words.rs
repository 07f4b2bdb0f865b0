//! What no file may contain, and what every module must.

use super::Finding;
use super::source::{Source, line_of, names};

/// Joined here, so that this file does not contain them.
const PLACES: [&str; 9] = [
    concat!("/wo", "rk/"),
    concat!("/fa", "rm/"),
    concat!("/ro", "ot/"),
    concat!("../sha", "red/"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("npmjs", ".org"),
    concat!("npmjs", ".com"),
    concat!("deb.debian", ".org"),
];
/// Written by Cargo, which names its registry in it.
const GENERATED: &str = "Cargo.lock";

/// Test files that may sleep, and why.
const SLEEPERS: [(&str, &str); 1] = [("tests/src/bin/", "a benchmark measures over time and is no test")];

/// A test waits for an event with a time-out: a pause is too short on a busy machine and too long on any other.
pub(super) fn sleeps(file: &Source) -> Vec<Finding> {
    if !file.is_rust() || SLEEPERS.iter().any(|(folder, _)| file.path.starts_with(folder)) {
        return Vec::new();
    }
    let tests = file.test_lines();
    let mut findings = named(file, &["sleep(", "sleep_until("], "wait for an event, with a time-out");
    findings.retain(|finding| tests[finding.line - 1]);
    findings
}

/// A module says what it is for before anything else.
pub(super) fn module_docs(file: &Source) -> Vec<Finding> {
    if !file.is_rust() || file.text.starts_with("//!") {
        return Vec::new();
    }
    vec![finding(
        file,
        1,
        "no `//!`",
        "begin with what the module is for, who calls it, what it must never do",
    )]
}

/// What is not done is not there; what a lint finds is mended, or expected with a reason.
pub(super) fn unfinished(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let mut findings =
        named(file, &["#[allow(", "#![allow("], "mend it, or `#[expect(lint, reason = \"…\")]`");
    findings.extend(named(file, &["todo!", "unimplemented!", "dbg!"], "finish it, or leave it out"));
    findings.extend(named(file, &["#[ignore"], "a test runs, or it goes"));
    findings
}

/// A path of one machine or the address of a package registry means nothing to whoever gets this.
pub(super) fn places(file: &Source) -> Vec<Finding> {
    if file.path == GENERATED {
        return Vec::new();
    }
    let lines = file.text.lines().enumerate();
    let found = lines.flat_map(|(index, line)| {
        PLACES.iter().filter(move |place| line.contains(**place)).map(move |place| {
            finding(
                file,
                index + 1,
                &format!("`{place}`"),
                "say it without a place that only one machine knows",
            )
        })
    });
    found.collect()
}

fn named(file: &Source, words: &[&str], instead: &'static str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for word in words {
        for offset in names(&file.code, word) {
            findings.push(finding(file, line_of(&file.code, offset), &format!("`{word}`"), instead));
        }
    }
    findings
}

fn finding(file: &Source, line: usize, what: &str, instead: &'static str) -> Finding {
    Finding { file: file.path.clone(), line, what: what.to_owned(), instead }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::{Rule, found};
    use super::*;

    #[rstest]
    #[case::a_pause_in_a_test(sleeps, "tests/it/a.rs", "//! A.\nasync fn b() { tokio::time::sleep(c).await }", &[2])]
    #[case::a_pause_in_a_unit_test(sleeps, "relay/src/a.rs", "//! A.\n#[cfg(test)]\nmod tests {\n fn b() { sleep_until(c) }\n}", &[4])]
    #[case::a_pause_in_the_program(sleeps, "relay/src/a.rs", "//! A.\nfn b() { sleep(c) }", &[])]
    #[case::a_pause_in_the_benchmark(sleeps, "tests/src/bin/bench/a.rs", "//! A.\nfn b() { sleep(c) }", &[])]
    #[case::no_docs(module_docs, "relay/src/a.rs", "use b;\n//! A.", &[1])]
    #[case::docs(module_docs, "relay/src/a.rs", "//! A.", &[])]
    #[case::a_silenced_lint(unfinished, "relay/src/a.rs", "\n#[allow(dead_code)]\n#![allow(x)]", &[2, 3])]
    #[case::an_unfinished_function(unfinished, "relay/src/a.rs", "fn a() { todo!() }", &[1])]
    #[case::a_test_that_does_not_run(unfinished, "relay/src/a.rs", "#[ignore = \"slow\"]", &[1])]
    #[case::an_expected_lint(unfinished, "relay/src/a.rs", "#[expect(dead_code, reason = \"todo! is not\")]", &[])]
    #[case::a_registry(places, "README.md", concat!("see\nhttps://crates", ".io"), &[2])]
    #[case::a_build_machine(places, "install.sh", concat!("cd /ro", "ot/x"), &[1])]
    #[case::the_lock_file(places, "Cargo.lock", concat!("https://crates", ".io"), &[])]
    fn a_word_out_of_place_is_found(
        #[case] rule: Rule,
        #[case] path: &str,
        #[case] text: &str,
        #[case] lines: &[usize],
    ) {
        assert_eq!(found(rule, path, text), lines);
    }
}
