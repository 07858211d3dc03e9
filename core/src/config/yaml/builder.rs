//! Puts the parser's events together to a tree.

use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{Event, ScalarStyle, Span as YamlSpan, StructureStyle, Tag};

use super::{at, fatal, first_line};
use crate::config::diagnostic::{Diagnostic, Span};
use crate::config::node::{Node, Pair, Scalar, Value};
use crate::config::problems::Problems;

/// How deep maps and lists may nest, aliases included: what walks the tree may recurse.
const MAX_DEPTH: usize = 64;

/// How many nodes aliases may add: a file of a kilobyte must not become a tree of a gigabyte.
const MAX_ALIASED: usize = 100_000;

/// Takes events one by one.
pub(super) struct Builder<'p> {
    problems: &'p mut Problems,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    documents: usize,
    root: Option<Node>,
}

impl<'p> Builder<'p> {
    /// Collects in `problems` the errors that do not keep the rest from being read.
    pub(super) fn new(problems: &'p mut Problems) -> Self {
        Self {
            problems,
            open: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            documents: 0,
            root: None,
        }
    }

    /// The document, once every event has been taken.
    pub(super) fn finished(self) -> Option<Node> {
        self.root
    }

    /// Takes the next event; an error is one after which nothing more can be said.
    pub(super) fn take(&mut self, event: Event<'_>, span: YamlSpan) -> Result<(), Diagnostic> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document begins here";
                    let hint = "one file is one document: remove the `---`";
                    return Err(fatal(first_line(&span), message, Some(hint.into())));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quoted =
                    style != ScalarStyle::Plain || self.tagged_as_text(tag.as_deref(), &span);
                let scalar = Scalar::new(text.into_owned(), quoted);
                let at_key = !quoted && scalar.text().is_empty();
                self.finish(first_line(&span), Value::Scalar(scalar), anchor, 0, at_key)?;
            }
            Event::SequenceStart(style, anchor, tag) => {
                self.tagged_as_text(tag.as_deref(), &span);
                self.begin(span, style, anchor, Content::List(Vec::new()))?;
            }
            Event::MappingStart(style, anchor, tag) => {
                self.tagged_as_text(tag.as_deref(), &span);
                let content = Content::Map {
                    pairs: Vec::new(),
                    lines: HashMap::new(),
                    merged: None,
                    key: MapKey::Awaited,
                };
                self.begin(span, style, anchor, content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(&span)?,
            Event::Alias(anchor) => self.alias(anchor, &span)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether a tag makes a scalar a text. A tag that would change what a value is has no meaning here.
    fn tagged_as_text(&mut self, tag: Option<&Tag>, span: &YamlSpan) -> bool {
        let Some(tag) = tag else { return false };
        match tag.core_suffix() {
            Some("str") => return true,
            Some("map" | "seq") => {}
            _ if tag.original() == "!" => return true,
            _ => {
                let place = span.tag_start.map_or_else(
                    || first_line(span),
                    |start| at(&start, tag.original().chars().count()),
                );
                self.problems
                    .error(
                        place,
                        format!("the tag `{}` means nothing here", tag.original()),
                    )
                    .hint("remove it");
            }
        }
        false
    }

    fn begin(
        &mut self,
        start: YamlSpan,
        style: StructureStyle,
        anchor: usize,
        content: Content,
    ) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(first_line(&start)));
        }
        self.open.push(Open {
            start,
            block: style == StructureStyle::Block,
            anchor,
            height: 0,
            content,
        });
        Ok(())
    }

    fn end(&mut self, end: &YamlSpan) -> Result<(), Diagnostic> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let span = if open.block {
            at(&open.start.start, 1)
        } else {
            first_line(&YamlSpan::new(open.start.start, end.end))
        };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Map {
                pairs,
                lines,
                merged,
                ..
            } => Value::Map(match merged {
                Some(merged) => self.merge(pairs, &lines, merged),
                None => pairs,
            }),
        };
        let span = match &value {
            Value::Map(pairs) if open.block => pairs.first().map_or(span, first_line_of),
            _ => span,
        };
        self.finish(span, value, open.anchor, open.height + 1, open.block)
    }

    fn finish(
        &mut self,
        span: Span,
        value: Value,
        anchor: usize,
        height: usize,
        at_key: bool,
    ) -> Result<(), Diagnostic> {
        let node = Node { span, value };
        if anchor != 0 {
            let size = size(&node);
            let node = node.clone();
            self.anchors.insert(anchor, Anchored { node, height, size });
        }
        self.attach(Done {
            node,
            at_key,
            height,
        })
    }

    fn alias(&mut self, anchor: usize, span: &YamlSpan) -> Result<(), Diagnostic> {
        let place = first_line(span);
        let Some(anchored) = self.anchors.get(&anchor) else {
            return Err(fatal(
                place,
                "this alias stands within what it is an alias of",
                None,
            ));
        };
        self.aliased = self.aliased.saturating_add(anchored.size);
        if self.aliased > MAX_ALIASED {
            let message = format!("the file's aliases stand for more than {MAX_ALIASED} values");
            return Err(fatal(place, message, None));
        }
        if self.open.len() + anchored.height > MAX_DEPTH {
            return Err(too_deep(place));
        }
        let done = Done {
            node: anchored.node.clone(),
            at_key: false,
            height: anchored.height,
        };
        self.attach(done)
    }

    /// Hands a finished node to the collection that is open, as item, key or value.
    fn attach(&mut self, done: Done) -> Result<(), Diagnostic> {
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(done.node);
            return Ok(());
        };
        parent.height = parent.height.max(done.height);
        let Content::Map {
            pairs,
            lines,
            merged,
            key,
        } = &mut parent.content
        else {
            if let Content::List(items) = &mut parent.content {
                items.push(done.node);
            }
            return Ok(());
        };
        let mut value = done.node;
        match std::mem::replace(key, MapKey::Awaited) {
            MapKey::Awaited => *key = read_key(&value, lines, self.problems),
            MapKey::Refused => {}
            MapKey::Merge(span) => {
                if done.at_key {
                    value.span = span;
                }
                *merged = Some(value);
            }
            MapKey::Read(text, key_span) => {
                if done.at_key {
                    value.span = key_span;
                }
                pairs.push(Pair {
                    key: text,
                    key_span,
                    value,
                });
            }
        }
        Ok(())
    }

    /// Adds the keys of merged maps (`<<`): the map's own keys win, then those of earlier maps.
    fn merge(
        &mut self,
        mut pairs: Vec<Pair>,
        own: &HashMap<String, usize>,
        merged: Node,
    ) -> Vec<Pair> {
        let mut taken: HashSet<String> = own.keys().cloned().collect();
        let maps = match merged.value {
            Value::List(maps) => maps,
            value => vec![Node {
                span: merged.span,
                value,
            }],
        };
        for map in maps {
            let Value::Map(more) = map.value else {
                self.problems
                    .error(map.span, "`<<` takes a map, or a list of maps")
                    .hint("as in `<<: *defaults`");
                continue;
            };
            for pair in more {
                if taken.insert(pair.key.clone()) {
                    pairs.push(pair);
                }
            }
        }
        pairs
    }
}

