//! Money: integer micro-units inside, decimal text outside. It never passes through floating point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount in millionths of the currency's unit; on the wire a decimal text such as `"0.0079"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub i64);

/// The text is no decimal amount with at most six digits after the point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal amount")]
pub struct ParseMoneyError;

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 1_000_000, self.0.unsigned_abs() % 1_000_000);
        let digits = format!("{part:06}");
        let kept = digits.trim_end_matches('0');
        write!(f, "{sign}{whole}.{kept:0<2}")
    }
}

impl FromStr for Micros {
    type Err = ParseMoneyError;
    fn from_str(text: &str) -> Result<Self, ParseMoneyError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) || part.len() > 6 {
            return Err(ParseMoneyError);
        }
        let micros = format!("{whole}{part:0<6}").parse::<i64>().map_err(|_| ParseMoneyError)?;
        Ok(Self(if negative { -micros } else { micros }))
    }
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    /// Takes a JSON number too, by its decimal text: models write amounts that way.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AmountVisitor)
    }
}

struct AmountVisitor;

impl serde::de::Visitor<'_> for AmountVisitor {
    type Value = Micros;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decimal amount such as 10.50")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Micros, E> {
        text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Other("text"), &self))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Micros, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Micros, E> {
        self.visit_str(&number.to_string())
    }

    /// The shortest text that names the number is what was written, for any amount of up to 15 digits.
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<Micros, E> {
        self.visit_str(&number.to_string())
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Micros {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Money".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "Decimal amount, such as 0.0079" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_survive_both_ways() {
        for (micros, text) in
            [(7_900, "0.0079"), (10_000_000, "10.00"), (-1, "-0.000001"), (0, "0.00"), (1_500_000, "1.50")]
        {
            assert_eq!(Micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Micros(micros)));
        }
        for bad in ["", ".", "1.", "1e3", "1.0000001", "--1", "99999999999999999999"] {
            assert_eq!(bad.parse::<Micros>(), Err(ParseMoneyError), "{bad}");
        }
    }

    #[test]
    fn an_amount_is_read_from_a_text_and_from_a_number() {
        for (json, micros) in [
            ("\"25.5\"", 25_500_000),
            ("25", 25_000_000),
            ("0.0079", 7_900),
            ("19.99", 19_990_000),
            ("-1", -1_000_000),
        ] {
            assert_eq!(serde_json::from_str::<Micros>(json).unwrap(), Micros(micros), "{json}");
        }
        for bad in ["1e30", "0.0000001", "null", "[]", "\"ten\""] {
            assert!(serde_json::from_str::<Micros>(bad).is_err(), "{bad}");
        }
    }
}
