//! Each tool once: its arguments, the call that reaches the relay, and what the model gets.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use shared::model::{Channel, LimitsPatch, Micros, SecretText, Tier};
use shared::protocol::{
    DeprovisionChannels, GetBilling, GetChannelStatus, GetUsage, OnboardCustomer, ProvisionChannels,
    RegisterProvider, Request, SendVoiceMessage, SetAgentLimits, SetBillingConfig, TransferCall,
    TransferMode, UsagePeriod, VoiceRoad,
};

use crate::connected;
use crate::fake_relay::Reaction;

/// The call that these arguments become. What the relay answers is what the model gets.
async fn passes(tool: &str, arguments: Value, call: impl Into<Request>, reply: Value) {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::Reply(reply.clone()));
    let result = host.call(tool, arguments).await;
    assert_eq!((relay.request().await, &result["structuredContent"]), (call.into(), &reply));
}

fn limits() -> Value {
    json!({
        "maxActionsPerMinute": 10, "maxActionsPerHour": 100, "maxActionsPerDay": 500, "maxSpendPerDay": "12.50",
        "maxSpendPerMonth": "100.00", "maxCallDurationMinutes": 10, "maxCallsPerDayToSameNumber": 2,
    })
}

fn channel() -> Value {
    json!({ "channel": "sms", "address": "+15550100", "provider": "simulated" })
}

#[tokio::test]
async fn a_voice_message() {
    let arguments = json!({
        "to": "+15550101", "text": "t", "voice": "v", "channel": "whatsapp", "idempotencyKey": "k",
    });
    let call = SendVoiceMessage {
        to: "+15550101".into(),
        text: "t".into(),
        voice: Some("v".into()),
        channel: Some(VoiceRoad::Whatsapp),
        idempotency_key: Some("k".into()),
    };
    let reply = json!({
        "messageId": "01890a5d-ac96-774b-bcce-b302099a8057", "audioUrl": "https://x/a", "audioDurationMs": 900,
        "status": "sent", "cost": "0.005", "currency": "USD",
    });
    passes("comms_send_voice_message", arguments, call, reply).await;
}

#[tokio::test]
async fn a_spoken_message_is_told_like_any_other() {
    let (mut host, relay, _home) = connected().await;
    relay.script.then(Reaction::Reply(json!({
        "messageId": "01890a5d-ac96-774b-bcce-b302099a8057", "callSid": "CA1", "status": "sent",
        "cost": "0.014", "currency": "USD",
    })));
    let arguments = json!({ "to": "+15550101", "body": "b", "channel": "voice" });
    let result = host.call("comms_send_message", arguments).await;
    let expected = json!({
        "messageId": "01890a5d-ac96-774b-bcce-b302099a8057", "status": "sent", "cost": "0.014",
        "currency": "USD", "channel": "voice",
    });
    assert_eq!(result["structuredContent"], expected);
}

#[tokio::test]
async fn a_transfer() {
    let arguments =
        json!({ "callSid": "CA1", "to": "+15550102", "announcementText": "One moment.", "mode": "warm" });
    let call = TransferCall {
        call_sid: "CA1".parse().unwrap(),
        to: "+15550102".into(),
        announcement_text: Some("One moment.".into()),
        mode: Some(TransferMode::Warm),
    };
    let reply = json!({ "status": "transferring", "callSid": "CA1", "to": "+15550102" });
    passes("comms_transfer_call", arguments, call, reply).await;
}

#[tokio::test]
async fn the_status_of_the_channels() {
    let reply = json!({
        "agentId": "default",
        "channels": [{
            "channel": "sms", "address": "+15550100", "provider": "simulated", "status": "active",
            "health": "degraded", "lastInboundAt": "2026-11-18T11:06:40.123Z", "problems": ["slow"],
        }],
    });
    passes("comms_get_channel_status", json!({}), GetChannelStatus {}, reply).await;
}

#[tokio::test]
async fn the_usage() {
    let reply = json!({
        "agentId": "default", "period": "week", "since": "2026-11-16T00:00:00.000Z", "timeZone": "UTC",
        "byChannel": { "sms": { "inbound": 1, "outbound": 2, "seconds": 0, "cost": "0.0158" } },
        "cost": "0.0158", "currency": "USD", "limitHits": 3,
        "limits": [{ "name": "maxActionsPerDay", "limit": "500", "used": "2", "left": "498" }],
    });
    let call = GetUsage { period: Some(UsagePeriod::Week) };
    passes("comms_get_usage_dashboard", json!({ "period": "week" }), call, reply).await;
}

#[tokio::test]
async fn the_bill() {
    let reply = json!({
        "agentId": "default", "period": "all", "providerCost": "1.00", "billingCost": "1.20",
        "currency": "USD", "markupPercent": 20, "tier": "starter", "byChannel": { "sms": "1.00" },
    });
    let call = GetBilling { period: Some(UsagePeriod::All) };
    passes("comms_get_billing_summary", json!({ "period": "all" }), call, reply).await;
}

