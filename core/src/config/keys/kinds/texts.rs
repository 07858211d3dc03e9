//! Values that are texts, as they stand or within rules of their own.

use std::fmt;
use std::marker::PhantomData;

use super::{Defaulted, Kind};
use crate::config::keys::shape::{Form, Shape, Written, text, text_or_list};
use crate::config::node::Node;
use crate::config::reader::Reader;

/// Any text, an empty one too.
#[derive(Debug)]
pub struct Text;

impl Kind for Text {
    type Value = Box<str>;

    fn shape(&self) -> Shape {
        text(Form::Any)
    }

    fn read(&self, _: &mut Reader, node: &Node) -> Option<Box<str>> {
        node.scalar().map(|scalar| scalar.text().into())
    }
}

impl Defaulted for Text {
    type Constant = &'static str;

    fn value(&self, constant: &'static str) -> Box<str> {
        constant.into()
    }

    fn written(&self, constant: &'static str) -> Written {
        Written::Text(constant.to_owned())
    }
}

/// A text, or a list of texts.
#[derive(Debug)]
pub struct Texts;

impl Kind for Texts {
    type Value = Vec<Box<str>>;

    fn shape(&self) -> Shape {
        static ITEM: Shape = text(Form::Any);
        text_or_list(Form::Any, &ITEM)
    }

    fn read(&self, _: &mut Reader, node: &Node) -> Option<Vec<Box<str>>> {
        let texts = node.one_or_many().iter();
        Some(
            texts
                .filter_map(|node| Some(node.scalar()?.text().into()))
                .collect(),
        )
    }
}

/// A text that is not empty.
#[derive(Debug)]
pub struct Name<T>(PhantomData<fn() -> T>);

/// A text that is not empty, kept as this type.
pub const fn name<T>() -> Name<T> {
    Name(PhantomData)
}

impl<T: for<'a> From<&'a str> + fmt::Debug + 'static> Kind for Name<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        text(Form::Any)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<T> {
        reader.name(node).map(T::from)
    }
}

impl<T: for<'a> From<&'a str> + fmt::Debug + 'static> Defaulted for Name<T> {
    type Constant = &'static str;

    fn value(&self, constant: &'static str) -> T {
        T::from(constant)
    }

    fn written(&self, constant: &'static str) -> Written {
        Written::Text(constant.to_owned())
    }
}

/// A text within rules of its own.
pub struct Parsed<T> {
    /// Names it in the message about a wrong one: "`x` is not …".
    pub what: &'static str,
    /// Stands in for a placeholder.
    pub stand_in: &'static str,
    /// Reads it; an error is a hint.
    pub parse: fn(&str) -> Result<T, String>,
}

impl<T> fmt::Debug for Parsed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parsed").field(&self.what).finish()
    }
}

impl<T: 'static> Kind for Parsed<T> {
    type Value = T;

    fn shape(&self) -> Shape {
        text(Form::Any)
    }

    fn read(&self, reader: &mut Reader, node: &Node) -> Option<T> {
        let stand_in = (self.parse)(self.stand_in).ok()?;
        reader.parse(node, self.what, stand_in, self.parse)
    }
}

impl<T: for<'a> From<&'a str> + 'static> Defaulted for Parsed<T> {
    type Constant = &'static str;

    fn value(&self, constant: &'static str) -> T {
        T::from(constant)
    }

    fn written(&self, constant: &'static str) -> Written {
        Written::Text(constant.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::config::diagnostic::Span;
    use crate::config::keys::shape::Key;
    use crate::config::keys::{client_api, flags, identity, routes, services, unleash};
    use crate::config::node::{Node, Pair, Scalar, Value};
    use crate::config::reader::Reader;
    use crate::context::Moment;

    /// A map in which a variable that is not set stands for a key's value.
    fn unset(key: &dyn Key) -> Node {
        let mut scalar = Scalar::new("${UNSET}".to_owned(), false);
        scalar.fill(String::new(), true);
        let pair = Pair {
            key: key.name().to_owned(),
            key_span: Span::default(),
            value: Node {
                value: Value::Scalar(scalar),
                ..Node::empty_map()
            },
        };
        Node {
            value: Value::Map(vec![pair]),
            ..Node::empty_map()
        }
    }

    #[test]
    fn what_stands_in_for_a_placeholder_can_be_read() {
        let reader = &mut Reader::new(Moment { unix_ms: 0 });
        macro_rules! stands_in {
            ($read:ident: $($key:path),+) => {
                $(assert!($key.$read(reader, &unset(&$key)).is_some(), "{}", $key.name());)+
            };
        }
        stands_in!(read: flags::VARIANT_NAME, identity::COOKIE, routes::TO, unleash::URL, client_api::PATH);
        stands_in!(try_read: services::health::PATH, identity::COOKIE_NAME, unleash::NAME, unleash::APP_NAME);
        assert!(reader.problems.is_empty());
    }
}
