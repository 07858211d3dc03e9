//! Flags and segments that Serin keeps itself: JSON documents that say what `flags` and `segments` of `routes.yaml` say,
//! read by the same reader. They are compiled against the file: its segments, its properties and its `canary_urls`.

mod compile;
pub mod ring;

use std::collections::BTreeMap;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::Config;
use super::diagnostic::Severity;
use super::document::{Document, FieldProblem};
use super::node::Pair;
use crate::context::Moment;
use crate::digest::Digest;
use crate::engine::{Flag, Origin, Segment};
use compile::{Surroundings, trees};

/// Documents by name.
pub type Documents = BTreeMap<Arc<str>, Arc<Document>>;

/// Everything that Serin keeps. Clones share the documents.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptDocuments {
    /// Flags, each as an entry of `flags`.
    pub flags: Documents,
    /// Segments, each as an entry of `segments`.
    pub segments: Documents,
}

/// What is kept, compiled.
#[derive(Clone, Debug, Default)]
pub struct CompiledKept {
    /// Every flag, by name. One that does not compile is there, and off.
    pub flags: Vec<Arc<Flag>>,
    /// The hash of all documents; `None`: nothing is kept.
    pub digest: Option<Digest>,
    segments: BTreeMap<Arc<str>, Arc<Segment>>,
    problems: BTreeMap<Subject, Vec<FieldProblem>>,
    shadowed: Vec<Arc<str>>,
}

/// What a document is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// The segment of this name.
    Segment(Arc<str>),
    /// The flag of this name.
    Flag(Arc<str>),
}

impl KeptDocuments {
    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.flags.is_empty() && self.segments.is_empty()
    }

    /// The document about something.
    pub fn get(&self, subject: &Subject) -> Option<&Arc<Document>> {
        match subject {
            Subject::Segment(name) => self.segments.get(name),
            Subject::Flag(name) => self.flags.get(name),
        }
    }

    fn digest(&self) -> Option<Digest> {
        let mut hash = Sha256::new();
        for documents in [&self.segments, &self.flags] {
            hash.update((documents.len() as u64).to_be_bytes());
            for (name, document) in documents {
                hash.update((name.len() as u64).to_be_bytes());
                hash.update(name.as_bytes());
                hash.update(document.digest().0);
            }
        }
        (!self.is_empty()).then(|| Digest(hash.finalize().into()))
    }

    /// Compiles everything, as what Serin keeps. Flags that say the same as in `earlier` stay the very same [`Flag`]. Where
    /// `earlier` was compiled of the same segments against the same configuration, only other documents are read.
    pub fn compile(
        &self,
        config: &Config,
        now: Moment,
        earlier: Option<Earlier<'_>>,
    ) -> CompiledKept {
        self.compile_for(&Origin::Serin, config, now, earlier)
    }

    /// The same, as what `keeper` keeps.
    pub fn compile_for(
        &self,
        keeper: &Origin,
        config: &Config,
        now: Moment,
        earlier: Option<Earlier<'_>>,
    ) -> CompiledKept {
        let same = earlier
            .filter(|earlier| earlier.is_same_config && self.has_same_segments(earlier.documents));
        let mut compiled = match same {
            Some(earlier) => earlier.compiled.segments_of(),
            None => self.compile_segments(config, now, keeper),
        };
        compiled.digest = self.digest();
        let mut known = earlier.into_iter().flat_map(Earlier::flags).peekable();
        for (name, document) in &self.flags {
            while known.next_if(|(known, ..)| *known < name).is_some() {}
            let before = known.next_if(|(known, ..)| *known == name);
            let flag = match before {
                Some((_, read, flag)) if same.is_some() && Arc::ptr_eq(read, document) => {
                    let subject = Subject::Flag(name.clone());
                    let problems = earlier.map(|earlier| earlier.compiled.problems(&subject));
                    compiled.note(subject, problems.unwrap_or_default().to_vec());
                    flag.clone()
                }
                _ => {
                    let surroundings = Surroundings {
                        config,
                        known: &compiled.segments,
                        keeper,
                        now,
                    };
                    let (flag, problems) = surroundings.flag(name, document);
                    compiled.note(Subject::Flag(name.clone()), problems);
                    match before {
                        Some((.., before)) if **before == flag => before.clone(),
                        _ => Arc::new(flag),
                    }
                }
            };
            compiled.flags.push(flag);
        }
        compiled
    }

    fn has_same_segments(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.segments.iter(), other.segments.iter());
        self.segments.len() == other.segments.len()
            && mine.zip(theirs).all(|((name, document), (known, read))| {
                name == known && Arc::ptr_eq(document, read)
            })
    }

    /// Segments of the file come first. The others are compiled once what they refer to is; what is left then refers to
    /// itself, or to something that is not there or broken.
    fn compile_segments(&self, config: &Config, now: Moment, keeper: &Origin) -> CompiledKept {
        let mut compiled = CompiledKept::default();
        for segment in &config.segments {
            let known = (segment.name.clone(), segment.clone());
            compiled.segments.extend([known]);
        }
        let mut left = Vec::new();
        for (name, document) in &self.segments {
            match compiled.segments.contains_key(name) {
                true => compiled.shadowed.push(name.clone()),
                false => left.push((name, document)),
            }
        }
        let with = |compiled: &CompiledKept,
                    (name, document): &(&Arc<str>, &Arc<Document>),
                    others: &[Pair]| {
            let surroundings = Surroundings {
                config,
                known: &compiled.segments,
                keeper,
                now,
            };
            surroundings.segment(name, document, others)
        };
        loop {
            let before = left.len();
            left.retain(|one| match with(&compiled, one, &[]) {
                Ok(segment) => {
                    compiled.segments.insert(segment.name.clone(), segment);
                    false
                }
                Err(_) => true,
            });
            if left.len() == before {
                break;
            }
        }
        let trees = trees(&left);
        for one in &left {
            let problems = with(&compiled, one, &trees).err().unwrap_or_default();
            compiled.note(Subject::Segment(one.0.clone()), problems);
        }
        compiled
    }
}

