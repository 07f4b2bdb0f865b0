//! What an agent has, has used and owes, as its sessions and an admin's see it.

mod channels;
mod permission;
mod setting;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use relay::services::operator;
use relay_core::clock::Clock;
use rstest::rstest;
use shared::ids::AgentId;
use shared::ipc::Client;
use shared::model::{Direction, MessageStatus, Micros, Timestamp};
use shared::protocol::{
    ChannelUsage, Envelope, GetMessages, GetUsage, LimitState, SendMessage, UsageDashboard, UsagePeriod,
};
use tests::refusal::refusal;
use tests::relay::{PERSON, TestRelay};
use tests::wait::until;

const HOUR: Duration = Duration::from_secs(3_600);

/// Limits that can be reached, and a price that is easy to add up. Every test begins on Wednesday, 18 November 2026,
/// at 11:06:40 UTC.
const LIMITS: &str = "[limits]\nprices = ['sms:1=0.05']";

fn text() -> SendMessage {
    SendMessage::sms(PERSON, "hello")
}

fn about(agent: &str) -> Envelope {
    Envelope { agent_id: Some(agent.parse().expect("it is an agent's id")), ..Envelope::default() }
}

fn at(text: &str) -> Timestamp {
    text.parse().expect("it is a time")
}

async fn used(session: &Client, period: UsagePeriod) -> Result<UsageDashboard> {
    Ok(session.call(GetUsage { period: Some(period) }).await?.reply)
}

/// Waits until it is written down what became of everything that was sent: the sender is told before.
async fn all_recorded(session: &Client) -> Result<()> {
    let sent = GetMessages { direction: Some(Direction::Outbound), ..GetMessages::default() };
    until("what became of every message", async || {
        let messages = session.call(sent.clone()).await?.reply.messages;
        let all = messages.iter().all(|message| message.status != MessageStatus::Sending);
        Ok(all.then_some(()))
    })
    .await
}

/// One limit of the session's agent, as `used` and `left`.
async fn of_limit(session: &Client, name: &str) -> Result<(String, String)> {
    let limits = used(session, UsagePeriod::Today).await?.limits;
    let limit = limits.into_iter().find(|limit| limit.name == name).expect("every limit is listed");
    Ok((limit.used, limit.left))
}

fn limit(name: &str, [limit, used, left]: [&str; 3], resets_at: Option<&str>) -> LimitState {
    LimitState {
        name: name.to_owned(),
        limit: limit.to_owned(),
        used: used.to_owned(),
        left: left.to_owned(),
        resets_at: resets_at.map(at),
    }
}

#[tokio::test]
async fn the_dashboard_tells_what_went_out_what_it_cost_and_what_is_left() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let session = relay.session().await?;
    session.call(text()).await?;
    relay.clock.advance(Duration::from_secs(20));
    session.call(text()).await?;
    let sms = ChannelUsage { inbound: 0, outbound: 2, seconds: 0, cost: Micros(100_000) };
    let (day, month) = (Some("2026-11-19T00:00:00Z"), Some("2026-12-01T00:00:00Z"));
    let expected = UsageDashboard {
        agent_id: Some(AgentId::default_agent()),
        period: UsagePeriod::Today,
        since: Some(at("2026-11-18T00:00:00Z")),
        time_zone: "UTC".to_owned(),
        by_channel: BTreeMap::from([("sms".to_owned(), sms)]),
        cost: Micros(100_000),
        currency: "USD".to_owned(),
        limits: vec![
            limit("maxActionsPerMinute", ["10", "2", "8"], Some("2026-11-18T11:08:00Z")),
            limit("maxActionsPerHour", ["100", "2", "98"], Some("2026-11-18T12:07:00Z")),
            limit("maxActionsPerDay", ["500", "2", "498"], day),
            limit("maxSpendPerDay", ["10.00", "0.10", "9.90"], day),
            limit("maxSpendPerMonth", ["100.00", "0.10", "99.90"], month),
            limit("maxCallsPerDayToSameNumber", ["2", "0", "2"], None),
        ],
        limit_hits: 0,
    };
    assert_eq!(used(&session, UsagePeriod::Today).await?, expected);
    relay.stop().await
}

