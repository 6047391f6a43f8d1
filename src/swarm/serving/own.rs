//! What is sent of the own catalogue, and when.
//!
//! It takes no slot: it needs no disk, and a listener waits for nothing that it is shown in.
//! But its bytes go over the same line, so they wait for their turn as those of slices do:
//! a host that asks for pages all the time is sent no more than its part.

use std::sync::Arc;

use crate::{
    catalog::{Hash, Page, SignedHead},
    protocol::{Class, PeerReply},
    swarm::{budget::Precedence, requester::Requester},
};

/// A part of the own catalogue.
#[derive(Clone, Debug)]
pub enum OwnPart {
    Head(SignedHead),
    List(Arc<[Hash]>),
    Page(Arc<Page>),
}

impl OwnPart {
    /// As what it is sent to `requester`. What is small is urgent, since nothing can be chosen
    /// before it is there, and that too is fair between hosts.
    pub fn precedence(&self, requester: Requester) -> Precedence {
        let class = match self {
            Self::Head(_) => Class::Now,
            Self::List(list) if size_of_val::<[Hash]>(list) <= SMALL_LIST => Class::Now,
            Self::List(_) | Self::Page(_) => Class::Next,
        };
        Precedence {
            requester,
            class,
            own: class,
        }
    }

    /// The answer.
    pub fn reply(&self) -> PeerReply {
        match self {
            Self::Head(head) => PeerReply::Head(*head),
            Self::List(list) => PeerReply::List(list.to_vec()),
            Self::Page(page) => PeerReply::Page(page.bytes().clone()),
        }
    }
}

/// A list of so many bytes is small: of 32,768 tracks, in four packets.
const SMALL_LIST: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PeerId;

    #[test]
    fn a_list_is_urgent_while_it_is_small_and_a_page_never() {
        let requester = Requester::new(PeerId([1; 32]), [10, 0, 0, 1].into(), &[]);
        let class = |part: OwnPart| part.precedence(requester).class;
        let list = |pages| OwnPart::List(vec![[0; 32]; pages].into());
        assert_eq!(class(list(128)), Class::Now);
        assert_eq!(class(list(129)), Class::Next);
        assert_eq!(class(OwnPart::Page(Page::new(&[]).into())), Class::Next);
    }
}
