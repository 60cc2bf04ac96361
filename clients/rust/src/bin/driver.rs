//! The driver through which the conformance suite sends its events; see docs/callers/driver.md.

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use caller::pb::event::Call;
use caller::pb::{
    Alias, Event, EventResult, FieldViolation, FieldWarning, Group, Identify, Object, Page, Screen,
    Track, object,
};
use caller::{Client, Failure, identified};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Code;

const AT_ONCE: usize = 64;
const BATCH: usize = 500;
const PATIENCE: Duration = Duration::from_secs(60);

type Error = Box<dyn std::error::Error + Send + Sync>;

#[tokio::main]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("driver: {error}");
        std::process::exit(1);
    }
    // The thread that reads standard input may wait for more: don't wait for it.
    std::process::exit(0);
}

async fn run() -> Result<(), Error> {
    let target = setting("CIO_TARGET").unwrap_or("127.0.0.1:50051".into());
    let ca_file = setting("CIO_TLS_CA_FILE").map(PathBuf::from);
    let client = Client::new(&target, ca_file.as_deref())?;
    let (sender, events) = mpsc::channel(BATCH);
    let reader = tokio::spawn(read(sender));
    match setting("CIO_CALL").as_deref().unwrap_or("send") {
        "send" => send_each(client, events).await?,
        "batch" => send_batches(client, events).await?,
        "stream" => stream(client, events).await?,
        call => return Err(format!("CIO_CALL: expected send, batch or stream, got {call}").into()),
    }
    reader.await?
}

