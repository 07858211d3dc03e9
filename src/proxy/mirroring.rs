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
    /// For a request of which there is to be a copy, or none.
    pub fn begin(copy: Option<ShadowRequest>) -> Self {
        let Some(copy) = copy else {
            return Self::Left;
        };
        let answer = copy.compares().then(|| {
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

    /// A piece of the body has come, or its end, with which the copy goes. A request with too much of a body is not mirrored,
    /// nor a call whose messages do not come at once: it may be a stream, which keeps its place for as long as it likes.
    pub fn body_comes(&mut self, piece: &[u8], end: bool, shadows: &Shadows) {
        let Self::UnderWay(copying) = self else {
            return;
        };
        let Some(copy) = &copying.copy else {
            return;
        };
        let is_stream = copy.is_rpc && !end && !piece.is_empty();
        if is_stream || copying.body.len() + piece.len() > MOST_BODY {
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
                let recorder = AnswerRecorder::begin(method, status, headers);
                let is_known = !recorder.learns();
                answer.recorder = Some(recorder);
                if is_known {
                    copying.tell_answer();
                }
            }
            _ => copying.answer = None,
        }
    }

    /// A piece of it has come. Nothing more is remembered once the copy is over: its client may take as long as it likes.
    pub fn answer_comes(&mut self, piece: &[u8], end: bool) {
        let Self::UnderWay(copying) = self else {
            return;
        };
        copying.answer.take_if(|answer| answer.sender.is_closed());
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

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
    use tokio::sync::oneshot;

    use super::{Copying, Mirroring, Stables};

    /// A request whose copy is on its way, with the other side of stable's answer.
    fn sent() -> (Mirroring, oneshot::Receiver<super::Answer>) {
        let (sender, receiver) = oneshot::channel();
        let answer = Stables {
            recorder: None,
            sender,
            receiver: None,
        };
        let copying = Copying {
            copy: None,
            body: Vec::new(),
            answer: Some(answer),
        };
        (Mirroring::UnderWay(Box::new(copying)), receiver)
    }

    fn begin(mirroring: &mut Mirroring, content_type: &'static str) {
        let content_type = HeaderValue::from_static(content_type);
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, content_type)]);
        mirroring.answer_begins(true, &Method::GET, StatusCode::OK, &headers);
    }

    fn remembers(mirroring: &Mirroring) -> bool {
        matches!(mirroring, Mirroring::UnderWay(copying) if copying.answer.is_some())
    }

    #[test]
    fn nothing_of_an_answer_is_kept_once_the_copy_is_over() {
        let (mut mirroring, receiver) = sent();
        begin(&mut mirroring, "application/json");
        mirroring.answer_comes(b"{\"a\":", false);
        assert!(remembers(&mirroring));
        drop(receiver);
        mirroring.answer_comes(b"1", false);
        assert!(!remembers(&mirroring));
        mirroring.answer_comes(b"}", true);
    }

    #[test]
    fn an_answer_is_told_at_its_end_and_one_that_has_none_at_once() {
        let (mut mirroring, mut receiver) = sent();
        begin(&mut mirroring, "application/json");
        mirroring.answer_comes(b"{}", false);
        assert!(receiver.try_recv().is_err());
        mirroring.answer_comes(b"", true);
        assert!(receiver.try_recv().is_ok());

        let (mut mirroring, mut receiver) = sent();
        begin(&mut mirroring, "text/event-stream");
        assert!(receiver.try_recv().is_ok());
        assert!(!remembers(&mirroring));
    }
}
