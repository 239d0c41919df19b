//! What a member publishes wrongly harms nobody, and is told.

use std::time::Duration;

use anyhow::bail;
use serde_json::{Value, json};
use subm_lab::traffic::{PingRun, StreamRun};

use super::Check;
use super::context::{Context, PATIENCE, echo, until_ok};
use super::member::{Claim, Member, expect_forbidden};
use crate::api::{BROKER_NAMESPACE, OPERATOR_NAMESPACE};
use crate::topology::{Cluster, addresses};

/// Where the member's gateway would be, beside the hub; nobody is there.
const GATEWAY: u8 = 99;
const UID: &str = "00000000-0000-4000-8000-000000000099";

/// The remedy for networks that two clusters have.
const OTHER_NETWORKS: &str = "; change the networks of one of the two";

pub(super) fn checks(_: &Context<'_>) -> Vec<Check> {
    vec![
        Check::new("input/foreign-write-refused", foreign_write),
        Check::new("input/unparsable-cidr", |context| {
            let words = ["odd field spec.", "10.300.0.0/16", "; correct the networks"];
            told(context, "odd", &["10.300.0.0/16"], &words)
        }),
        Check::new("input/overlapping-cidr", |context| {
            let west = &networks(&context.topology().clusters[1])[0];
            told(context, "odd", &[west], &["odd field spec.", west, OTHER_NETWORKS])
        }),
        Check::new("input/own-cidr-claimed", |context| {
            let east = &networks(&context.topology().clusters[0])[0];
            told(context, "odd", &[east], &["odd field spec.", east, OTHER_NETWORKS])
        }),
        Check::new("input/duplicate-cluster-id", |context| {
            let id = context.topology().clusters[1].name.clone();
            let words = [&id, "field metadata.annotations", UID, "; join one of the two"];
            told(context, &id, &["10.99.0.0/16"], &words)
        }),
    ]
}

/// The ranges of a cluster's pods.
fn networks(cluster: &Cluster) -> Vec<String> {
    cluster.pods().iter().map(|(_, net)| net.to_string()).collect()
}

/// One member must not change, replace or delete what another published.
fn foreign_write(context: &Context<'_>) -> anyhow::Result<String> {
    let hub = context.playground.apis.hub()?.objects();
    let endpoints = hub.list("endpoints.submariner.io", Some(BROKER_NAMESPACE));
    let victim = &context.topology().clusters[0].name;
    let own = |endpoint: &&Value| endpoint["spec"]["cluster_id"] == victim.as_str();
    let Some(name) = endpoints.iter().find(own).and_then(|endpoint| endpoint["metadata"]["name"].as_str())
    else {
        bail!("{victim} has no Endpoint on the hub");
    };
    let member = Member::join(context, &context.topology().clusters[1].name)?;
    expect_forbidden(member.delete_endpoint(name))?;
    let said =
        expect_forbidden(member.merge_endpoint(name, &json!({"spec": {"private_ip": "172.30.0.99"}})))?;
    Ok(format!("403: {said}"))
}

/// A member publishes something that cannot be used: a gateway says so in a condition of its Gateway, with
/// these words, and packets between the others go on.
fn told(context: &Context<'_>, id: &str, networks: &[&str], words: &[&str]) -> anyhow::Result<String> {
    context.must_be_lossless()?;
    let mut pings = Vec::new();
    let mut streams = Vec::new();
    for lane in context.lanes() {
        let (host, target) = context.longest_way(lane)?;
        pings.push(PingRun::start(host, target, Duration::from_millis(10))?);
        streams.push(StreamRun::start(host, echo(target))?);
    }
    let claim = Claim {
        uid: UID,
        gateway: addresses(context.topology().guest(GATEWAY)),
        networks: networks.iter().map(|&network| network.to_owned()).collect(),
        public_key: None,
    };
    let mut member = Member::join(context, id)?;
    // A cluster id that is taken has its Cluster object already; the hub says so.
    if context.topology().cluster(id).is_none() {
        member.publish_cluster(&claim)?;
    }
    member.publish_endpoint(&claim)?;
    let told = until_ok(PATIENCE, || condition(context, words));
    std::thread::sleep(Duration::from_millis(300));
    member.leave();
    let forgotten = until_ok(PATIENCE, || match condition(context, words) {
        Ok((kind, line)) => bail!("the condition {kind} still says {line}"),
        Err(_) => Ok(()),
    });
    for (ping, stream) in pings.into_iter().zip(streams) {
        let report = ping.stop()?;
        if report.received < report.sent {
            bail!("{} of {} packets between others were lost", report.sent - report.received, report.sent);
        }
        if let Some(broken) = stream.stop()?.broken {
            bail!("a TCP stream between others broke: {broken}");
        }
    }
    let ((kind, message), took) = told?;
    forgotten?;
    Ok(format!("after {} ms {kind}: {message}", took.as_millis()))
}

/// The condition of the first cluster's Gateway that fails and speaks of all these words.
fn condition(context: &Context<'_>, words: &[&str]) -> anyhow::Result<(String, String)> {
    let home = context.playground.apis.of(&context.topology().clusters[0].name)?.objects();
    let gateways = home.list("gateways.submariner.io", Some(OPERATOR_NAMESPACE));
    let conditions =
        gateways.iter().filter_map(|gateway| gateway["status"]["conditions"].as_array()).flatten();
    let mut failing = Vec::new();
    for condition in conditions.filter(|condition| condition["status"] == "False") {
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        let line = |line: &&str| words.iter().all(|word| line.contains(word));
        match text("message").lines().find(line) {
            Some(line) => return Ok((text("type"), line.to_owned())),
            None => failing.push(format!("{}: {}", text("type"), text("message"))),
        }
    }
    bail!("no condition speaks of {words:?}; failing are {failing:?}")
}
