use std::error::Error;
use std::fmt;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tonic::{Code, Status};
use tonic_types::{FieldViolation, StatusExt};

/// Why a call has failed permanently.
#[derive(Debug)]
pub enum Failure {
    /// The event, or the request, can't be used as it is.
    Rejected(Vec<FieldViolation>),
    /// The status of the last attempt.
    Status(Status),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Rejected(violations) => {
                write!(f, "rejected")?;
                for FieldViolation { field, reason, description, .. } in violations {
                    write!(f, "; {field}: {description} ({reason})")?;
                }
                Ok(())
            }
            Failure::Status(status) => write!(f, "{:?}: {}", status.code(), status.message()),
        }
    }
}

impl Error for Failure {}

impl From<Status> for Failure {
    fn from(status: Status) -> Failure {
        match status.get_details_bad_request() {
            Some(bad) => Failure::Rejected(bad.field_violations),
            None => Failure::Status(status),
        }
    }
}

/// How long one attempt of a call may take.
const ATTEMPT: Duration = Duration::from_secs(10);

/// Calls, with the time that the attempt may take, until success, or a status that would only come
/// again, or the end of patience.
pub async fn retry<T, F>(
    patience: Duration,
    mut call: impl FnMut(Duration) -> F,
) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Status>>,
{
    let end = Instant::now() + patience;
    let mut attempt = 0;
    loop {
        let status = match call(ATTEMPT.min(end - Instant::now())).await {
            Ok(answer) => return Ok(answer),
            Err(status) => status,
        };
        match pause(&status, attempt) {
            Some(wait) if Instant::now() + wait < end => sleep(wait).await,
            _ => return Err(status.into()),
        }
        attempt += 1;
    }
}

/// How long to wait before a call that ended so is made again; None where it should not be.
pub fn pause(status: &Status, attempt: u32) -> Option<Duration> {
    let backoff = Duration::from_millis(100 << attempt.min(5));
    let wait = backoff.mul_f64(0.5 + fastrand::f64());
    match status.code() {
        // Who cancels a call drops it: a status that says so is of a sidecar that stops.
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => Some(wait),
        // Without a RetryInfo the message is too large.
        Code::ResourceExhausted => status
            .get_details_retry_info()
            .map(|info| wait.max(info.retry_delay.unwrap_or_default())),
        // tonic has another code for a connection that breaks. Only a status that is not the
        // sidecar's has a source.
        _ => status.source().map(|_| wait),
    }
}
