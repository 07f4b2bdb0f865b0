//! Limits on a whole relay: what has no room leaves nothing behind, neither at the carrier nor in the database.

mod calls;
pub(crate) mod money;
mod periods;
pub(crate) mod sales;
mod settings;

use std::time::Duration;

use anyhow::Result;
use futures_util::future::{BoxFuture, try_join_all};
use relay_store::audit_log;
use relay_store::limit_hits;
use relay_store::messages;
use relay_store::usage_counters::{self, Counters};
use relay_store::usage_logs;
use relay_store::{Conn, FutureExt, StoreError};
use rstest::rstest;
use shared::ids::AgentId;
use shared::ipc::{Client, ClientError, Told};
use shared::model::{Direction, Micros, Timestamp};
use shared::protocol::{ApiError, ErrorCode, MessageSent, SendMessage};
use tests::emulators::twilio::Emulator;
use tests::refusal::refusal;
use tests::relay::{PERSON, TestRelay};

const BEGINNING: Timestamp = Timestamp::from_millis(0);

/// A relay in live mode with these limits; what they leave out is wide.
async fn limited(limits: &[(&str, &str)]) -> Result<TestRelay> {
    TestRelay::live_with(&settings_with(limits)).await
}

/// Every limit, so that none is a default's.
fn settings_with(limits: &[(&str, &str)]) -> String {
    let wide = [
        ("actions_per_minute", "100000"),
        ("actions_per_hour", "100000"),
        ("actions_per_day", "100000"),
        ("spend_per_day", "'100000'"),
        ("spend_per_month", "'100000'"),
        ("calls_per_day_same_number", "100"),
        ("prices", "['sms:1=0.01']"),
    ];
    let is_set = |name: &str| limits.iter().any(|(set, _)| *set == name);
    let left = wide.iter().filter(|(name, _)| !is_set(name));
    let lines = left.chain(limits).map(|(name, value)| format!("{name} = {value}\n"));
    format!("[limits]\n{}", lines.collect::<String>())
}

fn text() -> SendMessage {
    SendMessage::sms(PERSON, "hello")
}

fn emulator(relay: &TestRelay) -> &Emulator {
    relay.twilio.as_ref().expect("in live mode there is one")
}

/// How many messages and calls the carrier was asked for.
fn left(relay: &TestRelay) -> usize {
    emulator(relay).received().iter().filter(|request| request.method == "POST").count()
}

async fn read<T: Send + 'static>(
    relay: &TestRelay,
    question: impl FnOnce(&mut Conn) -> BoxFuture<'_, Result<T, StoreError>> + Send + 'static,
) -> Result<T> {
    Ok(relay.app().db.read::<_, StoreError, _>(question).await?)
}

/// What is counted of an agent, or with `*` of all.
async fn counters(relay: &TestRelay, key: &'static str) -> Result<Option<Counters>> {
    read(relay, move |conn| usage_counters::find(conn, key).boxed()).await
}

/// What an agent has spent today, as it is counted.
async fn spent(relay: &TestRelay, key: &'static str) -> Result<Micros> {
    Ok(counters(relay, key).await?.map_or(Micros(0), |counters| counters.day_spent))
}

/// As many texts at once, from several sessions.
async fn send_at_once(
    relay: &TestRelay,
    count: usize,
) -> Result<Vec<Result<Told<MessageSent>, ClientError>>> {
    let sessions = try_join_all((0..4).map(|_| relay.session())).await?;
    Ok(futures_util::future::join_all((0..count).map(|n| sessions[n % sessions.len()].call(text()))).await)
}

/// Sends until something is refused; gives how many went, and the refusal.
async fn send_until_refused(session: &Client) -> Result<(usize, ApiError)> {
    for sent in 0..200 {
        if let Err(problem) = session.call(text()).await {
            return Ok((sent, refusal::<()>(Err(problem))?));
        }
    }
    anyhow::bail!("nothing is refused")
}

/// Everything that tells how much has happened.
#[derive(Debug, PartialEq, Eq)]
struct Traces {
    at_the_carrier: usize,
    message_rows: i64,
    charged: Vec<(i64, Micros)>,
    counted: (i64, Micros),
    counted_of_all: (i64, Micros),
    refused: i64,
}

impl Traces {
    /// So many texts of a cent went out, and so many were refused.
    fn of(sent: usize, refused: i64) -> Self {
        let (rows, money) = (sent as i64, Micros(sent as i64 * 10_000));
        Self {
            at_the_carrier: sent,
            message_rows: rows,
            charged: vec![(rows, money)],
            counted: (rows, money),
            counted_of_all: (rows, money),
            refused,
        }
    }

