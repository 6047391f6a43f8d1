//! What several rooms need, and none of them owns.

pub mod backoff;
pub mod few;
pub mod near;
pub mod random;
pub mod rate;
pub mod seconds;
pub mod span;
pub mod text;
pub mod tree;
pub mod within;
pub mod work;
