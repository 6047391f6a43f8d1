pub mod scheduler;
pub mod serving;
