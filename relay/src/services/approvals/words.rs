//! What a person is told of the call that waits for their yes: every field that is set, since the yes covers them
//! all. Called by [`super`] and by the services that let something out; never says a credential.
//!
//! Each function takes its call apart in full, so that a new field does not compile until it is told or passed over.
//! An agent has a say in most of the texts. Each stands on one line, without what hides, and between quotation marks
//! that it cannot close.

use relay_core::recipient::Address;
use relay_core::sanitize;
use shared::model::{Attachment, Channel};
use shared::protocol::{
    DeprovisionChannels, MakeCall, OnboardCustomer, ProvisionChannels, RegisterProvider, Request,
    SendMessage, SendVoiceMessage, SetAgentLimits, SetBillingConfig, TransferCall, TransferMode,
};

use crate::services::provisioning::without_company;

/// The longest that is shown of one field, in characters.
const FIELD: usize = 200;
const HTML: usize = 500;
const BODY: usize = 1_000;
/// With what ends it, the whole stays within 3,000.
const WHOLE: usize = 2_850;

const THEN_KNOWN: &str = " From then on this agent may write to and call this address on its own.";

pub(in crate::services) fn message(wanted: &SendMessage, to: &Address) -> String {
    let SendMessage {
        to: named,
        body,
        channel,
        subject,
        html,
        media_urls,
        attachments,
        template_id,
        template_vars,
        reply_to,
        // It changes nothing that is sent.
        idempotency_key: _,
        schedule_at,
    } = wanted;
    let html = html
        .as_ref()
        .map(|html| format!("html of {} characters {}", html.chars().count(), quoted(html, HTML)));
    let variable =
        |(name, value): (&String, &String)| format!("{} is {}", quoted(name, FIELD), quoted(value, FIELD));
    let parts = [
        (!body.is_empty()).then(|| quoted(body, BODY)),
        schedule_at.map(|at| format!("not before {at}")),
        field("subject", subject.as_deref()),
        field("reply to", reply_to.as_deref()),
        field("template", template_id.as_deref()),
        html,
        list("attachments", attachments.iter().map(attachment)),
        list("media", media_urls.iter().map(|url| quoted(url, FIELD))),
        list("template variables", template_vars.iter().map(variable)),
    ];
    told(&format!("Send by {channel} to {}", address(to, named)), parts, THEN_KNOWN)
}

fn attachment(file: &Attachment) -> String {
    let Attachment { filename, content_type, content_base64 } = file;
    let bytes = content_base64.trim_end_matches('=').len() * 3 / 4;
    format!("{} of type {} with {bytes} bytes", quoted(filename, FIELD), quoted(content_type, FIELD))
}

pub(in crate::services) fn call(wanted: &MakeCall, to: &Address, seconds: i64) -> String {
    let MakeCall {
        to: named,
        system_prompt,
        greeting,
        voice,
        language,
        responder,
        record,
        detect_voicemail,
        max_duration_seconds: _,
        idempotency_key: _,
    } = wanted;
    let parts = [
        field("greeting", greeting.as_deref()),
        field("system prompt", system_prompt.as_deref()),
        field("voice", voice.as_deref()),
        field("language", language.as_deref()),
        responder.map(|responder| format!("responder {responder}")),
        (*record == Some(true)).then(|| "recorded".to_owned()),
        (*detect_voicemail == Some(true)).then(|| "looks for voicemail".to_owned()),
    ];
    told(&format!("Call {}, for {} at the most", address(to, named), minutes(seconds)), parts, THEN_KNOWN)
}

pub(in crate::services) fn voice_message(wanted: &SendVoiceMessage, to: &Address) -> String {
    let SendVoiceMessage { to: named, text, voice, channel, idempotency_key: _ } = wanted;
    let parts = [
        Some(quoted(text, BODY)),
        field("voice", voice.as_deref()),
        channel.map(|channel| format!("channel {channel}")),
    ];
    told(&format!("Call {} and say", address(to, named)), parts, THEN_KNOWN)
}

pub(in crate::services) fn transfer(wanted: &TransferCall, to: &Address, seconds: i64) -> String {
    let TransferCall { call_sid, to: named, announcement_text, mode } = wanted;
    let mode = mode.unwrap_or(TransferMode::Cold);
    let hearer = match mode {
        TransferMode::Cold => "the person in the call hears",
        TransferMode::Warm => "the person who picks up hears",
    };
    let parts = [Some(format!("mode {mode}")), field(hearer, announcement_text.as_deref())];
    let (call, to, minutes) = (quoted(call_sid.as_str(), FIELD), address(to, named), minutes(seconds));
    told(&format!("Transfer the call {call} to {to}, for {minutes} at the most"), parts, THEN_KNOWN)
}

