//! Whom an agent may write to or call. Called by the relay's policy service alone.

use shared::model::{InvalidPhoneNumber, PhoneNumber};

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The address is no number in E.164 form.
    NotANumber(InvalidPhoneNumber),
    /// An agent that writes to itself answers itself for ever.
    Oneself,
    /// The agent may not send at all.
    AgentBlocked,
}

/// The number that `to` stands for, if an agent with the number `from` may reach it.
pub fn allow(agent_is_active: bool, from: &PhoneNumber, to: &str) -> Result<PhoneNumber, Refusal> {
    if !agent_is_active {
        return Err(Refusal::AgentBlocked);
    }
    let to: PhoneNumber = to.trim().parse().map_err(Refusal::NotANumber)?;
    if to == *from { Err(Refusal::Oneself) } else { Ok(to) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(true, "+12025550123", None)]
    #[case(true, " +12025550123\n", None)]
    #[case(true, "+12025550100", Some(Refusal::Oneself))]
    #[case(true, "2025550123", Some(Refusal::NotANumber(InvalidPhoneNumber)))]
    #[case(true, "whatsapp:+12025550123", Some(Refusal::NotANumber(InvalidPhoneNumber)))]
    #[case(false, "+12025550123", Some(Refusal::AgentBlocked))]
    fn only_others_by_e164_and_only_for_active_agents(
        #[case] active: bool,
        #[case] to: &str,
        #[case] refused: Option<Refusal>,
    ) {
        let from = "+12025550100".parse().unwrap();
        assert_eq!(allow(active, &from, to).err(), refused);
    }
}
