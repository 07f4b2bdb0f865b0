//! Several relays on one database: together they spend no more than one may, at no moment. The same on relays that
//! hold the cap against what they saw before must exceed it: else this test proves nothing. And what a relay had
//! reserved when it died is brought by the next one to what the carrier really took.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::{join_all, try_join_all};
use relay_store::{Database, FutureExt, StoreError, usage_counters, usage_logs};
use rstest::rstest;
use shared::ids::ExternalId;
use shared::ipc::Client;
use shared::model::{Micros, Timestamp};
use shared::protocol::{ErrorCode, SendMessage};
use tempfile::TempDir;
use tests::emulators::twilio::{Emulator, Fault};
use tests::process::{Home, RelayProcess};
use tests::refusal::refusal;
use tests::relay::{OUR_NUMBER, PERSON};
use tests::wait;
use tokio::sync::OnceCell;
use tokio::time::interval;

use super::carrier::{Carrier, LIVE};
use super::crash::build_control;
use super::postgres::Schema;
use super::{programs, session, until};
use crate::limits::money::is_priced;

/// A month's, because a month ends more seldom than a day.
const CAP: Micros = Micros(500_000);
/// By three tasks each of two relays.
const SENDS_OF_A_TASK: u64 = 34;
/// What the carrier takes for a text.
const REAL_PRICE: i64 = 7_900;

/// Demo mode: the simulated carrier tells its prices while others still reserve, and they are lower than expected.
const SETTINGS: [(&str, &str); 5] = [
    ("COMMS_LIMITS__SPEND_PER_MONTH", "0.50"),
    ("COMMS_LIMITS__SPEND_PER_DAY", "100"),
    ("COMMS_LIMITS__ACTIONS_PER_MINUTE", "100000"),
    ("COMMS_LIMITS__ACTIONS_PER_HOUR", "100000"),
    ("COMMS_LIMITS__ACTIONS_PER_DAY", "100000"),
];

/// What the database says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sums {
    /// Spent and reserved, as it is counted for the agent.
    counted: Micros,
    /// The same for all agents.
    counted_of_all: Micros,
    /// What the actions were charged, added up.
    charged: Micros,
}

impl Sums {
    fn all(amount: Micros) -> Self {
        Self { counted: amount, counted_of_all: amount, charged: amount }
    }

    async fn now(db: &Database) -> Result<Self> {
        let sums = db.read::<_, StoreError, _>(|conn| {
            async move {
                let rows = usage_logs::sums(conn, None, Timestamp::from_millis(0)).await?;
                let own = usage_counters::find(conn, "default").await?;
                let all = usage_counters::find(conn, "*").await?;
                let spent = |counters: Option<usage_counters::Counters>| {
                    counters.map_or(Micros(0), |counters| counters.month_spent)
                };
                let charged = Micros(rows.iter().map(|row| row.charge.0).sum());
                Ok(Self { counted: spent(own), counted_of_all: spent(all), charged })
            }
            .boxed()
        });
        Ok(sums.await?)
    }
}

/// Where several relays store together.
enum Shared {
    Sqlite(TempDir),
    Postgres(Schema),
}

impl Shared {
    fn sqlite() -> Result<Self> {
        Ok(Self::Sqlite(tempfile::tempdir()?))
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("shared.db").display()),
            Self::Postgres(schema) => schema.url.clone(),
        }
    }
}

/// What was seen while two relays spent as fast as they could.
struct Spending {
    moments: Vec<Sums>,
    /// By relay, how many texts were sent and how many were refused.
    outcomes: Vec<(usize, usize)>,
}

async fn spend(relay: &Path, shared: &Shared) -> Result<Spending> {
    let url = shared.url();
    let settings = [&SETTINGS[..], &[("COMMS_DATABASE__URL", url.as_str())]].concat();
    let homes = [Home::temp(), Home::temp()];
    let mut relays = Vec::new();
    let mut sessions = Vec::new();
    for home in &homes {
        relays.push(RelayProcess::start_program(relay, &[], home, &settings).await?);
        sessions.push(session(home).await?);
    }
    let db = Database::open(&url, homes[0].path()).await?;
    let mut moments = Vec::new();
    let tasks = (0..6).map(|task| send_many(&sessions[task % 2], task as u64));
    let counts = tokio::select! {
        counts = try_join_all(tasks) => counts?,
        never = watch(&db, &mut moments) => return Err(never?),
    };
    moments.push(Sums::now(&db).await?);
    db.close().await;
    let of = |relay| {
        let counts = counts.iter().skip(relay).step_by(2);
        counts.fold((0, 0), |(sent, refused), (s, r)| (sent + s, refused + r))
    };
    Ok(Spending { moments, outcomes: vec![of(0), of(1)] })
}

/// Looks at the sums all the time. Ends only with a problem.
async fn watch(db: &Database, moments: &mut Vec<Sums>) -> Result<anyhow::Error> {
    let mut looks = interval(Duration::from_millis(2));
    loop {
        looks.tick().await;
        moments.push(Sums::now(db).await?);
    }
}

