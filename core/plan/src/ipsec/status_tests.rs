use super::*;

const NEGOTIATING: &str = include_str!("../../tests/pluto/negotiating.txt");
const TWO_PAIRS: &str = include_str!("../../tests/pluto/two-pairs.txt");
const BOTH_FAMILIES: &str = include_str!("../../tests/pluto/both-families.txt");
const SERVER: &str = include_str!("../../tests/pluto/server.txt");

fn association(destination: &str, spi: u32) -> Association {
    Association { destination: destination.parse().unwrap(), spi }
}

#[test]
fn a_daemon_at_work_tells_its_version_its_addresses_and_what_it_is_at() {
    let found = parse_status(NEGOTIATING);
    assert_eq!(found.version, Some((4, 10)));
    for address in ["10.9.0.1", "10.1.0.1", "127.0.0.1", "::1"] {
        assert!(found.listening.contains(&address.parse().unwrap()), "{address}");
    }
    assert_eq!(found.listening.len(), 4);
    let connection = &found.connections["c-0-0"];
    assert!(connection.negotiating && connection.children.is_empty());
    assert_eq!(connection.mark, Some(0));
}

#[test]
fn pairs_that_share_an_ike_association_are_both_up() {
    let found = parse_status(TWO_PAIRS);
    let first = Child {
        inbound: association("10.9.0.1", 0xe525_eb92),
        outbound: association("10.9.0.2", 0x7fa0_4572),
    };
    assert_eq!(found.connections["c-0-0"].children, [first]);
    assert_eq!(found.connections["c-0-1"].children.len(), 1);
    assert!(found.connections.values().all(|connection| !connection.negotiating));
}

#[test]
fn a_pair_whose_ike_association_is_gone_is_down() {
    let gone = TWO_PAIRS.lines().filter(|line| !line.starts_with("000 #1:"));
    let found = parse_status(&gone.collect::<Vec<_>>().join("\n"));
    assert!(found.connections.values().all(|connection| connection.children.is_empty()));
}

#[test]
fn both_families_are_read_and_the_mark_with_them() {
    let found = parse_status(BOTH_FAMILIES);
    let six = &found.connections["c6-0-0"];
    let inbound = association("fd09::1", 0x8e51_3a01);
    assert_eq!(six.children[0].inbound, inbound);
    assert_eq!(six.mark, Some(2_147_483_647));
}

#[test]
fn the_ends_that_called_a_server_count_for_its_connection() {
    let found = parse_status(SERVER);
    assert_eq!(found.connections.len(), 3);
    for name in ["s-0-0", "s-0-1"] {
        let connection = &found.connections[name];
        assert_eq!((connection.children.len(), connection.mark), (1, Some(7)), "{name}");
    }
}

#[test]
fn libreswan_5_calls_its_states_otherwise() {
    let newer = TWO_PAIRS.replace("STATE_V2_", "");
    assert_eq!(parse_status(&newer), parse_status(TWO_PAIRS));
}

/// Cuts, doubles and swaps pieces of what was recorded, after a simple generator with a fixed seed.
#[test]
fn whatever_is_read_nothing_breaks_and_nothing_is_up_that_was_not() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut below = |limit: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % u64::try_from(limit.max(1)).unwrap()).unwrap()
    };
    for text in [NEGOTIATING, TWO_PAIRS, BOTH_FAMILIES, SERVER] {
        let known: BTreeSet<Association> = all(&parse_status(text)).collect();
        for _ in 0..2000 {
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for _ in 0..=below(4) {
                spoil(&mut lines, &mut below);
            }
            let found = parse_status(&lines.join("\n"));
            assert!(all(&found).all(|association| known.contains(&association)));
        }
        for _ in 0..2000 {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..8 {
                let (place, value) = (below(bytes.len()), below(256));
                bytes[place] = u8::try_from(value).unwrap();
            }
            parse_status(&String::from_utf8_lossy(&bytes));
        }
    }
}

fn spoil(lines: &mut Vec<String>, below: &mut impl FnMut(usize) -> usize) {
    let (one, other) = (below(lines.len()), below(lines.len()));
    match below(4) {
        0 => drop(lines.remove(one)),
        1 => lines.swap(one, other),
        2 => lines.insert(one, lines[other].clone()),
        _ => {
            let cut = below(lines[one].len());
            // A cut number would be another one, so the line ends with the word before.
            let end = lines[one][..cut].rfind(' ').unwrap_or(0);
            lines[one].truncate(end);
        }
    }
}

fn all(found: &FoundDaemon) -> impl Iterator<Item = Association> {
    let children = found.connections.values().flat_map(|connection| &connection.children);
    children.flat_map(|child| [child.inbound, child.outbound])
}
