//! Which field of the context a name is.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Field, Slot};

/// The names of what every context has, as Unleash writes them.
const BUILT_IN: [(&str, Field); 4] = [
    ("userId", Field::UserId),
    ("sessionId", Field::SessionId),
    ("remoteAddress", Field::RemoteAddress),
    ("currentTime", Field::Now),
];

/// Which field a context name is. The slots of `identity.properties` come first; names that only flags mention get
/// the slots behind them. Requests never fill those, but the contexts that client apps send can.
#[derive(Clone, Debug)]
pub struct ContextSchema {
    built_in: [(Arc<str>, Field); BUILT_IN.len()],
    properties: Vec<Arc<str>>,
    slots: FxHashMap<Arc<str>, Slot>,
}

impl ContextSchema {
    /// The schema of `identity.properties`, in their order.
    pub fn new(properties: &[Arc<str>]) -> Self {
        let mut schema = Self {
            built_in: BUILT_IN.map(|(name, field)| (name.into(), field)),
            properties: Vec::new(),
            slots: FxHashMap::default(),
        };
        for name in properties {
            schema.add(name);
        }
        schema
    }

    /// The field of this name; a property that is new gets a slot. `None` when there are no more slots.
    pub fn field(&mut self, name: &str) -> Option<Field> {
        self.entry(name).map(|(_, field)| field)
    }

    /// The field of this name, if it has been mentioned.
    pub fn lookup(&self, name: &str) -> Option<Field> {
        self.known(name).map(|(_, field)| field)
    }

    /// The names of all properties, in the order of their slots.
    pub fn names(&self) -> &[Arc<str>] {
        &self.properties
    }

    /// The field, with its name to share.
    pub fn entry(&mut self, name: &str) -> Option<(Arc<str>, Field)> {
        self.known(name).or_else(|| {
            let name: Arc<str> = name.into();
            let field = self.add(&name)?;
            Some((name, field))
        })
    }

    fn known(&self, name: &str) -> Option<(Arc<str>, Field)> {
        if let Some((name, slot)) = self.slots.get_key_value(name) {
            return Some((name.clone(), Field::Property(*slot)));
        }
        let mut built_in = self.built_in.iter();
        built_in.find(|(known, _)| **known == *name).cloned()
    }

    fn add(&mut self, name: &Arc<str>) -> Option<Field> {
        let slot = Slot(u16::try_from(self.properties.len()).ok()?);
        self.properties.push(name.clone());
        self.slots.insert(name.clone(), slot);
        Some(Field::Property(slot))
    }
}

#[cfg(test)]
mod tests {
    use super::ContextSchema;
    use crate::context::{Field, Slot};

    #[test]
    fn configured_properties_keep_their_slots() {
        let mut schema = ContextSchema::new(&["appVersion".into(), "email".into()]);
        assert_eq!(schema.field("userId"), Some(Field::UserId));
        assert_eq!(schema.field("currentTime"), Some(Field::Now));
        assert_eq!(schema.lookup("plan"), None);
        let slot = |number| Some(Field::Property(Slot(number)));
        assert_eq!(schema.field("plan"), slot(2));
        assert_eq!(schema.field("email"), slot(1));
        assert_eq!(schema.field("plan"), slot(2));
        assert_eq!(schema.lookup("plan"), slot(2));
        assert_eq!(
            schema.names(),
            ["appVersion".into(), "email".into(), "plan".into()]
        );
    }

    #[test]
    fn there_are_as_many_slots_as_numbers_for_them() {
        let mut schema = ContextSchema::new(&[]);
        for number in 0..=u16::MAX {
            assert!(schema.field(&number.to_string()).is_some());
        }
        assert_eq!(schema.field("one more"), None);
        assert_eq!(schema.field("7"), Some(Field::Property(Slot(7))));
    }
}
