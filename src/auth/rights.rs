//! Who may do what: the levels of the REST routes.

use crate::catalog::{Catalog, User, UserKind};
use crate::types::id::UserId;

/// Whether this user administers the system: passes level `pyql`.
pub fn is_admin(user: &User) -> bool {
    user.kind == UserKind::Admin
}

/// The service account that speaks for a user, whose id join tokens carry.
pub fn service_of(catalog: &Catalog, user: UserId) -> Option<UserId> {
    catalog
        .users
        .values()
        .find(|child| child.parent == Some(user))
        .map(|child| child.id)
}

/// Whether this looks like an address: an `@`, and a dot after it.
pub fn is_email(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(name, host)| !name.is_empty() && host.contains('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emails() {
        for good in ["a@b.c", "new.user@company.com"] {
            assert!(is_email(good), "{good}");
        }
        for wrong in ["", "a", "a.b@c", "@b.c", "a@"] {
            assert!(!is_email(wrong), "{wrong}");
        }
    }
}
