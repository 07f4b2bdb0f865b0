//! Laying the user's file and the environment over the defaults. The defaults tell each key's type.

use toml::{Table, Value};

use super::ConfigError;

/// Lays `over` on `base`. A key that the defaults do not know is an error, so that a typing mistake is seen.
pub(super) fn overlay(base: &mut Table, over: Table, prefix: &str) -> Result<(), ConfigError> {
    for (name, value) in over {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match (base.get_mut(&name), value) {
            (None, _) => return Err(ConfigError::value(key, "there is no such setting")),
            (Some(Value::Table(inner)), Value::Table(table)) => overlay(inner, table, &key)?,
            (Some(slot), value) if slot.type_str() == value.type_str() => *slot = value,
            (Some(slot), value) => {
                let problem = format!("it is {} and must be {}", value.type_str(), slot.type_str());
                return Err(ConfigError::value(key, problem));
            }
        }
    }
    Ok(())
}

/// Sets the key of an environment variable such as `COMMS_VOICE__CLAIM_MS`; others are left alone.
pub(super) fn set_from_variable(base: &mut Table, variable: &str, text: &str) -> Result<(), ConfigError> {
    let Some(path) = variable.strip_prefix("COMMS_").filter(|rest| rest.contains("__") || *rest == "MODE")
    else {
        return Ok(());
    };
    let key = path.to_lowercase().replace("__", ".");
    let mut slot = None;
    let mut table = Some(base);
    for part in key.split('.') {
        slot = table.take().and_then(|table| table.get_mut(part));
        if let Some(Value::Table(_)) = slot {
            table = slot.take().and_then(Value::as_table_mut);
        }
    }
    let Some(slot) = slot else {
        return Err(ConfigError::value(key, format!("{variable} names no setting")));
    };
    *slot = parse_like(slot, text).ok_or_else(|| {
        ConfigError::value(&key, format!("{variable} must hold a value of type {}", slot.type_str()))
    })?;
    Ok(())
}

/// Reads `text` as a value of the type that `slot` has; an array's items are separated by commas.
fn parse_like(slot: &Value, text: &str) -> Option<Value> {
    Some(match slot {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => Value::Integer(text.parse().ok()?),
        Value::Boolean(_) => Value::Boolean(text.parse().ok()?),
        Value::Array(_) => Value::Array(
            text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Value::from).collect(),
        ),
        Value::Float(_) | Value::Datetime(_) | Value::Table(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Table {
        toml::from_str("mode = 'demo'\n[voice]\nclaim_ms = 6000\ndisclosure = true\n[http]\nproxies = []")
            .unwrap()
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let mut table = defaults();
        overlay(&mut table, toml::from_str("[voice]\nclaim_ms = 1").unwrap(), "").unwrap();
        let mut expected = defaults();
        expected["voice"]["claim_ms"] = 1.into();
        assert_eq!(table, expected);
    }

    #[test]
    fn an_unknown_key_and_a_wrong_type_are_named() {
        for (text, said) in [
            ("[voice]\nclaim = 1", "the setting `voice.claim` is not valid: there is no such setting"),
            (
                "[voice]\nclaim_ms = 'x'",
                "the setting `voice.claim_ms` is not valid: it is string and must be integer",
            ),
        ] {
            let problem = overlay(&mut defaults(), toml::from_str(text).unwrap(), "").unwrap_err();
            assert_eq!(problem.to_string(), said);
        }
    }

    #[test]
    fn variables_are_read_by_the_type_of_their_key() {
        let mut table = defaults();
        for (variable, text) in [
            ("COMMS_MODE", "live"),
            ("COMMS_VOICE__CLAIM_MS", "7"),
            ("COMMS_VOICE__DISCLOSURE", "false"),
            ("COMMS_HTTP__PROXIES", "10.0.0.0/8, ::1"),
            ("COMMS_HOME", "/elsewhere"),
            ("PATH", "/bin"),
        ] {
            set_from_variable(&mut table, variable, text).unwrap();
        }
        let expected = "mode = 'live'\n[voice]\nclaim_ms = 7\ndisclosure = false\n[http]\nproxies = ['10.0.0.0/8', '::1']";
        assert_eq!(table, toml::from_str(expected).unwrap());
        assert!(set_from_variable(&mut table, "COMMS_VOICE__CLAIM_MS", "soon").is_err());
        assert!(set_from_variable(&mut table, "COMMS_VOICE__NONE", "1").is_err());
    }
}
