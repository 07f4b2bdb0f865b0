//! `Calls`: <https://www.twilio.com/docs/voice/api/call-resource>.

use serde::Deserialize;
use shared::ids::CallSid;
use shared::model::{CallStatus, Timestamp};

use super::{Settings, rest};
use crate::http::{HttpRequest, HttpResponse};
use crate::{OutboundCall, PlacedCall, ProviderError};

/// "Call is not in-progress": <https://www.twilio.com/docs/api/errors/21220>.
const NOT_IN_PROGRESS: &str = "21220";

#[derive(Deserialize)]
struct Entry {
    sid: CallSid,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
}

#[derive(Deserialize)]
struct Page {
    calls: Vec<Entry>,
    #[serde(default)]
    next_page_uri: Option<String>,
}

/// Creates the call.
#[must_use]
pub fn place_request(settings: &Settings, call: &OutboundCall) -> HttpRequest {
    let (ring, limit) = (call.ring_seconds.to_string(), call.time_limit_seconds.to_string());
    let mut form = vec![
        ("To", call.to.as_str()),
        ("From", call.from.as_str()),
        ("StatusCallback", &call.status_callback),
        ("StatusCallbackEvent", "initiated"),
        ("StatusCallbackEvent", "ringing"),
        ("StatusCallbackEvent", "answered"),
        ("StatusCallbackEvent", "completed"),
        ("Timeout", &ring),
    ];
    if call.detect_voicemail {
        form.push(("MachineDetection", "Enable"));
        // The call goes on meanwhile; what was detected is told to the callback only.
        form.push(("AsyncAmd", "true"));
        form.push(("AsyncAmdStatusCallback", &call.status_callback));
    }
    form.extend([("TimeLimit", limit.as_str()), ("Url", &call.answer_url)]);
    rest::post(settings, "Calls.json", &form)
}

/// Reads the answer to [`place_request`].
pub fn parse_placed(answer: &HttpResponse) -> Result<PlacedCall, ProviderError> {
    rest::read::<Entry>(answer).map(PlacedCall::from)
}

/// Asks for the newest calls between the two numbers.
#[must_use]
pub fn find_request(settings: &Settings, call: &OutboundCall) -> HttpRequest {
    rest::list(settings, "Calls.json", &[("To", call.to.as_str()), ("From", call.from.as_str())])
}

/// Reads the answer to [`find_request`]: the first one since `not_before`.
pub fn parse_found(
    answer: &HttpResponse,
    not_before: Timestamp,
) -> Result<Option<PlacedCall>, ProviderError> {
    let page: Page = rest::read(answer)?;
    let is_recent = |entry: &Entry| {
        entry.date_created.as_deref().is_some_and(|created| rest::is_recent(created, not_before))
    };
    let found = rest::pick(page.calls, page.next_page_uri.is_some(), is_recent, |_| true);
    Ok(found?.map(PlacedCall::from))
}

/// Gives a live call other instructions.
#[must_use]
pub fn redirect_request(settings: &Settings, call: &CallSid, twiml: &str) -> HttpRequest {
    rest::post(settings, &format!("Calls/{call}.json"), &[("Twiml", twiml)])
}

/// Ends a call, also one that still rings.
#[must_use]
pub fn hang_up_request(settings: &Settings, call: &CallSid) -> HttpRequest {
    rest::post(settings, &format!("Calls/{call}.json"), &[("Status", "completed")])
}

/// Asks for one call.
#[must_use]
pub fn price_request(settings: &Settings, call: &CallSid) -> HttpRequest {
    rest::get(settings, &format!("Calls/{call}.json"), &[])
}

/// Reads the answer to [`redirect_request`].
pub fn parse_updated(answer: &HttpResponse) -> Result<(), ProviderError> {
    rest::read::<Entry>(answer).map(drop)
}

/// Reads the answer to [`hang_up_request`].
pub fn parse_hung_up(answer: &HttpResponse) -> Result<(), ProviderError> {
    match parse_updated(answer) {
        Err(ProviderError::Rejected { code: Some(code), .. }) if code == NOT_IN_PROGRESS => Ok(()),
        other => other,
    }
}

