//! A client that asks for more than its share.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use http::header;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::claims::{Claim, access};
use crate::ground::{Answer, Ground};

pub(super) const CLAIMS: &[Claim] = &[Claim {
    says: "who floods is refused with 429 and told when to come back, and others are answered all the while",
    proof: |ground| Box::pin(flood(ground)),
}];

const FLOW_CONTROL: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
const AT_ONCE: usize = 64;
/// So many refusals are enough.
const REFUSALS: usize = 200;
const PATIENCE: Duration = Duration::from_mins(1);
/// Nobody else may wait so long for an answer, on however busy a machine.
const LONGEST: Duration = Duration::from_secs(10);

async fn flood(ground: Ground) -> Result<()> {
    let flooding = access::somebody(&ground).await?;
    let calm = access::account_of(&ground, "calm").await?;
    share(&ground).await?;
    let outcome = flooded(flooding, calm).await;
    for resource in ["flowschemas", "prioritylevelconfigurations"] {
        ground.delete(&format!("{FLOW_CONTROL}/{resource}/{}", ground.namespace)).await?;
    }
    outcome
}

/// Gives the service account few seats of its own where the server lets that be said. The embedded API gives each user
/// the same share.
async fn share(ground: &Ground) -> Result<()> {
    let of = |kind: &str, spec: Value| {
        json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind,
            "metadata": {"name": ground.namespace}, "spec": spec})
    };
    let level = of(
        "PriorityLevelConfiguration",
        json!({"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "lendablePercent": 0, "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }}),
    );
    let subject = json!({"kind": "ServiceAccount",
        "serviceAccount": {"name": "somebody", "namespace": ground.namespace}});
    let everything = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"],
        "clusterScope": true});
    let paths = json!({"verbs": ["*"], "nonResourceURLs": ["*"]});
    let schema = of(
        "FlowSchema",
        json!({"matchingPrecedence": 500, "priorityLevelConfiguration": {"name": ground.namespace},
            "rules": [{"subjects": [subject], "resourceRules": [everything], "nonResourceRules": [paths]}]}),
    );
    for (resource, object) in [("prioritylevelconfigurations", level), ("flowschemas", schema)] {
        let answer = ground.post(&format!("{FLOW_CONTROL}/{resource}"), &object).await?;
        ensure!(matches!(answer.code, 201 | 404), "{resource} are answered {}", answer.code);
    }
    Ok(())
}

async fn flooded(flooding: Ground, calm: Ground) -> Result<()> {
    let mut flood = JoinSet::new();
    flood.spawn(async move { refusals(&flooding).await });
    let (mut longest, begin) = (Duration::ZERO, Instant::now());
    let refused = loop {
        let asked = Instant::now();
        calm.get("/apis").await?.wants(200).context("somebody else asks")?;
        longest = longest.max(asked.elapsed());
        if let Some(ended) = flood.try_join_next() {
            break ended??;
        }
        ensure!(begin.elapsed() < PATIENCE, "the flood is not held off");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    for answer in refused {
        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
        ensure!(body == "Too many requests, please try again later.\n", "it is told {body:?}");
        let after = answer.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok());
        let seconds = after.and_then(|after| after.parse::<u32>().ok());
        ensure!(seconds.is_some_and(|seconds| seconds >= 1), "Retry-After is {after:?}");
    }
    ensure!(longest < LONGEST, "somebody else waited {longest:?}");
    Ok(())
}

/// Asks without pause, many at once, until it was refused often enough.
async fn refusals(ground: &Ground) -> Result<Vec<Answer>> {
    let path = ground.path("configmaps");
    let asked = futures::stream::repeat(()).map(|()| ground.get(&path)).buffer_unordered(AT_ONCE);
    let refused = asked.filter_map(async |answer| match answer {
        Ok(answer) if answer.code == 429 => Some(Ok(answer)),
        // It may not list them.
        Ok(answer) if answer.code == 403 => None,
        Ok(answer) => Some(answer.wants(429).map(|_| answer.clone())),
        Err(error) => Some(Err(error)),
    });
    let all: Vec<Result<Answer>> = refused.take(REFUSALS).collect().await;
    all.into_iter().collect()
}
