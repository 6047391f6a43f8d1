//! A whole catalogue of another.

use std::sync::Arc;

use super::Via;
use crate::catalog::Catalogue;

/// A whole catalogue.
#[derive(Debug)]
pub struct WholeCatalogue {
    pub catalogue: Arc<Catalogue>,
    /// What it takes in memory.
    pub bytes: usize,
    /// By which way it came.
    pub via: Via,
}

impl WholeCatalogue {
    pub fn new(catalogue: Arc<Catalogue>, via: Via) -> Self {
        let bytes = catalogue.footprint();
        Self {
            catalogue,
            bytes,
            via,
        }
    }
}
