//! How credentials are entered: at a prompt that shows no secret, or as lines on standard input. Called by
//! `comms-relay provider set`; no error repeats what was entered.

use std::collections::BTreeMap;
use std::io::{self, BufRead, IsTerminal, Read, Stdin, Write};

use anyhow::{Context, bail, ensure};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use shared::model::SecretText;

use crate::config::Config;
use crate::services::credentials::{Field, Kind, Provider};

/// More than any provider's credentials take.
const MAX_BYTES: u64 = 64 * 1024;

/// What is entered, over what the settings hold.
pub(super) fn read(provider: Provider, config: &Config) -> anyhow::Result<BTreeMap<String, SecretText>> {
    let mut held = provider.in_settings(config);
    let stdin = io::stdin();
    if stdin.is_terminal() {
        for field in provider.fields() {
            if !held.contains_key(field.name) {
                held.extend(ask(&stdin, provider, field)?);
            }
        }
    } else {
        let mut text = String::new();
        let end = stdin.lock().take(MAX_BYTES).read_to_string(&mut text);
        end.context("cannot read the standard input")?;
        ensure!((text.len() as u64) < MAX_BYTES, "the standard input is too long");
        held.extend(parse(&text)?);
    }
    Ok(held)
}

fn ask(stdin: &Stdin, provider: Provider, field: &Field) -> anyhow::Result<Option<(String, SecretText)>> {
    let _silence = match field.kind {
        Kind::Sid(_) => None,
        Kind::Secret => Some(Silence::begin(stdin).context("cannot hide what is entered")?),
    };
    let hint = if field.is_required { "" } else { " (Enter for none)" };
    write!(io::stderr(), "{} {}{hint}: ", provider.name(), field.name).context("cannot ask")?;
    let mut answer = String::new();
    if stdin.lock().read_line(&mut answer).context("cannot read the answer")? == 0 {
        bail!("the input ended before everything was entered; nothing was stored");
    }
    let answer = answer.trim();
    Ok((!answer.is_empty()).then(|| (field.name.to_owned(), SecretText::new(answer))))
}

/// `name=value` on each line; blank lines and those that begin with `#` are passed over.
fn parse(text: &str) -> anyhow::Result<BTreeMap<String, SecretText>> {
    let mut entered = BTreeMap::new();
    for (index, line) in text.lines().enumerate().map(|(index, line)| (index, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = index + 1;
        let (name, value) = line
            .split_once('=')
            .with_context(|| format!("line {number} of the standard input is not `name=value`"))?;
        let before = entered.insert(name.trim().to_owned(), SecretText::new(value.trim()));
        ensure!(before.is_none(), "line {number} of the standard input gives a value again");
    }
    Ok(entered)
}

/// While it lives, the terminal does not show what is typed.
struct Silence<'a> {
    stdin: &'a Stdin,
    before: Termios,
}

impl<'a> Silence<'a> {
    fn begin(stdin: &'a Stdin) -> io::Result<Self> {
        let before = tcgetattr(stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // But the cursor goes to the next line.
        silent.local_modes.insert(LocalModes::ECHONL);
        // What was typed ahead has been shown: it is no secret.
        tcsetattr(stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(self.stdin, OptionalActions::Now, &self.before);
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::nothing("", Ok(vec![]))]
    #[case::a_line("authToken=a=b", Ok(vec![("authToken", "a=b")]))]
    #[case::spaces_and_comments("# mine\n\n accountSid = AC1 \r\n", Ok(vec![("accountSid", "AC1")]))]
    #[case::a_value_alone("x=y\nkanarienvogel", Err("line 2 of the standard input is not `name=value`"))]
    #[case::twice("x=y\nx=z", Err("line 2 of the standard input gives a value again"))]
    fn lines_are_read_and_never_repeated(#[case] text: &str, #[case] read: Result<Vec<(&str, &str)>, &str>) {
        let entered = parse(text).map_err(|problem| problem.to_string());
        let entered = entered.map(|map| {
            map.iter().map(|(name, value)| (name.clone(), value.expose().to_owned())).collect::<Vec<_>>()
        });
        let read = read
            .map(|read| read.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect());
        assert_eq!(entered, read.map_err(str::to_owned));
    }
}