/// A word of a closed set for a call that only an admin may make, and what it would do.
pub(super) fn admins_call(request: &Request) -> (&'static str, String) {
    match request {
        Request::ProvisionChannels(call) => ("provision", new_agent("agent", call, [])),
        Request::OnboardCustomer(call) => ("onboard", new_customer(call)),
        Request::DeprovisionChannels(call) => ("deprovision", end_of_agent(call)),
        Request::RegisterProvider(call) => ("register_provider", provider(call)),
        Request::SetAgentLimits(call) => ("set_limits", limits(call)),
        Request::SetBillingConfig(call) => ("set_billing", billing(call)),
        _ => ("call", "Make a call that only an admin may make.".to_owned()),
    }
}

fn new_customer(call: &OnboardCustomer) -> String {
    let OnboardCustomer { company_name, contact_email, .. } = call;
    let more = [field("company", company_name.as_deref()), field("bills go to", contact_email.as_deref())];
    new_agent("customer", &without_company(call.clone()), more)
}

fn new_agent<const N: usize>(kind: &str, call: &ProvisionChannels, more: [Option<String>; N]) -> String {
    let ProvisionChannels {
        display_name,
        capabilities,
        agent_id,
        country,
        area_code,
        email_domain,
        greeting,
        system_prompt,
        voice,
        language,
        confirm,
    } = call;
    let has_number = capabilities.iter().any(|channel| matches!(channel, Channel::Sms | Channel::Voice));
    let buys = *confirm == Some(true) && has_number;
    let parts = [
        buys.then(|| "buys a number, which the provider charges for every month".to_owned()),
        list("channels", capabilities.iter().map(ToString::to_string)),
        field("id", agent_id.as_ref().map(|id| id.as_str())),
        field("country", country.as_deref()),
        field("area code", area_code.as_deref()),
        field("e-mail domain", email_domain.as_deref()),
        field("greeting", greeting.as_deref()),
        field("system prompt", system_prompt.as_deref()),
        field("voice", voice.as_deref()),
        field("language", language.as_deref()),
    ];
    told(&format!("Set up the {kind} {}", quoted(display_name, FIELD)), more.into_iter().chain(parts), "")
}

fn end_of_agent(call: &DeprovisionChannels) -> String {
    // Without `confirm` nothing is done.
    let DeprovisionChannels { agent_id, release_number, confirm: _ } = call;
    let numbers = if release_number.unwrap_or(true) {
        "the numbers that the relay bought go back to the provider"
    } else {
        "its numbers stay, and are paid for"
    };
    told(&format!("Take all channels from the agent {agent_id}, for good"), [Some(numbers.to_owned())], "")
}

fn provider(call: &RegisterProvider) -> String {
    let RegisterProvider { provider, credentials, verify, activate } = call;
    let used = if activate.unwrap_or(true) { "and put them to use" } else { "without putting them to use" };
    let parts = [
        (!verify.unwrap_or(true)).then(|| "they are not tried first".to_owned()),
        list("fields", credentials.keys().map(|name| quoted(name, FIELD))),
    ];
    told(&format!("Store credentials for the provider {} {used}", quoted(provider, FIELD)), parts, "")
}

fn limits(call: &SetAgentLimits) -> String {
    let SetAgentLimits { agent_id, limits } = call;
    let named = serde_json::to_value(limits).expect("numbers can be written as JSON");
    let parts = named.as_object().into_iter().flatten();
    let parts = parts.map(|(name, value)| Some(format!("{name} {}", value.to_string().trim_matches('"'))));
    told(&format!("Change the limits of the agent {agent_id}"), parts, "")
}

fn billing(call: &SetBillingConfig) -> String {
    let SetBillingConfig { agent_id, tier, markup_percent, billing_email } = call;
    let parts = [
        tier.map(|tier| format!("tier {tier}, with its limits")),
        markup_percent.map(|percent| format!("markup {percent} %")),
        field("bills go to", billing_email.as_deref()),
    ];
    told(&format!("Change the billing of the agent {agent_id}"), parts, "")
}

