//! What every answer carries beside its body.

use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use sha2::{Digest as _, Sha256};

use crate::access::User;

/// COMPAT: Kubernetes takes ids of this length from its clients.
const LONGEST_ID: usize = 64;
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
const FLOW: HeaderName = HeaderName::from_static("x-kubernetes-pf-flowschema-uid");
const LEVEL: HeaderName = HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid");

/// By which share a request was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Nobody holds it back.
    Exempt,
    /// The one of its user.
    OfUser,
}

static UIDS: LazyLock<[HeaderValue; 2]> = LazyLock::new(|| {
    ["exempt", "global-default"].map(|name| {
        let digest = Sha256::digest(format!("priority level {name}"));
        let uid = crate::metadata::uid(std::array::from_fn(|index| digest[index]));
        HeaderValue::from_str(&uid).unwrap_or_else(|_| HeaderValue::from_static(""))
    })
});

impl Share {
    pub(crate) fn of(user: &User) -> Self {
        if user.is_master() { Self::Exempt } else { Self::OfUser }
    }
}

/// The id under which a request is audited: the client's, or a new one.
pub(crate) fn audit_id(asked: &HeaderMap) -> String {
    let own = asked.get(AUDIT_ID).and_then(|id| id.to_str().ok());
    let own = own.filter(|id| !id.is_empty() && id.len() <= LONGEST_ID);
    own.map_or_else(crate::server::draw_uid, str::to_owned)
}

/// Adds to an answer's headers what each carries.
pub(crate) fn complete(headers: &mut HeaderMap, audit_id: &str, share: Option<Share>) {
    if let Ok(id) = HeaderValue::from_str(audit_id) {
        headers.insert(AUDIT_ID, id);
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if let Some(share) = share {
        let uid = match share {
            Share::Exempt => &UIDS[0],
            Share::OfUser => &UIDS[1],
        };
        headers.insert(FLOW, uid.clone());
        headers.insert(LEVEL, uid.clone());
    }
}

/// COMPAT: as many characters of warnings are sent whole; where there are more, each is cut to the second number, and
/// those beyond the first are left out.
const MOST_OF_WARNINGS: usize = 4096;
const MOST_OF_ONE: usize = 256;

/// The warnings as far as they are sent.
pub(crate) fn warnings(all: &[String]) -> Vec<&str> {
    let characters = |text: &str| text.chars().count();
    if all.iter().map(|warning| characters(warning)).sum::<usize>() <= MOST_OF_WARNINGS {
        return all.iter().map(String::as_str).collect();
    }
    let cut =
        |warning: &'_ str| warning.char_indices().nth(MOST_OF_ONE).map_or(warning.len(), |(end, _)| end);
    let mut sent = 0;
    let short = all.iter().map(|warning| &warning[..cut(warning)]);
    let fits = |warning: &&str| {
        sent += characters(warning);
        sent <= MOST_OF_WARNINGS
    };
    short.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_cut_where_there_are_many() {
        let many = vec!["é".repeat(300); 20];
        let sent = warnings(&many);
        assert_eq!(sent.len(), 16);
        assert!(sent.iter().all(|warning| warning.chars().count() == 256));
        assert_eq!(warnings(&many[..2]), many[..2]);
    }
}
