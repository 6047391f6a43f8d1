//! What a node answers that is only a tracker: which peers are here, and that it has no
//! player and no music.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use super::{
    roster::Roster,
    stats::NodeStats,
    view::{peer_views, NodeFacts},
    Interfaces, NodeSetup,
};
use crate::{
    catalog::Database,
    command::{
        view::{LibraryView, NodeView, PlayerView, StateView, TrackerStanding},
        Answer, Command, CommandError, CommandOutcome, CommandRequest, NodeCommand, Query,
        Question, QueueCommand,
    },
    playback::queue::QueueError,
    protocol::PeerRecord,
};

/// What it sees now.
#[derive(Debug)]
pub struct TrackerOnly<'a> {
    pub setup: &'a NodeSetup,
    pub begun: Instant,
    pub interfaces: Interfaces,
    /// How this machine reaches itself: the address of peers on it.
    pub here: IpAddr,
    pub peers: Vec<PeerRecord>,
    /// What a person must know, one sentence each.
    pub notices: Vec<String>,
}

impl TrackerOnly<'_> {
    /// # Errors
    /// What the client is told instead of an answer.
    pub fn answer(
        self,
        request: CommandRequest,
        now: Instant,
    ) -> Result<CommandOutcome, CommandError> {
        let question = match request {
            CommandRequest::Insert(_) => return Err(CommandError::NoPlayer),
            CommandRequest::Command(command) if command.needs_player() => {
                return Err(CommandError::NoPlayer);
            }
            CommandRequest::Command(Command::Node(command)) => {
                return self.answer_node(command, now).map(Into::into);
            }
            CommandRequest::Command(Command::Database(command)) => Question::Database(command),
            CommandRequest::Command(Command::Queue(QueueCommand::ById(Some(_)))) => {
                return Err(QueueError::NoSuchId.into());
            }
            CommandRequest::Command(Command::Queue(QueueCommand::List(Some(range))))
                if range.len() == 1 =>
            {
                return Err(QueueError::NoSuchPosition.into());
            }
            CommandRequest::Command(Command::Queue(_) | Command::Playback(_)) => {
                Question::Queue(Vec::new(), None)
            }
        };
        Ok(CommandOutcome::Query(Box::new(Query {
            question,
            database: Database::default(),
            asked: now,
        })))
    }

    fn answer_node(self, command: NodeCommand, now: Instant) -> Result<Answer, CommandError> {
        Ok(match command {
            NodeCommand::State => Answer::State(Box::new(StateView {
                node: self.view(now),
                player: PlayerView::default(),
            })),
            NodeCommand::Peers => {
                Answer::Peers(peer_views(None, &self.roster(now), &Database::default()))
            }
            NodeCommand::Stats => Answer::Stats(NodeStats::new(self.begun).pairs(now)),
            NodeCommand::Devices => Answer::Devices(Vec::new()),
            NodeCommand::Library => Answer::Library(LibraryView::default()),
            NodeCommand::Update { .. } => return Err(CommandError::NoLibrary),
            NodeCommand::Leave | NodeCommand::Join => return Err(CommandError::NoMember),
        })
    }

    /// The peers by the names that they are registered as. The node is none of them: of a peer
    /// with its name, neither is another's.
    fn roster(&self, now: Instant) -> Roster {
        let (setup, interfaces) = (self.setup, self.interfaces.clone());
        let mut roster = Roster::new(setup.me, NO_NAME, interfaces, setup.seed, now);
        roster.handle_registered(self.here, NO_NAME, now);
        for record in &self.peers {
            roster.handle_record(record.clone(), now);
        }
        roster
    }

    fn view(&self, now: Instant) -> NodeView {
        let mut facts = NodeFacts::new(&self.interfaces, self.setup.found.clone());
        facts.notices.clone_from(&self.notices);
        let roster = self.roster(now);
        NodeView {
            peer: self.setup.me,
            name: self.setup.name.as_str().into(),
            role: self.setup.role,
            standing: TrackerStanding::Itself,
            tracker: "this node".into(),
            output: String::new(),
            left_out: 0,
            peers: roster.count_here(),
            tracks: 0,
            arrived: None,
            waits_for: None,
            missed: None,
            sources: Vec::new(),
            first_sound: None,
            no_sound: None,
            problems: facts.problems_in_words(),
            uptime: now.saturating_duration_since(self.begun),
            playtime: Duration::ZERO,
            db_update: 0,
            updating: None,
        }
    }
}

