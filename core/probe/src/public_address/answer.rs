//! What strangers answer, and what of it is believed.

use std::net::IpAddr;

use subm_types::Reach;

/// Reads the answer of a web service: text, JSON or whatever else has one address in it.
///
/// An answer that names several is as good as none, for nobody says which is meant.
pub fn read_answer(body: &[u8]) -> Result<IpAddr, String> {
    let text = std::str::from_utf8(body).map_err(|_| "the answer is no text".to_owned())?;
    let part_of_address = |character: char| character.is_ascii_hexdigit() || matches!(character, '.' | ':');
    let words = text.split(|character| !part_of_address(character));
    let mut found: Vec<IpAddr> = words.filter_map(address).collect();
    found.dedup();
    match found.as_slice() {
        [] => Err(format!("the answer {:?} has no address in it", beginning(text))),
        [one] => believed(*one),
        _ => Err(format!("the answer {:?} names several addresses", beginning(text))),
    }
}

/// An address; JSON and the end of a sentence leave a colon or a point beside it.
fn address(word: &str) -> Option<IpAddr> {
    let parsed = |text: &str| text.parse::<IpAddr>().ok();
    let trimmed = word.trim_end_matches('.');
    // Two colons alone are what programmers write.
    parsed(trimmed).or_else(|| parsed(trimmed.trim_matches(':'))).filter(|one| !one.is_unspecified())
}

/// As much as fits into a sentence.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 60;
    text.trim().chars().take(SHOWN).collect()
}

/// A stranger on the internet has seen us under a public address or is mistaken.
fn believed(address: IpAddr) -> Result<IpAddr, String> {
    match Reach::of(address) {
        Reach::Public => Ok(address.to_canonical()),
        Reach::Private => Err(format!("it says {address}, which is a private address")),
        Reach::Nowhere => Err(format!("it says {address}, under which nobody can be reached")),
    }
}