/// The sentence, with as much of the parts as fits. What `end`s it is never cut off.
fn told(beginning: &str, parts: impl IntoIterator<Item = Option<String>>, end: &str) -> String {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    let sentence = match parts.as_slice() {
        [] => format!("{beginning}."),
        parts => format!("{beginning}: {}.", parts.join("; ")),
    };
    let (shown, rest) = cut(&sentence, WHOLE);
    format!("{shown}{rest}{end}")
}

fn field(name: &str, value: Option<&str>) -> Option<String> {
    value.map(|value| format!("{name} {}", quoted(value, FIELD)))
}

/// How many they are stands before them, where nothing cuts it off.
fn list(name: &str, items: impl ExactSizeIterator<Item = String>) -> Option<String> {
    let n = items.len();
    (n > 0).then(|| format!("{name} ({n}): {}", items.collect::<Vec<_>>().join(", ")))
}

/// The address, and what it was asked for by, if that is another word.
fn address(to: &Address, named: &str) -> String {
    if named.trim() == to.as_str() { to.to_string() } else { format!("{to} ({})", quoted(named, FIELD)) }
}

fn minutes(seconds: i64) -> String {
    format!("{} min", seconds.saturating_add(59).div_euclid(60))
}

fn quoted(text: &str, most: usize) -> String {
    let line = sanitize::clean(text).text.replace(['\n', '\t'], " ").replace(['«', '»'], "\"");
    let (shown, rest) = cut(&line, most);
    format!("«{shown}»{rest}")
}

/// The beginning of a text, and words for the rest of it.
fn cut(text: &str, most: usize) -> (&str, String) {
    match text.char_indices().nth(most) {
        Some((end, _)) => (&text[..end], format!("… ({} characters in all)", text.chars().count())),
        None => (text, String::new()),
    }
}

