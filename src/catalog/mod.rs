//! What music there is, and whose: pure data, checked on every way in.
//!
//! Each peer owns one [`Catalogue`]: numbered entries in pages of
//! [`PAGE_ENTRIES`], under a [`Head`] that the owner signs. A relay of it
//! can be stale but can never forge: a page is checked against the list of
//! page hashes, the list against the head, the head against the owner's key.
//!
//! Catching up is by state, not by log ([`Pull`]): a newer head, the list
//! of hashes, the pages that differ, all swapped in together. There are no
//! deltas and no tombstones. The [`Database`] is every owner's catalogue as
//! one browsable tree, with a directory per peer.

mod allowance;
mod database;
mod deposit;
mod directories;
mod entry;
mod excess;
mod fields;
mod head;
mod interner;
mod listing;
mod opening;
mod packed_tags;
mod page;
mod page_writer;
mod pages;
mod pull;
mod quota;
mod record;
mod refs;
#[cfg(test)]
pub(crate) mod samples;
mod tag;
mod tags;
mod texts;

pub use allowance::{Allowance, Allowances, Filling};
pub use database::{Database, DatabaseMember, FoundTrackRef};
#[cfg(feature = "door")]
pub use deposit::try_file;
pub use deposit::{Deposit, DepositError, Label, KEPT_FOR, LABEL_BYTES};
pub use entry::{Entry, HeldEntry, ListedEntry};
pub use excess::{Excess, TooMuch};
pub use fields::FieldSet;
pub use head::{CatalogueError, Hash, Head, SignedHead, MAX_PAGES, MAX_PAGE_BYTES, PAGE_ENTRIES};
pub use interner::Interner;
pub use listing::{decode_listed, encode_listed};
pub use page::Page;
pub use pages::Catalogue;
#[cfg(feature = "door")]
pub use pull::Pull;
pub use pull::{HeadStep, KeptCatalogue, Pulls, SyncError, Want};
pub use quota::{GivesWay, Holding, MemoryQuota, OwnerSite, Weight};
#[cfg(test)]
pub use refs::EntryRef;
pub use refs::{ListedRef, NotPlayable, MODIFIED};
pub use tag::Tag;
pub use tags::{Tags, TagsRef};
