//! Setting limits and the billing, and what then is billed.

use std::time::Duration;

use anyhow::Result;
use relay::services::agents::rehearsal_agent;
use relay::services::tokens;
use relay_core::clock::Clock;
use relay_core::token::Role;
use rstest::rstest;
use shared::ids::AgentId;
use shared::model::{Limits, LimitsPatch, Micros, Tier};
use shared::protocol::{
    BillingInForce, BillingSummary, ErrorCode, GetBilling, LimitsInForce, SetAgentLimits, SetBillingConfig,
    UsagePeriod,
};
use tests::refusal::refusal;
use tests::relay::TestRelay;

use super::{LIMITS, about, at, text};

/// What holds where nothing else is said.
const DEFAULTS: Limits = Limits {
    max_actions_per_minute: 10,
    max_actions_per_hour: 100,
    max_actions_per_day: 500,
    max_spend_per_day: Micros(10_000_000),
    max_spend_per_month: Micros(100_000_000),
    max_call_duration_minutes: 10,
    max_calls_per_day_to_same_number: 2,
};
/// Tier, markup and e-mail address.
type Patch = (Option<Tier>, Option<i64>, Option<&'static str>);

const NOTHING: Patch = (None, None, None);

fn limiting(limits: LimitsPatch) -> SetAgentLimits {
    SetAgentLimits { agent_id: AgentId::default_agent(), limits }
}

fn billing((tier, markup_percent, email): Patch) -> SetBillingConfig {
    SetBillingConfig {
        agent_id: AgentId::default_agent(),
        tier,
        markup_percent,
        billing_email: email.map(str::to_owned),
    }
}

#[tokio::test]
async fn a_limit_that_is_set_leaves_the_others_as_they_are() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let admin = relay.admin().await?;
    let a_day = LimitsPatch { max_actions_per_day: Some(7), ..LimitsPatch::default() };
    admin.call(limiting(a_day)).await?;
    let spend = LimitsPatch { max_spend_per_day: Some(Micros(3_000_000)), ..LimitsPatch::default() };
    let in_force = admin.call(limiting(spend)).await?.reply;
    let limits = Limits { max_actions_per_day: 7, max_spend_per_day: Micros(3_000_000), ..DEFAULTS };
    assert_eq!(in_force, LimitsInForce { agent_id: AgentId::default_agent(), limits });
    relay.stop().await
}

#[tokio::test]
async fn a_limit_of_none_lets_nothing_pass() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let none = LimitsPatch { max_actions_per_day: Some(0), ..LimitsPatch::default() };
    relay.admin().await?.call(limiting(none)).await?;
    let problem = refusal(relay.session().await?.call(text()).await)?;
    assert_eq!(problem.code, ErrorCode::RateLimited);
    relay.stop().await
}

#[rstest]
#[case::a_minute(LimitsPatch { max_actions_per_minute: Some(-1), ..none() }, "maxActionsPerMinute")]
#[case::an_hour(LimitsPatch { max_actions_per_hour: Some(-1), ..none() }, "maxActionsPerHour")]
#[case::a_day(LimitsPatch { max_actions_per_day: Some(1_000_001), ..none() }, "maxActionsPerDay")]
#[case::spend_a_day(LimitsPatch { max_spend_per_day: Some(Micros(-1)), ..none() }, "maxSpendPerDay")]
#[case::spend_a_month(LimitsPatch { max_spend_per_month: Some(Micros(-1)), ..none() }, "maxSpendPerMonth")]
#[case::a_call(LimitsPatch { max_call_duration_minutes: Some(0), ..none() }, "maxCallDurationMinutes")]
#[case::a_long_call(LimitsPatch { max_call_duration_minutes: Some(241), ..none() }, "maxCallDurationMinutes")]
#[case::a_number(
    LimitsPatch { max_calls_per_day_to_same_number: Some(-1), ..none() },
    "maxCallsPerDayToSameNumber"
)]
#[tokio::test]
async fn a_limit_that_makes_no_sense_is_named_and_sets_nothing(
    #[case] patch: LimitsPatch,
    #[case] named: &str,
) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let admin = relay.admin().await?;
    let problem = refusal(admin.call(limiting(patch)).await)?;
    assert_eq!(
        (problem.code, problem.message.contains(named)),
        (ErrorCode::InvalidInput, true),
        "{problem:?}"
    );
    let in_force = admin.call(limiting(none())).await?.reply.limits;
    assert_eq!(in_force, DEFAULTS);
    relay.stop().await
}

