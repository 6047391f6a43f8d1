use std::{io, net::SocketAddr};
use crate::identity::Identity;
pub struct TrackerServer;
impl TrackerServer { pub fn bind(_a: SocketAddr, _i: &Identity) -> io::Result<Self> { Ok(Self) } pub fn local_addr(&self) -> SocketAddr { ([127,0,0,1],1).into() } }
