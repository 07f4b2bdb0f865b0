//! Several relays on one database: together they spend no more than one may, at no moment. The same on relays that
//! hold a cap against what they saw before must exceed it: else this test proves nothing. And what a relay had
//! reserved when it died is settled by the next one, to what the carrier really took.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;
use relay_store::Database;
use relay_store::{FutureExt, StoreError, usage_counters, usage_logs};
use shared::ids::AgentId;
use shared::ipc::{Client, ClientError};
use shared::model::{Micros, Timestamp};
use shared::protocol::{ErrorCode, SendMessage};
use tests::emulators::twilio::{Emulator, Fault};
use tests::process::{Home, RelayProcess};
use tests::relay::{OUR_NUMBER, PERSON};
use tests::wait::until;
use tokio::time::{interval, timeout};

use super::carrier::{Carrier, LIVE};
use super::crash::build_control;
use super::postgres::Schema;
use super::{PATIENCE, programs, session};

/// In millionths of a dollar.
const CAP: i64 = 500_000;
const CAP_TEXT: &str = "0.50";
/// Each relay is asked this often, by three tasks.
const SENDS: usize = 100;
/// What the carrier takes for a text.
const REAL_PRICE: i64 = 7_900;
