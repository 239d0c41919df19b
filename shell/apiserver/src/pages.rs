//! Lists in pages: `limit`, and `continue` as the place where the next page starts.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::kinds::KindId;
use crate::refusal::Refusal;
use crate::selector::Selector;
use crate::store::{Object, Store};

/// Where a list goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Continue {
    version: u64,
    /// The key after which the next page starts.
    after: String,
}

impl Continue {
    fn to_text(&self) -> String {
        let token = json!({"v": "meta.k8s.io/v1", "rv": self.version, "start": self.after});
        URL_SAFE_NO_PAD.encode(token.to_string())
    }

    fn parse(text: &str) -> Result<Self, Refusal> {
        let wrong =
            || Refusal::BadRequest("continue key is not valid: it is none that this server gave".to_owned());
        let bytes = URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| wrong())?;
        let token: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
        let after = token["start"].as_str().ok_or_else(wrong)?.to_owned();
        Ok(Self { version: token["rv"].as_u64().ok_or_else(wrong)?, after })
    }
}

/// What a list request asks for.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) kind: KindId,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) selector: &'a Selector,
    /// 0: everything at once.
    pub(crate) limit: usize,
    pub(crate) token: &'a str,
    pub(crate) version: Option<u64>,
    /// The version is to be met exactly.
    pub(crate) exactly: bool,
}

/// One page of a list.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) version: u64,
    pub(crate) objects: Vec<Arc<Object>>,
    /// The token of the next page.
    pub(crate) token: Option<String>,
    /// How many objects there are after this page, where that is known.
    pub(crate) remaining: Option<usize>,
}

/// Reads one page.
pub(crate) fn page(store: &Store, wanted: &Wanted<'_>) -> Result<Page, Refusal> {
    let start = if wanted.token.is_empty() { None } else { Some(Continue::parse(wanted.token)?) };
    if start.is_some() && wanted.version.is_some_and(|version| version > 0) {
        let message = "specifying resource version is not allowed when using continue";
        return Err(Refusal::BadRequest(message.to_owned()));
    }
    let current = store.version();
    if let Some(asked) = wanted.version.filter(|asked| *asked > current) {
        return Err(Refusal::TooLargeVersion { asked, current });
    }
    let version = match (&start, wanted.version) {
        (Some(start), _) => start.version,
        (None, Some(version)) if wanted.exactly => version,
        (None, _) => current,
    };
    let after = start.as_ref().map(|start| start.after.as_str());
    let found =
        store.list_at(wanted.kind, wanted.namespace, version, after).map_err(|refusal| match start {
            Some(_) => Refusal::ContinueExpired,
            None => refusal,
        })?;
    let total = found.len();
    let mut objects = Vec::new();
    let mut last = None;
    let mut seen = 0;
    for (key, object) in found {
        if wanted.limit > 0 && objects.len() == wanted.limit {
            break;
        }
        seen += 1;
        if wanted.selector.matches(&object) {
            objects.push(object.seen_as(wanted.kind));
        }
        last = Some(key);
    }
    let rest = total - seen;
    let token = last.filter(|_| rest > 0).map(|after| Continue { version, after }.to_text());
    // COMPAT: with a selector nobody knows how many are to come.
    let remaining = (rest > 0 && wanted.selector.is_empty()).then_some(rest);
    Ok(Page { version, objects, token, remaining })
}

/// The metadata of a page's list.
pub(crate) fn metadata(page: &Page) -> Value {
    let mut metadata = json!({"resourceVersion": page.version.to_string()});
    if let Some(token) = &page.token {
        metadata["continue"] = json!(token);
    }
    if let Some(remaining) = page.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    metadata
}
