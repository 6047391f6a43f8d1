//! What the decoding thread tells of its jobs.

use super::spec::SampleShape;
use crate::media::end::DecodeEnd;

/// Tells jobs apart; a report of an older one is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobId(pub u64);

/// What the thread tells the engine. A job gives at most one of each.
#[derive(Debug)]
pub enum Report {
    /// The decoder stands; the job waits for its permission (`decoder_thread::PushPermit`).
    Opened(JobId, SampleShape),
    /// Enough frames wait for the device; the first has this number.
    Primed(JobId, u64),
    /// Nothing more will be pushed; the last frame is before this number.
    Finished(JobId, DecodeEnd, u64),
}
