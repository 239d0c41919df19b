//! Trying every claim on one API server.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use serde_json::json;

use crate::claims::{Claim, GROUPS};
use crate::definitions;
use crate::ground::Ground;
use subm_servers::Api;

/// So many claims are tried at a time.
const AT_ONCE: usize = 8;
const LIMIT: Duration = Duration::from_mins(2);

/// What became of one claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The part of the API.
    pub group: &'static str,
    /// The claim.
    pub says: &'static str,
    /// What is not so.
    pub differs: Option<String>,
}

/// Installs our custom resources through the API; a server that has them built in has nothing to install.
pub async fn install(api: &Api) -> Result<()> {
    let ground = ground(api);
    for definition in definitions::ours()? {
        definitions::install(&ground, &definition).await?;
    }
    Ok(())
}

fn ground(api: &Api) -> Ground {
    Ground { api: api.clone(), namespace: "default".to_owned(), client: api.client.clone() }
}

/// Tries every claim whose group or text holds `only`.
pub async fn run(api: &Api, only: &str) -> Vec<Finding> {
    let claims = GROUPS.iter().flat_map(|group| group.claims.iter().map(|claim| (group.name, claim)));
    let wanted = claims.filter(|(group, claim)| group.contains(only) || claim.says.contains(only));
    futures::stream::iter(wanted)
        .map(|(group, claim)| async move {
            let outcome = tokio::time::timeout(LIMIT, attempt(api, claim)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long")));
            let differs = outcome.err().map(|error| scrub(&format!("{error:#}")));
            Finding { group, says: claim.says, differs }
        })
        .buffered(AT_ONCE)
        .collect()
        .await
}

async fn attempt(api: &Api, claim: &Claim) -> Result<()> {
    let mut ground = ground(api);
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"generateName": "claim-"}});
    let namespace = ground.post("/api/v1/namespaces", &namespace).await?.wants(201)?;
    let name = namespace["metadata"]["name"].as_str().context("a namespace without a name")?;
    name.clone_into(&mut ground.namespace);
    let outcome = (claim.proof)(ground.clone()).await;
    // What a claim leaves behind is no part of it.
    let _left = ground.delete(&format!("/api/v1/namespaces/{}", ground.namespace)).await;
    outcome
}

/// A reason without what differs from run to run, and not too long.
fn scrub(reason: &str) -> String {
    const LONGEST: usize = 240;
    let words = reason.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && letter != '-');
    let mut text = String::new();
    for word in words {
        let bare = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
        let number = bare.len() > 5 && bare.bytes().all(|byte| byte.is_ascii_digit());
        let uid = bare.len() == 36 && bare.bytes().filter(|byte| *byte == b'-').count() == 4;
        match (number, uid, bare.starts_with("claim-")) {
            (true, ..) => text.push_str("NUMBER"),
            (_, true, _) => text.push_str("UID"),
            (.., true) => text.push_str("NAMESPACE"),
            _ => text.push_str(bare),
        }
        text.push_str(&word[bare.len()..]);
    }
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::scrub;

    #[test]
    fn a_reason_reads_the_same_after_every_run() {
        let reason =
            "uid is \"d9c0a02b-22ec-46e5-86d1-65913e6b9200\" at 1795385943112 in claim-x7k2p, not 410";
        assert_eq!(scrub(reason), "uid is \"UID\" at NUMBER in NAMESPACE, not 410");
        assert!(scrub(&"x ".repeat(500)).chars().count() < 300);
    }
}
