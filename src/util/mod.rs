//! What several rooms need, and none of them owns.

pub mod random;
pub mod within;
