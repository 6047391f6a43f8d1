//! What all tasks of a peer work with.

use std::{future::Future, sync::Arc};

use async_channel::Sender;
use smol::Task;

use super::Input;
use crate::{
    content::store::Store,
    library::Library,
    node::Event,
    swarm::{
        endpoint::Endpoint,
        provide::{Ask, SharedBudget},
    },
    util::work,
};

/// What tasks work with, and those of them that nothing else owns: they end when it is dropped.
pub struct Workbench {
    pub endpoint: Endpoint,
    /// What may be sent to others.
    pub budget: SharedBudget,
    pub store: Arc<Store>,
    pub library: Arc<Library>,
    /// Where they answer.
    pub answer: Sender<Input>,
    /// Where the questions of other peers go.
    pub asks_to: Sender<Ask>,
    tasks: Vec<Task<()>>,
}

impl Workbench {
    pub fn new(
        endpoint: Endpoint,
        budget: SharedBudget,
        (store, library): (Arc<Store>, Arc<Library>),
        (answer, asks_to): (Sender<Input>, Sender<Ask>),
    ) -> Self {
        Self {
            endpoint,
            budget,
            store,
            library,
            answer,
            asks_to,
            tasks: Vec::new(),
        }
    }

    /// Starts a task, and forgets those that have ended.
    pub fn spawn(&mut self, future: impl Future<Output = ()> + Send + 'static) {
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(work::spawn(future));
    }

    /// The same for one that answers with an event.
    pub fn spawn_event(&mut self, future: impl Future<Output = Event> + Send + 'static) {
        let to = self.answer.clone();
        self.spawn(async move {
            let event = future.await;
            let _ = to.send(Input::Event(event)).await;
        });
    }
}
