//! What of a play's bytes is on this machine, for the numbers.

/// Where a play's bytes were when it was handed to the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrigin {
    /// Not all of them were on this machine.
    Swarm,
    Cache,
    OwnDisk,
}

/// What of a play's bytes was on this machine when it was handed to the player.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub origin: ByteOrigin,
    pub bytes: u64,
}

impl ByteOrigin {
    pub const ALL: [Self; 3] = [Self::Swarm, Self::Cache, Self::OwnDisk];

    pub fn name(self) -> &'static str {
        match self {
            Self::Swarm => "swarm",
            Self::Cache => "cache",
            Self::OwnDisk => "own_disk",
        }
    }
}
