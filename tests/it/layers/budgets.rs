//! How large a file and a function may grow. Over budget means: split it by what it is about.

use super::Finding;
use super::source::{Source, closing, line_of, names};

const FILE_LINES: usize = 400;
const FUNCTION_LINES: usize = 60;

/// Files that may be longer, and why.
const LONG_FILES: [(&str, &str); 0] = [];

/// A file holds one thing: 400 lines without its tests.
pub(super) fn files(file: &Source) -> Vec<Finding> {
    let counted = file.is_rust() && LONG_FILES.iter().all(|(path, _)| *path != file.path);
    let lines = file.unit_test_lines().iter().filter(|test| !**test).count();
    if !counted || lines <= FILE_LINES {
        return Vec::new();
    }
    vec![Finding {
        file: file.path.clone(),
        line: 1,
        what: format!("{lines} lines without its tests, {FILE_LINES} at most"),
        instead: "split it by what it is about, or list it in budgets.rs with the reason",
    }]
}

/// A function does one thing: 60 lines that are neither blank nor comment.
pub(super) fn functions(file: &Source) -> Vec<Finding> {
    if !file.is_rust() {
        return Vec::new();
    }
    let written: Vec<bool> = file
        .code
        .lines()
        .zip(file.literals.lines())
        .map(|(a, b)| !(a.trim().is_empty() && b.trim().is_empty()))
        .collect();
    let mut findings = Vec::new();
    for start in names(&file.code, "fn") {
        let Some(open) = body(&file.code, start) else { continue };
        let (first, last) = (line_of(&file.code, open), line_of(&file.code, closing(&file.code, open)));
        let lines = written[first..last.saturating_sub(1).max(first)].iter().filter(|line| **line).count();
        if lines > FUNCTION_LINES {
            findings.push(Finding {
                file: file.path.clone(),
                line: line_of(&file.code, start),
                what: format!("a function of {lines} lines, {FUNCTION_LINES} at most"),
                instead: "extract what has a name of its own",
            });
        }
    }
    findings
}

/// Where the body of the function at `start` opens; a declaration and a function type have none.
fn body(code: &str, start: usize) -> Option<usize> {
    let mut at = start + "fn".len();
    if code[at..].starts_with('(') {
        return None;
    }
    loop {
        at += code[at..].find(['(', '[', '{', ';'])?;
        match code.as_bytes()[at] {
            b'{' => return Some(at),
            b';' => return None,
            _ => at = closing(code, at),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::found;
    use super::*;

    #[rstest]
    #[case::at_the_limit(400, "", 0)]
    #[case::over_it(401, "", 1)]
    #[case::over_it_by_its_tests(399, "#[cfg(test)]\nmod tests {\n\n\n}\n", 0)]
    fn a_long_file_is_found(#[case] lines: usize, #[case] tests: &str, #[case] findings: usize) {
        let text = "// line\n".repeat(lines) + tests;
        assert_eq!(found(files, "relay/src/x.rs", &text).len(), findings);
        assert_eq!(found(files, "tests/it/x.rs", &text).len(), findings);
    }

    #[rstest]
    #[case::at_the_limit(60, &[])]
    #[case::over_it(61, &[3])]
    fn a_long_function_is_found(#[case] lines: usize, #[case] at: &[usize]) {
        let text = format!(
            "type F = fn(u8);\ntrait T {{ fn a(); }}\nfn b<T>(c: [u8; 2]) -> [u8; 2]\nwhere T: X,\n{{\n{}}}\n",
            "d();\n// e\n\n".repeat(lines)
        );
        assert_eq!(found(functions, "shared/src/x.rs", &text), at);
    }
}
