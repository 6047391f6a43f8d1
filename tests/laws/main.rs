//! The laws that the compiler does not know: these read the project's own sources.
//!
//! What only tests build is none of the house, but for the lengths, which hold for all.

mod arrows;
mod clock;
mod house;
mod lists;
mod purity;
mod shape;
mod words;