#[tokio::test]
async fn provisioning() {
    let arguments = json!({
        "displayName": "Sales", "capabilities": ["sms", "voice"], "agentId": "sales", "country": "US",
        "areaCode": "415", "emailDomain": "example.org", "greeting": "Hi.", "systemPrompt": "Be kind.",
        "voice": "v", "language": "en-US", "confirm": true,
    });
    let call = ProvisionChannels {
        display_name: "Sales".into(),
        capabilities: vec![Channel::Sms, Channel::Voice],
        agent_id: Some("sales".parse().unwrap()),
        country: Some("US".into()),
        area_code: Some("415".into()),
        email_domain: Some("example.org".into()),
        greeting: Some("Hi.".into()),
        system_prompt: Some("Be kind.".into()),
        voice: Some("v".into()),
        language: Some("en-US".into()),
        confirm: Some(true),
    };
    let reply = json!({
        "agentId": "sales", "channels": [channel()], "token": "cat_x", "slotsRemaining": 3,
        "webhookUrls": { "sms": "https://x/sms" },
    });
    passes("comms_provision_channels", arguments, call, reply).await;
}

#[tokio::test]
async fn deprovisioning() {
    let arguments = json!({ "agentId": "sales", "releaseNumber": false, "confirm": true });
    let call = DeprovisionChannels {
        agent_id: "sales".parse().unwrap(),
        release_number: Some(false),
        confirm: Some(true),
    };
    let reply = json!({
        "agentId": "sales", "slotsRemaining": 4, "notUndone": ["the domain is still at the provider"],
        "channels": [{ "channel": "sms", "address": "+15550100", "released": false }],
    });
    passes("comms_deprovision_channels", arguments, call, reply).await;
}

#[tokio::test]
async fn onboarding() {
    let arguments = json!({
        "displayName": "Sales", "capabilities": ["email"], "companyName": "Acme", "contactEmail": "a@example.org",
    });
    let call = OnboardCustomer {
        display_name: "Sales".into(),
        capabilities: vec![Channel::Email],
        company_name: Some("Acme".into()),
        contact_email: Some("a@example.org".into()),
        agent_id: None,
        country: None,
        area_code: None,
        email_domain: None,
        greeting: None,
        system_prompt: None,
        voice: None,
        language: None,
        confirm: None,
    };
    let reply = json!({
        "agentId": "sales", "channels": [channel()], "token": "cat_x", "slotsRemaining": 3, "webhookUrls": {},
        "dnsRecords": [{ "kind": "MX", "name": "example.org", "value": "mx.example.org", "priority": 10 }],
        "connectionInstructions": { "claudeDesktop": "c", "cursor": "d", "http": "e" },
    });
    passes("comms_onboard_customer", arguments, call, reply).await;
}

#[tokio::test]
async fn a_provider() {
    let arguments = json!({
        "provider": "twilio", "credentials": { "accountSid": "AC1", "authToken": "t" }, "verify": false,
        "activate": true,
    });
    let call = RegisterProvider {
        provider: "twilio".into(),
        credentials: BTreeMap::from([
            ("accountSid".into(), SecretText::new("AC1")),
            ("authToken".into(), SecretText::new("t")),
        ]),
        verify: Some(false),
        activate: Some(true),
    };
    let reply = json!({ "provider": "twilio", "status": "active", "capabilities": ["sms", "voice"], "account": "Acme" });
    passes("comms_register_provider", arguments, call, reply).await;
}

#[tokio::test]
async fn limits_in_force() {
    let arguments =
        json!({ "agentId": "sales", "limits": { "maxActionsPerDay": 500, "maxSpendPerDay": 12.5 } });
    let changed = LimitsPatch {
        max_actions_per_day: Some(500),
        max_spend_per_day: Some(Micros(12_500_000)),
        ..LimitsPatch::default()
    };
    let call = SetAgentLimits { agent_id: "sales".parse().unwrap(), limits: changed };
    let reply = json!({ "agentId": "sales", "limits": limits() });
    passes("comms_set_agent_limits", arguments, call, reply).await;
}

#[tokio::test]
async fn billing_in_force() {
    let arguments =
        json!({ "agentId": "sales", "tier": "pro", "markupPercent": 20, "billingEmail": "a@example.org" });
    let call = SetBillingConfig {
        agent_id: "sales".parse().unwrap(),
        tier: Some(Tier::Pro),
        markup_percent: Some(20),
        billing_email: Some("a@example.org".into()),
    };
    let reply = json!({
        "agentId": "sales", "tier": "pro", "markupPercent": 20, "billingEmail": "a@example.org",
        "limits": limits(),
    });
    passes("comms_set_billing_config", arguments, call, reply).await;
}
