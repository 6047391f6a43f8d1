pub mod answers;
pub mod catalogues;
pub mod directory;
pub mod plays;
