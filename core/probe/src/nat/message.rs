//! The messages of NAT discovery on the wire (proto3).
//!
//! COMPAT: names, numbers and types of all fields are those of the Go implementation.

use std::net::{IpAddr, SocketAddr};

use prost::Message as _;

/// What requests carry as their version; nobody looks at it.
const VERSION: i32 = 1;

/// A datagram of NAT discovery.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Message {
    #[prost(int32, tag = "1")]
    pub(super) version: i32,
    #[prost(oneof = "Body", tags = "2, 3")]
    pub(super) body: Option<Body>,
}

#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub(super) enum Body {
    #[prost(message, tag = "2")]
    Request(Request),
    #[prost(message, tag = "3")]
    Response(Response),
}

/// "Do you hear me, and from where?"
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Request {
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    #[prost(message, optional, tag = "2")]
    pub(super) sender: Option<End>,
    #[prost(message, optional, tag = "3")]
    pub(super) receiver: Option<End>,
    #[prost(message, optional, tag = "4")]
    pub(super) using_src: Option<AddressAndPort>,
    #[prost(message, optional, tag = "5")]
    pub(super) using_dst: Option<AddressAndPort>,
}

/// What the other end saw of a request.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct Response {
    #[prost(uint64, tag = "1")]
    pub(super) number: u64,
    #[prost(enumeration = "Outcome", tag = "2")]
    pub(super) outcome: i32,
    #[prost(message, optional, tag = "3")]
    pub(super) sender: Option<End>,
    #[prost(message, optional, tag = "4")]
    pub(super) receiver: Option<End>,
    #[prost(bool, tag = "5")]
    pub(super) src_ip_nat_detected: bool,
    #[prost(bool, tag = "6")]
    pub(super) src_port_nat_detected: bool,
    #[prost(bool, tag = "7")]
    pub(super) dst_ip_nat_detected: bool,
    #[prost(message, optional, tag = "8")]
    pub(super) received_src: Option<AddressAndPort>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Outcome {
    Ok = 0,
    NatDetected = 1,
    UnknownDstCluster = 2,
    UnknownDstEndpoint = 3,
    Malformed = 4,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct AddressAndPort {
    #[prost(string, tag = "1")]
    pub(super) ip: String,
    #[prost(int32, tag = "2")]
    pub(super) port: i32,
}

/// One end of a cable: its cluster and the name of its Endpoint's cable, with or without the family.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(super) struct End {
    #[prost(string, tag = "1")]
    pub(super) cluster_id: String,
    #[prost(string, tag = "2")]
    pub(super) endpoint_id: String,
}

impl Message {
    pub(super) fn request(request: Request) -> Self {
        Self { version: VERSION, body: Some(Body::Request(request)) }
    }

    pub(super) fn response(response: Response) -> Self {
        Self { version: 0, body: Some(Body::Response(response)) }
    }

    /// Nothing where it is no message, or an empty one.
    pub(super) fn read(datagram: &[u8]) -> Option<Body> {
        Self::decode(datagram).ok()?.body
    }

    pub(super) fn write(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

impl AddressAndPort {
    pub(super) fn is_at(&self, address: IpAddr) -> bool {
        self.ip.parse::<IpAddr>().is_ok_and(|told| told.to_canonical() == address)
    }
}

impl From<SocketAddr> for AddressAndPort {
    fn from(address: SocketAddr) -> Self {
        Self { ip: address.ip().to_canonical().to_string(), port: i32::from(address.port()) }
    }
}

#[cfg(test)]
#[path = "message_tests.rs"]
mod tests;
