//! What others have asked of this peer and have not been answered yet.

use super::effect::{SliceOrder, UploadEffect};
use crate::{
    node::{AskId, UploadAnswer},
    protocol::PeerReply,
    util::few::Few,
};

/// The open questions.
#[derive(Debug, Default)]
pub struct Uploads(Few<AskId, UploadStage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UploadStage {
    /// The node has not decided.
    Asked,
    /// The file is being hashed, and the requester hears how far that is.
    Hashing,
    /// The slice is on its way.
    Sending,
}

impl Uploads {
    pub fn handle_asked(&mut self, ask: AskId) {
        self.0.insert(ask, UploadStage::Asked);
    }

    /// What the node's decision comes to; nothing for a question that is not open any more.
    pub fn answer(&mut self, ask: AskId, answer: UploadAnswer) -> Option<UploadEffect> {
        let stage = *self.0.get(ask)?;
        if let UploadAnswer::GiveUp = answer {
            let is_sent = stage == UploadStage::Sending;
            return is_sent.then_some(UploadEffect::EndSlice(ask));
        }
        if stage != UploadStage::Asked {
            return None;
        }
        let (next, effect) = match answer {
            UploadAnswer::Resolve(entry) => {
                let hash = UploadEffect::Hash { ask, entry };
                (Some(UploadStage::Hashing), hash)
            }
            UploadAnswer::Slice {
                track,
                size,
                groups,
                precedence,
            } => {
                let order = SliceOrder {
                    track,
                    size,
                    groups,
                    precedence,
                };
                (Some(UploadStage::Sending), UploadEffect::Send(ask, order))
            }
            UploadAnswer::Own { part, precedence } => {
                let send = UploadEffect::SendPart {
                    ask,
                    part,
                    precedence,
                };
                (None, send)
            }
            UploadAnswer::Hello(greeting) => {
                (None, UploadEffect::Reply(ask, PeerReply::Hello(greeting)))
            }
            UploadAnswer::No(why) => (None, UploadEffect::Reply(ask, PeerReply::No(why))),
            UploadAnswer::GiveUp => return None,
        };
        match next {
            Some(stage) => self.0.insert(ask, stage),
            None => _ = self.0.remove(ask),
        }
        Some(effect)
    }

    /// A slice is sent or was given up, or an entry is resolved.
    pub fn handle_answered(&mut self, ask: AskId) {
        self.0.remove(ask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::EntryNo, protocol::Decline};

    const ASK: AskId = AskId(1);

    #[test]
    fn a_question_is_answered_once() {
        let mut uploads = Uploads::default();
        let no = || UploadAnswer::No(Decline::NotAvailable);
        assert!(uploads.answer(ASK, no()).is_none());
        uploads.handle_asked(ASK);
        assert!(uploads.answer(ASK, no()).is_some());
        assert!(uploads.answer(ASK, no()).is_none());
        uploads.handle_asked(ASK);
        let hash = || UploadAnswer::Resolve(EntryNo(0));
        assert!(uploads.answer(ASK, hash()).is_some());
        assert!(uploads.answer(ASK, hash()).is_none());
        uploads.handle_answered(ASK);
        assert_eq!(uploads.0.keys().next(), None);
    }

    #[test]
    fn what_is_not_being_sent_cannot_be_given_up() {
        let mut uploads = Uploads::default();
        uploads.handle_asked(ASK);
        assert!(uploads.answer(ASK, UploadAnswer::GiveUp).is_none());
        uploads.answer(ASK, UploadAnswer::Resolve(EntryNo(0)));
        assert!(uploads.answer(ASK, UploadAnswer::GiveUp).is_none());
    }
}
