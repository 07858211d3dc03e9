//! What a request that a shadow gets as well has to do for that: its body is kept, up to a bound, while it passes, and
//! stable's answer is remembered while that passes. Neither waits for the shadow, nor does anything of the shadow come here.

use http::{HeaderMap, Method, StatusCode};
use tokio::sync::oneshot;

use crate::shadow::answer::{Answer, AnswerRecorder};
use crate::shadow::{ShadowRequest, Shadows};

/// How large a body may be that is mirrored: as much as there would be to send to stable again.
pub const MOST_BODY: usize = 64 * 1024;

/// Whether a request is mirrored.
#[derive(Debug, Default)]
pub enum Mirroring {
    /// No attempt has been made: nobody has asked yet.
    #[default]
    Undecided,
    /// It is not, or no more.
    Left,
    /// It is.
    UnderWay(Box<Copying>),
}

/// A request that is mirrored.
#[derive(Debug)]
pub struct Copying {
    /// The copy; `None`: it has been sent.
    copy: Option<ShadowRequest>,
    /// The copy's body, as far as the request's has come.
    body: Vec<u8>,
    /// What stable answers, if it is to be compared with.
    answer: Option<Stables>,
}

/// Stable's answer on its way to whoever compares it.
#[derive(Debug)]
struct Stables {
    recorder: Option<AnswerRecorder>,
    sender: oneshot::Sender<Answer>,
    /// Goes with the copy.
    receiver: Option<oneshot::Receiver<Answer>>,
}

impl Mirroring {
    /// For a request of which there is to be a copy, or none. `compares`: stable's answer is compared with the shadow's.
    pub fn begin(copy: Option<ShadowRequest>, compares: bool) -> Self {
        let Some(copy) = copy else {
            return Self::Left;
        };
        let answer = compares.then(|| {
            let (sender, receiver) = oneshot::channel();
            Stables {
                recorder: None,
                sender,
                receiver: Some(receiver),
            }
        });
        Self::UnderWay(Box::new(Copying {
            copy: Some(copy),
            body: Vec::new(),
            answer,
        }))
    }

    /// Another attempt begins, for which what came of the body comes once more.
    pub fn attempt_begins(&mut self) {
        if let Self::UnderWay(copying) = self {
            copying.body.clear();
        }
    }

    /// A piece of the body has come, or its end, with which the copy goes. A request with too much of a body is not mirrored.
    pub fn body_comes(&mut self, piece: &[u8], end: bool, shadows: &Shadows) {
        let Self::UnderWay(copying) = self else {
            return;
        };
        if copying.copy.is_none() {
            return;
        }
        if copying.body.len() + piece.len() > MOST_BODY {
            *self = Self::Left;
            return;
        }
        copying.body.extend_from_slice(piece);
        if end {
            copying.send(shadows);
        }
    }

    /// The head of the answer that the client gets has come. `is_stables`: it is stable's, as all are that are compared.
    pub fn answer_begins(
        &mut self,
        is_stables: bool,
        method: &Method,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        let Self::UnderWay(copying) = self else {
            return;
        };
        match &mut copying.answer {
            Some(answer) if is_stables => {
                answer.recorder = Some(AnswerRecorder::begin(method, status, headers));
            }
            _ => copying.answer = None,
        }
    }

    /// A piece of it has come.
    pub fn answer_comes(&mut self, piece: &[u8], end: bool) {
        let Self::UnderWay(copying) = self else {
            return;
        };
        let answer = copying.answer.as_mut();
        let recorder = answer.and_then(|answer| answer.recorder.as_mut());
        if recorder.is_some_and(|recorder| !recorder.push(piece) || end) {
            copying.tell_answer();
        }
    }

    /// All of it has come.
    pub fn answer_ends(&mut self) {
        if let Self::UnderWay(copying) = self {
            copying.tell_answer();
        }
    }
}

impl Copying {
    fn send(&mut self, shadows: &Shadows) {
        if let Some(mut copy) = self.copy.take() {
            copy.body = std::mem::take(&mut self.body).into();
            let answer = self.answer.as_mut();
            shadows.send(copy, answer.and_then(|answer| answer.receiver.take()));
        }
    }

    fn tell_answer(&mut self) {
        if let Some(answer) = self.answer.take()
            && let Some(recorder) = answer.recorder
        {
            // Nobody listens any more where the shadow failed.
            let _ = answer.sender.send(recorder.finish());
        }
    }
}
