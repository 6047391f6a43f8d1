//! What will sound.

use std::{ops::Range, sync::Arc};

use super::Controls;
use crate::{
    command::{
        view::QueuedView, AfterInsert, Answer, Chosen, CommandError, CommandOutcome, Filter,
        Insertion, Placing, Question, QueueCommand, QueueEdit, QueuePlace,
    },
    playback::{
        queue::{self, Queue, QueueError, QueueId, QueueItem, QueueSlot},
        transport::PlayState,
    },
};

pub(super) fn queue(
    controls: &mut Controls<'_>,
    command: QueueCommand,
) -> Result<CommandOutcome, CommandError> {
    let queue = &*controls.queue;
    match command {
        QueueCommand::List(range) => list(controls, range),
        QueueCommand::ById(None) => list(controls, None),
        QueueCommand::ById(Some(id)) => {
            let position = position_of(queue, id)?;
            list(controls, Some(position..position + 1))
        }
        QueueCommand::Changes { since, range } => {
            let slots = queue.changes_since(since);
            let slots = slots.filter(|(position, _)| range.contains(position));
            Ok(show(controls, slots, None))
        }
        QueueCommand::Find(filter) => {
            let slots = queue.slots().iter().enumerate();
            Ok(show(controls, slots, Some(filter)))
        }
        QueueCommand::Edit(edit) => {
            self::edit(controls, edit)?;
            controls.transport.handle_queue_changed(controls.queue);
            Ok(Answer::Done.into())
        }
    }
}

fn edit(controls: &mut Controls<'_>, edit: QueueEdit) -> Result<(), CommandError> {
    let queue = &mut *controls.queue;
    match edit {
        QueueEdit::Delete(range) => queue.remove(range)?,
        QueueEdit::DeleteId(id) => {
            let position = position_of(queue, id)?;
            queue.remove(position..position + 1)?;
        }
        QueueEdit::Move(range, to) => move_range(controls, range, to)?,
        QueueEdit::MoveId(id, to) => {
            let position = position_of(queue, id)?;
            move_range(controls, position..position + 1, to)?;
        }
        QueueEdit::Swap(a, b) => queue.swap(a, b)?,
        QueueEdit::SwapId(a, b) => {
            let (a, b) = (position_of(queue, a)?, position_of(queue, b)?);
            queue.swap(a, b)?;
        }
        QueueEdit::Shuffle(range) => queue.shuffle(range.unwrap_or(0..usize::MAX)),
        QueueEdit::Clear => queue.clear(),
    }
    Ok(())
}

/// Songs that a query has found.
pub(super) fn insert(
    controls: &mut Controls<'_>,
    insertion: Insertion,
) -> Result<CommandOutcome, CommandError> {
    let Insertion { items, at, then } = insertion;
    if let AfterInsert::Play(what, placing) = then {
        return insert_best(controls, items, what, placing);
    }
    let at = at.map(|place| controls.position(place)).transpose()?;
    let Some(first) = controls.queue.insert(items, at)? else {
        return Ok(Answer::Done.into());
    };
    controls.transport.handle_queue_changed(controls.queue);
    Ok(Answer::Added(first).into())
}

/// Songs that are what somebody meant.
fn insert_best(
    controls: &mut Controls<'_>,
    items: Vec<Arc<QueueItem>>,
    what: String,
    placing: Placing,
) -> Result<CommandOutcome, CommandError> {
    let count = items.len();
    queue::check(&items).map_err(|full| match full {
        QueueError::Full => CommandError::TooManyFound,
        _ => CommandError::TooMuchFound,
    })?;
    let at = match placing {
        Placing::Instead => {
            controls.queue.clear();
            None
        }
        Placing::Next | Placing::Last => {
            drop_played(controls.queue, &items)?;
            let next = controls.position(QueuePlace::After(0)).ok();
            next.filter(|_| placing == Placing::Next)
        }
    };
    let Some(first) = controls.queue.insert(items, at)? else {
        return Ok(Answer::Done.into());
    };
    let is_now = placing == Placing::Instead || controls.transport.state() == PlayState::Stop;
    if is_now {
        controls.transport.play(controls.queue, Some(first))?;
    }
    controls.transport.handle_queue_changed(controls.queue);
    let later = QueuedView::find(first, controls.queue, controls.database);
    Ok(Answer::Chosen(Chosen {
        matched: Some((what, count)),
        is_now,
        songs: match later.filter(|_| !is_now) {
            Some(later) => vec![later],
            None => current_and_following(controls),
        },
    })
    .into())
}

/// What plays, without anything new.
pub(super) fn now_playing(controls: &Controls<'_>) -> CommandOutcome {
    Answer::Chosen(Chosen {
        matched: None,
        is_now: true,
        songs: current_and_following(controls),
    })
    .into()
}

fn current_and_following(controls: &Controls<'_>) -> Vec<QueuedView> {
    let queue = &*controls.queue;
    let ids = queue.cursor().into_iter().chain(queue.upcoming(FOLLOWING));
    ids.filter_map(|id| QueuedView::find(id, queue, controls.database))
        .collect()
}

/// Where `items` do not fit, those that have been played make room for them.
fn drop_played(queue: &mut Queue, items: &[Arc<QueueItem>]) -> Result<(), QueueError> {
    let options = queue.options();
    let in_order = !options.random && !options.repeat;
    let cursor = queue.cursor().and_then(|id| queue.position(id));
    let played = cursor.filter(|_| in_order).unwrap_or(0);
    queue.make_room(items, played)
}

fn list(
    controls: &Controls<'_>,
    range: Option<Range<usize>>,
) -> Result<CommandOutcome, CommandError> {
    let range = range.unwrap_or(0..usize::MAX);
    if range.len() == 1 && range.start >= controls.queue.len() {
        return Err(QueueError::NoSuchPosition.into());
    }
    let slots = controls.queue.slots().iter().enumerate();
    let slots = slots.filter(|(position, _)| range.contains(position));
    Ok(show(controls, slots, None))
}

/// Has the songs filtered and written by the client's task.
fn show<'a>(
    controls: &Controls<'_>,
    slots: impl Iterator<Item = (usize, &'a QueueSlot)>,
    filter: Option<Filter>,
) -> CommandOutcome {
    let slots = slots.map(|(position, slot)| (position, slot.clone()));
    controls.query(Question::Queue(slots.collect(), filter))
}

fn position_of(queue: &Queue, id: QueueId) -> Result<usize, QueueError> {
    queue.position(id).ok_or(QueueError::NoSuchId)
}

/// Moves a range; relative places count without it.
fn move_range(
    controls: &mut Controls<'_>,
    range: Range<usize>,
    to: QueuePlace,
) -> Result<(), CommandError> {
    let range = range.start..range.end.min(controls.queue.len());
    let to_position = controls.position(to)?;
    let is_before = !matches!(to, QueuePlace::At(_)) && range.start < to_position;
    let to_position = match is_before {
        true => to_position.saturating_sub(range.len()),
        false => to_position,
    };
    Ok(controls.queue.move_range(range, to_position)?)
}

/// Songs shown behind the current one: what fits a glance.
const FOLLOWING: usize = 4;
