//! What sounds and how.

use super::ClientContext;
use crate::{
    control::mpd::{
        args::{Ack, AckCode},
        command::Playback,
        reply::Reply,
    },
    player::queue::{Options, QueueError},
};

impl ClientContext<'_> {
    pub(super) fn playback(&mut self, command: Playback) -> Result<Reply, Ack> {
        let mut reply = Reply::with_tags(self.tags);
        match command {
            Playback::Play(position) => {
                let item = position.map(|at| self.queue.id_at(at)).transpose()?;
                self.play(item)?;
            }
            Playback::PlayId(id) => self.play(id)?,
            Playback::Pause(pause) => self.transport.pause(pause),
            Playback::Stop => self.transport.stop(),
            Playback::Next => self.transport.next(self.queue),
            Playback::Previous => self.transport.previous(self.queue),
            Playback::Seek(position, to) => {
                let item = self.queue.id_at(position)?;
                self.transport.seek(self.queue, item, to)?;
            }
            Playback::SeekId(id, to) => self.transport.seek(self.queue, id, to)?,
            Playback::SeekCurrent(to) => self
                .transport
                .seek_current(self.queue, to, self.view.position)
                .map_err(|_| Ack::new(AckCode::PlayerSync, "Not playing"))?,
            Playback::SetVolume(volume) => self.transport.set_volume(volume),
            Playback::ChangeVolume(by) => {
                let volume = self.transport.volume().saturating_add_signed(by);
                self.transport.set_volume(volume);
            }
            Playback::GetVolume => _ = reply.pair("volume", self.transport.volume()),
            Playback::Random(random) => self.options(|o| o.random = random),
            Playback::Repeat(repeat) => self.options(|o| o.repeat = repeat),
            Playback::Single(single) => self.options(|o| o.single = single),
            Playback::Consume(consume) => self.options(|o| o.consume = consume),
            Playback::NoCrossfade | Playback::NoReplayGain => {}
            Playback::ClearError => self.transport.clear_error(),
        }
        Ok(reply)
    }

    fn play(&mut self, item: Option<crate::player::queue::QueueId>) -> Result<(), QueueError> {
        self.transport.play(self.queue, item)
    }

    fn options(&mut self, change: impl FnOnce(&mut Options)) {
        let mut options = self.queue.options();
        change(&mut options);
        self.transport.set_options(self.queue, options);
    }
}