#[cfg(test)]
mod tests {
    use relay_core::recipient;
    use rstest::rstest;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};
    use shared::model::SecretText;

    use super::*;

    const TO: &str = "+12025550141";

    fn read<T: DeserializeOwned>(fields: Value) -> T {
        serde_json::from_value(fields).unwrap()
    }

    /// The call with the address in it.
    fn to<T: DeserializeOwned>(mut fields: Value) -> T {
        fields.as_object_mut().unwrap().entry("to").or_insert(TO.into());
        read(fields)
    }

    fn phone() -> Address {
        recipient::parse(Channel::Sms, TO).unwrap()
    }

    fn text(fields: Value) -> String {
        message(&to(fields), &phone())
    }

    #[rstest]
    #[case::text(json!({ "channel": "sms", "body": "hello" }), "Send by sms to +12025550141: «hello».")]
    #[case::agent(
        json!({ "channel": "sms", "body": "hello", "to": "sales" }),
        "Send by sms to +12025550141 («sales»): «hello»."
    )]
    #[case::later(
        json!({ "channel": "sms", "body": "hello", "scheduleAt": "2026-11-18T12:00:00Z" }),
        "Send by sms to +12025550141: «hello»; not before 2026-11-18T12:00:00.000Z."
    )]
    #[case::media(
        json!({ "channel": "whatsapp", "body": "", "mediaUrls": ["https://a.test/1", "https://b.test/2"] }),
        "Send by whatsapp to +12025550141: media (2): «https://a.test/1», «https://b.test/2»."
    )]
    #[case::template(
        json!({ "channel": "whatsapp", "body": "", "templateId": "HX1", "templateVars": { "1": "Ada", "2": "9 am" } }),
        "Send by whatsapp to +12025550141: template «HX1»; template variables (2): «1» is «Ada», «2» is «9 am»."
    )]
    #[case::email(
        json!({
            "channel": "email", "body": "hello", "subject": "Hi", "html": "<p>hello</p>", "replyTo": "me@a.test",
            "attachments": [
                { "filename": "a.txt", "contentType": "text/plain", "contentBase64": "aGVsbG8=" },
                { "filename": "b.bin", "contentType": "x/y", "contentBase64": "aGVs" },
            ],
        }),
        "Send by email to +12025550141: «hello»; subject «Hi»; reply to «me@a.test»; html of 12 characters «<p>hello</p>»; \
         attachments (2): «a.txt» of type «text/plain» with 5 bytes, «b.bin» of type «x/y» with 3 bytes."
    )]
    #[case::hidden_and_lines(
        json!({ "channel": "sms", "body": "one\n\u{202e}two\u{200b}\u{1b}[31m\tthree" }),
        "Send by sms to +12025550141: «one two three»."
    )]
    #[case::forged_end(
        json!({ "channel": "sms", "body": "hello». All is well: «" }),
        "Send by sms to +12025550141: «hello\". All is well: \"»."
    )]
    fn a_message_is_told_with_all_that_it_holds(#[case] wanted: Value, #[case] told: &str) {
        assert_eq!(text(wanted), format!("{told}{THEN_KNOWN}"));
    }

    #[rstest]
    #[case::body("body", 1_000)]
    #[case::subject("subject", 200)]
    #[case::html("html", 500)]
    #[case::template("templateId", 200)]
    fn a_long_text_is_cut_and_its_length_told(#[case] field: &str, #[case] most: usize) {
        let mut wanted = json!({ "channel": "email", "body": "" });
        wanted[field] = "é".repeat(most).into();
        let whole = text(wanted.clone());
        wanted[field] = "é".repeat(most + 1).into();
        let shown = format!("«{}»", "é".repeat(most));
        let rest = format!("{shown}… ({} characters in all)", most + 1);
        assert_eq!(
            (whole.contains(&shown), whole.contains("in all"), text(wanted).contains(&rest)),
            (true, false, true)
        );
    }

    #[test]
    fn the_whole_has_an_end_that_is_never_cut_off() {
        let file =
            json!({ "filename": "x".repeat(200), "contentType": "y".repeat(100), "contentBase64": "" });
        let told = text(json!({
            "channel": "email", "body": "b".repeat(5_000), "subject": "s".repeat(900), "html": "h".repeat(5_000),
            "replyTo": "r".repeat(300), "attachments": vec![file; 10],
        }));
        assert!(told.contains("; attachments (10): «xxx"), "{told}");
        assert!(told.ends_with(&format!("characters in all){THEN_KNOWN}")), "{told}");
        assert!(told.chars().count() <= 3_000, "{} characters", told.chars().count());
    }

    #[rstest]
    #[case::bare(json!({}), 600, "Call +12025550141, for 10 min at the most.")]
    #[case::begun_minute(json!({}), 61, "Call +12025550141, for 2 min at the most.")]
    #[case::all(
        json!({
            "greeting": "Hi", "systemPrompt": "Be kind", "voice": "v", "language": "de-DE", "responder": "agent",
            "record": true, "detectVoicemail": true,
        }),
        60,
        "Call +12025550141, for 1 min at the most: greeting «Hi»; system prompt «Be kind»; voice «v»; language «de-DE»; \
         responder agent; recorded; looks for voicemail."
    )]
    fn a_call_is_told_with_what_is_said_in_it(
        #[case] wanted: Value,
        #[case] seconds: i64,
        #[case] told: &str,
    ) {
        assert_eq!(call(&to(wanted), &phone(), seconds), format!("{told}{THEN_KNOWN}"));
    }

    #[rstest]
    #[case::bare(json!({ "text": "hello" }), "Call +12025550141 and say: «hello».")]
    #[case::all(
        json!({ "text": "hello", "voice": "v", "channel": "phone" }),
        "Call +12025550141 and say: «hello»; voice «v»; channel phone."
    )]
    fn a_voice_message_is_told_with_its_words(#[case] wanted: Value, #[case] told: &str) {
        assert_eq!(voice_message(&to(wanted), &phone()), format!("{told}{THEN_KNOWN}"));
    }

    #[rstest]
    #[case::bare(json!({}), "mode cold")]
    #[case::cold(json!({ "announcementText": "Hold on" }), "mode cold; the person in the call hears «Hold on»")]
    #[case::warm(
        json!({ "announcementText": "It is Ada", "mode": "warm" }),
        "mode warm; the person who picks up hears «It is Ada»"
    )]
    fn a_transfer_is_told_with_its_announcement(#[case] mut wanted: Value, #[case] told: &str) {
        wanted["callSid"] = "CA1".into();
        let beginning = "Transfer the call «CA1» to +12025550141, for 9 min at the most";
        assert_eq!(transfer(&to(wanted), &phone(), 540), format!("{beginning}: {told}.{THEN_KNOWN}"));
    }

    fn of<T: DeserializeOwned + Into<Request>>(fields: Value) -> (&'static str, String) {
        admins_call(&read::<T>(fields).into())
    }

    #[rstest]
    #[case::agent(
        of::<ProvisionChannels>(json!({ "displayName": "Sales", "capabilities": ["sms"] })),
        ("provision", "Set up the agent «Sales»: channels (1): sms.")
    )]
    #[case::agent_with_all(
        of::<ProvisionChannels>(json!({
            "displayName": "Sales", "capabilities": ["sms", "voice"], "agentId": "sales", "country": "US",
            "areaCode": "202", "emailDomain": "a.test", "greeting": "Hi", "systemPrompt": "Be kind", "voice": "v",
            "language": "de-DE", "confirm": true,
        })),
        (
            "provision",
            "Set up the agent «Sales»: buys a number, which the provider charges for every month; channels (2): sms, voice; \
             id «sales»; country «US»; area code «202»; e-mail domain «a.test»; greeting «Hi»; \
             system prompt «Be kind»; voice «v»; language «de-DE».",
        )
    )]
    #[case::no_number_for_email(
        of::<ProvisionChannels>(json!({ "displayName": "Post", "capabilities": ["email"], "confirm": true })),
        ("provision", "Set up the agent «Post»: channels (1): email.")
    )]
    #[case::customer(
        of::<OnboardCustomer>(json!({
            "displayName": "Ada", "capabilities": ["voice"], "companyName": "Engines", "contactEmail": "ada@a.test",
            "confirm": true,
        })),
        (
            "onboard",
            "Set up the customer «Ada»: company «Engines»; bills go to «ada@a.test»; buys a number, which the provider \
             charges for every month; channels (1): voice.",
        )
    )]
    #[case::end(
        of::<DeprovisionChannels>(json!({ "agentId": "sales", "confirm": true })),
        (
            "deprovision",
            "Take all channels from the agent sales, for good: the numbers that the relay bought go back to the provider.",
        )
    )]
    #[case::end_that_keeps_numbers(
        of::<DeprovisionChannels>(json!({ "agentId": "sales", "releaseNumber": false })),
        ("deprovision", "Take all channels from the agent sales, for good: its numbers stay, and are paid for.")
    )]
    #[case::limits(
        of::<SetAgentLimits>(json!({
            "agentId": "sales",
            "limits": {
                "maxActionsPerMinute": 1, "maxActionsPerHour": 2, "maxActionsPerDay": 3, "maxSpendPerDay": "4.50",
                "maxSpendPerMonth": "5.00", "maxCallDurationMinutes": 6, "maxCallsPerDayToSameNumber": 7,
            },
        })),
        (
            "set_limits",
            "Change the limits of the agent sales: maxActionsPerDay 3; maxActionsPerHour 2; maxActionsPerMinute 1; \
             maxCallDurationMinutes 6; maxCallsPerDayToSameNumber 7; maxSpendPerDay 4.50; maxSpendPerMonth 5.00.",
        )
    )]
    #[case::billing(
        of::<SetBillingConfig>(json!({
            "agentId": "sales", "tier": "pro", "markupPercent": 7, "billingEmail": "ada@a.test",
        })),
        (
            "set_billing",
            "Change the billing of the agent sales: tier pro, with its limits; markup 7 %; bills go to «ada@a.test».",
        )
    )]
    #[case::nothing_of_billing(
        of::<SetBillingConfig>(json!({ "agentId": "sales" })),
        ("set_billing", "Change the billing of the agent sales.")
    )]
    fn an_admins_call_is_told_with_all_that_it_sets(
        #[case] told: (&'static str, String),
        #[case] expected: (&'static str, &str),
    ) {
        assert_eq!(told, (expected.0, expected.1.to_owned()));
    }

    #[rstest]
    #[case::put_to_use(None, None, "and put them to use: fields (2): «accountSid», «authToken».")]
    #[case::stored(
        Some(false),
        Some(false),
        "without putting them to use: they are not tried first; fields (2): «accountSid», «authToken»."
    )]
    fn credentials_are_told_by_their_names(
        #[case] verify: Option<bool>,
        #[case] activate: Option<bool>,
        #[case] told: &str,
    ) {
        let secret = |name: &str| (name.to_owned(), SecretText::new("geheim".to_owned()));
        let credentials = ["accountSid", "authToken"].map(secret).into_iter().collect();
        let call = RegisterProvider { provider: "twilio".to_owned(), credentials, verify, activate };
        let expected = format!("Store credentials for the provider «twilio» {told}");
        assert_eq!(admins_call(&call.into()), ("register_provider", expected));
    }
}
