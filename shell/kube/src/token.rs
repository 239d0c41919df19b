//! A bearer token in a file that may be replaced at any time.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderValue, Request, header};
use tokio::time::Instant;

/// The file is read again after this. The wall clock plays no part: it may jump.
const FRESH: Duration = Duration::from_secs(1);

/// The token as last read; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct TokenFile {
    path: PathBuf,
    last: Arc<Mutex<Last>>,
}

#[derive(Debug, Default)]
struct Last {
    header: Option<HeaderValue>,
    read: Option<Instant>,
}

impl TokenFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, last: Arc::default() }
    }

    /// Adds the token; without one the server says that it does not know us.
    pub(crate) fn authorise<B>(&self, mut request: Request<B>) -> Request<B> {
        if let Some(header) = self.header() {
            request.headers_mut().insert(header::AUTHORIZATION, header);
        }
        request
    }

    /// A file that cannot be read or is empty, as while it is being replaced, leaves the token that was there.
    fn header(&self) -> Option<HeaderValue> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if last.read.is_none_or(|read| now >= read + FRESH) {
            last.read = Some(now);
            let text = std::fs::read_to_string(&self.path).unwrap_or_default();
            let header = Some(text.trim()).filter(|token| !token.is_empty()).and_then(bearer);
            last.header = header.or_else(|| last.header.take());
        }
        last.header.clone()
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    let mut header = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    Some(header)
}
