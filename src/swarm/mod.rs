pub mod scheduler;
pub mod serving;
mod source;
