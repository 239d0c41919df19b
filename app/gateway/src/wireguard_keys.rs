//! The keys of WireGuard cables: this gateway's own in a Secret, made once, and the clusterset's as it is mounted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use sha2::{Digest as _, Sha256};
use subm_api::keys;
use subm_cable::WireguardKeys;
use subm_kube::{ApiError, Connection, Key, Writer};
use subm_types::{Backend, PresharedKey, PrivateKey};
use tokio::sync::mpsc;
use tracing::{info, warn};
use zeroize::Zeroizing;

use crate::conditions::{Finding, Noticeboard};
use crate::home::MANAGER;
use crate::input::Input;
use crate::settings::{Config, Psk, Task};

const RETRY: Duration = Duration::from_secs(2);
/// How often a mounted preshared key is read again.
const REREAD: Duration = Duration::from_secs(10);
const KEY_READY: &str = "WireguardKeyReady";
pub(crate) const PSK_SAFE: &str = "PresharedKeySafe";
/// The entry of the Secret, in the form of `wg genkey`.
const ENTRY: &str = "privateKey";
/// COMPAT: what the Go implementation hashes where no preshared key is set.
const DEFAULT_PSK: &str = "default psk";

/// The name of the Secret that holds the key of a gateway node.
pub(crate) fn secret_name(node: &str) -> String {
    format!("submariner-wireguard-{node}")
}

