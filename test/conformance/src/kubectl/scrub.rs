//! Leaving out of a text what differs from run to run.

/// An Event of the loop in which Kubernetes repairs addresses: whether it meets a Service before that has its own is
/// chance.
const NOW_AND_THEN: &str = "ClusterIPNotAllocated";

/// The text without UIDs, times, versions and ages, and with single spaces between columns.
pub(super) fn scrub(text: &str) -> String {
    let kept = text.lines().filter(|line| !line.contains(NOW_AND_THEN));
    let mut scrubbed: String = kept.map(|text| line(text) + "\n").collect();
    if !text.ends_with('\n') {
        scrubbed.pop();
    }
    scrubbed
}

fn line(text: &str) -> String {
    let mut indent: String = text.chars().take_while(|letter| *letter == ' ').collect();
    // An empty first column is as wide as its widest cell.
    if indent.len() > 30 {
        indent.truncate(2);
    }
    let mut words: Vec<String> = text.split(' ').filter(|part| !part.is_empty()).map(word).collect();
    // In YAML, JSON and describe's text the value follows its name.
    for at in 1..words.len() {
        let name = words[at - 1].trim_matches(['"', ':', '{', ',']).to_owned();
        if name == "resourceVersion" || (name == "Version" && at > 1 && words[at - 2] == "Resource") {
            "VERSION".clone_into(&mut words[at]);
        }
    }
    indent + &words.join(" ")
}

fn word(word: &str) -> String {
    let edge = |letter: char| !letter.is_ascii_alphanumeric();
    let bare = word.trim_matches(edge);
    let known = if is_uid(bare) {
        "UID"
    } else if is_time(bare) {
        "TIME"
    } else if is_age(bare) {
        "AGE"
    } else if let Some(inner) = embedded(bare) {
        return word.replace(bare, &inner);
    } else {
        return word.to_owned();
    };
    word.replacen(bare, known, 1)
}

/// A word that joins several by commas, quotes or equals signs, as JSON in one line does.
fn embedded(bare: &str) -> Option<String> {
    const BETWEEN: &[char] = &[',', '"', '=', '(', ')'];
    if !bare.contains(BETWEEN) {
        return None;
    }
    let mut text = String::new();
    let mut version = false;
    for part in bare.split_inclusive(BETWEEN) {
        let inner = part.trim_end_matches(BETWEEN);
        let known = match () {
            () if is_uid(inner) => "UID",
            () if is_time(inner) => "TIME",
            () if version && !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_digit()) => {
                "VERSION"
            }
            () => inner,
        };
        if !inner.trim_matches(':').is_empty() {
            version = inner == "resourceVersion";
        }
        text.push_str(known);
        text.push_str(&part[inner.len()..]);
    }
    Some(text)
}

fn is_uid(word: &str) -> bool {
    let lengths: Vec<_> = word.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

/// RFC 3339 with or without fractions; what we write into objects ourselves is of the year 2026 and January.
fn is_time(word: &str) -> bool {
    let bytes = word.as_bytes();
    let shaped = bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':';
    shaped && word.ends_with('Z') && !word.starts_with("2026-01-01T")
}

/// `5s`, `2m3s`, `10d`.
fn is_age(word: &str) -> bool {
    let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let mut rest = if rest.len() < word.len() { rest } else { return false };
    loop {
        let Some(unit) = rest.strip_prefix(['s', 'm', 'h', 'd']) else { return false };
        if unit.is_empty() {
            return true;
        }
        let digits = unit.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if digits.len() == unit.len() {
            return false;
        }
        rest = digits;
    }
}

#[cfg(test)]
mod tests {
    use super::scrub;

    #[test]
    fn events_of_chance_are_left_out() {
        assert_eq!(scrub("a\n3s Warning ClusterIPNotAllocated service/b\nc\n"), "a\nc\n");
    }

    #[test]
    fn what_differs_from_run_to_run_is_left_out() {
        for (text, wanted) in [
            ("a      1      2m5s", "a 1 AGE"),
            ("  resourceVersion: \"17\"", "  resourceVersion: VERSION"),
            ("  uid: d9c0a02b-22ec-46e5-86d1-65913e6b9200", "  uid: UID"),
            ("  creationTimestamp: \"2027-05-05T01:02:03Z\"", "  creationTimestamp: \"TIME\""),
            ("  renewTime: \"2026-01-01T00:00:00.000000Z\"", "  renewTime: \"2026-01-01T00:00:00.000000Z\""),
            ("  Resource Version:    270", "  Resource Version: VERSION"),
            ("port 80/TCP 5 sand", "port 80/TCP 5 sand"),
            (
                "{\"resourceVersion\":\"17\",\"uid\":\"d9c0a02b-22ec-46e5-86d1-65913e6b9200\"}",
                "{\"resourceVersion\":\"VERSION\",\"uid\":\"UID\"}",
            ),
        ] {
            assert_eq!(scrub(text), wanted, "{text}");
        }
    }
}