    async fn find(relay: &TestRelay) -> Result<Self> {
        let rows = read(relay, |conn| {
            async move {
                let agent = AgentId::default_agent();
                let written = messages::counts(conn, Some(&agent), BEGINNING).await?;
                let sums = usage_logs::sums(conn, Some(&agent), BEGINNING).await?;
                Ok((written, sums, limit_hits::count(conn, Some(&agent), BEGINNING).await?))
            }
            .boxed()
        });
        let (written, sums, refused) = rows.await?;
        let outbound = written.iter().filter(|row| row.direction == Direction::Outbound);
        let of = |counters: Option<Counters>| {
            counters.map_or((0, Micros(0)), |counters| (counters.day_actions, counters.day_spent))
        };
        Ok(Self {
            at_the_carrier: left(relay),
            message_rows: outbound.map(|row| row.n).sum(),
            charged: sums.iter().map(|sum| (sum.count, sum.charge)).collect(),
            counted: of(counters(relay, "default").await?),
            counted_of_all: of(counters(relay, "*").await?),
            refused,
        })
    }
}

fn refused(code: ErrorCode, message: &str, (advice, again): (&str, Option<u64>)) -> ApiError {
    let hint = format!("{advice} The person who runs the relay can raise it with comms_set_agent_limits.");
    let error = ApiError::new(code, message, hint);
    if again.is_some() { error.retryable(again) } else { error }
}

#[rstest]
#[case::actions_in_a_minute(
    ("actions_per_minute", "10"), 10,
    refused(
        ErrorCode::RateLimited,
        "The limit of 10 actions a minute is reached; nothing was sent.",
        ("Wait 60 seconds and call again.", Some(60)),
    )
)]
#[case::actions_in_an_hour(
    ("actions_per_hour", "7"), 7,
    refused(
        ErrorCode::RateLimited,
        "The limit of 7 actions an hour is reached; nothing was sent.",
        ("Wait 60 minutes and call again.", Some(3_600)),
    )
)]
#[case::actions_in_a_day(
    ("actions_per_day", "1"), 1,
    refused(
        ErrorCode::RateLimited,
        "The limit of 1 action a day is reached; nothing was sent.",
        ("Call again at 2026-11-19T00:00:00.000Z.", Some(46_400)),
    )
)]
#[case::money_in_a_day(
    ("spend_per_day", "'0.03'"), 3,
    refused(
        ErrorCode::SpendLimit,
        "The limit of 0.03 USD a day leaves too little for this; nothing was sent.",
        ("Call again at 2026-11-19T00:00:00.000Z.", Some(46_400)),
    )
)]
#[case::money_in_a_month(
    ("spend_per_month", "'0.035'"), 3,
    refused(
        ErrorCode::SpendLimit,
        "The limit of 0.035 USD a month leaves too little for this; nothing was sent.",
        ("Call again at 2026-12-01T00:00:00.000Z.", Some(1_083_200)),
    )
)]
#[case::no_action_at_all(
    ("actions_per_minute", "0"), 0,
    refused(
        ErrorCode::RateLimited,
        "The limit of 0 actions a minute is reached; nothing was sent.",
        ("Waiting does not help.", None),
    )
)]
#[case::less_money_than_one_costs(
    ("spend_per_day", "'0.009999'"), 0,
    refused(
        ErrorCode::SpendLimit,
        "The limit of 0.009999 USD a day is less than this costs; nothing was sent.",
        ("Waiting does not help.", None),
    )
)]
#[case::money_of_all_agents(
    ("org_spend_per_day", "'0.03'"), 3,
    ApiError::new(
        ErrorCode::SpendLimit,
        "The spending cap of all agents together is reached; nothing was sent.",
        "The person who runs the relay can raise limits.org_spend_per_day or limits.org_spend_per_month.",
    )
)]
#[tokio::test]
async fn of_64_at_once_only_those_leave_for_whom_there_is_room(
    #[case] limit: (&str, &str),
    #[case] room: usize,
    #[case] told: ApiError,
) -> Result<()> {
    let relay = limited(&[limit]).await?;
    let answers = send_at_once(&relay, 64).await?;
    let refusals: Vec<_> = answers.into_iter().filter(Result::is_err).map(refusal).collect::<Result<_>>()?;
    assert_eq!(refusals, vec![told; 64 - room]);
    let mut traces = Traces::of(room, 64 - room as i64);
    if room == 0 {
        // Nothing was ever counted, so there is nothing to add up.
        traces.charged = vec![];
    }
    assert_eq!(Traces::find(&relay).await?, traces);
    relay.stop().await
}

/// How many refusals by a limit stand in the audit log.
async fn written_down(relay: &TestRelay) -> Result<usize> {
    let rows = read(relay, |conn| audit_log::page(conn, 0, 1_000).boxed()).await?;
    Ok(rows.iter().filter(|row| row.entry.contains("\"limit.refused\"")).count())
}

#[tokio::test]
async fn an_agent_that_goes_on_asking_is_written_down_once_a_day() -> Result<()> {
    let relay = limited(&[("actions_per_day", "1")]).await?;
    let session = relay.session().await?;
    let mut told = Vec::new();
    for _ in 0..2 {
        session.call(text()).await?;
        for _ in 0..30 {
            refusal(session.call(text()).await)?;
        }
        let refused = Traces::find(&relay).await?.refused;
        told.push((refused, written_down(&relay).await?));
        relay.clock.advance(Duration::from_secs(86_400));
    }
    assert_eq!(told, [(30, 1), (60, 2)]);
    relay.stop().await
}
