//! One SQL text runs on both databases. What only one of them knows is looked for in the migrations and in the
//! store's statements; the dialect is in `migrations/README.md`.

use super::Finding;
use super::source::{Source, line_of, names};

/// Words of one database, in lower case, and what to write.
const FOREIGN: [(&str, &str); 14] = [
    ("now()", "take the time as a parameter"),
    ("current_timestamp", "take the time as a parameter"),
    ("random()", "take the value as a parameter"),
    ("gen_random_uuid", "take the id as a parameter"),
    ("ilike", "write `lower(a) LIKE lower($1)`"),
    ("insert or", "write `ON CONFLICT`"),
    ("autoincrement", "take the id as a parameter"),
    ("serial", "take the id as a parameter"),
    ("for update", "lock by an `UPDATE … RETURNING`"),
    ("skip locked", "claim by an `UPDATE … RETURNING`"),
    ("alter column", "add a column, move, drop the old one later"),
    ("jsonb", "JSON is TEXT and never queried inside"),
    ("->>", "JSON is TEXT and never queried inside"),
    ("offset", "page by key"),
];

/// Statements are written in the dialect that both databases share.
pub(super) fn dialect(file: &Source) -> Vec<Finding> {
    let text = match file.path.as_str() {
        path if path.starts_with("migrations/") && path.ends_with(".sql") => without_comments(&file.text),
        path if path.starts_with("relay/store/src/") => file.literals.clone(),
        _ => return Vec::new(),
    }
    .to_lowercase();
    let mut findings = Vec::new();
    for (word, instead) in FOREIGN {
        for offset in names(&text, word) {
            let what = format!("`{word}` is not in the shared dialect");
            findings.push(Finding { file: file.path.clone(), line: line_of(&text, offset), what, instead });
        }
    }
    findings
}

/// Migrations that exist once per database.
pub(super) fn pairs<'a>(paths: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    paths.filter(|path| path.starts_with("migrations/") && path.ends_with(".sqlite.sql")).collect()
}

/// Blanks what follows `--` on a line; our migrations hold no such text in a literal.
fn without_comments(sql: &str) -> String {
    sql.lines().map(|line| line.split("--").next().unwrap_or("").to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::found;
    use super::*;

    #[rstest]
    #[case::a_clock_in_a_migration("migrations/0001_a.sql", "-- now()\nUPDATE a SET at = now();", &[2])]
    #[case::a_search_in_the_store("relay/store/src/a.rs", "fn a() {\n  \"SELECT 1 WHERE a ILIKE $1\"\n}", &[2])]
    #[case::rust_is_no_sql("relay/store/src/a.rs", "// now()\nlet a = Instant::now();", &[])]
    #[case::a_longer_name("migrations/0001_a.sql", "CREATE TABLE serials (offset_at BIGINT);", &[])]
    #[case::elsewhere("relay/src/a.rs", "\"now()\"", &[])]
    fn a_statement_for_one_database_is_found(
        #[case] path: &str,
        #[case] text: &str,
        #[case] lines: &[usize],
    ) {
        assert_eq!(found(dialect, path, text), lines);
    }

    #[test]
    fn a_pair_of_migrations_is_found() {
        let paths =
            ["migrations/0001_a.sql", "migrations/0002_b.sqlite.sql", "migrations/0002_b.postgres.sql"];
        assert_eq!(pairs(paths.into_iter()), ["migrations/0002_b.sqlite.sql"]);
    }
}
