//! Bodies of requests: of limited size, and in limited time.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;

use crate::access::Grant;
use crate::refusal::Refusal;

/// As much as a real API server takes.
const LARGEST: usize = 3 * 1024 * 1024;
/// COMPAT: as long as a real API server gives a request.
const LONGEST: Duration = Duration::from_mins(1);

/// The whole body of a request whose sender still may ask when it is there.
pub(crate) async fn read(body: Body, grant: &Grant) -> Result<Bytes, Refusal> {
    let late = |_| {
        let seconds = LONGEST.as_secs();
        Refusal::BadRequest(format!("the body of the request did not arrive within {seconds} seconds"))
    };
    let whole = tokio::select! {
        () = grant.revoked.cancelled() => return Err(Refusal::Unauthorized),
        read = tokio::time::timeout(LONGEST, to_bytes(body, LARGEST)) => read.map_err(late)?,
    };
    whole.map_err(|_| Refusal::TooLarge(LARGEST))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use futures::{StreamExt as _, stream};

    use super::*;
    use crate::access::User;

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_refused_in_time_or_with_its_grant() {
        let grant =
            Grant { user: Arc::new(User::default()), revoked: tokio_util::sync::CancellationToken::new() };
        let begun = || stream::iter([Ok::<_, Infallible>("{")]);
        let endless = || Body::from_stream(begun().chain(stream::pending()));
        assert!(
            matches!(read(endless(), &grant).await, Err(Refusal::BadRequest(why)) if why.contains("60 seconds"))
        );
        grant.revoked.cancel();
        assert_eq!(read(endless(), &grant).await, Err(Refusal::Unauthorized));
    }
}
