//! Hands events to a cio-sidecar: one, many, or a stream of them.

mod client;
mod retry;
mod stream;

/// The messages of protos/, as build.rs generates them.
pub mod pb {
    tonic::include_proto!("cio.sidecar.v1");
}

pub use client::{Client, identified, json, map};
pub use retry::Failure;
pub use stream::{Ended, EventStream};
