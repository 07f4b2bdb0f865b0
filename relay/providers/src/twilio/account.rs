//! `Accounts`: <https://www.twilio.com/docs/iam/api/account>.

use serde::Deserialize;

use super::{Settings, rest};
use crate::http::{HttpRequest, HttpResponse};
use crate::{AccountInfo, ProviderError};

#[derive(Deserialize)]
struct Account {
    friendly_name: String,
    status: String,
    r#type: String,
}

/// Asks what the account is.
#[must_use]
pub fn check_request(settings: &Settings) -> HttpRequest {
    rest::get_account(settings)
}

/// Reads the answer to [`check_request`].
pub fn parse_checked(answer: &HttpResponse) -> Result<AccountInfo, ProviderError> {
    let account: Account = rest::read(answer)?;
    Ok(AccountInfo { name: account.friendly_name, status: account.status, kind: account.r#type })
}

/// Asks for something that every key may see. A standard API key may not ask what the account is:
/// <https://www.twilio.com/docs/iam/api-keys>.
#[must_use]
pub fn key_request(settings: &Settings) -> HttpRequest {
    rest::get(settings, "IncomingPhoneNumbers.json", &[("PageSize", "1")])
}

/// Reads the answer to [`key_request`]: Twilio answers so for active accounts only.
pub fn parse_key(answer: &HttpResponse, settings: &Settings) -> Result<AccountInfo, ProviderError> {
    rest::done(answer)?;
    Ok(AccountInfo {
        name: settings.account_sid.clone(),
        status: "active".to_owned(),
        kind: "unknown".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{answer, example, settings};
    use super::*;

    #[test]
    fn an_account_is_asked_for_and_read() {
        let base = "https://api.twilio.com/2010-04-01/Accounts/ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        assert_eq!(check_request(&settings()).url, format!("{base}.json"));
        let (name, status, kind) = ("friendly_name".to_owned(), "active".to_owned(), "Full".to_owned());
        let account = parse_checked(&answer(200, &example("account_fetched"))).unwrap();
        assert_eq!(account, AccountInfo { name, status, kind });
    }
}