/// A collection whose end has not come yet.
struct Open {
    start: YamlSpan,
    block: bool,
    anchor: usize,
    /// How many levels the deepest child has.
    height: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        pairs: Vec<Pair>,
        /// The line of each key.
        lines: HashMap<String, usize>,
        /// The maps that `<<` merges into it.
        merged: Option<Node>,
        key: MapKey,
    },
}

/// The key whose value a map is waiting for.
enum MapKey {
    /// A key.
    Awaited,
    /// The value of this key.
    Read(String, Span),
    /// The value of `<<`.
    Merge(Span),
    /// A value that is dropped: its key is an error.
    Refused,
}

/// A finished node with what its parent must know of it.
struct Done {
    node: Node,
    /// Whether errors about the whole are better shown at its key.
    at_key: bool,
    height: usize,
}

struct Anchored {
    node: Node,
    height: usize,
    size: usize,
}

fn read_key(node: &Node, lines: &mut HashMap<String, usize>, problems: &mut Problems) -> MapKey {
    let span = node.span;
    let Some(scalar) = node.scalar() else {
        problems.error(span, format!("a key is a text, not {}", node.kind()));
        return MapKey::Refused;
    };
    let merge = !scalar.is_quoted() && scalar.text() == "<<";
    let text = scalar.text().to_owned();
    if let Some(first) = lines.get(&text) {
        problems
            .error(span, format!("the key `{text}` stands here a second time"))
            .hint(format!("the first one is in line {first}"));
        return MapKey::Refused;
    }
    lines.insert(text.clone(), span.line);
    if merge {
        MapKey::Merge(span)
    } else {
        MapKey::Read(text, span)
    }
}

fn too_deep(span: Span) -> Diagnostic {
    fatal(
        span,
        format!("maps and lists nest deeper than {MAX_DEPTH} levels"),
        None,
    )
}

/// The span of a block map: it has no bracket to point at, so its whole first line stands for it. A key's span is only
/// the key, so that the two differ.
fn first_line_of(pair: &Pair) -> Span {
    let (key, value) = (pair.key_span, pair.value.span);
    let end = if value.line == key.line && value.column > key.column {
        value.column + value.length
    } else {
        key.column + key.length + 1
    };
    Span {
        length: end - key.column,
        ..key
    }
}

/// How many nodes a tree has.
fn size(node: &Node) -> usize {
    let below: usize = match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(size).sum(),
        Value::Map(pairs) => pairs.iter().map(|pair| size(&pair.value)).sum(),
    };
    below + 1
}
