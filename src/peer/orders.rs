//! What the link to the tracker is to be told and has not taken yet.

use std::collections::VecDeque;

use crate::tracker::link::Command;

/// Commands in their order. Only what is asked for again by itself is ever
/// dropped.
#[derive(Debug, Default)]
pub struct Orders(VecDeque<Command>);

impl Orders {
    pub fn push(&mut self, command: Command) {
        let is_want = |c: &Command| matches!(c, Command::Want { .. });
        match &command {
            Command::Want { .. } if self.0.iter().filter(|c| is_want(c)).count() >= MAX_WANTS => {
                return log::debug!("the link to the tracker is behind");
            }
            // The newest is enough.
            Command::Publish(_) => self.0.retain(|c| !matches!(c, Command::Publish(_))),
            // Of both only the last word counts.
            Command::Leave | Command::Join => self
                .0
                .retain(|c| !matches!(c, Command::Leave | Command::Join)),
            _ => {}
        }
        self.0.push_back(command);
    }

    pub fn first(&self) -> Option<&Command> {
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
    use crate::{id::PeerId, tracker::link::Want};

    #[test]
    fn a_flood_of_questions_keeps_nobody_from_leaving() {
        let mut orders = Orders::default();
        for n in 0..2 * MAX_WANTS {
            let owner = PeerId([n as u8; 32]);
            let what = Want::List;
            orders.push(Command::Want { owner, what });
        }
        orders.push(Command::Leave);
        orders.push(Command::Leave);
        let mut taken = Vec::new();
        while let Some(order) = orders.first() {
            taken.push(matches!(order, Command::Leave));
            orders.pop();
        }
        assert_eq!(taken.len(), MAX_WANTS + 1);
        assert_eq!(taken.last(), Some(&true));
    }
}
