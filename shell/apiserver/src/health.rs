//! `/healthz`, `/livez` and `/readyz`: whether the server can do its work, check by check.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, Uri, header};

use crate::server::Shared;

const ENDPOINTS: [&str; 3] = ["healthz", "livez", "readyz"];

/// A question for health: at which endpoint, about which of its checks (empty: all).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asked<'a> {
    endpoint: &'a str,
    check: &'a str,
}

struct Check {
    name: &'static str,
    passes: bool,
}

impl<'a> Asked<'a> {
    /// The question of a path, if it is one.
    pub(crate) fn of(path: &'a str) -> Option<Self> {
        let (endpoint, check) = path.strip_prefix('/')?.split_once('/').unwrap_or((&path[1..], ""));
        ENDPOINTS.contains(&endpoint).then_some(Self { endpoint, check: check.trim_end_matches('/') })
    }

    /// The answer; none to a question about a check that there is not.
    pub(crate) async fn answer(self, shared: &Shared, uri: &Uri) -> Option<Response<Body>> {
        let mut checks = vec![
            Check { name: "ping", passes: true },
            Check { name: "storage", passes: shared.settled().await.is_ok() },
        ];
        if self.endpoint == "readyz" {
            checks.push(Check { name: "shutdown", passes: !shared.closing().is_cancelled() });
        }
        if !self.check.is_empty() {
            checks.retain(|check| check.name == self.check);
            checks.first()?;
        }
        let query = uri.query().unwrap_or_default();
        let excluded = query.split('&').filter_map(|pair| pair.strip_prefix("exclude="));
        let verbose = query.split('&').any(|pair| pair.split('=').next() == Some("verbose"));
        Some(self.told(&checks, excluded.collect(), verbose))
    }

    fn told(self, checks: &[Check], mut excluded: BTreeSet<&str>, verbose: bool) -> Response<Body> {
        let mut text = String::new();
        let mut line = |line: String| {
            // Writing to a String cannot fail.
            let _infallible = writeln!(text, "{line}");
        };
        let mut passes = true;
        for check in checks {
            let name = check.name;
            if excluded.remove(name) {
                line(format!("[+]{name} excluded: ok"));
            } else if check.passes {
                line(format!("[+]{name} ok"));
            } else {
                passes = false;
                line(format!("[-]{name} failed: reason withheld"));
            }
        }
        if !excluded.is_empty() {
            let unknown: Vec<_> = excluded.iter().map(|name| format!("{name:?}")).collect();
            line(format!(
                "warn: some health checks cannot be excluded: no matches for {}",
                unknown.join(", ")
            ));
        }
        let outcome = if passes { "passed" } else { "failed" };
        line(format!("{} check {outcome}", self.endpoint));
        // COMPAT: details are told where they were asked for, and where something is wrong.
        let body = if passes && !verbose { "ok".to_owned() } else { text };
        let mut response = Response::new(Body::from(body));
        if !passes {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, plain);
        response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn told(path: &str, storage: bool, excluded: &[&str], verbose: bool) -> (u16, String) {
        let checks = [Check { name: "ping", passes: true }, Check { name: "storage", passes: storage }];
        let asked = Asked::of(path).unwrap();
        let response = asked.told(&checks, excluded.iter().copied().collect(), verbose);
        let code = response.status().as_u16();
        let bytes = to_bytes(response.into_body(), 1000).await.unwrap();
        (code, String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn checks_are_told_where_asked_for_or_where_one_fails() {
        assert_eq!(told("/readyz", true, &[], false).await, (200, "ok".to_owned()));
        let all = "[+]ping ok\n[+]storage ok\nlivez check passed\n".to_owned();
        assert_eq!(told("/livez", true, &[], true).await, (200, all));
        let failed = "[+]ping ok\n[-]storage failed: reason withheld\nlivez check failed\n".to_owned();
        assert_eq!(told("/livez", false, &[], false).await, (500, failed));
        let (code, text) = told("/readyz", false, &["storage", "x"], true).await;
        assert_eq!(code, 200);
        assert!(text.contains(
            "[+]storage excluded: ok\nwarn: some health checks cannot be excluded: no matches for \"x\"\n"
        ));
        assert_eq!(Asked::of("/readyz/ping"), Some(Asked { endpoint: "readyz", check: "ping" }));
        assert_eq!(Asked::of("/version"), None);
        assert_eq!(Asked::of("/healthzz"), None);
    }
}
