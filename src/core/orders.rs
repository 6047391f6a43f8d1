//! What the link to the tracker is to be told and has not taken yet.

use std::collections::VecDeque;

use crate::tracker::link::LinkCommand;

/// Commands in their order. Only what is asked for again by itself is ever
/// dropped.
#[derive(Debug, Default)]
pub struct Orders(VecDeque<LinkCommand>);

impl Orders {
    pub fn push(&mut self, command: LinkCommand) {
        let is_want = |c: &LinkCommand| matches!(c, LinkCommand::Want { .. });
        match &command {
            LinkCommand::Want { .. }
                if self.0.iter().filter(|c| is_want(c)).count() >= MAX_WANTS =>
            {
                return log::debug!("the link to the tracker is behind");
            }
            // The newest is enough.
            LinkCommand::Publish(_) => self.0.retain(|c| !matches!(c, LinkCommand::Publish(_))),
            // Of both only the last word counts.
            LinkCommand::Leave | LinkCommand::Join => self
                .0
                .retain(|c| !matches!(c, LinkCommand::Leave | LinkCommand::Join)),
            _ => {}
        }
        self.0.push_back(command);
    }

    pub fn first(&self) -> Option<&LinkCommand> {
        self.0.front()
    }

    /// The first has been taken.
    pub fn pop(&mut self) {
        self.0.pop_front();
    }
}

/// A list and some pages of each of a full swarm's peers; what is not asked for
/// now is asked for after a while.
const MAX_WANTS: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{catalog::Want, id::PeerId};

    #[test]
    fn a_flood_of_questions_keeps_nobody_from_leaving() {
        let mut orders = Orders::default();
        for n in 0..2 * MAX_WANTS {
            let owner = PeerId([n as u8; 32]);
            let what = Want::List;
            orders.push(LinkCommand::Want { owner, what });
        }
        orders.push(LinkCommand::Leave);
        orders.push(LinkCommand::Leave);
        let mut taken = Vec::new();
        while let Some(order) = orders.first() {
            taken.push(matches!(order, LinkCommand::Leave));
            orders.pop();
        }
        assert_eq!(taken.len(), MAX_WANTS + 1);
        assert_eq!(taken.last(), Some(&true));
    }
}
