//! Answers to other gateways.

use std::net::SocketAddr;
use std::time::Duration;

use subm_types::{Family, Moment};

use super::{End, LocalEnd, Outcome, Request, Response, is_end};

/// What a request is answered with; nothing where we have no address of its family, so that it cannot be meant for us.
pub(super) fn answer(local: &LocalEnd, from: SocketAddr, request: &Request) -> Option<Response> {
    let family = Family::of(from.ip());
    let own = *local.private_ips.get(family)?;
    let mut response = Response {
        number: request.number,
        // COMPAT: members look the sender up by the name that they asked for.
        sender: Some(End {
            cluster_id: local.cluster.to_string(),
            endpoint_id: request
                .receiver
                .as_ref()
                .filter(|told| is_end(told, &local.cluster, &local.cable, family))
                .map_or_else(|| local.cable.0.clone(), |told| told.endpoint_id.clone()),
        }),
        receiver: request.sender.clone(),
        received_src: Some(from.into()),
        ..Response::default()
    };
    let (Some(_), Some(receiver), Some(source), Some(destination)) =
        (&request.sender, &request.receiver, &request.using_src, &request.using_dst)
    else {
        response.set_outcome(Outcome::Malformed);
        return Some(response);
    };
    if receiver.cluster_id != local.cluster.as_str() {
        response.set_outcome(Outcome::UnknownDstCluster);
        return Some(response);
    }
    if !is_end(receiver, &local.cluster, &local.cable, family) {
        // A port forward or a load balancer led to the wrong one of several gateways.
        response.set_outcome(Outcome::UnknownDstEndpoint);
        return Some(response);
    }
    response.src_ip_nat_detected = !source.ip.is_empty() && !source.is_at(from.ip());
    response.src_port_nat_detected = source.port != i32::from(from.port());
    response.dst_ip_nat_detected = !destination.is_at(own);
    let nat = response.src_ip_nat_detected || response.src_port_nat_detected || response.dst_ip_nat_detected;
    response.set_outcome(if nat { Outcome::NatDetected } else { Outcome::Ok });
    Some(response)
}

/// How many answers may go out: a flood of questions takes no more than a moment of each second, and an answer is about
/// as long as its question.
#[derive(Debug, Default)]
pub(super) struct Allowance {
    /// What was used up, in time that it takes to come back.
    used: Duration,
    at: Moment,
}

/// One answer takes so long to come back: 500 in a second.
const COST: Duration = Duration::from_millis(2);
/// So much may be used up: the first 500 go out at once.
const BURST: Duration = Duration::from_secs(1);

impl Allowance {
    pub(super) fn take(&mut self, now: Moment) -> bool {
        self.used = self.used.saturating_sub(now.since(self.at));
        self.at = self.at.max(now);
        let allowed = self.used + COST <= BURST;
        if allowed {
            self.used += COST;
        }
        allowed
    }
}
