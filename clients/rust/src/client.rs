use std::path::Path;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use prost_types::value::Kind;
use tokio::net::UnixStream;
use tonic::Request;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use ulid::Ulid;

use crate::pb::ingest_service_client::IngestServiceClient;
use crate::pb::{Event, EventResult, Object, SendBatchRequest, SendRequest, object};
use crate::retry::{Failure, retry};
use crate::stream::EventStream;

/// A connection to a sidecar. Make one, and clone it: all clones share it.
#[derive(Clone)]
pub struct Client {
    service: IngestServiceClient<Channel>,
}

impl Client {
    /// A client of the sidecar at `host:port` or `unix:PATH`. It connects with the first call. With
    /// `ca_file`, a PEM file of the certificates to trust, it speaks TLS, else plain text.
    ///
    /// Fails where the target or the file can't be used.
    pub fn new(
        target: &str,
        ca_file: Option<&Path>,
    ) -> Result<Client, Box<dyn std::error::Error + Send + Sync>> {
        let socket = target.strip_prefix("unix:").map(str::to_owned);
        let scheme = if ca_file.is_some() { "https" } else { "http" };
        let authority = if socket.is_some() { "localhost" } else { target };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{authority}"))?
            .connect_timeout(Duration::from_secs(5))
            .http2_keep_alive_interval(Duration::from_secs(60));
        if let Some(file) = ca_file {
            let pem =
                std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
            endpoint = endpoint.tls_config(tls)?;
        }
        let channel = match socket {
            // Endpoint takes unix:PATH too, but then no TLS.
            Some(path) => endpoint.connect_with_connector_lazy(tower::service_fn(move |_| {
                let path = path.clone();
                async move { UnixStream::connect(path).await.map(TokioIo::new) }
            })),
            None => endpoint.connect_lazy(),
        };
        Ok(Client { service: IngestServiceClient::new(channel) })
    }

    /// Hands one event over, and returns when it is on the sidecar's disk. Tries again for as long
    /// as `patience`. Fails with [`Failure::Rejected`] where the event can't be used as it is.
    pub async fn send(&self, event: Event, patience: Duration) -> Result<EventResult, Failure> {
        let event = identified(event);
        let response = retry(patience, |timeout| {
            let mut request = Request::new(SendRequest { event: Some(event.clone()) });
            request.set_timeout(timeout);
            let mut service = self.service.clone();
            async move { service.send(request).await }
        });
        Ok(response.await?.into_inner().result.unwrap_or_default())
    }

    /// Hands many events over, at most 16 MiB together, and returns a result for each, in order. Bad
    /// events are rejected by their results; the others are accepted.
    pub async fn send_batch(
        &self,
        events: Vec<Event>,
        patience: Duration,
    ) -> Result<Vec<EventResult>, Failure> {
        let events: Vec<Event> = events.into_iter().map(identified).collect();
        let response = retry(patience, |timeout| {
            let mut request = Request::new(SendBatchRequest { events: events.clone() });
            request.set_timeout(timeout);
            let mut service = self.service.clone();
            async move { service.send_batch(request).await }
        });
        Ok(response.await?.into_inner().results)
    }

    /// Opens a stream. `on_result` is told of each event when it is settled, in order.
    pub fn stream(
        &self,
        on_result: impl FnMut(&Event, EventResult) + Send + 'static,
    ) -> EventStream {
        EventStream::new(self.service.clone(), on_result)
    }
}

/// The event with a message id: with one it is accepted once, however often it is sent.
pub fn identified(mut event: Event) -> Event {
    if event.message_id.is_empty() {
        event.message_id = Ulid::new().to_string();
    }
    event
}

/// An object of a plain map, for properties, traits or context. Every number becomes a double.
pub fn map(fields: impl IntoIterator<Item = (String, serde_json::Value)>) -> Object {
    Object { value: Some(object::Value::Struct(struct_of(fields))) }
}

/// An object of anything that serde makes a JSON object of: cheaper than [`map`], and an `i64` stays
/// exact.
pub fn json(value: &impl serde::Serialize) -> Result<Object, serde_json::Error> {
    Ok(Object { value: Some(object::Value::Json(serde_json::to_vec(value)?)) })
}

fn struct_of(fields: impl IntoIterator<Item = (String, serde_json::Value)>) -> prost_types::Struct {
    let fields = fields.into_iter().map(|(key, value)| (key, value_of(value)));
    prost_types::Struct { fields: fields.collect() }
}

fn value_of(value: serde_json::Value) -> prost_types::Value {
    let kind = match value {
        serde_json::Value::Null => Kind::NullValue(0),
        serde_json::Value::Bool(value) => Kind::BoolValue(value),
        // Always a number, unless serde_json is built with arbitrary_precision.
        serde_json::Value::Number(value) => Kind::NumberValue(value.as_f64().unwrap_or(f64::NAN)),
        serde_json::Value::String(value) => Kind::StringValue(value),
        serde_json::Value::Array(values) => Kind::ListValue(prost_types::ListValue {
            values: values.into_iter().map(value_of).collect(),
        }),
        serde_json::Value::Object(fields) => Kind::StructValue(struct_of(fields)),
    };
    prost_types::Value { kind: Some(kind) }
}
