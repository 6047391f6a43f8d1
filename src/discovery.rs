use crate::id::PeerId;
pub struct Announcer;
impl Announcer {
    pub fn new(_a: std::net::SocketAddr, _p: PeerId) -> Self {
        Self
    }
}
