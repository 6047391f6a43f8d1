//! How a peer introduces itself to a tracker, and by what name.

use std::net::IpAddr;

/// How the peer introduces itself; the addresses are found anew each time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub name: String,
    /// Whether a person chose the name.
    pub name_chosen: bool,
    /// What a tracker made of the name before.
    pub known_as: Option<String>,
    /// The UDP port that the peer serves on.
    pub port: u16,
    /// The one address that it serves on, where it does not serve on all.
    pub bound: Option<IpAddr>,
}

impl Introduction {
    /// The name to ask for, and whether it has to be that: what a tracker made of it before
    /// is asked for as if a person had chosen it.
    pub fn name(&self) -> (String, bool) {
        let name = self.known_as.as_ref().unwrap_or(&self.name);
        let is_fixed = self.name_chosen || self.known_as.is_some();
        (name.clone(), is_fixed)
    }

    /// Another has that name now. Whether it was one from before; then the default one is
    /// tried again.
    pub fn give_up_known_as(&mut self) -> bool {
        self.known_as.take().is_some()
    }

    /// A tracker has registered the peer as `name`.
    pub fn handle_registered(&mut self, name: &str) {
        let is_numbered = !self.name_chosen && name != self.name;
        self.known_as = is_numbered.then(|| name.to_owned());
    }
}