/// Which no peer can have.
const NO_NAME: &str = "";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        command::{DatabaseCommand, Placing, Playback, QueueEdit},
        config::Role,
        id::PeerId,
        node::Memory,
        protocol::{Candidate, PeerState},
    };

    fn answer(command: Command) -> Result<CommandOutcome, CommandError> {
        let setup = NodeSetup {
            me: PeerId([1; 32]),
            name: "attic".into(),
            name_is_chosen: false,
            role: Role::Tracker,
            interfaces: Interfaces::default(),
            memory: Memory::default(),
            found: vec!["its identity is new".into()],
            max_volume: 100,
            names_others: true,
            seed: 1,
            memory_bytes: 1 << 30,
            known_after: Duration::ZERO,
        };
        let peer = |id, name: &str, state| PeerRecord {
            peer: PeerId([id; 32]),
            name: name.into(),
            state,
            candidates: vec![Candidate::WithTracker { port: 4671 }],
        };
        let now = Instant::now();
        let node = TrackerOnly {
            setup: &setup,
            begun: now,
            interfaces: Interfaces::default(),
            here: IpAddr::from([192, 168, 1, 2]),
            peers: vec![
                peer(2, "kitchen", PeerState::Up),
                peer(3, "attic", PeerState::Suspect),
            ],
            notices: vec!["the disk is full".into()],
        };
        node.answer(CommandRequest::Command(command), now)
    }

    #[test]
    fn what_takes_a_player_or_music_is_refused_and_says_so() {
        let add = DatabaseCommand::Add {
            uri: "kitchen".into(),
            at: None,
        };
        let update = NodeCommand::Update {
            uri: String::new(),
            rescan: false,
        };
        for command in [
            Command::Playback(Playback::Play(None)),
            Command::Playback(Playback::SetVolume(3)),
            Command::Database(add),
            Command::Database(DatabaseCommand::PlayBest("x".into(), Placing::Instead)),
            Command::Queue(QueueCommand::Edit(QueueEdit::Clear)),
            Command::Node(NodeCommand::Leave),
            Command::Node(NodeCommand::Join),
            Command::Node(update),
        ] {
            let error = answer(command.clone()).unwrap_err().to_string();
            assert!(error.contains("tracker only"), "{command:?}: {error}");
        }
    }

    #[test]
    fn what_only_looks_is_answered() {
        let list = DatabaseCommand::List {
            uri: String::new(),
            files: false,
        };
        for command in [
            Command::Database(list),
            Command::Queue(QueueCommand::List(None)),
            Command::Node(NodeCommand::Stats),
            Command::Node(NodeCommand::Devices),
            Command::Node(NodeCommand::Library),
        ] {
            assert!(answer(command.clone()).is_ok(), "{command:?}");
        }
        let Ok(CommandOutcome::Answer(Answer::Peers(peers))) =
            answer(Command::Node(NodeCommand::Peers))
        else {
            panic!("no peers");
        };
        let address = "192.168.1.2:4671".parse().ok();
        assert!(
            peers.iter().all(|peer| peer.address == address),
            "{peers:?}"
        );
        let names: Vec<_> = peers.iter().map(|peer| &*peer.name).collect();
        assert_eq!(names, ["kitchen", "attic"], "as they are registered");
        let Ok(CommandOutcome::Answer(Answer::State(state))) =
            answer(Command::Node(NodeCommand::State))
        else {
            panic!("no state");
        };
        assert_eq!((&*state.node.name, state.node.peers), ("attic", 1));
        assert_eq!(
            state.node.problems,
            ["the disk is full", "its identity is new"]
        );
    }
}
