//! What an entry of the trail says.

use std::sync::Arc;

use serde_json::Value;

use super::actor::Actor;
use crate::context::Moment;

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The gateway started.
    Start,
    /// `routes.yaml` was read again, and accepted or refused.
    Reload,
    /// A canary was killed.
    Kill,
    /// A kill was taken back.
    Restore,
    /// Every canary of unknown standing was said not to be killed.
    RestoreUnknown,
    /// A canary was registered.
    Register,
    /// Something else is said of a registered canary.
    ChangeRegistration,
    /// A registered canary is to move to another URL.
    MoveRegistration,
    /// A registered canary has passed its first health check.
    Ready,
    /// A registered canary has moved to its other URL.
    Moved,
    /// A registration was taken back.
    Deregister,
    /// A lease has ended that nobody renewed.
    LeaseOver,
    /// A registration that ended long ago was forgotten.
    Forget,
    /// What is recorded of a user was removed.
    ForgetUser,
    /// Serin keeps a flag, or another one of its name.
    PutFlag,
    /// Serin keeps a flag no more.
    DeleteFlag,
    /// Serin keeps a segment, or another one of its name.
    PutSegment,
    /// Serin keeps a segment no more.
    DeleteSegment,
    /// A ring was opened or closed.
    ChangeRing,
    /// Flags that a flag server lacks are held.
    HoldRemoval,
    /// Flags that were held are held no more.
    EndHold,
    /// Somebody accepted that a flag server lacks flags.
    AcceptRemoval,
    /// Somebody had a flag server asked.
    Refresh,
    /// Other lines are logged for a while.
    SetLog,
    /// The log's filter was set back.
    ResetLog,
    /// The trail begins here, or begins anew because what there was of it is damaged.
    BeginTrail,
    /// Half an entry at the end of the trail was cut off.
    CutTrail,
    /// Entries before this one could not be written.
    LoseEntries,
}

impl Action {
    /// Its name in the trail and in figures.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Kill => "kill",
            Self::Restore => "restore",
            Self::RestoreUnknown => "restore_unknown",
            Self::Register => "register",
            Self::ChangeRegistration => "change_registration",
            Self::MoveRegistration => "move_registration",
            Self::Ready => "ready",
            Self::Moved => "moved",
            Self::Deregister => "deregister",
            Self::LeaseOver => "lease_over",
            Self::Forget => "forget",
            Self::ForgetUser => "forget_user",
            Self::PutFlag => "put_flag",
            Self::DeleteFlag => "delete_flag",
            Self::PutSegment => "put_segment",
            Self::DeleteSegment => "delete_segment",
            Self::ChangeRing => "change_ring",
            Self::HoldRemoval => "hold_removal",
            Self::EndHold => "end_hold",
            Self::AcceptRemoval => "accept_removal",
            Self::Refresh => "refresh",
            Self::SetLog => "set_log",
            Self::ResetLog => "reset_log",
            Self::BeginTrail => "begin_trail",
            Self::CutTrail => "cut_trail",
            Self::LoseEntries => "lose_entries",
        }
    }
}

/// Something that was done, as it is handed to the trail. No secret may be in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Deed {
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// The service that it is about; `None`: about none in particular.
    pub service: Option<Arc<str>>,
    /// The name of what it was done to: a canary's, a flag's, a flag's and a ring's with a slash, a source's, a file's.
    pub object: String,
    /// That before.
    pub before: Value,
    /// And after.
    pub after: Value,
    /// Why, if that was said.
    pub reason: Option<String>,
    /// Where it holds.
    pub scope: &'static str,
}

/// It holds on this gateway.
pub const THIS_GATEWAY: &str = "this gateway";
/// It holds on all gateways that share their state.
pub const ALL_GATEWAYS: &str = "all gateways";
/// It holds on this gateway, and on others once what they share can be reached.
pub const PENDING: &str = "this gateway, pending";

impl Deed {
    /// Something that was done on this gateway; nothing is said of before and after yet.
    pub fn new(actor: Actor, action: Action, object: impl Into<String>) -> Self {
        Self {
            actor,
            action,
            service: None,
            object: object.into(),
            before: Value::Null,
            after: Value::Null,
            reason: None,
            scope: THIS_GATEWAY,
        }
    }

    /// It is about this service.
    #[must_use]
    pub fn of_service(mut self, service: impl Into<Arc<str>>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// This was before, and that is now.
    #[must_use]
    pub fn changing(mut self, before: Value, after: Value) -> Self {
        self.before = before;
        self.after = after;
        self
    }

    /// It was done for this reason.
    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// It holds there.
    #[must_use]
    pub fn in_scope(mut self, scope: &'static str) -> Self {
        self.scope = scope;
        self
    }
}

/// An entry that the trail has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, which no other entry of any gateway has.
    pub id: String,
    /// When it was handed over.
    pub at: Moment,
    /// What was done.
    pub action: Action,
    /// The service that it is about.
    pub service: Option<Arc<str>>,
    /// All of it in JSON, as it stands in the file, without the line's end.
    pub line: Arc<str>,
}
