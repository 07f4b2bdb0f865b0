//! What a message may hold, by channel.

use relay_core::sanitize;
use shared::model::{Attachment, Channel, EmailAddress, Timestamp};
use shared::protocol::{ErrorCode, SendMessage};
use url::Url;

use crate::app::App;
use crate::services::ServiceError;

/// The carrier's limit for one text (Twilio error 21617).
const MAX_TEXT_CHARACTERS: usize = 1_600;
/// The carrier's limits for one message (Twilio error 21623; one medium over WhatsApp).
const MAX_MEDIA: usize = 10;
const MAX_WHATSAPP_MEDIA: usize = 1;
const MAX_EMAIL_CHARACTERS: usize = 200_000;
/// RFC 5322, section 2.1.1, allows a line 998.
const MAX_SUBJECT_CHARACTERS: usize = 900;
const MAX_ATTACHMENTS: usize = 10;
/// Of all attachments together, in base64. What is larger goes as a link.
const MAX_ATTACHED_BYTES: usize = 5 * 1024 * 1024;
const MAX_TEMPLATE_VARS: usize = 100;
/// Nobody knows what they will want to say later than that.
const MAX_DELAY: std::time::Duration = std::time::Duration::from_secs(90 * 86_400);

type Checked = Result<(), ServiceError>;

fn invalid(field: &'static str, problem: impl Into<String>) -> Checked {
    Err(ServiceError::Invalid { field, problem: problem.into() })
}

/// Refuses what the channel cannot carry, before anything is recorded.
pub(super) fn check(app: &App, wanted: &SendMessage) -> Checked {
    match wanted.channel {
        Channel::Sms | Channel::Whatsapp => check_text(wanted)?,
        Channel::Email => check_email(app, wanted)?,
        Channel::Voice => {
            return invalid("callSid", "words for the channel voice need the callSid of a live call");
        }
    }
    check_time(app.now(), wanted.schedule_at)?;
    check_key(wanted.idempotency_key.as_deref())
}

pub(in crate::services) fn check_key(key: Option<&str>) -> Checked {
    match key {
        Some(key) if key.is_empty() || key.len() > 256 => {
            invalid("idempotencyKey", "it must have 1 to 256 characters")
        }
        _ => Ok(()),
    }
}

fn check_time(now: Timestamp, schedule_at: Option<Timestamp>) -> Checked {
    match schedule_at {
        Some(at) if at <= now => {
            invalid("scheduleAt", "it is not in the future; leave it out to send at once")
        }
        Some(at) if at > now.plus(MAX_DELAY) => invalid("scheduleAt", "it is more than 90 days away"),
        _ => Ok(()),
    }
}

fn check_text(wanted: &SendMessage) -> Checked {
    let channel = wanted.channel;
    let of_email = [
        ("subject", wanted.subject.is_some()),
        ("html", wanted.html.is_some()),
        ("attachments", !wanted.attachments.is_empty()),
        ("replyTo", wanted.reply_to.is_some()),
    ];
    if let Some((field, _)) = of_email.into_iter().find(|(_, given)| *given) {
        return invalid(field, format!("the channel {channel} has none; it is for e-mail"));
    }
    check_template(wanted)?;
    if (!wanted.body.is_empty() || (wanted.media_urls.is_empty() && wanted.template_id.is_none()))
        && let Err(problem) = sanitize::check_body(&wanted.body, MAX_TEXT_CHARACTERS)
    {
        return invalid("body", problem.to_string());
    }
    let most = if channel == Channel::Whatsapp { MAX_WHATSAPP_MEDIA } else { MAX_MEDIA };
    if wanted.media_urls.len() > most {
        return invalid("mediaUrls", format!("a message over {channel} carries {most} at the most"));
    }
    if wanted.media_urls.iter().any(|url| Url::parse(url).map_or(true, |url| url.scheme() != "https")) {
        return invalid("mediaUrls", "each must be an https address");
    }
    Ok(())
}

