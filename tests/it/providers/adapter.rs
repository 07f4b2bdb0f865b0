//! An adapter over a real socket, with an emulator at the other end that may fail, and things to send.

use std::time::Duration;

use relay_providers::http::{HttpClient, Limits};
use relay_providers::twilio::Twilio;
use relay_providers::{OutboundCall, OutboundMessage, ProviderError};
use shared::model::{Channel, Timestamp};
use tests::emulators::twilio::{Emulator, Fault};

pub(super) const OURS: &str = "+15017122661";
pub(super) const THEIRS: &str = "+15558675310";
pub(super) const EPOCH: Timestamp = Timestamp::from_millis(0);

pub(super) fn message() -> OutboundMessage {
    OutboundMessage {
        channel: Channel::Sms,
        from: OURS.parse().unwrap(),
        to: THEIRS.parse().unwrap(),
        body: "Zoë & 100% +1".to_owned(),
        media_urls: Vec::new(),
        template: None,
        status_callback: None,
    }
}

pub(super) fn call() -> OutboundCall {
    OutboundCall {
        from: OURS.parse().unwrap(),
        to: THEIRS.parse().unwrap(),
        answer_url: "http://127.0.0.1:9/voice".to_owned(),
        status_callback: "http://127.0.0.1:9/status".to_owned(),
        ring_seconds: 30,
        time_limit_seconds: 600,
        detect_voicemail: false,
    }
}

pub(super) async fn emulator() -> (Emulator, Twilio) {
    let emulator = Emulator::start(OURS.parse().unwrap()).await.unwrap();
    let adapter = Twilio::new(emulator.settings.clone(), HttpClient::new(Limits::default()));
    (emulator, adapter)
}

/// An emulator that fails, and an adapter that is in a hurry only where nothing will come.
pub(super) async fn failing(fault: Fault) -> (Emulator, Twilio) {
    let emulator = Emulator::start(OURS.parse().unwrap()).await.unwrap();
    emulator.fail(fault);
    let total = if fault == Fault::Silence { Duration::from_millis(500) } else { Limits::default().total };
    let limits = Limits { total, ..Limits::default() };
    let adapter = Twilio::new(emulator.settings.clone(), HttpClient::new(limits));
    (emulator, adapter)
}

/// The kind of a failure, for tables.
pub(super) fn kind(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Rejected { .. } => "rejected",
        ProviderError::Unauthorized { .. } => "unauthorized",
        ProviderError::RateLimited { .. } => "rate limited",
        ProviderError::Unavailable(_) => "unavailable",
        ProviderError::Unknown(_) => "unknown",
        ProviderError::Malformed => "malformed",
    }
}
