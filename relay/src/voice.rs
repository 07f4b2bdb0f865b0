//! Live calls: Twilio's ConversationRelay on one side, `relay_core::call` on the other.
//!
//! <https://www.twilio.com/docs/voice/conversationrelay/websocket-messages>

mod socket;

pub(crate) use socket::hold;