#[rstest]
#[case::today(None, 0, UsagePeriod::Today, 1, Some("2026-11-18T00:00:00Z"))]
#[case::today_elsewhere(Some("Asia/Tokyo"), 0, UsagePeriod::Today, 1, Some("2026-11-17T15:00:00Z"))]
#[case::before_midnight(None, 4, UsagePeriod::Today, 1, Some("2026-11-18T00:00:00Z"))]
#[case::after_midnight_there(Some("Asia/Tokyo"), 4, UsagePeriod::Today, 0, Some("2026-11-18T15:00:00Z"))]
#[case::this_week(Some("Asia/Tokyo"), 4, UsagePeriod::Week, 1, Some("2026-11-15T15:00:00Z"))]
#[case::sunday(None, 4 * 24, UsagePeriod::Week, 1, Some("2026-11-16T00:00:00Z"))]
#[case::monday(None, 5 * 24, UsagePeriod::Week, 0, Some("2026-11-23T00:00:00Z"))]
#[case::this_month(None, 12 * 24, UsagePeriod::Month, 1, Some("2026-11-01T00:00:00Z"))]
#[case::next_month(None, 13 * 24, UsagePeriod::Month, 0, Some("2026-12-01T00:00:00Z"))]
#[case::all_time(None, 13 * 24, UsagePeriod::All, 1, None)]
#[tokio::test]
async fn a_period_is_cut_at_the_agents_own_midnight(
    #[case] zone: Option<&str>,
    #[case] hours: u32,
    #[case] period: UsagePeriod,
    #[case] outbound: i64,
    #[case] since: Option<&str>,
) -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let (db, agent) = (&relay.app().db, AgentId::default_agent());
    operator::set_time_zone(db, agent, zone, relay.clock.now()).await?;
    let session = relay.session().await?;
    session.call(text()).await?;
    relay.clock.advance(HOUR * hours);
    let found = used(&session, period).await?;
    let sent = found.by_channel.get("sms").map_or(0, |sms| sms.outbound);
    assert_eq!((sent, found.since), (outbound, since.map(at)));
    relay.stop().await
}

#[tokio::test]
async fn the_limits_of_a_day_begin_anew_at_the_agents_own_midnight() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let (db, agent) = (&relay.app().db, AgentId::default_agent());
    operator::set_time_zone(db, agent, Some("Asia/Tokyo"), relay.clock.now()).await?;
    let session = relay.session().await?;
    session.call(text()).await?;
    let before = of_limit(&session, "maxSpendPerDay").await?;
    relay.clock.advance(HOUR * 4);
    let after = of_limit(&session, "maxSpendPerDay").await?;
    let pair = |used: &str, left: &str| (used.to_owned(), left.to_owned());
    assert_eq!((before, after), (pair("0.05", "9.95"), pair("0.00", "10.00")));
    relay.stop().await
}

#[tokio::test]
async fn what_a_limit_refuses_is_counted_and_room_comes_back_with_time() -> Result<()> {
    let relay = TestRelay::live_with("[limits]\nactions_per_minute = 2").await?;
    let session = relay.session().await?;
    session.call(text()).await?;
    session.call(text()).await?;
    refusal(session.call(text()).await)?;
    let full = of_limit(&session, "maxActionsPerMinute").await?;
    let hits = used(&session, UsagePeriod::Today).await?.limit_hits;
    relay.clock.advance(Duration::from_secs(60));
    let empty = of_limit(&session, "maxActionsPerMinute").await?;
    let pair = |used: &str, left: &str| (used.to_owned(), left.to_owned());
    assert_eq!((full, hits, empty), (pair("2", "0"), 1, pair("0", "2")));
    relay.stop().await
}

#[tokio::test]
async fn a_message_that_the_provider_refuses_counts_as_an_action_and_costs_nothing() -> Result<()> {
    let relay = TestRelay::live_with(LIMITS).await?;
    let session = relay.session().await?;
    // Twilio's number for "not a valid phone number".
    refusal(session.call(SendMessage::sms("+15005550001", "hello")).await)?;
    all_recorded(&session).await?;
    let (actions, _) = of_limit(&session, "maxActionsPerMinute").await?;
    let (spent, _) = of_limit(&session, "maxSpendPerDay").await?;
    assert_eq!((actions.as_str(), spent.as_str()), ("1", "0.00"));
    relay.stop().await
}

#[tokio::test]
async fn an_admin_sees_all_agents_together_and_the_caps_that_cover_them() -> Result<()> {
    let relay = TestRelay::live_with(&format!("{LIMITS}\norg_spend_per_day = '1.00'")).await?;
    relay.session().await?.call(text()).await?;
    let found = used(&relay.admin().await?, UsagePeriod::Today).await?;
    let cap = limit("limits.org_spend_per_day", ["1.00", "0.05", "0.95"], Some("2026-11-19T00:00:00Z"));
    assert_eq!((found.agent_id, found.cost, found.limits), (None, Micros(50_000), vec![cap]));
    relay.stop().await
}