fn setting(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

/// Sends each event by a call of its own, several at a time, and tells in order.
async fn send_each(client: Client, mut events: mpsc::Receiver<Event>) -> Result<(), Error> {
    let (sender, mut receipts) = mpsc::channel::<JoinHandle<Receipt>>(AT_ONCE);
    let sending = async move {
        while let Some(event) = events.recv().await {
            let client = client.clone();
            let receipt = tokio::spawn(async move {
                let id = event.message_id.clone();
                Receipt::new(id, client.send(event, PATIENCE).await)
            });
            if sender.send(receipt).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let telling = async move {
        while let Some(receipt) = receipts.recv().await {
            receipt.await?.write()?;
        }
        Ok::<(), Error>(())
    };
    tokio::try_join!(sending, telling)?;
    Ok(())
}

/// Sends whatever is at hand with one call.
async fn send_batches(client: Client, mut events: mpsc::Receiver<Event>) -> Result<(), Error> {
    let mut batch = Vec::new();
    while events.recv_many(&mut batch, BATCH).await > 0 {
        let ids: Vec<String> = batch.iter().map(|event| event.message_id.clone()).collect();
        match client.send_batch(std::mem::take(&mut batch), PATIENCE).await {
            Ok(results) => {
                for (id, result) in ids.into_iter().zip(results) {
                    Receipt::new(id, Ok(result)).write()?;
                }
            }
            Err(failure) => {
                for id in ids {
                    Receipt::failed(id, &failure).write()?;
                }
            }
        }
    }
    Ok(())
}

async fn stream(client: Client, mut events: mpsc::Receiver<Event>) -> Result<(), Error> {
    let stream = client.stream(|event, result| {
        if let Err(error) = Receipt::new(event.message_id.clone(), Ok(result)).write() {
            eprintln!("driver: {error}");
            std::process::exit(1);
        }
    });
    while let Some(event) = events.recv().await {
        if stream.send(vec![event]).await.is_err() {
            break;
        }
    }
    Ok(stream.close().await?)
}

async fn read(events: mpsc::Sender<Event>) -> Result<(), Error> {
    let mut input = BufReader::new(tokio::io::stdin());
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).await? > 0 {
        let parsed: Line = serde_json::from_slice(&line)
            .map_err(|error| format!("a line that is no event: {error}"))?;
        if events.send(identified(parsed.event()?)).await.is_err() {
            break;
        }
        line.clear();
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct Line {
    r#type: String,
    message_id: String,
    timestamp: String,
    original_timestamp: String,
    user_id: String,
    anonymous_id: String,
    event: String,
    name: String,
    category: String,
    group_id: String,
    previous_id: String,
    context: Option<Fields>,
    properties: Option<Fields>,
    traits: Option<Fields>,
}

/// An object is sent as JSON where the line holds it as text, else as a Struct.
#[derive(Deserialize)]
#[serde(untagged)]
enum Fields {
    Text(String),
    Map(serde_json::Map<String, serde_json::Value>),
}

impl From<Fields> for Object {
    fn from(fields: Fields) -> Object {
        match fields {
            Fields::Text(text) => Object { value: Some(object::Value::Json(text.into_bytes())) },
            Fields::Map(fields) => caller::map(fields),
        }
    }
}

impl Line {
    fn event(self) -> Result<Event, Error> {
        let properties = self.properties.map(Object::from);
        let traits = self.traits.map(Object::from);
        let (name, category, group_id) = (self.name, self.category, self.group_id);
        let call = match self.r#type.as_str() {
            "" => None,
            "identify" => Some(Call::Identify(Identify { traits, group_id })),
            "track" => Some(Call::Track(Track { event: self.event, properties })),
            "page" => Some(Call::Page(Page { name, category, properties })),
            "screen" => Some(Call::Screen(Screen { name, category, properties })),
            "group" => Some(Call::Group(Group { group_id, traits })),
            "alias" => Some(Call::Alias(Alias { previous_id: self.previous_id })),
            other => return Err(format!("unknown type {other:?}").into()),
        };
        Ok(Event {
            message_id: self.message_id,
            timestamp: self.timestamp,
            original_timestamp: self.original_timestamp,
            user_id: self.user_id,
            anonymous_id: self.anonymous_id,
            context: self.context.map(Object::from),
            call,
        })
    }
}

#[derive(Default, Serialize)]
struct Receipt {
    message_id: String,
    status: String,
    violations: Vec<Violation>,
    warnings: Vec<Warning>,
    code: String,
    message: String,
}

#[derive(Serialize)]
struct Violation {
    field: String,
    reason: String,
    description: String,
}

#[derive(Serialize)]
struct Warning {
    field: String,
    description: String,
}

impl Receipt {
    fn new(sent_id: String, result: Result<EventResult, Failure>) -> Receipt {
        let result = match result {
            Ok(result) => result,
            Err(failure) => return Receipt::failed(sent_id, &failure),
        };
        let status = result.status().as_str_name().trim_start_matches("EVENT_STATUS_");
        Receipt {
            status: status.to_lowercase(),
            message_id: Some(result.message_id).filter(|id| !id.is_empty()).unwrap_or(sent_id),
            violations: result.violations.into_iter().map(Violation::from).collect(),
            warnings: result.warnings.into_iter().map(Warning::from).collect(),
            ..Default::default()
        }
    }

    fn failed(message_id: String, failure: &Failure) -> Receipt {
        let receipt = Receipt { message_id, ..Default::default() };
        match failure {
            Failure::Rejected(violations) => Receipt {
                status: "rejected".into(),
                violations: violations.iter().map(Violation::from).collect(),
                ..receipt
            },
            Failure::Status(status) => Receipt {
                status: "failed".into(),
                code: code_name(status.code()),
                message: status.message().into(),
                ..receipt
            },
        }
    }

    fn write(&self) -> io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        let mut output = io::stdout().lock();
        output.write_all(&line)?;
        output.flush()
    }
}

impl From<FieldViolation> for Violation {
    fn from(violation: FieldViolation) -> Violation {
        let FieldViolation { field, reason, description } = violation;
        Violation { field, reason, description }
    }
}

impl From<&tonic_types::FieldViolation> for Violation {
    fn from(violation: &tonic_types::FieldViolation) -> Violation {
        let tonic_types::FieldViolation { field, reason, description, .. } = violation.clone();
        Violation { field, reason, description }
    }
}

impl From<FieldWarning> for Warning {
    fn from(warning: FieldWarning) -> Warning {
        let FieldWarning { field, description } = warning;
        Warning { field, description }
    }
}

/// The name of a code as gRPC's specification writes it: RESOURCE_EXHAUSTED.
fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}