/// What was compiled before.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// Of what.
    pub documents: &'a KeptDocuments,
    /// What came of it.
    pub compiled: &'a CompiledKept,
    /// Whether it was compiled against the same configuration.
    pub is_same_config: bool,
}

impl<'a> Earlier<'a> {
    /// Its flags with their documents, by name.
    fn flags(self) -> impl Iterator<Item = (&'a Arc<str>, &'a Arc<Document>, &'a Arc<Flag>)> {
        let documents = self.documents.flags.iter();
        let flags = documents.zip(&self.compiled.flags);
        flags.map(|((name, document), flag)| (name, document, flag))
    }
}

impl CompiledKept {
    /// What is wrong with a document, errors first.
    pub fn problems(&self, subject: &Subject) -> &[FieldProblem] {
        self.problems.get(subject).map_or(&[], Vec::as_slice)
    }

    /// Whether a document could not be compiled.
    pub fn is_broken(&self, subject: &Subject) -> bool {
        let mut problems = self.problems(subject).iter();
        problems.any(|problem| problem.severity == Severity::Error)
    }

    /// What could not be compiled.
    pub fn broken(&self) -> impl Iterator<Item = &Subject> {
        let subjects = self.problems.keys();
        subjects.filter(|subject| self.is_broken(subject))
    }

    /// Whether `routes.yaml` has a segment of the same name, which comes first.
    pub fn is_shadowed(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Segment(name) => self.shadowed.contains(name),
            Subject::Flag(_) => false,
        }
    }

    /// Every segment that flags may refer to, by name: those of the file, and those that are kept and compile.
    pub fn segments(&self) -> impl Iterator<Item = &Arc<Segment>> {
        self.segments.values()
    }

    /// What is out of force, and why, for people.
    pub fn warnings(&self) -> Vec<String> {
        let shadowed = self.shadowed.iter().map(|name| {
            format!("the segment {name:?} of serin is not used, because routes.yaml has one of that name")
        });
        let broken = self.problems.iter().filter_map(|(subject, problems)| {
            let mut problems = problems.iter();
            let error = problems.find(|problem| problem.severity == Severity::Error)?;
            let why = error.in_one_line();
            Some(match subject {
                Subject::Segment(name) => {
                    format!("the segment {name:?} of serin does not compile any more, and neither do flags that use it: {why}")
                }
                Subject::Flag(name) => {
                    format!("flag {name} of serin does not compile any more, so it is off: {why}")
                }
            })
        });
        shadowed.chain(broken).collect()
    }

    /// The same segments, and no flags yet.
    fn segments_of(&self) -> Self {
        let problems = self.problems.iter();
        let of_segments = problems.filter(|(subject, _)| matches!(subject, Subject::Segment(_)));
        Self {
            segments: self.segments.clone(),
            shadowed: self.shadowed.clone(),
            problems: of_segments
                .map(|(subject, problems)| (subject.clone(), problems.clone()))
                .collect(),
            ..Self::default()
        }
    }

    fn note(&mut self, subject: Subject, problems: Vec<FieldProblem>) {
        if !problems.is_empty() {
            self.problems.insert(subject, problems);
        }
    }
}

#[cfg(test)]
mod tests;
