//! Whom an agent may write to or call. Called by the relay's policy service alone.

use std::fmt;

use shared::model::{
    Channel, EmailAddress, InvalidEmailAddress, InvalidPhoneNumber, PhoneNumber, RecipientPolicy,
};

/// Where something goes to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// For messages, calls and WhatsApp.
    Phone(PhoneNumber),
    /// For e-mail.
    Email(EmailAddress),
}

/// The text is no address that this channel can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnAddress {
    /// The channel reaches numbers only.
    #[error(transparent)]
    Phone(#[from] InvalidPhoneNumber),
    /// The channel reaches e-mail addresses only.
    #[error(transparent)]
    Email(#[from] InvalidEmailAddress),
}

/// What is known of the agent and of the address that it wants to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The agent may send at all.
    pub agent_is_active: bool,
    /// It is an address of the agent itself.
    pub is_oneself: bool,
    /// It is the person whose agents these are.
    pub is_owner: bool,
    /// It wrote or called before, or was approved then.
    pub is_known: bool,
    /// It stands on the agent's list.
    pub is_listed: bool,
    /// A person has just said yes to this.
    pub is_approved: bool,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The agent may not send at all.
    AgentBlocked,
    /// An agent that writes to itself answers itself for ever.
    Oneself,
    /// A first contact, to which a person must say yes.
    NeedsApproval,
    /// Only who stands on the agent's list may be reached.
    NotOnTheList,
}