impl From<Entry> for PlacedCall {
    fn from(entry: Entry) -> Self {
        let status = entry.status.and_then(|word| word.parse().ok());
        Self { call_sid: entry.sid, status: status.unwrap_or(CallStatus::Queued) }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;
    use shared::model::Micros;

    use super::super::fixture::{answer, example, pairs, recorded, settings, shape};
    use super::*;

    fn call() -> OutboundCall {
        OutboundCall {
            from: "+15017122661".parse().unwrap(),
            to: "+15558675310".parse().unwrap(),
            answer_url: "https://r.example/voice".to_owned(),
            status_callback: "https://r.example/c".to_owned(),
            ring_seconds: 25,
            time_limit_seconds: 600,
            detect_voicemail: false,
        }
    }

    fn sid() -> CallSid {
        format!("CA{}", "e".repeat(32)).parse().unwrap()
    }

    /// The names and values that one of the SDK's recordings has for a field of ours.
    fn recorded_pairs(name: &str, fields: &[&str]) -> Vec<(String, String)> {
        recorded(name).form.into_iter().filter(|(field, _)| fields.contains(&field.as_str())).collect()
    }

    #[test]
    fn a_call_is_placed_as_the_sdk_places_it() {
        let ours = ["To", "From", "StatusCallback", "StatusCallbackEvent", "Timeout", "TimeLimit"];
        let mut expected = recorded_pairs("twilio.call-twiml-amd", &ours);
        expected.extend(recorded_pairs("twilio.call-url", &["Url"]));
        assert_eq!(pairs(&place_request(&settings(), &call())), expected);
    }

    #[test]
    fn voicemail_is_detected_while_the_call_goes_on() {
        let with = pairs(&place_request(&settings(), &OutboundCall { detect_voicemail: true, ..call() }));
        let without = pairs(&place_request(&settings(), &call()));
        let added: Vec<_> = with.into_iter().filter(|pair| !without.contains(pair)).collect();
        let expected = [
            ("MachineDetection", "Enable"),
            ("AsyncAmd", "true"),
            ("AsyncAmdStatusCallback", "https://r.example/c"),
        ];
        assert_eq!(added, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn a_call_is_ended_as_the_sdk_ends_it() {
        assert_eq!(shape(&hang_up_request(&settings(), &sid())), recorded("twilio.call-hangup").shape());
    }

    #[test]
    fn a_call_is_redirected_as_the_sdk_redirects_it() {
        let request = redirect_request(&settings(), &sid(), "<Response><Dial>+15005550006</Dial></Response>");
        assert_eq!(shape(&request), recorded("twilio.call-transfer").shape());
    }

    #[test]
    fn the_answer_to_a_call_is_read() {
        let placed = PlacedCall {
            call_sid: format!("CA{}", "a".repeat(32)).parse().unwrap(),
            status: CallStatus::Completed,
        };
        assert_eq!(parse_placed(&answer(201, &example("call_created"))).unwrap(), placed);
    }

    #[test]
    fn the_price_of_a_call_is_read() {
        let price = rest::parse_price(&answer(200, &example("call_fetched"))).unwrap();
        assert_eq!(price, Some((Micros(200_000), "USD".to_owned())));
    }

    #[rstest]
    #[case("2019-10-18T17:00:00Z", true)]
    #[case("2099-01-01T00:00:00Z", false)]
    fn a_call_is_found_by_its_time(#[case] not_before: &str, #[case] found: bool) {
        let answer = answer(200, &example("calls_listed"));
        assert_eq!(parse_found(&answer, not_before.parse().unwrap()).unwrap().is_some(), found);
    }

    #[test]
    fn the_oldest_call_since_then_is_the_one_that_we_placed() {
        let entry =
            |sid: &str, created: &str| json!({ "sid": sid, "status": "queued", "date_created": created });
        let answer = answer(
            200,
            &json!({ "next_page_uri": null, "calls": [
                entry("CA3", "Fri, 24 May 2019 17:44:50 +0000"),
                entry("CA2", "Fri, 24 May 2019 17:44:46 +0000"),
                entry("CA1", "Fri, 24 May 2019 17:00:00 +0000"),
            ]}),
        );
        let found = parse_found(&answer, "2019-05-24T17:44:45Z".parse().unwrap()).unwrap();
        assert_eq!(found, Some(PlacedCall { call_sid: "CA2".parse().unwrap(), status: CallStatus::Queued }));
    }

    #[test]
    fn a_call_that_is_over_counts_as_hung_up_but_not_as_redirected() {
        let over = answer(400, &json!({ "code": 21220, "status": 400 }));
        assert!(parse_hung_up(&over).is_ok());
        assert!(matches!(parse_updated(&over), Err(ProviderError::Rejected { retryable: false, .. })));
    }
}
