//! What the command line says of a mistake: one line that names it, an exit code, and never a secret.

use anyhow::Result;
use rstest::rstest;
use tests::process::Home;

use super::{Ended, comms_relay};

/// Stands for every secret in these tests.
const CANARY: &str = "kanarienvogel";

fn says_nothing_of(secret: &str, ended: &Ended) {
    let said = format!("{}{}", ended.stdout, ended.stderr);
    assert!(!said.contains(secret), "{said}");
}

#[rstest]
#[case::mode("COMMS_MODE", "both", "mode")]
#[case::address("COMMS_PUBLIC__LISTEN", "localhost", "public.listen")]
#[case::number("COMMS_VOICE__CLAIM_MS", "soon", "voice.claim_ms")]
#[case::unknown("COMMS_VOICE__CLAIM", "1", "voice.claim")]
#[case::log_level("COMMS_LOG__LEVEL", "relay=loud", "log.level")]
#[case::network("COMMS_ADMIN__ALLOW", "10.0.0.0/99", "admin.allow")]
#[case::phone_number("TWILIO_PHONE_NUMBER", "12", "twilio.phone_number")]
#[case::database("COMMS_DATABASE__URL", "mysql://u:kanarienvogel@localhost/x", "database")]
#[case::database_option(
    "COMMS_DATABASE__URL",
    "postgres://u:p@localhost/x?sslmode=kanarienvogel",
    "database"
)]
#[case::database_password("COMMS_DATABASE__URL", "postgres://u:kanarien?vogel@localhost/x", "database")]
#[case::database_away("COMMS_DATABASE__URL", "postgres://u:kanarienvogel@127.0.0.1:9/x", "database")]
#[case::secret_file("TWILIO_AUTH_TOKEN", "file:/nowhere/token", "twilio.auth_token")]
#[tokio::test]
async fn a_wrong_setting_is_named_in_one_line(
    #[case] variable: &str,
    #[case] value: &str,
    #[case] named: &str,
) -> Result<()> {
    let ended = comms_relay(&Home::temp(), &["run"], &[(variable, value)]).await?;
    says_nothing_of(CANARY, &ended);
    assert_eq!(
        (ended.code, ended.stdout.as_str(), ended.stderr.lines().count()),
        (Some(1), "", 1),
        "{ended:?}"
    );
    assert!(ended.stderr.starts_with("comms-relay: ") && ended.stderr.contains(named), "{ended:?}");
    Ok(())
}

#[rstest]
#[case::cut_off("[twilio]\nauth_token = 'kanarienvogel")]
#[case::a_misspelt_key("[twilio]\nauth_tokn = 'kanarienvogel'")]
#[case::in_the_wrong_place("auth_token = 'kanarienvogel'")]
#[case::as_a_list("[twilio]\nauth_token = ['kanarienvogel']")]
#[case::as_a_number("[voice]\nclaim_ms = 'kanarienvogel'")]
#[case::as_a_phone_number("[twilio]\nphone_number = 'kanarienvogel'")]
#[case::as_an_address("[public]\nurl = 'https://x:kanarienvogel@'")]
#[tokio::test]
async fn a_mistake_in_the_file_never_repeats_what_is_written_there(#[case] text: &str) -> Result<()> {
    let home = Home::temp();
    std::fs::write(home.paths().config_file(), text)?;
    let ended = comms_relay(&home, &["run"], &[]).await?;
    says_nothing_of(CANARY, &ended);
    assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
    Ok(())
}

#[rstest]
#[case::command("sing")]
#[case::flag("--loud")]
#[tokio::test]
async fn wrong_usage_is_told_apart_from_a_failure(#[case] argument: &str) -> Result<()> {
    let ended = comms_relay(&Home::temp(), &[argument], &[]).await?;
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
    Ok(())
}

#[tokio::test]
async fn a_question_to_a_relay_that_does_not_run_says_how_to_start_it() -> Result<()> {
    let ended = comms_relay(&Home::temp(), &["status"], &[]).await?;
    let line = "comms-relay: no relay is running: start one with `comms-relay run`\n";
    assert_eq!((ended.code, ended.stderr.as_str()), (Some(1), line));
    Ok(())
}
