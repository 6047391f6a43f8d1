//! Greeting other peers, and having catalogues from their owners.

use std::time::Duration;

use crate::{
    catalog::Want,
    node::{CataloguePiece, Greeted},
    protocol::{Decline, Greeting, PeerReply, PeerRequest},
    swarm::{
        fetch::{self, AskError},
        link::LinkHandle,
    },
    util::within::within,
};

/// Greets a peer, and says what became of it.
pub async fn greet(link: LinkHandle, greeting: Box<Greeting>) -> Greeted {
    let late = || Greeted::Silent(format!("not within {} s", GREETING_TIMEOUT.as_secs()));
    let greeted = within(GREETING_TIMEOUT, say_hello(&link, greeting)).await;
    greeted.unwrap_or_else(late)
}

async fn say_hello(link: &LinkHandle, greeting: Box<Greeting>) -> Greeted {
    match fetch::question(link, &PeerRequest::Hello(greeting)).await {
        Ok((PeerReply::Hello(greeting), at)) => Greeted::Hello { greeting, at },
        Ok(_) => Greeted::Silent("it answers something else".into()),
        Err(AskError::Declined(Decline::Busy { .. })) => Greeted::Busy,
        Err(AskError::Declined(_)) => Greeted::Declined,
        Err(e) => Greeted::Silent(e.to_string()),
    }
}

/// Asks an owner for a piece of its catalogue.
///
/// # Errors
/// Why it is not here, for people.
pub async fn piece(link: LinkHandle, what: Want) -> Result<CataloguePiece, String> {
    let request = match what {
        Want::List => PeerRequest::List,
        Want::Page(index) => PeerRequest::Page { index },
    };
    let (reply, _) = fetch::question(&link, &request)
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