/// Sends texts of one to three segments to three countries, in an order that only the task's number decides.
async fn send_many(session: &Client, task: u64) -> Result<(usize, usize)> {
    let (mut sent, mut refused) = (0, 0);
    let mut random = task + 1;
    for _ in 0..SENDS_OF_A_TASK {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let to = [PERSON, "+447700900147", "+61491570147"][(random >> 33) as usize % 3];
        let body = "x".repeat([20, 200, 400][(random >> 43) as usize % 3]);
        match session.call(SendMessage::sms(to, body)).await {
            Ok(_) => sent += 1,
            problem => {
                let told = refusal(problem)?;
                ensure!(told.code == ErrorCode::SpendLimit, "{told:?}");
                refused += 1;
            }
        }
    }
    Ok((sent, refused))
}

async fn sqlite() -> Result<Option<Shared>> {
    Shared::sqlite().map(Some)
}

/// `None`, said aloud, if there is none.
async fn postgres() -> Result<Option<Shared>> {
    Ok(Schema::fresh().await?.map(Shared::Postgres))
}

#[rstest]
#[case::sqlite(sqlite())]
#[case::postgres(postgres())]
#[tokio::test]
async fn two_relays_on_one_database_keep_to_one_cap_at_every_moment(
    #[future(awt)]
    #[case]
    shared: Result<Option<Shared>>,
) -> Result<()> {
    let Some(shared) = shared? else { return Ok(()) };
    let spending = spend(&programs().await?.relay, &shared).await?;
    let wrong: Vec<_> = spending
        .moments
        .iter()
        .filter(|sums| sums.counted > CAP || **sums != Sums::all(sums.counted))
        .collect();
    assert_eq!(wrong, Vec::<&Sums>::new());
    // Something was let through, and both were stopped: else nothing was tried. Which of two processes gets at a
    // file of SQLite's, and how often, is not for us to say.
    let sent: usize = spending.outcomes.iter().map(|(sent, _)| sent).sum();
    let both_stopped = spending.outcomes.iter().all(|(_, refused)| *refused > 0);
    assert!(sent > 0 && both_stopped, "{:?}", spending.outcomes);
    assert!(spending.moments.len() > 10, "only {} looks at the sums", spending.moments.len());
    Ok(())
}

/// The relays that are started here hold the cap against what they saw before.
#[rstest]
#[case::sqlite(sqlite())]
#[case::postgres(postgres())]
#[tokio::test]
async fn relays_that_check_before_they_take_exceed_the_same_cap(
    #[future(awt)]
    #[case]
    shared: Result<Option<Shared>>,
) -> Result<()> {
    let Some(shared) = shared? else { return Ok(()) };
    static CONTROL: OnceCell<PathBuf> = OnceCell::const_new();
    let control = CONTROL.get_or_try_init(|| build_control("fault-check-before-take")).await?;
    let spending = spend(control, &shared).await?;
    let most = spending.moments.iter().map(|sums| sums.counted).max();
    assert!(most > Some(CAP), "they spent {most:?} and were let through {:?}", spending.outcomes);
    Ok(())
}

/// A relay in live mode whose carrier is `emulator`.
async fn live(home: &Home, emulator: &Emulator) -> Result<RelayProcess> {
    let own = [("COMMS_TWILIO__BASE_URL", emulator.settings.base_url.as_str())];
    RelayProcess::start(home, &[&LIVE[..], &own].concat()).await
}

#[tokio::test]
async fn what_was_reserved_when_a_relay_died_becomes_what_the_carrier_took() -> Result<()> {
    let (home, emulator) = (Home::temp(), Emulator::start(OUR_NUMBER.parse()?).await?);
    let relay = live(&home, &emulator).await?;
    let client = session(&home).await?;
    let text = |n: usize| SendMessage::sms(PERSON, format!("hello {n}"));
    let answered = try_join_all((0..3).map(|n| client.call(text(n)))).await?;
    let named: Vec<ExternalId> = answered.into_iter().filter_map(|told| told.reply.external_id).collect();
    // The carrier takes three more, and the relay dies before it is told.
    emulator.fail(Fault::Silence);
    let unanswered = join_all((3..6).map(|n| client.call(text(n))));
    let asked = || emulator.received().iter().filter(|request| request.method == "POST").count();
    tokio::select! {
        _ = unanswered => anyhow::bail!("the carrier is silent, and yet there is an answer"),
        taken = until("the sending of all six", || asked() == 6) => taken?,
    }
    relay.kill9().await?;
    let db = Database::open("sqlite:comms.db", home.path()).await?;
    let reserved = Sums::now(&db).await?;
    emulator.fail(Fault::None);
    let relay = live(&home, &emulator).await?;
    let carrier = Carrier::of(&relay)?;
    for id in &named {
        is_priced(&emulator, id).await?;
        let form = [("MessageSid", id.as_str()), ("MessageStatus", "delivered")];
        assert_eq!(carrier.post("/webhooks/default/call-status", &form).await?.0, 200);
    }
    let taken = emulator.carrier.texts_to(&PERSON.parse()?).len() as i64;
    let ledger = Sums::all(Micros(taken * REAL_PRICE));
    let settled =
        wait::until("the carrier's sums", async || Ok((Sums::now(&db).await? == ledger).then_some(())));
    settled.await?;
    assert_eq!((reserved, taken, asked()), (Sums::all(Micros(6 * 15_000)), 6, 6));
    db.close().await;
    relay.terminate().await?;
    Ok(())
}
