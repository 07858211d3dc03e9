//! What of a client's bytes is handed on when: an HTTP/1 request up to its end, HTTP/2 frame by frame.

use std::io;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::BytesMut;
use tokio::io::{AsyncRead as _, ReadBuf};

use super::stream::{ClientStream, Reading};
use crate::proxy::transport::Transport;
use crate::request::framing::control::ControlFrames;
use crate::request::target::Target;

/// What an HTTP/1 client's turn is.
enum Turn {
    /// It sends.
    Send,
    /// It waits for its answer.
    Wait,
    /// It has sent what is not to be read any more.
    Go,
}

impl ClientStream {
    /// Reads what comes next, as far as it may be handed on now.
    pub(super) fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.reading {
            Reading::Bytes => self.poll_bytes(cx, buffer),
            Reading::Requests(_) => self.poll_request(cx, buffer),
            Reading::Frames(_) => self.poll_frames(cx, buffer),
        }
    }

    /// Reads what there is.
    fn poll_bytes(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.put_back.is_empty() {
            return self.transport()?.poll_read(cx, buffer);
        }
        let length = self.put_back.len().min(buffer.remaining());
        self.take_back(length, buffer);
        Poll::Ready(Ok(()))
    }

    /// Hands on the first bytes that were put back.
    fn take_back(&mut self, length: usize, buffer: &mut ReadBuf<'_>) {
        let now = self.put_back.split_to(length.min(self.put_back.len()));
        buffer.put_slice(&now);
        if self.put_back.is_empty() {
            self.put_back = BytesMut::new();
        }
    }

    /// Reads from the socket, and keeps back all but the first bytes, as many as `keep` says.
    fn poll_some(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        keep: impl FnOnce(&mut Self, &[u8]) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        let before = buffer.filled().len();
        std::task::ready!(self.transport()?.poll_read(cx, buffer))?;
        let fresh = buffer.filled().get(before..).unwrap_or_default();
        let (came, length) = (fresh.len(), keep(self, fresh));
        if let Ok(length) = length
            && length < came
        {
            self.put_back
                .extend_from_slice(fresh.get(length..).unwrap_or_default());
        }
        buffer.set_filled(before + *length.as_ref().unwrap_or(&0));
        Poll::Ready(length.map(|_| came))
    }

    /// Reads one part of an HTTP/1 request, and not beyond it.
    fn poll_request(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.encoded.is_empty() {
            let length = self.encoded.len().min(buffer.remaining());
            buffer.put_slice(&self.encoded.split_to(length));
            return Poll::Ready(Ok(()));
        }
        match self.turn() {
            Turn::Send => {}
            Turn::Wait => return self.poll_idle(cx, buffer),
            Turn::Go => return Poll::Ready(Ok(())),
        }
        let is_head =
            matches!(&self.reading, Reading::Requests(requests) if requests.are_at_head());
        let before = buffer.filled().len();
        if self.put_back.is_empty() {
            let polled = self.poll_some(cx, buffer, |stream, fresh| stream.part_of(fresh));
            std::task::ready!(polled)?;
        } else {
            let offered = self.put_back.len().min(buffer.remaining());
            let put_back = std::mem::take(&mut self.put_back);
            let length = self.part_of(put_back.get(..offered).unwrap_or_default());
            self.put_back = put_back;
            self.take_back(length?, buffer);
        }
        if is_head {
            self.encode_target(before, buffer);
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what of a target must be encoded in its place, in what has been handed on since `before`.
    fn encode_target(&mut self, before: usize, buffer: &mut ReadBuf<'_>) {
        let Some(encoded) = self
            .target
            .encode(buffer.filled().get(before..).unwrap_or_default())
        else {
            return;
        };
        buffer.set_filled(before);
        let (now, later) = encoded.split_at(encoded.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.encoded.extend_from_slice(later);
    }

    /// Whether there is anything to be read of an HTTP/1 client, as its connection and its last request say.
    fn turn(&mut self) -> Turn {
        let Reading::Requests(requests) = &mut self.reading else {
            return Turn::Send;
        };
        let busy = self.connection.is_busy();
        if requests.awaits_framing() {
            match busy {
                true => requests.frame(self.connection.framing()),
                // The parser does not think that the head is over.
                false => requests.begin_head(),
            }
        }
        if !requests.are_over() {
            return Turn::Send;
        }
        if self.connection.is_tunnel() {
            requests.open_tunnel();
            return Turn::Send;
        }
        if busy {
            return Turn::Wait;
        }
        self.reset = None;
        if !requests.may_be_followed() && !self.put_back.is_empty() {
            self.connection.leave_unread();
            return Turn::Go;
        }
        requests.begin_head();
        self.target = Target::default();
        Turn::Send
    }

    /// How many of these bytes belong to the part of a request that is being read.
    fn part_of(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Reading::Requests(requests) = &mut self.reading else {
            return Ok(bytes.len());
        };
        requests.read(bytes).map_err(|malformed| {
            self.connection.has_malformed_body();
            io::Error::new(io::ErrorKind::InvalidData, malformed)
        })
    }

    /// Waits for a client that waits for its answer. What it sends meanwhile is kept for later; only a connection that
    /// is reset says that nobody is there any more.
    fn poll_idle(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reset.is_none() {
            if !self.put_back.is_empty() {
                return Poll::Pending;
            }
            let came = std::task::ready!(self.poll_some(cx, buffer, |_, _| Ok(0)))?;
            if came > 0 {
                return Poll::Pending;
            }
            self.reset = self.transport.as_ref().map(Transport::watch_reset);
        }
        let reset = self.reset.as_mut().map(|reset| reset.poll(cx));
        match reset {
            Some(Poll::Ready(())) => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            _ => Poll::Pending,
        }
    }

    /// Reads HTTP/2's frames, with [`crate::request::framing::frames::Frames`] looking after trailers.
    fn poll_frames(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Reading::Frames(mut frames) = self.reading else {
            return self.poll_bytes(cx, buffer);
        };
        let before = buffer.filled().len();
        loop {
            let offered = self.put_back.len().min(buffer.remaining());
            let mut length = frames.pass(&self.put_back, offered);
            if length == 0 && offered > 0 && frames.guard(&mut self.put_back) {
                continue;
            }
            if length > 0 {
                self.take_back(length, buffer);
            } else {
                // The end of what a client sends ends in the midst of a frame's head, if there is one.
                let polled = self.poll_some(cx, buffer, |stream, fresh| {
                    if stream.put_back.is_empty() {
                        length = frames.pass(fresh, fresh.len());
                    }
                    Ok(length)
                });
                let came = std::task::ready!(polled)?;
                if came > 0 && buffer.filled().len() == before {
                    continue;
                }
            }
            self.look_at_control(frames.take_control());
            self.reading = Reading::Frames(frames);
            return Poll::Ready(Ok(()));
        }
    }

    /// Has the connection ended where its client sends too many control frames.
    fn look_at_control(&mut self, came: ControlFrames) {
        if came != ControlFrames::default()
            && self.connection.is_one_clients()
            && self.control.is_too_much(came, self.written, Instant::now())
        {
            self.connection.calm_down();
        }
    }
}
