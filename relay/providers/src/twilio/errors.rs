//! Twilio's error codes in our words: what happened and what helps.
//!
//! The codes are listed at <https://www.twilio.com/docs/api/errors>.

use std::time::Duration;

use http::header::RETRY_AFTER;
use serde::Deserialize;

use crate::ProviderError;
use crate::error::Cause;
use crate::http::HttpResponse;

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: Option<u32>,
}

/// What an answer other than 2xx says.
pub(super) fn of_answer(answer: &HttpResponse) -> ProviderError {
    let refusal: Refusal = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code = refusal.code.map(|code| code.to_string());
    match (answer.status, refusal.code) {
        // https://www.twilio.com/docs/api/errors/20429: a request that is answered so was never processed.
        (429, _) | (_, Some(20429)) => ProviderError::RateLimited { retry_after: retry_after(answer) },
        (402, _) => ProviderError::Rejected {
            code,
            problem: "the account's balance does not cover it; add funds in the provider's console",
            retryable: false,
        },
        (401 | 403, _) | (_, Some(20003)) => ProviderError::Unauthorized {
            code,
            problem: "the account's credentials are wrong or lack the right; check the account SID and the token or key",
        },
        (408 | 500.., _) | (_, Some(20500)) => ProviderError::Unknown(Cause::Status(answer.status)),
        (..400, _) => ProviderError::Rejected {
            code,
            problem: "the address answered with a redirect; check the provider's base_url",
            retryable: false,
        },
        (400..500, _) => {
            let (problem, retryable) = meaning(refusal.code);
            ProviderError::Rejected { code, problem, retryable }
        }
    }
}

