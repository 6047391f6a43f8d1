//! What sounds and how.

use super::Controls;
use crate::{
    command::{Answer, CommandError, CommandOutcome, Playback},
    playback::queue::Options,
};

pub(super) fn playback(
    controls: &mut Controls<'_>,
    command: Playback,
) -> Result<CommandOutcome, CommandError> {
    let position = controls.position;
    let (queue, transport) = (&mut *controls.queue, &mut *controls.transport);
    match command {
        Playback::Play(at) => {
            let item = at.map(|at| queue.id_at(at)).transpose()?;
            transport.play(queue, item)?;
        }
        Playback::PlayId(id) => transport.play(queue, id)?,
        Playback::Pause(pause) => transport.pause(pause),
        Playback::Stop => transport.stop(),
        Playback::Next => transport.next(queue),
        Playback::Previous => transport.previous(queue),
        Playback::Seek(at, to) => {
            let item = queue.id_at(at)?;
            transport.seek(queue, item, to)?;
        }
        Playback::SeekId(id, to) => transport.seek(queue, id, to)?,
        Playback::SeekCurrent(to) => transport
            .seek_current(queue, to, position)
            .map_err(|_| CommandError::NotPlaying)?,
        Playback::SetVolume(volume) => transport.set_volume(volume),
        Playback::ChangeVolume(by) => {
            let volume = transport.volume().saturating_add_signed(by);
            transport.set_volume(volume);
        }
        Playback::Random(random) => set(controls, |o| o.random = random),
        Playback::Repeat(repeat) => set(controls, |o| o.repeat = repeat),
        Playback::Single(single) => set(controls, |o| o.single = single),
        Playback::Consume(consume) => set(controls, |o| o.consume = consume),
        Playback::ClearError => transport.clear_error(),
    }
    Ok(Answer::Done.into())
}

fn set(controls: &mut Controls<'_>, change: impl FnOnce(&mut Options)) {
    let mut options = controls.queue.options();
    change(&mut options);
    controls.transport.set_options(controls.queue, options);
}
