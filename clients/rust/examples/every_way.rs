//! Every way of handing events to a sidecar; CIO_TARGET says where it is.

use std::env;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use caller::pb::event::Call;
use caller::pb::{Event, EventStatus, Identify, Track};
use caller::{Client, Failure};
use serde::Serialize;
use serde_json::json;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// How long to try at all; each attempt has a deadline of its own.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Error> {
    // host:port, or unix:PATH
    let target = env::var("CIO_TARGET").unwrap_or("127.0.0.1:50051".into());
    let ca_file = env::var_os("CIO_TLS_CA_FILE").filter(|file| !file.is_empty());
    let client = Client::new(&target, ca_file.map(PathBuf::from).as_deref())?;
    one(&client).await?;
    batch(&client).await?;
    rejected(&client).await?;
    stream(&client).await
}

/// Sends one event, its traits as a plain map.
async fn one(client: &Client) -> Result<(), Error> {
    let traits = serde_json::Map::from_iter([
        ("email".to_owned(), json!("user-42@example.com")),
        ("plan".to_owned(), json!("pro")),
    ]);
    let event = Event {
        user_id: "user-42".into(),
        call: Some(Call::Identify(Identify {
            traits: Some(caller::map(traits)),
            ..Default::default()
        })),
        ..Default::default()
    };
    let result = client.send(event, PATIENCE).await?;
    println!("one: {}", result.status().as_str_name());
    Ok(())
}

#[derive(Serialize)]
struct Order {
    order_id: i64,
    total: f64,
}

/// Sends many events with one call, their properties as JSON bytes.
async fn batch(client: &Client) -> Result<(), Error> {
    let mut events = Vec::new();
    for number in 0..3 {
        let order = Order { order_id: 9007199254740993 + number, total: 99.5 };
        events.push(Event {
            user_id: "user-42".into(),
            call: Some(Call::Track(Track {
                event: "Order Completed".into(),
                properties: Some(caller::json(&order)?),
            })),
            ..Default::default()
        });
    }
    for result in client.send_batch(events, PATIENCE).await? {
        println!("batch: {}", result.status().as_str_name());
    }
    Ok(())
}

/// Sends an event of nobody, and reads what is wrong with it.
async fn rejected(client: &Client) -> Result<(), Error> {
    let track = Track { event: "Order Completed".into(), properties: None };
    let event = Event { call: Some(Call::Track(track)), ..Default::default() };
    match client.send(event, PATIENCE).await {
        Err(Failure::Rejected(violations)) => {
            for violation in violations {
                println!("rejected: {} {}", violation.field, violation.reason);
            }
            Ok(())
        }
        other => Err(format!("expected a rejection, got {other:?}").into()),
    }
}

/// Sends events as they come, and waits for the last ack at the end.
async fn stream(client: &Client) -> Result<(), Error> {
    let acked = Arc::new(AtomicUsize::new(0));
    let count = acked.clone();
    let stream = client.stream(move |event, result| match result.status() {
        EventStatus::Rejected => eprintln!("{}: {:?}", event.message_id, result.violations),
        _ => _ = count.fetch_add(1, Ordering::Relaxed),
    });
    for number in 0..100 {
        let properties = serde_json::Map::from_iter([("number".to_owned(), json!(number))]);
        let track = Track { event: "Step Taken".into(), properties: Some(caller::map(properties)) };
        let event = Event {
            user_id: "user-42".into(),
            call: Some(Call::Track(track)),
            ..Default::default()
        };
        if stream.send(vec![event]).await.is_err() {
            break; // close says why.
        }
    }
    stream.close().await?;
    println!("stream: {} acked", acked.load(Ordering::Relaxed));
    Ok(())
}
