//! What travels over the local socket: a handshake, then typed calls with their replies, and events.
//!
//! Names and parameters of the calls behind the MCP tools are the tools' own (camelCase), because their schema
//! is what the model sees. A new optional field carries `#[serde(default)]`; anything else raises
//! [`PROTOCOL_VERSION`]. No `flatten`, no `untagged`: they blur errors and buffer the input.

mod accounts;
mod approvals;
mod calls;
mod error;
mod event;
mod frame;
mod inbox;
mod live_call;
mod messages;
mod provisioning;
mod simulator;
mod status;

pub use accounts::{
    BillingInForce, BillingSummary, ChannelStatus, ChannelStatuses, ChannelUsage, GetBilling,
    GetChannelStatus, GetUsage, Health, LimitState, LimitsInForce, SetAgentLimits, SetBillingConfig,
    UsageDashboard, UsagePeriod,
};
pub use approvals::{DecideApproval, Decision};
pub use calls::{CallPlaced, CallTransferred, MakeCall, TransferCall, TransferMode};
pub use error::{ApiError, ErrorCode};
pub use event::Event;
pub use frame::{ClientFrame, Envelope, Hello, Outcome, PeerProgram, RefusalReason, RelayFrame, Welcome};
pub use inbox::{ConfirmRead, Confirmed, GetMessages, MessagePage, Until};
pub use live_call::{CallTurns, Heard, ListenToCall, Speak};
pub use messages::{MessageSent, SendMessage, SendVoiceMessage, VoiceMessageSent, VoiceRoad};
pub use provisioning::{
    ChannelsProvisioned, ChannelsReleased, ConnectionInstructions, CustomerOnboarded, DeprovisionChannels,
    DnsRecord, OnboardCustomer, ProviderRegistered, ProvisionChannels, ProvisionedChannel, RegisterProvider,
    ReleasedChannel,
};
pub use simulator::{
    SimulateAct, SimulateAnswer, SimulateCall, SimulateHear, SimulateText, SimulatedCall, SimulatedHeard,
    SimulatedOutbox, SimulatedText, WatchNumber,
};
pub use status::{GetStatus, Ping, Pong, Pool, RelayStatus};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Raised on every incompatible change; the handshake refuses any other value.
pub const PROTOCOL_VERSION: u32 = 2;
/// Larger frames are refused on both sides.
pub const MAX_FRAME_BYTES: usize = 8 * 1024 * 1024;

/// A request paired with the type of its reply.
pub trait Call: Into<Request> {
    /// For log lines.
    const NAME: &'static str;
    /// What the relay answers.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

macro_rules! calls {
    ($($call:ident => $reply:ty),* $(,)?) => {
        /// Everything that can be asked of the relay.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "method", content = "params", rename_all = "snake_case")]
        pub enum Request { $(#[doc = concat!("See [`", stringify!($call), "`].")] $call($call)),* }

        $(
            impl From<$call> for Request { fn from(call: $call) -> Self { Request::$call(call) } }
            impl Call for $call {
                const NAME: &'static str = stringify!($call);
                type Reply = $reply;
            }
        )*
    };
}

// One line per call: adding one makes every `match` on `Request` incomplete until it is served.
calls! {
    Ping => Pong,
    SendMessage => MessageSent,
    GetMessages => MessagePage,
    ConfirmRead => Confirmed,
    MakeCall => CallPlaced,
    Speak => Heard,
    ListenToCall => CallTurns,
    SendVoiceMessage => VoiceMessageSent,
    TransferCall => CallTransferred,
    GetChannelStatus => ChannelStatuses,
    GetUsage => UsageDashboard,
    GetBilling => BillingSummary,
    // For the operator: an admin's token, or an approval.
    ProvisionChannels => ChannelsProvisioned,
    DeprovisionChannels => ChannelsReleased,
    OnboardCustomer => CustomerOnboarded,
    RegisterProvider => ProviderRegistered,
    SetAgentLimits => LimitsInForce,
    SetBillingConfig => BillingInForce,
    DecideApproval => Confirmed,
    GetStatus => RelayStatus,
    // The simulated carrier's telephones; refused in live mode.
    SimulateText => SimulatedText,
    SimulatedOutbox => Vec<SimulatedText>,
    SimulateCall => SimulatedCall,
    WatchNumber => Confirmed,
    SimulateAnswer => SimulatedCall,
    SimulateAct => Confirmed,
    SimulateHear => SimulatedHeard,
}
