//! Requests over HTTP/2, of which a connection has many at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::ClientConnection;
use crate::capacity::clients::{ClientRequest, Excess};
use crate::request::framing::Framing;

impl ClientConnection {
    /// Notes that a request's head has been read over HTTP/2; the request is under way until the result is dropped. An
    /// error says what the client has too much of.
    pub fn begin_stream(self: &Arc<Self>) -> Result<OpenStream, Excess> {
        let client = self.client.as_ref();
        let most = self.store.peek().traffic.streams_per_client;
        let counted = client.map(|client| client.begin(most)).transpose();
        let counted = counted.inspect_err(|_| {
            self.requests.fetch_add(1, Ordering::Relaxed);
        })?;
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.begin_request(Framing::Length(0));
        Ok(OpenStream {
            connection: self.clone(),
            counted,
        })
    }
}

/// A request under way beside others on its connection.
#[derive(Debug)]
pub struct OpenStream {
    connection: Arc<ClientConnection>,
    counted: Option<ClientRequest>,
}

impl OpenStream {
    /// Its connection.
    pub fn connection(&self) -> &ClientConnection {
        &self.connection
    }

    /// Notes that the request goes on to an upstream, of which its client's may take `most` at a time.
    pub fn go_on(&mut self, most: usize) -> Result<(), Excess> {
        match &mut self.counted {
            Some(request) => request.go_on(most),
            None => Ok(()),
        }
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        if self.connection.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.connection.multiplex();
        }
    }
}
