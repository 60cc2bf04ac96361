use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;

use futures_util::TryFutureExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::client::identified;
use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::{Event, EventResult, EventStatus, StreamRequest, StreamResponse};
use crate::retry::{Failure, pause};

/// How many messages may wait for their acks.
const MAX_UNACKED: usize = 1000;

/// Hands events over for as long as one likes. A stream that breaks is opened again, and what was not
/// acked is sent again, in its order, with the same message ids.
///
/// Dropped without [`close`](EventStream::close), it goes on in the background until all is acked.
pub struct EventStream {
    messages: mpsc::Sender<Vec<Event>>,
    task: JoinHandle<Result<(), Failure>>,
}

/// The stream has ended permanently: [`close`](EventStream::close) says why.
#[derive(Debug)]
pub struct Ended;

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the stream has ended")
    }
}

impl std::error::Error for Ended {}

impl EventStream {
    pub(crate) fn new(
        service: IngestServiceClient<Channel>,
        on_result: impl FnMut(&Event, EventResult) + Send + 'static,
    ) -> EventStream {
        let (messages, incoming) = mpsc::channel(1);
        let sender = Sender {
            service,
            on_result,
            incoming,
            unacked: VecDeque::new(),
            sequence: 0,
            settled: 0,
        };
        EventStream { messages, task: tokio::spawn(sender.run()) }
    }

    /// Puts events on the stream, as one message, and waits while too many are not acked.
    pub async fn send(&self, events: Vec<Event>) -> Result<(), Ended> {
        let events = events.into_iter().map(identified).collect();
        self.messages.send(events).await.map_err(|_| Ended)
    }

    /// Waits until everything is acked. Fails where it was not.
    pub async fn close(self) -> Result<(), Failure> {
        drop(self.messages);
        self.task.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

struct Sender<F> {
    service: IngestServiceClient<Channel>,
    on_result: F,
    incoming: mpsc::Receiver<Vec<Event>>,
    unacked: VecDeque<StreamRequest>,
    sequence: u64,
    settled: u64,
}

impl<F: FnMut(&Event, EventResult)> Sender<F> {
    async fn run(mut self) -> Result<(), Failure> {
        let mut attempt = 0;
        loop {
            let before = self.settled;
            let Err(status) = self.call().await else { return Ok(()) };
            if self.settled != before {
                attempt = 0;
            }
            match pause(&status, attempt) {
                Some(wait) => tokio::time::sleep(wait).await,
                None => return Err(status.into()),
            }
            attempt += 1;
        }
    }

    /// Makes one call of Stream: Ok once no more events can come and everything is acked.
    async fn call(&mut self) -> Result<(), Status> {
        // It never holds more than what is unacked.
        let (outgoing, requests) = mpsc::unbounded_channel();
        for message in &self.unacked {
            let _ = outgoing.send(message.clone());
        }
        let mut outgoing = Some(outgoing);
        let mut service = self.service.clone();
        let call = async move { service.stream(UnboundedReceiverStream::new(requests)).await };
        let mut acks = pin!(call.map_ok(Response::into_inner).try_flatten_stream());
        let mut named = HashMap::new();
        loop {
            let room = self.unacked.len() < MAX_UNACKED;
            tokio::select! {
                ack = acks.next() => match ack {
                    Some(ack) => self.settle(ack?, &mut named),
                    None if outgoing.is_none() && self.unacked.is_empty() => return Ok(()),
                    None => return Err(Status::unavailable("the stream ended before the last ack")),
                },
                events = self.incoming.recv(), if room && outgoing.is_some() => match events {
                    Some(events) => {
                        self.sequence += 1;
                        let message = StreamRequest { sequence: self.sequence, events };
                        self.unacked.push_back(message.clone());
                        if let Some(outgoing) = &outgoing {
                            // Where the call has failed, acks says why.
                            let _ = outgoing.send(message);
                        }
                    }
                    // Dropped, it half-closes the call.
                    None => outgoing = None,
                },
            }
        }
    }

    /// Tells of every event up to the ack's sequence number; what no ack named was accepted.
    fn settle(&mut self, ack: StreamResponse, named: &mut HashMap<(u64, u32), EventResult>) {
        for result in ack.results {
            named.insert((result.sequence, result.index), result.result.unwrap_or_default());
        }
        while let Some(message) = self.unacked.pop_front() {
            if message.sequence > ack.sequence {
                self.unacked.push_front(message);
                break;
            }
            self.settled = message.sequence;
            for (event, index) in message.events.iter().zip(0..) {
                let result = named.remove(&(message.sequence, index));
                (self.on_result)(event, result.unwrap_or_else(|| accepted(event)));
            }
        }
    }
}

fn accepted(event: &Event) -> EventResult {
    EventResult {
        message_id: event.message_id.clone(),
        status: EventStatus::Accepted.into(),
        ..Default::default()
    }
}
