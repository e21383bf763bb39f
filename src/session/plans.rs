//! Plans that one session keeps by their text, so that what comes again is not
//! planned again. Bounded by number and by what texts say of their size.

use std::collections::HashMap;
use std::sync::Arc;

use crate::plan::Plan;
use crate::types::Type;
use crate::types::id::SchemaVersion;

/// Plans that are kept.
const PLANS_MAX: usize = 256;

/// Bytes of all their texts; a plan takes some ten times as much.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The largest text that is worth keeping: one with many constants in it does
/// not come again.
const ONE_TEXT_BYTES_MAX: usize = TEXT_BYTES_MAX / 16;

#[derive(Default)]
pub(super) struct Plans {
    kept: HashMap<Key, Arc<Plan>>,
    text_bytes: usize,
}

/// A text, and the types that the client gave for its parameters.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Key {
    text: String,
    types: Vec<Option<u32>>,
}

impl Key {
    pub(super) fn of(text: &str, types: &[Option<Type>]) -> Key {
        Key {
            text: text.to_owned(),
            types: types.iter().map(|ty| ty.as_ref().map(Type::oid)).collect(),
        }
    }
}

impl Plans {
    /// The plan made against this version of the schema.
    pub(super) fn get(&self, key: &Key, version: SchemaVersion) -> Option<&Arc<Plan>> {
        let plan = self.kept.get(key)?;
        (plan.schema_version == version).then_some(plan)
    }

    pub(super) fn keep(&mut self, key: Key, plan: Arc<Plan>) {
        let bytes = key.text.len();
        if bytes > ONE_TEXT_BYTES_MAX {
            return;
        }
        if self.kept.len() >= PLANS_MAX || self.text_bytes + bytes > TEXT_BYTES_MAX {
            self.clear();
        }
        self.text_bytes += bytes;
        self.kept.insert(key, plan);
    }

    pub(super) fn clear(&mut self) {
        self.kept.clear();
        self.text_bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(lengths: impl Iterator<Item = usize>) -> (usize, usize) {
        let mut plans = Plans::default();
        for (number, length) in lengths.enumerate() {
            let number = number.to_string();
            let text = "x".repeat(length - number.len()) + &number;
            plans.keep(Key::of(&text, &[]), Arc::new(Plan::empty()));
            assert!(plans.kept.len() <= PLANS_MAX);
            assert!(plans.text_bytes <= TEXT_BYTES_MAX);
        }
        let held = plans.kept.keys().map(|key| key.text.len()).sum::<usize>();
        assert!(held <= plans.text_bytes);
        (plans.kept.len(), held)
    }

    #[test]
    fn what_is_kept_is_bounded() {
        assert_eq!(kept([10, 20].into_iter()), (2, 30));
        assert_eq!(kept([ONE_TEXT_BYTES_MAX + 1].into_iter()), (0, 0));
        assert_eq!(kept(vec![8; PLANS_MAX + 1].into_iter()), (1, 8));
        let sixteen = kept(vec![ONE_TEXT_BYTES_MAX; 16].into_iter());
        assert_eq!(sixteen, (16, TEXT_BYTES_MAX));
        let seventeen = kept(vec![ONE_TEXT_BYTES_MAX; 17].into_iter());
        assert_eq!(seventeen, (1, ONE_TEXT_BYTES_MAX));
    }

    #[test]
    fn another_schema_or_other_types_are_another_plan() {
        let mut plans = Plans::default();
        plans.keep(Key::of("q", &[None]), Arc::new(Plan::empty()));
        let version = SchemaVersion::default();
        assert!(plans.get(&Key::of("q", &[None]), version).is_some());
        assert!(
            plans
                .get(&Key::of("q", &[Some(Type::Int4)]), version)
                .is_none()
        );
        let later = SchemaVersion(version.0 + 1);
        assert!(plans.get(&Key::of("q", &[None]), later).is_none());
    }
}