fn none() -> LimitsPatch {
    LimitsPatch::default()
}

#[tokio::test]
async fn a_tier_sets_its_limits_but_not_those_that_the_agent_has_of_its_own() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let admin = relay.admin().await?;
    admin.call(limiting(LimitsPatch { max_actions_per_minute: Some(3), ..none() })).await?;
    admin.call(billing((Some(Tier::Pro), Some(50), Some("Bills@Example.ORG")))).await?;
    let in_force = admin.call(billing(NOTHING)).await?.reply;
    let limits = Limits {
        max_actions_per_minute: 3,
        max_actions_per_hour: 1_000,
        max_actions_per_day: 5_000,
        max_spend_per_day: Micros(100_000_000),
        max_spend_per_month: Micros(1_000_000_000),
        ..DEFAULTS
    };
    let expected = BillingInForce {
        agent_id: AgentId::default_agent(),
        tier: Some(Tier::Pro),
        markup_percent: 50,
        billing_email: Some("Bills@example.org".to_owned()),
        limits,
    };
    assert_eq!(in_force, expected);
    relay.stop().await
}

#[rstest]
#[case::markup_below((None, Some(-1), None), "markupPercent")]
#[case::markup_above((None, Some(501), None), "markupPercent")]
#[case::no_email((None, None, Some("ann at example")), "billingEmail")]
#[case::a_header((None, None, Some("a@example.org\r\nBcc: b@example.org")), "billingEmail")]
#[tokio::test]
async fn a_billing_that_makes_no_sense_is_named_and_sets_nothing(
    #[case] patch: Patch,
    #[case] named: &str,
) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let admin = relay.admin().await?;
    let problem = refusal(admin.call(billing(patch)).await)?;
    assert_eq!(
        (problem.code, problem.message.contains(named)),
        (ErrorCode::InvalidInput, true),
        "{problem:?}"
    );
    let in_force = admin.call(billing(NOTHING)).await?.reply;
    assert_eq!((in_force.markup_percent, in_force.billing_email), (0, None));
    relay.stop().await
}

#[rstest]
#[case::lowest(0)]
#[case::highest(500)]
#[tokio::test]
async fn a_markup_may_be_as_low_and_as_high_as_it_says(#[case] percent: i64) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let in_force = relay.admin().await?.call(billing((None, Some(percent), None))).await?.reply;
    assert_eq!(in_force.markup_percent, percent);
    relay.stop().await
}

#[tokio::test]
async fn each_agent_is_billed_with_its_own_markup() -> Result<()> {
    // The price of the simulated carrier, so that nothing changes when it is told.
    let relay = TestRelay::demo_with("[limits]\nprices = ['sms:1=0.0079']").await?;
    let (db, now) = (&relay.app().db, relay.clock.now());
    let lifetime = Some(Duration::from_secs(60));
    let token = tokens::create(db, &rehearsal_agent(), Role::Agent, lifetime, now).await?;
    let other = relay.session_as(Some(token.secret.expose().to_owned())).await?;
    let (admin, own) = (relay.admin().await?, relay.session().await?);
    admin.call(billing((Some(Tier::Starter), Some(50), None))).await?;
    for session in [&own, &own, &other] {
        session.call(text()).await?;
    }
    let expected = BillingSummary {
        agent_id: None,
        period: UsagePeriod::Month,
        since: Some(at("2026-11-01T00:00:00Z")),
        provider_cost: Micros(23_700),
        billing_cost: Micros(31_600),
        currency: "USD".to_owned(),
        markup_percent: None,
        tier: None,
        by_channel: [("sms".to_owned(), Micros(23_700))].into(),
    };
    let all = admin.call(GetBilling { period: None }).await?.reply;
    let one = admin.call_with(GetBilling { period: None }, about("default")).await?.reply;
    let of_one = BillingSummary {
        agent_id: Some(AgentId::default_agent()),
        provider_cost: Micros(15_800),
        billing_cost: Micros(23_700),
        markup_percent: Some(50),
        tier: Some(Tier::Starter),
        by_channel: [("sms".to_owned(), Micros(15_800))].into(),
        ..expected.clone()
    };
    assert_eq!((all, one), (expected, of_one));
    relay.stop().await
}
