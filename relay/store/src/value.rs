//! What crosses the seam to the drivers: parameters, rows, and how our types become columns and come back.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use shared::ids::{
    AgentId, ApprovalId, CallSid, ExternalId, LeaseId, MessageId, PurchaseId, SessionId, TokenId, TurnId,
};
use shared::model::{
    Attachment, CallStatus, Channel, Direction, Media, MessageKind, MessageStatus, Micros, RecipientPolicy,
    Responder, Speaker, Standing, Tier, Timestamp,
};

use crate::{Result, StoreError};

/// A value of one of the column types that both databases share.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Text(Cow<'a, str>),
}

/// One row of a result.
#[derive(Debug)]
pub struct Row {
    pub(crate) columns: Arc<[Box<str>]>,
    pub(crate) values: Vec<Value<'static>>,
}

impl Row {
    /// The value of a column; an error names the column, never the value.
    pub fn get<T: FromValue>(&self, column: &str) -> Result<T> {
        let at = self.columns.iter().position(|name| **name == *column);
        at.and_then(|at| T::from_value(&self.values[at])).ok_or_else(|| StoreError::Decode {
            column: column.to_owned(),
            wanted: std::any::type_name::<T>(),
        })
    }
}

/// A type that a column can be read as.
pub trait FromValue: Sized {
    /// `None` if the value is of another type or form.
    fn from_value(value: &Value<'_>) -> Option<Self>;
}

impl FromValue for i64 {
    fn from_value(value: &Value<'_>) -> Option<Self> {
        if let Value::Integer(number) = value { Some(*number) } else { None }
    }
}

impl FromValue for bool {
    fn from_value(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Bool(truth) => Some(*truth),
            // SQLite has no boolean storage class.
            Value::Integer(number @ (0 | 1)) => Some(*number == 1),
            Value::Null | Value::Integer(_) | Value::Text(_) => None,
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value<'_>) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone().into_owned()) } else { None }
    }
}

impl FromValue for Timestamp {
    fn from_value(value: &Value<'_>) -> Option<Self> {
        i64::from_value(value).map(Self::from_millis)
    }
}

impl FromValue for Micros {
    fn from_value(value: &Value<'_>) -> Option<Self> {
        i64::from_value(value).map(Self)
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value<'_>) -> Option<Self> {
        if *value == Value::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// A type that a parameter can be made of.
pub trait ToValue {
    /// Borrows what it can.
    fn to_value(&self) -> Value<'_>;
}

impl ToValue for str {
    fn to_value(&self) -> Value<'_> {
        Value::Text(self.into())
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value<'_> {
        self.as_str().to_value()
    }
}

impl ToValue for i64 {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(*self)
    }
}

impl ToValue for bool {
    fn to_value(&self) -> Value<'_> {
        Value::Bool(*self)
    }
}

impl ToValue for Timestamp {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(self.as_millis())
    }
}

impl ToValue for Micros {
    fn to_value(&self) -> Value<'_> {
        Value::Integer(self.0)
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value<'_> {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }
}

impl<T: ToValue + ?Sized> ToValue for &T {
    fn to_value(&self) -> Value<'_> {
        T::to_value(self)
    }
}

/// Ids and enums: types that are their text, with `as_str` and `FromStr`.
macro_rules! text_values {
    ($($ty:ty),* $(,)?) => {$(
        impl $crate::value::ToValue for $ty {
            fn to_value(&self) -> $crate::Value<'_> {
                $crate::Value::Text(self.as_str().into())
            }
        }

        impl $crate::FromValue for $ty {
            fn from_value(value: &$crate::Value<'_>) -> Option<Self> {
                if let $crate::Value::Text(text) = value { text.parse().ok() } else { None }
            }
        }
    )*};
}

/// An enum of the database's alone, whose variants have one text each.
macro_rules! text_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Its text in the database, and for people.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = ();
            fn from_str(text: &str) -> Result<Self, ()> {
                [$(Self::$variant),*].into_iter().find(|variant| variant.as_str() == text).ok_or(())
            }
        }

        $crate::value::text_values!($name);
    };
}

/// Types that are JSON in a column.
macro_rules! json_values {
    ($($ty:ty),* $(,)?) => {$(
        impl ToValue for $ty {
            fn to_value(&self) -> Value<'_> {
                let json = serde_json::to_string(self).expect("no key of it is anything but a string");
                Value::Text(json.into())
            }
        }

        impl FromValue for $ty {
            fn from_value(value: &Value<'_>) -> Option<Self> {
                if let Value::Text(json) = value { serde_json::from_str(json).ok() } else { None }
            }
        }
    )*};
}

/// Builds a parameter list: `params![id, now]`.
macro_rules! params {
    ($($value:expr),* $(,)?) => { &[$($crate::value::ToValue::to_value(&$value)),*] };
}

/// Reads a struct from the columns that its fields are named after, but for `field: "column"`.
macro_rules! from_row {
    ($row:ident { $($field:ident $(: $column:literal)?),* $(,)? }) => {
        impl TryFrom<$crate::Row> for $row {
            type Error = $crate::StoreError;
            fn try_from(row: $crate::Row) -> $crate::Result<Self> {
                Ok(Self { $($field: row.get($crate::value::from_row!(@column $field $($column)?))?),* })
            }
        }
    };
    (@column $field:ident) => { stringify!($field) };
    (@column $field:ident $column:literal) => { $column };
}

pub(crate) use {from_row, params, text_enum, text_values};

text_values!(
    AgentId, ApprovalId, CallSid, ExternalId, LeaseId, MessageId, PurchaseId, SessionId, TokenId, TurnId
);
text_values!(
    CallStatus,
    Channel,
    Direction,
    MessageKind,
    MessageStatus,
    RecipientPolicy,
    Responder,
    Speaker,
    Standing,
    Tier
);
json_values!(BTreeMap<String, String>, Vec<Attachment>, Vec<Media>);