/// Reads the keys, however long that takes, and follows the preshared one. A driver without keys has no use for it.
pub(crate) async fn follow(
    (home, config): (Connection, Config),
    (inputs, board): (mpsc::Sender<Input>, Noticeboard),
) {
    if config.driver != Backend::Wireguard {
        return;
    }
    let private = own_key(&home, &config, &board).await;
    let public = subm_noise::public_key(&private);
    info!(key = %public.short(), "this gateway has its WireGuard key");
    let mut known: Option<PresharedKey> = None;
    let mut said = String::new();
    loop {
        let pause = match preshared(&config.psk) {
            Ok(preshared) if known.as_ref() == Some(&preshared) => REREAD,
            Ok(preshared) => {
                board.post(safety(&config.psk));
                known = Some(preshared.clone());
                let keys = WireguardKeys { private: private.clone(), public, preshared };
                // Fails only when the daemon ends.
                drop(inputs.send(Input::Keys(Box::new(keys))).await);
                REREAD
            }
            Err(error) => {
                post_unreadable(&board, format!("{error:#}"), &mut said);
                known = None;
                RETRY
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// What was read before stays in use.
fn post_unreadable(board: &Noticeboard, what: String, said: &mut String) {
    if what != *said {
        warn!(error = %what, "the preshared key cannot be read, trying again");
        board.post(Finding::fails(PSK_SAFE, "Unreadable", &what));
    }
    *said = what;
}

/// The key in the Secret, or a new one where there is no Secret.
async fn own_key(home: &Connection, config: &Config, board: &Noticeboard) -> PrivateKey {
    let writer = Writer::new(home, MANAGER);
    let mut said = String::new();
    loop {
        let what = match read_or_make(&writer, config).await {
            Ok(key) => {
                board.post(Finding::holds(KEY_READY, "AsExpected", ""));
                return key;
            }
            Err(error) => format!("{error:#}"),
        };
        if what != said {
            warn!(error = %what, "the WireGuard key of this gateway is not known, trying again");
            board.post(Finding::fails(KEY_READY, "SecretUnusable", &what));
        }
        said = what;
        tokio::time::sleep(RETRY).await;
    }
}

async fn read_or_make(writer: &Writer, config: &Config) -> anyhow::Result<PrivateKey> {
    let key = Key::new(&config.namespace, secret_name(&config.node_name));
    if let Some(secret) = writer.get::<Secret>(&key).await? {
        return read(&secret).with_context(|| unusable(&key));
    }
    if config.task == Task::DryRun {
        bail!("Secret {key} is not there, and a dry run makes none");
    }
    let made = generate().context("the kernel gives no random bytes")?;
    match writer.put(&secret(config, &made)).await {
        Ok(secret) => {
            info!(secret = %key, "a WireGuard key was made");
            read(&secret).with_context(|| unusable(&key))
        }
        // Somebody made it meanwhile: that one counts.
        Err(ApiError::Conflict { .. }) => {
            let secret = writer.get::<Secret>(&key).await?.context("the Secret comes and goes")?;
            read(&secret).with_context(|| unusable(&key))
        }
        Err(error) => Err(error.into()),
    }
}

fn unusable(key: &Key) -> String {
    format!("Secret {key} holds no key; delete it, and a new one is made, which peers learn of")
}

fn read(secret: &Secret) -> anyhow::Result<PrivateKey> {
    let Some(ByteString(bytes)) = secret.data.as_ref().and_then(|data| data.get(ENTRY)) else {
        bail!("data.{ENTRY} is missing");
    };
    let text = std::str::from_utf8(bytes).ok().map(str::trim);
    text.and_then(|text| text.parse().ok()).with_context(|| format!("data.{ENTRY} is no WireGuard key"))
}

fn secret(config: &Config, key: &PrivateKey) -> Secret {
    let labels = [
        (keys::CLUSTER_ID_LABEL.to_owned(), config.cluster.to_string()),
        (keys::MANAGED_BY_LABEL.to_owned(), MANAGER.to_owned()),
    ];
    Secret {
        metadata: ObjectMeta {
            name: Some(secret_name(&config.node_name)),
            namespace: Some(config.namespace.clone()),
            labels: Some(labels.into()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        data: Some([(ENTRY.to_owned(), ByteString(key.to_base64().as_bytes().to_vec()))].into()),
        ..Secret::default()
    }
}

/// As `wg genkey` makes one: random, with the bits that X25519 fixes.
fn generate() -> anyhow::Result<PrivateKey> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(bytes.as_mut_slice())?;
    bytes[0] &= 0xf8;
    bytes[31] = (bytes[31] & 0x7f) | 0x40;
    Ok(PrivateKey::new(*bytes))
}

/// COMPAT: the key is the SHA-256 of the text; of a mounted Secret the text is the base64 of what is in the file, as
/// `subctl` puts it into the environment.
fn preshared(psk: &Psk) -> anyhow::Result<PresharedKey> {
    let text = secret_text(psk)?.unwrap_or_else(|| {
        Zeroizing::new(if *psk == Psk::Empty { String::new() } else { DEFAULT_PSK.to_owned() })
    });
    Ok(PresharedKey::new(Sha256::digest(text.as_bytes()).into()))
}

/// The secret of the clusterset, if one is given.
pub(crate) fn secret_text(psk: &Psk) -> anyhow::Result<Option<Zeroizing<String>>> {
    match psk {
        Psk::Text(text) => Ok(Some(text.clone())),
        Psk::Mounted(path) => mounted(path).map(Some),
        Psk::Empty | Psk::Unset => Ok(None),
    }
}

fn mounted(path: &Path) -> anyhow::Result<Zeroizing<String>> {
    let bytes = std::fs::read(path).map(Zeroizing::new);
    let bytes = bytes.with_context(|| {
        format!("{} cannot be read; mount the Secret that CE_IPSEC_PSKSECRET names", path.display())
    })?;
    if bytes.is_empty() {
        bail!("{} is empty; put a random text of at least 32 bytes into the Secret", path.display());
    }
    Ok(Zeroizing::new(STANDARD.encode(&*bytes)))
}

fn safety(psk: &Psk) -> Finding {
    let what = match psk {
        Psk::Text(_) | Psk::Mounted(_) => return Finding::holds(PSK_SAFE, "AsExpected", ""),
        Psk::Empty => {
            "CE_IPSEC_PSK is empty and CE_IPSEC_PSKSECRET not set: the preshared key of the cables is the hash of nothing"
        }
        Psk::Unset => {
            "neither CE_IPSEC_PSK nor CE_IPSEC_PSKSECRET is set: the preshared key of the cables is the well-known default"
        }
    };
    let remedy = "give every cluster the same Secret with a random text as CE_IPSEC_PSKSECRET";
    Finding::fails(PSK_SAFE, "WellKnownPresharedKey", format!("{what}; {remedy}"))
}

/// Removes the Secret; the key is of no use to anybody without this gateway.
pub(crate) async fn remove(home: &Connection, config: &Config) -> anyhow::Result<()> {
    if config.driver != Backend::Wireguard {
        return Ok(());
    }
    let writer = Writer::new(home, MANAGER);
    let key = Key::new(&config.namespace, secret_name(&config.node_name));
    if let Some(secret) = writer.get::<Secret>(&key).await? {
        writer.delete(&secret).await?;
        info!(secret = %key, "the WireGuard key is gone");
    }
    Ok(())
}

#[cfg(test)]
#[path = "wireguard_keys_tests.rs"]
mod tests;
