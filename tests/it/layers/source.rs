//! A source file as the rules see it: its code without comments and literals, its literals alone, and which
//! lines are tests. Called by the rules of [`super`]; knows none of them.

/// One file, each view with the same lines.
pub(super) struct Source {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    /// Comments and literals blanked. The whole text, where the file is not Rust.
    pub(super) code: String,
    /// All but the literals blanked; empty where the file is not Rust.
    pub(super) literals: String,
    /// The whole file is a test, because its parent declares it so.
    pub(super) is_test_module: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Code,
    Comment,
    Literal,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let (code, literals) = if path.ends_with(".rs") {
            let chars: Vec<char> = text.chars().collect();
            let parts = parts(&chars);
            (only(&chars, &parts, Part::Code), only(&chars, &parts, Part::Literal))
        } else {
            (text.to_owned(), String::new())
        };
        Self { path: path.to_owned(), text: text.to_owned(), code, literals, is_test_module: false }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// For each line, whether it belongs to a test.
    pub(super) fn test_lines(&self) -> Vec<bool> {
        if self.path.starts_with("tests/") || self.path.contains("/tests/") {
            return vec![true; self.text.lines().count()];
        }
        self.unit_test_lines()
    }

    /// For each line, whether it belongs to a `#[cfg(test)]` item.
    pub(super) fn unit_test_lines(&self) -> Vec<bool> {
        let mut lines = vec![self.is_test_module; self.text.lines().count()];
        for (start, end) in test_items(&self.code) {
            lines[line_of(&self.code, start) - 1..line_of(&self.code, end)].fill(true);
        }
        lines
    }

    /// The paths, without `.rs`, of the modules that this file declares for tests only.
    pub(super) fn test_modules(&self) -> Vec<String> {
        let folder = match self.path.rsplit_once('/') {
            Some((folder, "lib.rs" | "main.rs")) => folder,
            _ => self.path.trim_end_matches(".rs"),
        };
        let declared = test_items(&self.code).into_iter().filter_map(|(start, end)| {
            let (_, name) = self.code[start..end].trim_end_matches(';').split_once("mod ")?;
            is_name(name.trim()).then(|| format!("{folder}/{}", name.trim()))
        });
        declared.collect()
    }
}

/// The line of a byte offset, counted from one.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count() + 1
}

/// Byte offset just behind the bracket that closes the one at `open`.
pub(super) fn closing(code: &str, open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' | b'(' | b'[' => depth += 1,
            b'}' | b')' | b']' => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return offset + 1;
        }
    }
    code.len()
}

/// Byte offsets of `name` where it stands alone, not as a part of a longer name.
pub(super) fn names<'a>(code: &'a str, name: &'a str) -> impl Iterator<Item = usize> + 'a {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).map(|(offset, _)| offset).filter(move |&offset| {
        let joined_before = name.starts_with(part_of_name) && code[..offset].ends_with(part_of_name);
        let joined_after =
            name.ends_with(part_of_name) && code[offset + name.len()..].starts_with(part_of_name);
        !joined_before && !joined_after
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_')
}

/// Start and end of each item under `#[cfg(test)]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let item = |start: usize| {
        let end = code[start..].find(['{', ';']).map_or(code.len(), |offset| start + offset);
        (start, if code[end..].starts_with('{') { closing(code, end) } else { (end + 1).min(code.len()) })
    };
    code.match_indices("#[cfg(test)]").map(|(start, _)| item(start)).collect()
}

fn only(chars: &[char], parts: &[Part], wanted: Part) -> String {
    let kept = |(&c, &part): (&char, &Part)| if part == wanted || c == '\n' { c } else { ' ' };
    chars.iter().zip(parts).map(kept).collect()
}

/// What each character belongs to. Knows as much of Rust's tokens as it takes to find comments and literals.
fn parts(chars: &[char]) -> Vec<Part> {
    let mut parts = Vec::with_capacity(chars.len());
    while parts.len() < chars.len() {
        let (part, length) = token(chars, parts.len());
        parts.resize((parts.len() + length).min(chars.len()), part);
    }
    parts
}

fn token(chars: &[char], start: usize) -> (Part, usize) {
    let rest = &chars[start..];
    let in_name = start > 0 && (chars[start - 1].is_alphanumeric() || chars[start - 1] == '_');
    match rest {
        ['/', '/', ..] => (Part::Comment, rest.iter().position(|&c| c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => (Part::Comment, block_comment(rest)),
        ['"', ..] => (Part::Literal, quoted(rest, '"')),
        ['r' | 'b' | 'c', ..] if !in_name => match raw_string(rest) {
            Some(length) => (Part::Literal, length),
            None => (Part::Code, 1),
        },
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => (Part::Literal, quoted(rest, '\'')),
        _ => (Part::Code, 1),
    }
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut end) = (0_usize, 0);
    while end + 1 < rest.len() {
        match (rest[end], rest[end + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                end += 1;
                continue;
            }
        }
        end += 2;
        if depth == 0 {
            return end;
        }
    }
    rest.len()
}

fn quoted(rest: &[char], quote: char) -> usize {
    let mut end = 1;
    while end < rest.len() {
        match rest[end] {
            '\\' => end += 2,
            c if c == quote => return end + 1,
            _ => end += 1,
        }
    }
    rest.len()
}

/// The length of a raw string literal that starts here, if one does.
fn raw_string(rest: &[char]) -> Option<usize> {
    let prefix = rest.iter().take_while(|c| matches!(c, 'b' | 'c' | 'r')).count();
    let hashes = rest[prefix..].iter().take_while(|&&c| c == '#').count();
    let open = prefix + hashes;
    if rest[prefix - 1] != 'r' || rest.get(open) != Some(&'"') {
        return None;
    }
    let closes = |end: &usize| {
        rest[*end] == '"' && rest[end + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes
    };
    Some((open + 1..rest.len()).find(closes).map_or(rest.len(), |end| end + 1 + hashes))
}

#[test]
fn comments_and_literals_are_told_from_code() {
    let text = "a /* b /* c */ d */ \"e \\\" f\" 'g' '\\'' <'h> r#\"i \" j\"# br\"k\" // l\nm";
    let source = Source::new("x.rs", text);
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        [squeeze(&source.code), squeeze(&source.literals)],
        ["a <'h> m".to_owned(), "\"e \\\" f\" 'g' '\\'' r#\"i \" j\"# br\"k\"".to_owned()]
    );
}

#[test]
fn test_items_are_told_from_the_rest() {
    let text =
        "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod support;\n";
    let source = Source::new("relay/src/x.rs", text);
    let marks: String = source.test_lines().iter().map(|test| if *test { 'T' } else { '.' }).collect();
    assert_eq!((marks.as_str(), source.test_modules()), (".TTTT.TT", vec!["relay/src/x/support".to_owned()]));
}
