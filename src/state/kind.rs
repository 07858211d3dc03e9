//! What kinds of record there are.

/// A kind of record: a file in `state_dir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Which canaries are killed.
    Kills,
    /// Canaries that pipelines have registered.
    Registrations,
    /// Flags that Serin keeps itself.
    Flags,
    /// Segments that Serin keeps itself.
    Segments,
    /// Which gateway records canaries on a flag server.
    Recording,
    /// Since when canary flags run, as gateways have agreed.
    Seniority,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Kills,
        Self::Registrations,
        Self::Flags,
        Self::Segments,
        Self::Recording,
        Self::Seniority,
    ];

    /// Its name: that of its file, too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kills => "kills",
            Self::Registrations => "registrations",
            Self::Flags => "flags",
            Self::Segments => "segments",
            Self::Recording => "recording",
            Self::Seniority => "seniority",
        }
    }
}

/// Something for each kind.
#[derive(Debug, Default)]
pub(super) struct PerKind<T> {
    kills: T,
    registrations: T,
    flags: T,
    segments: T,
    recording: T,
    seniority: T,
}

impl<T> PerKind<T> {
    pub(super) fn make(mut make: impl FnMut(Kind) -> T) -> Self {
        Self {
            kills: make(Kind::Kills),
            registrations: make(Kind::Registrations),
            flags: make(Kind::Flags),
            segments: make(Kind::Segments),
            recording: make(Kind::Recording),
            seniority: make(Kind::Seniority),
        }
    }

    pub(super) fn get(&self, kind: Kind) -> &T {
        match kind {
            Kind::Kills => &self.kills,
            Kind::Registrations => &self.registrations,
            Kind::Flags => &self.flags,
            Kind::Segments => &self.segments,
            Kind::Recording => &self.recording,
            Kind::Seniority => &self.seniority,
        }
    }

    pub(super) fn get_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::Kills => &mut self.kills,
            Kind::Registrations => &mut self.registrations,
            Kind::Flags => &mut self.flags,
            Kind::Segments => &mut self.segments,
            Kind::Recording => &mut self.recording,
            Kind::Seniority => &mut self.seniority,
        }
    }
}
