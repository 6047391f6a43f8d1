//! Greeting other peers, and having catalogues from their owners.

use std::time::Duration;

use super::{Input, Peer};
use crate::{
    catalog::Want,
    id::PeerId,
    node::{CataloguePiece, Event, Greeted},
    protocol::{Decline, Greeting, PeerReply, PeerRequest},
    swarm::{
        fetch::{self, AskError},
        link::{LinkHandle, PeerLink},
    },
    util::within::within,
};

impl Peer {
    /// Greets `peer`; what becomes of it comes back as an event.
    pub(super) fn greet(&mut self, peer: PeerId, greeting: Box<Greeting>) {
        let link = self.links.get(&peer).map(PeerLink::handle);
        let to = self.answer.clone();
        self.tasks.spawn(async move {
            let greeted = match link {
                Some(link) => within(GREETING_TIMEOUT, greet(&link, greeting)).await,
                None => Some(Greeted::Silent("no address of it is known".into())),
            };
            let late = || Greeted::Silent(format!("not within {} s", GREETING_TIMEOUT.as_secs()));
            let event = Event::Greeted(peer, greeted.unwrap_or_else(late));
            let _ = to.send(Input::Event(event)).await;
        });
    }

    /// Asks `owner` for a piece of its catalogue.
    pub(super) fn ask_owner(&mut self, owner: PeerId, what: Want) {
        let link = self.links.get(&owner).map(PeerLink::handle);
        let to = self.answer.clone();
        self.tasks.spawn(async move {
            let piece = match link {
                Some(link) => piece(&link, what).await,
                None => Err("it is not here any more".into()),
            };
            let _ = to.send(Input::Event(Event::Piece(owner, piece))).await;
        });
    }
}

async fn greet(link: &LinkHandle, greeting: Box<Greeting>) -> Greeted {
    match fetch::question(link, &PeerRequest::Hello(greeting)).await {
        Ok((PeerReply::Hello(greeting), at)) => Greeted::Hello { greeting, at },
        Ok(_) => Greeted::Silent("it answers something else".into()),
        Err(AskError::Declined(Decline::Busy { .. })) => Greeted::Busy,
        Err(AskError::Declined(_)) => Greeted::Declined,
        Err(e) => Greeted::Silent(e.to_string()),
    }
}

async fn piece(link: &LinkHandle, what: Want) -> Result<CataloguePiece, String> {
    let request = match what {
        Want::List => PeerRequest::List,
        Want::Page(index) => PeerRequest::Page { index },
    };
    let (reply, _) = fetch::question(link, &request)
        .await
        .map_err(|e| e.to_string())?;
    match (what, reply) {
        (Want::List, PeerReply::List(list)) => Ok(CataloguePiece::List(list)),
        (Want::Page(index), PeerReply::Page(bytes)) => Ok(CataloguePiece::Page { index, bytes }),
        _ => Err("it answers something else".into()),
    }
}

/// A handshake that is lost once takes a second; a Pi that is busy, some.
const GREETING_TIMEOUT: Duration = Duration::from_secs(6);