fn retry_after(answer: &HttpResponse) -> Option<Duration> {
    let seconds = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// What a code means and what helps, and whether the same request may be accepted later.
pub(super) fn meaning(code: Option<u32>) -> (&'static str, bool) {
    let Some(code) = code else {
        return ("the provider refused it without a code; check the request in its console", false);
    };
    MEANINGS.iter().find(|(codes, ..)| codes.contains(&code)).map_or(
        ("the provider refused it; its list of error codes explains the code", false),
        |&(_, text, later)| (text, later),
    )
}

#[rustfmt::skip]
const MEANINGS: &[(&[u32], &str, bool)] = &[
    (&[20404], "the provider knows no such account, message or call; check the account SID", false),
    (&[21211], "the recipient is no valid phone number; check it for missing or extra digits", false),
    (&[21212, 21606], "the sender's number cannot be used; check that the account owns it and that it can send this", false),
    (&[21214, 21217], "the called number cannot be reached or is not valid; check it", false),
    (&[21215, 21216, 13225, 13227], "calls to that country or number are not permitted; allow it in the account's voice geographic permissions", false),
    (&[21219, 21608], "a trial account reaches verified numbers only; verify the recipient or upgrade the account", false),
    (&[21220], "the call is not in progress, so it cannot be changed", false),
    (&[21408], "messages to that country are not permitted; allow it in the account's messaging geographic permissions", false),
    (&[21421, 21422, 21452], "that number cannot be bought; choose another one", false),
    (&[21602, 21619], "the message has neither text nor media; give one", false),
    (&[21603], "no sender was given; attach a number to the agent", false),
    (&[21604], "no recipient was given", false),
    (&[21610], "the recipient opted out of messages from this sender; never send again unless they text START", false),
    (&[21611], "this sender's queue is full; try again later", true),
    (&[21612], "the recipient cannot be reached from this sender; use another sender or channel", false),
    (&[21614], "the recipient's number cannot receive messages; it is probably a landline", false),
    (&[21617], "the text is longer than 1,600 characters; shorten or split it", false),
    (&[21620], "a media address is not valid; give a public https address", false),
    (&[21623], "there are more than ten media; send fewer", false),
    (&[21655, 21656], "the template's name or its variables are not valid; check them in the provider's console", false),
    (&[21703, 21704, 21705], "the messaging service has no usable sender; check it in the provider's console", false),
    (&[21910], "sender and recipient are not on the same channel", false),
    (&[30001, 30017], "the provider's queue or the network is congested; try again later", true),
    (&[30003], "the recipient's phone is switched off or out of reach; try again later", true),
    (&[30004, 30007], "the message was blocked or filtered by the carrier; do not repeat the same text", false),
    (&[30005], "the recipient's number does not exist or is no longer in service", false),
    (&[30006], "the recipient's number is a landline or its carrier does not accept messages", false),
    (&[30008], "the carrier gave no reason for the failure; try once more", true),
    (&[30022, 30023, 30027], "the carrier's limit for this sender is reached; try again later", true),
    (&[30032], "the toll-free number is not verified; verify it in the provider's console", false),
    (&[30033, 30034, 30035], "the sender is not registered for business messaging in the US, or the registration is suspended or still being set up", false),
    (&[30036], "the message was not sent within its validity period", false),
    (&[30410], "the provider ran into a time-out; try again later", true),
    (&[30450], "the provider suspects message pumping and blocked it", false),
    (&[30610], "the recipient's quiet hours forbid it now; send it in the next permitted window", true),
    (&[30640], "the recipient is on a list of known litigators; do not send", false),
    (&[32018], "the instructions for the call are longer than 4,000 characters", false),
    (&[63003, 63024], "the recipient has no WhatsApp account under this number", false),
    (&[63007], "the account has no WhatsApp sender with this number; register it in the provider's console", false),
    (&[63015], "the recipient has not joined the WhatsApp sandbox", false),
    (&[63016], "the 24-hour window of the WhatsApp conversation is over; send an approved template instead", false),
    (&[63018, 63038], "the limit of this WhatsApp sender or account is reached; try again later", true),
    (&[63027, 63028, 63040, 63041, 63042], "the WhatsApp template does not fit or is not approved; check its language, variables and state", false),
];

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use rstest::rstest;
    use serde_json::json;

    use super::super::messages::parse_sent;
    use super::*;

    fn refusal(status: u16, code: u32) -> ProviderError {
        let message = "The 'To' number +15558675310 is not valid";
        let body = json!({ "code": code, "message": message, "status": status }).to_string().into_bytes();
        of_answer(&HttpResponse { status, headers: HeaderMap::new(), body })
    }

    #[rstest]
    #[case(400, 21211, "Rejected")]
    #[case(400, 99999, "Rejected")]
    #[case(404, 20404, "Rejected")]
    #[case(302, 0, "Rejected")]
    #[case(402, 0, "Rejected")]
    #[case(401, 20003, "Unauthorized")]
    #[case(403, 20003, "Unauthorized")]
    #[case(429, 20429, "RateLimited")]
    #[case(400, 20429, "RateLimited")]
    #[case(408, 0, "Unknown")]
    #[case(500, 20500, "Unknown")]
    #[case(503, 0, "Unknown")]
    fn a_refusal_says_what_may_be_done_next(#[case] status: u16, #[case] code: u32, #[case] kind: &str) {
        let error = refusal(status, code);
        assert!(format!("{error:?}").starts_with(kind), "{error:?}");
    }

    #[test]
    fn the_providers_own_words_are_not_repeated() {
        let ProviderError::Rejected { code, problem, retryable } = refusal(400, 21211) else {
            panic!("a bad number is rejected");
        };
        let expected = "the recipient is no valid phone number; check it for missing or extra digits";
        assert_eq!((code.as_deref(), problem, retryable), (Some("21211"), expected, false));
    }

    #[rstest]
    #[case("7", Some(Duration::from_secs(7)))]
    #[case("soon", None)]
    fn the_wished_pause_is_read(#[case] header: &str, #[case] pause: Option<Duration>) {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, header.parse().unwrap())]);
        let error = of_answer(&HttpResponse { status: 429, headers, body: Vec::new() });
        let ProviderError::RateLimited { retry_after } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, pause);
    }

    #[rstest]
    #[case(b"".as_slice())]
    #[case(b"<html>Bad Gateway</html>")]
    #[case(br#"{"status":"queued"}"#)]
    #[case(br#"{"sid":"","status":"queued"}"#)]
    fn a_success_that_cannot_be_read_is_an_unknown_outcome(#[case] body: &[u8]) {
        let answer = HttpResponse { status: 201, headers: HeaderMap::new(), body: body.to_vec() };
        let error = parse_sent(&answer).unwrap_err();
        assert!(matches!(error, ProviderError::Unknown(Cause::Unreadable)), "{error:?}");
    }

    #[test]
    fn no_code_has_two_meanings() {
        let mut codes: Vec<u32> = MEANINGS.iter().flat_map(|(codes, ..)| codes.iter().copied()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