impl Address {
    /// The number with its `+`, or the whole e-mail address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Phone(number) => number.as_str(),
            Self::Email(address) => address.as_str(),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The address that `text` is, on this channel.
pub fn parse(channel: Channel, text: &str) -> Result<Address, NotAnAddress> {
    match channel {
        Channel::Email => Ok(Address::Email(text.trim().parse()?)),
        Channel::Sms | Channel::Whatsapp | Channel::Voice => Ok(Address::Phone(text.trim().parse()?)),
    }
}

/// Whether the address may be reached.
pub fn allow(policy: RecipientPolicy, facts: &Facts) -> Result<(), Refusal> {
    if !facts.agent_is_active {
        return Err(Refusal::AgentBlocked);
    }
    if facts.is_oneself {
        return Err(Refusal::Oneself);
    }
    if facts.is_owner {
        return Ok(());
    }
    let (is_allowed, otherwise) = match policy {
        RecipientPolicy::Open => return Ok(()),
        RecipientPolicy::ApproveNew => {
            (facts.is_known || facts.is_listed || facts.is_approved, Refusal::NeedsApproval)
        }
        RecipientPolicy::AllowList => (facts.is_listed, Refusal::NotOnTheList),
    };
    if is_allowed { Ok(()) } else { Err(otherwise) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::sms(Channel::Sms, "+12025550123", Ok("+12025550123"))]
    #[case::whatsapp(Channel::Whatsapp, "+12025550123", Ok("+12025550123"))]
    #[case::voice(Channel::Voice, "+12025550123", Ok("+12025550123"))]
    #[case::blanks_around(Channel::Sms, " +12025550123\n", Ok("+12025550123"))]
    #[case::no_country(Channel::Sms, "2025550123", Err(NotAnAddress::Phone(InvalidPhoneNumber)))]
    #[case::providers_form(
        Channel::Whatsapp,
        "whatsapp:+12025550123",
        Err(NotAnAddress::Phone(InvalidPhoneNumber))
    )]
    #[case::email_by_sms(Channel::Sms, "ann@example.org", Err(NotAnAddress::Phone(InvalidPhoneNumber)))]
    #[case::email(Channel::Email, " Ann@Example.ORG ", Ok("Ann@example.org"))]
    #[case::number_by_email(Channel::Email, "+12025550123", Err(NotAnAddress::Email(InvalidEmailAddress)))]
    fn each_channel_has_its_addresses(
        #[case] channel: Channel,
        #[case] text: &str,
        #[case] expected: Result<&str, NotAnAddress>,
    ) {
        let parsed = parse(channel, text).map(|address| address.to_string());
        assert_eq!(parsed, expected.map(str::to_owned));
    }

    /// Every combination of the six facts, written down once more as a list of who may pass.
    fn expected(policy: RecipientPolicy, facts: [bool; 6]) -> Result<(), Refusal> {
        match (policy, facts) {
            //  active, oneself, owner, known, listed, approved
            (_, [false, _, _, _, _, _]) => Err(Refusal::AgentBlocked),
            (_, [true, true, _, _, _, _]) => Err(Refusal::Oneself),
            (_, [true, false, true, _, _, _]) | (RecipientPolicy::Open, _) => Ok(()),
            (RecipientPolicy::ApproveNew, [_, _, _, false, false, false]) => Err(Refusal::NeedsApproval),
            (RecipientPolicy::AllowList, [_, _, _, _, false, _]) => Err(Refusal::NotOnTheList),
            (RecipientPolicy::ApproveNew | RecipientPolicy::AllowList, _) => Ok(()),
        }
    }

    #[rstest]
    fn the_truth_table_holds(
        #[values(RecipientPolicy::Open, RecipientPolicy::ApproveNew, RecipientPolicy::AllowList)]
        policy: RecipientPolicy,
    ) {
        let every = (0u8..64).map(|bits| [0, 1, 2, 3, 4, 5].map(|bit| bits & (1 << bit) != 0));
        let wrong = every.filter(|given| {
            let &[agent_is_active, is_oneself, is_owner, is_known, is_listed, is_approved] = given;
            let facts = Facts { agent_is_active, is_oneself, is_owner, is_known, is_listed, is_approved };
            allow(policy, &facts) != expected(policy, *given)
        });
        assert_eq!(wrong.collect::<Vec<_>>(), [[true; 6]; 0]);
    }

    const STRANGER: Facts = Facts {
        agent_is_active: true,
        is_oneself: false,
        is_owner: false,
        is_known: false,
        is_listed: false,
        is_approved: false,
    };

    #[rstest]
    #[case::everybody(RecipientPolicy::Open, STRANGER, Ok(()))]
    #[case::stranger(RecipientPolicy::ApproveNew, STRANGER, Err(Refusal::NeedsApproval))]
    #[case::known(RecipientPolicy::ApproveNew, Facts { is_known: true, ..STRANGER }, Ok(()))]
    #[case::approved(RecipientPolicy::ApproveNew, Facts { is_approved: true, ..STRANGER }, Ok(()))]
    #[case::listed(RecipientPolicy::ApproveNew, Facts { is_listed: true, ..STRANGER }, Ok(()))]
    #[case::approval_without_list(
        RecipientPolicy::AllowList,
        Facts { is_known: true, is_approved: true, ..STRANGER },
        Err(Refusal::NotOnTheList)
    )]
    #[case::listed_only(RecipientPolicy::AllowList, Facts { is_listed: true, ..STRANGER }, Ok(()))]
    #[case::owner(RecipientPolicy::AllowList, Facts { is_owner: true, ..STRANGER }, Ok(()))]
    #[case::owner_who_is_oneself(
        RecipientPolicy::Open,
        Facts { is_owner: true, is_oneself: true, ..STRANGER },
        Err(Refusal::Oneself)
    )]
    #[case::owner_by_a_blocked_agent(
        RecipientPolicy::Open,
        Facts { is_owner: true, agent_is_active: false, ..STRANGER },
        Err(Refusal::AgentBlocked)
    )]
    fn a_recipient_is_allowed_by_the_policy(
        #[case] policy: RecipientPolicy,
        #[case] facts: Facts,
        #[case] expected: Result<(), Refusal>,
    ) {
        assert_eq!(allow(policy, &facts), expected);
    }
}
