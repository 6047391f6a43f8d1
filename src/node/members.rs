//! Which owners' catalogues make the database, and what each owner is called there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{catalogues::Catalogues, roster::Roster};
use crate::{catalog::DatabaseMember, id::PeerId, tenure::numbered, util::tree};

/// This node itself, then the owners that are here, then those that are away.
pub(super) fn all(me: PeerId, roster: &Roster, catalogues: &mut Catalogues) -> Vec<DatabaseMember> {
    let own = catalogues.own().map(|own| DatabaseMember {
        peer: me,
        name: roster.own_name().clone(),
        catalogue: own.clone(),
        kept_until: None,
    });
    let mut members: Vec<DatabaseMember> = own.into_iter().collect();
    for record in roster.iter() {
        let name: Arc<str> = record.name.as_str().into();
        catalogues.handle_name(record.peer, &name);
        members.extend(catalogues.get(record.peer).map(|catalogue| DatabaseMember {
            peer: record.peer,
            name,
            catalogue: catalogue.clone(),
            kept_until: None,
        }));
    }
    members.extend(away(roster, catalogues));
    members
}

/// The owners that are away. Where another has its name by now, one is numbered.
fn away(roster: &Roster, catalogues: &Catalogues) -> Vec<DatabaseMember> {
    let here = roster.iter().map(|record| record.name.as_str());
    let mut taken: BTreeSet<String> = tree::set(here.map(str::to_owned));
    taken.insert(roster.own_name().to_string());
    // Of many that were called the same none tries all numbers again.
    let mut next: BTreeMap<&Arc<str>, u32> = BTreeMap::new();
    let away = catalogues.away().map(|(name, until, catalogue)| {
        let number = next.entry(name).or_default();
        let mut names = std::iter::from_fn(|| {
            *number += 1;
            Some(numbered(name, *number))
        });
        let name = names.find(|name| taken.insert(name.clone()));
        DatabaseMember {
            peer: catalogue.owner(),
            name: name.unwrap_or_default().into(),
            catalogue: catalogue.clone(),
            kept_until: Some(until),
        }
    });
    away.collect()
}
