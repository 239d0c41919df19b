//! Whom we ask, and what we believe.

use proptest::prelude::*;

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn wanted(list: &str) -> Vec<String> {
    let Resolvers { wanted, unreadable } = Resolvers::read(list);
    assert_eq!(unreadable, [], "{list}");
    wanted.iter().map(ToString::to_string).collect()
}

#[test]
fn every_method_is_read_and_printed_as_it_is_written() {
    let list = "ipv4:203.0.113.9,ipv6:2001:db8::9,api:ip.example/plain,lb:submariner-gateway,dns:gw.example";
    assert_eq!(wanted(list), list.split(',').collect::<Vec<_>>());
    let url = "api:http://ip.example:8080/plain?format=text";
    assert_eq!(wanted(&format!(" {url} , {url},")), [url]);
    assert_eq!(wanted(""), [""; 0]);
    assert_eq!(wanted(DEFAULT_RESOLVERS).len(), 4);
}

#[test]
fn what_cannot_be_read_is_named_and_the_others_stand() {
    let wrong = [
        "203.0.113.9",
        "ipv4:300.0.0.1",
        "ipv4:2001:db8::9",
        "ipv4:127.0.0.1",
        "ipv6:203.0.113.9",
        "ipv6:fe80::1",
        "api:",
        "api:ftp://ip.example",
        "api:ip.example/a b",
        "lb:Not_A_Service",
        "dns:two..points",
        "carrier:pigeon",
    ];
    for element in wrong {
        let read = Resolvers::read(&format!("{element},ipv4:192.0.2.1"));
        assert_eq!(read.wanted, [Resolver::Literal(ip("192.0.2.1"))], "{element}");
        assert_eq!(read.unreadable[0].element, element);
    }
}

#[test]
fn without_a_way_out_only_what_needs_none_is_left() {
    let all = "api:ip.example,lb:gateway,dns:gw.example,ipv4:192.0.2.1";
    let left = Resolvers::read(all).air_gapped();
    assert_eq!(
        left.wanted.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["lb:gateway", "ipv4:192.0.2.1"]
    );
    assert!(left.load_balanced() && !Resolvers::read(all).load_balanced());
}

#[test]
fn one_address_in_an_answer_is_found_whatever_is_around_it() {
    let answers = [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9\r\n", "203.0.113.9"),
        (r#"{"ip":"203.0.113.9"}"#, "203.0.113.9"),
        ("Your address is 203.0.113.9.", "203.0.113.9"),
        ("ip: 203.0.113.9, again 203.0.113.9", "203.0.113.9"),
        ("2001:db8::9\n", "2001:db8::9"),
        (r#"{"ip":"2001:DB8::9","cached":false}"#, "2001:db8::9"),
    ];
    for (text, address) in answers {
        assert_eq!(read_answer(text.as_bytes()), Ok(ip(address)), "{text}");
    }
}

#[test]
fn answers_without_one_public_address_are_refused_with_the_reason() {
    let answers: [(&[u8], &str); 14] = [
        (b"", "no address"),
        (b"<html>please log in</html>", "no address"),
        (b"\xff\xfe", "no text"),
        (b"300.1.2.3", "no address"),
        (b"203.0.113.9 or 203.0.113.10", "several"),
        (b"10.0.0.1", "private"),
        (b"100.64.3.4", "private"),
        (b"169.254.1.1", "private"),
        (b"fd00::1", "private"),
        (b"127.0.0.1", "nobody"),
        (b"224.0.0.1", "nobody"),
        (b"255.255.255.255", "nobody"),
        (b"fe80::1", "nobody"),
        (b"::ffff:10.0.0.1", "private"),
    ];
    for (text, why) in answers {
        let said = read_answer(text).unwrap_err();
        assert!(said.contains(why), "{}: {said}", String::from_utf8_lossy(text));
    }
}

#[test]
fn the_most_preferred_that_answers_is_believed_and_who_may_still_answer_is_waited_for() {
    let list = Resolvers::read("api:a.example,dns:b.example,ipv6:2001:db8::1").wanted;
    let [a, b, _] = list.as_slice() else { panic!("{list:?}") };
    let told = |text: &str| Told::Heard(Heard { found: PerFamily::of([ip(text)]), failure: None });
    let failed = || Told::Heard(Heard::failed("hangs"));
    let say = |answers: &[(&Resolver, Told)]| {
        let answers = answers.iter().map(|(who, what)| ((*who).clone(), what.clone())).collect();
        let Choice { found, open } = choose(&list, &answers);
        let found: Vec<String> =
            found.iter().map(|(_, (address, rank))| format!("{address} by {rank}")).collect();
        (found.join(" "), open.len())
    };
    let both = |text: &str| (text.to_owned(), 0);
    assert_eq!(say(&[]), (String::new(), 2));
    assert_eq!(say(&[(b, told("192.0.2.2"))]), (String::new(), 2), "the first may be quick too");
    let second = both("192.0.2.2 by 1 2001:db8::1 by 2");
    assert_eq!(say(&[(a, Told::Slow), (b, told("192.0.2.2"))]), second);
    assert_eq!(say(&[(a, failed()), (b, told("192.0.2.2"))]), second);
    assert_eq!(
        say(&[(a, told("192.0.2.1")), (b, told("192.0.2.2"))]),
        both("192.0.2.1 by 0 2001:db8::1 by 2")
    );
    assert_eq!(
        say(&[(a, told("2001:db8::2")), (b, told("192.0.2.2"))]),
        both("192.0.2.2 by 1 2001:db8::2 by 0")
    );
    assert_eq!(say(&[(a, Told::Slow), (b, Told::Slow)]), both("2001:db8::1 by 2"));
}

proptest! {
    #[test]
    fn whatever_is_answered_is_refused_or_a_public_address(body in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(address) = read_answer(&body) {
            prop_assert_eq!(Reach::of(address), Reach::Public);
        }
    }

    #[test]
    fn whatever_is_set_is_read_to_the_end(list in "[a-z0-9:.,/ -]{0,80}") {
        let read = Resolvers::read(&list);
        let elements = list.split(',').filter(|element| !element.trim().is_empty()).count();
        prop_assert!(read.wanted.len() + read.unreadable.len() <= elements);
    }
}