fn check_template(wanted: &SendMessage) -> Checked {
    let Some(id) = &wanted.template_id else {
        return if wanted.template_vars.is_empty() {
            Ok(())
        } else {
            invalid("templateVars", "they belong to a templateId, which is missing")
        };
    };
    if !(1..=64).contains(&id.len()) || !id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return invalid("templateId", "it is the provider's name for a template, such as HX and 32 digits");
    }
    if wanted.template_vars.len() > MAX_TEMPLATE_VARS {
        return invalid("templateVars", format!("there may be {MAX_TEMPLATE_VARS}"));
    }
    if !wanted.media_urls.is_empty() {
        return invalid("mediaUrls", "a template brings its own media");
    }
    Ok(())
}

fn check_email(app: &App, wanted: &SendMessage) -> Checked {
    if app.providers().email.is_none() {
        return Err(ServiceError::refused(
            ErrorCode::ProviderNotConfigured,
            "No e-mail provider is set up; nothing was sent.",
            "Use another channel.",
        ));
    }
    if wanted.template_id.is_some() || !wanted.template_vars.is_empty() {
        return invalid("templateId", "templates are for the channels sms and whatsapp");
    }
    if !wanted.media_urls.is_empty() {
        return invalid("mediaUrls", "an e-mail has attachments instead");
    }
    check_subject(wanted.subject.as_deref())?;
    if let Err(problem) = sanitize::check_body(&wanted.body, MAX_EMAIL_CHARACTERS) {
        return invalid("body", problem.to_string());
    }
    if wanted.html.as_ref().is_some_and(|html| html.chars().count() > MAX_EMAIL_CHARACTERS) {
        return invalid("html", format!("it has {MAX_EMAIL_CHARACTERS} characters at the most"));
    }
    if wanted.reply_to.as_ref().is_some_and(|address| address.parse::<EmailAddress>().is_err()) {
        return invalid("replyTo", "it is no e-mail address");
    }
    check_attachments(&wanted.attachments)
}

/// A line break in a header would begin another header.
fn check_subject(subject: Option<&str>) -> Checked {
    match subject {
        None => invalid("subject", "an e-mail needs one"),
        Some(subject) if subject.trim().is_empty() => invalid("subject", "it is empty"),
        Some(subject) if subject.chars().count() > MAX_SUBJECT_CHARACTERS => {
            invalid("subject", format!("it has {MAX_SUBJECT_CHARACTERS} characters at the most"))
        }
        Some(subject) if subject.chars().any(char::is_control) => {
            invalid("subject", "it must be one line without control characters")
        }
        Some(_) => Ok(()),
    }
}

fn check_attachments(attachments: &[Attachment]) -> Checked {
    if attachments.len() > MAX_ATTACHMENTS {
        return invalid("attachments", format!("an e-mail carries {MAX_ATTACHMENTS} at the most"));
    }
    let bytes: usize = attachments.iter().map(|file| file.content_base64.len()).sum();
    if bytes > MAX_ATTACHED_BYTES {
        return invalid("attachments", "they are too large together; send a link instead");
    }
    for file in attachments {
        let name = &file.filename;
        let is_plain = (1..=200).contains(&name.chars().count())
            && !name.contains(['/', '\\'])
            && !name.chars().any(char::is_control);
        if !is_plain {
            return invalid("attachments", "each needs a plain file name, without a path");
        }
        let kind = file.content_type.as_bytes();
        if kind.len() > 100 || !kind.contains(&b'/') || !kind.iter().all(u8::is_ascii_graphic) {
            return invalid("attachments", "each needs a content type such as text/plain");
        }
        if data_encoding::BASE64.decode(file.content_base64.as_bytes()).is_err() {
            return invalid("attachments", "the content of each must be base64 with its padding");
        }
    }
    Ok(())
}
