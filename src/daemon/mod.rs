pub mod dirs;
pub mod logging;
pub mod notify;
pub mod signals;
