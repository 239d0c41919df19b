//! Bytes of messages. That they are those of the existing system is shown where files may be read, in `shell/runtime`.

use super::*;

fn end(cluster: &str, endpoint: &str) -> End {
    End { cluster_id: cluster.to_owned(), endpoint_id: endpoint.to_owned() }
}

fn pair(ip: &str, port: i32) -> AddressAndPort {
    AddressAndPort { ip: ip.to_owned(), port }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn a_request_is_these_bytes() {
    let request = Request {
        number: u64::MAX,
        sender: Some(end("a", "b")),
        receiver: Some(end("c", "d")),
        using_src: Some(pair("", 4490)),
        using_dst: Some(pair("192.0.2.1", 65535)),
    };
    let bytes = Message::request(request.clone()).write();
    // By hand from the encoding of proto3: tag, length, value; empty text is absent.
    let expected = "08011231\
        08ffffffffffffffffff01\
        12060a0161120162\
        1a060a0163120164\
        2203108a23\
        2a0f0a093139322e302e322e3110ffff03";
    assert_eq!(hex(&bytes), expected);
    assert_eq!(Message::read(&bytes), Some(Body::Request(request)));
}

#[test]
fn what_is_no_message_is_none() {
    assert_eq!(Message::read(&[]), None, "empty");
    assert_eq!(Message::read(&[0x12, 0xff]), None, "cut");
    assert_eq!(Message::read(b"GET / HTTP/1.1\r\n"), None, "something else");
    assert_eq!(Message::read(&[0x08, 0x01, 0x12, 0x00]), Some(Body::Request(Request::default())));
}

#[test]
fn addresses_are_compared_as_addresses() {
    let told = |ip: &str| pair(ip, 1);
    assert!(told("10.0.0.1").is_at("10.0.0.1".parse().unwrap()));
    assert!(told("::ffff:10.0.0.1").is_at("10.0.0.1".parse().unwrap()));
    assert!(told("2001:db8:0::1").is_at("2001:db8::1".parse().unwrap()));
    assert!(!told("10.0.0.1:4490").is_at("10.0.0.1".parse().unwrap()));
}
