//! Keys, where they come from and what is said of them.

use super::*;
use crate::view::tests::config;

fn text(psk: &Psk) -> String {
    let key = preshared(psk).unwrap();
    key.as_bytes().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

fn given(text: &str) -> Psk {
    Psk::Text(Zeroizing::new(text.to_owned()))
}

#[test]
fn the_preshared_key_is_the_hash_of_the_text_as_peers_compute_it() {
    assert_eq!(text(&Psk::Empty), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_eq!(text(&Psk::Unset), text(&given("default psk")));
    assert_eq!(text(&given("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("psk");
    std::fs::write(&path, b"\x00\x01raw bytes\n").unwrap();
    assert_eq!(text(&Psk::Mounted(path.clone())), text(&given("AAFyYXcgYnl0ZXMK")));
    std::fs::write(&path, b"").unwrap();
    assert!(preshared(&Psk::Mounted(path)).unwrap_err().to_string().contains("is empty"));
    let absent = preshared(&Psk::Mounted(directory.path().join("absent"))).unwrap_err();
    assert!(absent.to_string().contains("CE_IPSEC_PSKSECRET"), "{absent}");
}

#[test]
fn a_key_that_everybody_knows_is_said_loudly() {
    let said = |psk| {
        let finding = safety(&psk);
        (finding.holds.as_str(), finding.reason)
    };
    for psk in [Psk::Empty, Psk::Unset] {
        assert_eq!(said(psk), ("False", "WellKnownPresharedKey".to_owned()));
    }
    assert_eq!(said(given("secret")).0, "True");
}

#[test]
fn a_key_survives_its_secret_and_other_secrets_are_refused() {
    let key = generate().unwrap();
    assert_ne!(key, generate().unwrap());
    let mut secret = secret(&config(), &key);
    assert_eq!(secret.metadata.name.as_deref(), Some("submariner-wireguard-gw-1"));
    assert_eq!(read(&secret).unwrap(), key);
    let mut put = |text: &str| {
        secret.data = Some([(ENTRY.to_owned(), ByteString(text.as_bytes().to_vec()))].into());
        read(&secret).map_err(|error| error.to_string())
    };
    assert_eq!(put(&format!("{}\n", *key.to_base64())), Ok(key));
    assert_eq!(put("nonsense"), Err("data.privateKey is no WireGuard key".to_owned()));
    secret.data = None;
    assert_eq!(read(&secret).unwrap_err().to_string(), "data.privateKey is missing");
}
