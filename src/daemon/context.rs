//! What every role starts with.

use std::{sync::Arc, time::Instant};

use async_channel::Receiver;
use smol::Task;

use super::{DaemonError, StateDir};
use crate::{
    config::Config,
    control::server::{ClientNotifier, ControlConfig, ControlEvent, ControlServer},
    discovery::Mdns,
    identity::Identity,
    service::{ServiceNotifier, StatusLine, Watchdog},
    util::work,
};

/// What the parts of a node are made with, whatever its role.
pub struct StartContext<'a> {
    pub config: &'a Config,
    pub state: &'a StateDir,
    pub identity: &'a Identity,
    pub mdns: Mdns,
    pub notifier: Arc<ServiceNotifier>,
    pub watchdog: Watchdog,
}

impl StartContext<'_> {
    /// What the service manager shows of the node.
    pub fn status_line(&self) -> StatusLine {
        StatusLine::new(self.notifier.clone(), Instant::now())
    }
}

/// The ways from and to those that are at the control socket.
pub struct ControlClients {
    pub requests: Receiver<ControlEvent>,
    pub notifier: ClientNotifier,
}

impl ControlClients {
    /// Binds the socket; the task serves it.
    ///
    /// # Errors
    /// Names the socket or port, and what to do.
    pub fn bind(with: &StartContext<'_>) -> Result<(Self, Task<()>), DaemonError> {
        let control = &with.config.control;
        let (server, requests, notifier) = ControlServer::bind(&ControlConfig {
            socket: control.socket.clone(),
            group: Some(control.group.clone()),
            mpd: control.mpd,
            password: control.password.as_deref().map(Into::into),
            has_player: with.config.role.is_peer(),
        })?;
        let clients = Self { requests, notifier };
        Ok((clients, work::spawn(server.run())))
    }
}
