//! What a few words are looked for as, and why nothing may have been found.

use super::screen::count;
use crate::command::{
    filter::{Filter, FilterField, FilterNode},
    view::{NodeView, TrackerStanding},
    Selection,
};

/// Why there may be less music than there should be.
pub(super) fn why_nothing(node: &NodeView) -> String {
    let tracker = &node.tracker;
    let has_tracker = matches!(
        node.standing,
        TrackerStanding::Registered | TrackerStanding::Unwanted
    );
    match node.peers.saturating_sub(1) {
        _ if node.standing == TrackerStanding::Left => {
            "; this node has left the swarm: `p2pmusic ctl join` brings it back".into()
        }
        0 if has_tracker => "; no other speaker is here".into(),
        0 => format!("; no other speaker is here, and the tracker: {tracker}"),
        others if !has_tracker => {
            let others = count(others, "other speaker");
            format!("; without a tracker only {others} found: {tracker}")
        }
        _ => String::new(),
    }
}

/// Tracks of which some tag or the path has each of the words, as a search finds them.
pub(super) fn with_words(words: &[String]) -> Selection {
    let has = |word: &String| FilterNode::has(FilterField::Any, word);
    Selection {
        filter: Filter {
            root: FilterNode::And(words.iter().map(has).collect()),
            folded: true,
        },
        sort: None,
        window: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::fixture;

    #[test]
    fn nothing_found_is_explained_by_the_peers_here() {
        use TrackerStanding as Is;
        for (standing, tracker, peers, why) in [
            (Is::Registered, "registered with 10.0.0.1", 3, ""),
            (
                Is::Registered,
                "registered with 10.0.0.1",
                1,
                "no other speaker",
            ),
            (Is::Unwanted, "none, as configured", 1, "no other speaker"),
            (
                Is::Left,
                "left, and the tracker knows; …",
                3,
                "p2pmusic ctl join",
            ),
            (
                Is::Lost,
                "lost a:4670: it belongs to a swarm with another key; trying again",
                1,
                "another key",
            ),
            (
                Is::Lost,
                "lost a:4670: refused; trying again",
                2,
                "1 other speaker",
            ),
        ] {
            let said = why_nothing(&NodeView {
                standing,
                tracker: tracker.into(),
                peers,
                ..fixture::view()
            });
            assert!(said.contains(why), "{tracker}: {said}");
            assert_eq!(said.is_empty(), why.is_empty(), "{said}");
        }
    }
}
