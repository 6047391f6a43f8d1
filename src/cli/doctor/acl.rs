//! Access control lists (acl(5)), as the kernel keeps them: what `setfacl` grants beside the
//! mode.

/// A list, which counts in the place of a mode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl(Vec<AclEntry>);

/// A person, a group or the others, and what they are granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AclEntry {
    tag: u16,
    /// As the three bits of a mode.
    rights: u32,
    id: u32,
}

impl Acl {
    /// Reads the value of `system.posix_acl_access`; none where it is none.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let entries = value.strip_prefix(&VERSION)?;
        if entries.len() % ENTRY != 0 || entries.len() > MAX_ACL_BYTES {
            return None;
        }
        let entry = |bytes: &[u8]| {
            let [tag_a, tag_b, rights, _, id @ ..] = bytes else {
                return None;
            };
            Some(AclEntry {
                tag: u16::from_le_bytes([*tag_a, *tag_b]),
                rights: u32::from(*rights) & 7,
                id: u32::from_le_bytes(id.try_into().ok()?),
            })
        };
        entries
            .chunks_exact(ENTRY)
            .map(entry)
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether the user `who` of these groups has all that is `needed` of a file of this owner
    /// and group.
    pub fn lets(
        &self,
        who: Option<u32>,
        gids: &[u32],
        (uid, gid): (u32, u32),
        needed: u32,
    ) -> bool {
        let of = |tag| self.0.iter().filter(move |entry| entry.tag == tag);
        let grants = |entry: &AclEntry, mask: u32| entry.rights & mask & needed == needed;
        if who == Some(uid) {
            return of(OWNER).any(|entry| grants(entry, 7));
        }
        let mask = of(MASK).next().map_or(7, |mask| mask.rights);
        if let Some(named) = of(USER).find(|entry| who == Some(entry.id)) {
            return grants(named, mask);
        }
        let own_group = of(OWNING_GROUP).filter(|_| gids.contains(&gid));
        let groups = of(GROUP).filter(|entry| gids.contains(&entry.id));
        let mut groups = own_group.chain(groups).peekable();
        match groups.peek() {
            Some(_) => groups.any(|entry| grants(entry, mask)),
            None => of(OTHERS).any(|entry| grants(entry, 7)),
        }
    }
}

/// Of the only version that there is.
const VERSION: [u8; 4] = [2, 0, 0, 0];
/// Tag and rights of 16 bits, and an id.
const ENTRY: usize = 8;
/// More than ext4 keeps.
pub const MAX_ACL_BYTES: usize = 4096;
const OWNER: u16 = 0x01;
const USER: u16 = 0x02;
const OWNING_GROUP: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHERS: u16 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    fn value(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = VERSION.to_vec();
        for (tag, rights, id) in entries {
            value.extend(tag.to_le_bytes());
            value.extend(rights.to_le_bytes());
            value.extend(id.to_le_bytes());
        }
        value
    }

    /// `setfacl -m u:990:rX,g:29:rwX` on a directory of 1000:1000 with mode 750.
    #[test]
    fn a_named_user_counts_before_the_group_and_the_others() {
        let acl = |mask| {
            Acl::parse(&value(&[
                (OWNER, 7, u32::MAX),
                (USER, 5, 990),
                (OWNING_GROUP, 5, u32::MAX),
                (GROUP, 7, 29),
                (MASK, mask, u32::MAX),
                (OTHERS, 0, u32::MAX),
            ]))
            .unwrap()
        };
        let of = (1000, 1000);
        for (who, gids, mask, needed, lets) in [
            (990, &[][..], 7, 5, true),
            (990, &[29][..], 7, 7, false),
            (990, &[][..], 4, 5, false),
            (1000, &[][..], 0, 7, true),
            (5, &[29][..], 7, 7, true),
            (5, &[1000][..], 7, 5, true),
            (5, &[1000][..], 7, 7, false),
            (5, &[1000, 29][..], 7, 7, true),
            (5, &[29][..], 5, 7, false),
            (5, &[5][..], 7, 4, false),
        ] {
            let found = acl(mask).lets(Some(who), gids, of, needed);
            assert_eq!(found, lets, "{who} {gids:?} {mask} {needed}");
        }
    }

    #[test]
    fn what_is_no_list_is_none() {
        let whole = value(&[(OWNER, 7, 0), (OTHERS, 5, 0)]);
        assert!(Acl::parse(&whole).is_some());
        for broken in [&[][..], &[1, 0, 0, 0], &whole[..11], &vec![2; 9000]] {
            assert_eq!(Acl::parse(broken), None);
        }
    }
}
