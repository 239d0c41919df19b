//! Certificates and tokens, right, wrong and replaced.

use std::time::{Duration, Instant};

use base64::Engine as _;
use k8s_openapi::api::core::v1::Namespace;
use subm_api::Endpoint;
use subm_apiserver::Authority;
use subm_kube::{Access, ApiError, Connection, HubSettings, InvalidAccess, Key, Writer};

use crate::harness::{BROKER, Served, connect, endpoint, retry};

async fn list(connection: &Connection) -> Result<Option<Endpoint>, ApiError> {
    Writer::new(connection, "test").get(&Key::new(BROKER, "west-submariner-cable-west-10-0-0-2")).await
}

/// The certificate of an authority that has signed nothing here.
fn somebody_elses() -> String {
    Authority::new("somebody else").unwrap().pem()
}

fn encode(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(text)
}

#[tokio::test]
async fn wrong_certificate_says_which_was_shown_and_which_is_trusted() {
    let hub = Served::start(BROKER);
    let settings = HubSettings { ca: Some(encode(&somebody_elses())), ..hub.settings("east") };
    let error = list(&connect(&settings)).await.unwrap_err();
    let ApiError::Certificate { server, cause } = &error else { panic!("{error:?}") };
    assert_eq!(*server, format!("https://{}", hub.cluster().address()));
    assert_eq!(cause.presented.issuer, hub.cluster().authority_name());
    assert_eq!(cause.field, "BROKER_K8S_CA");
    let text = error.to_string();
    assert!(
        text.contains("put the certificate of the authority that signed it into BROKER_K8S_CA"),
        "{text}"
    );
}

#[tokio::test]
async fn certificate_for_another_name_is_told_from_an_unknown_authority() {
    let hub = Served::start(BROKER);
    let apiserver = format!("localhost:{}", hub.cluster().address().port());
    let error = list(&connect(&HubSettings { apiserver, ..hub.settings("east") })).await.unwrap_err();
    let ApiError::Certificate { cause, .. } = &error else { panic!("{error:?}") };
    assert!(cause.cause.contains("localhost"), "{error}");
}

#[tokio::test]
async fn insecure_asks_for_no_certificate() {
    let hub = Served::start(BROKER);
    let ca = Some(encode(&somebody_elses()));
    let settings = HubSettings { ca, insecure: true, ..hub.settings("east") };
    assert_eq!(list(&connect(&settings)).await.unwrap(), None);
}

#[tokio::test]
async fn replaced_authority_is_trusted_without_a_restart() {
    let hub = Served::start(BROKER);
    hub.store().create(endpoint("west", BROKER, 2)).unwrap();
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("token"), hub.cluster().join("east").unwrap()).unwrap();
    std::fs::write(secret.path().join("ca.crt"), somebody_elses()).unwrap();
    let settings =
        HubSettings { ca: None, token: None, secret: Some(secret.path().to_owned()), ..hub.settings("east") };
    let connection = connect(&settings);
    assert!(matches!(list(&connection).await, Err(ApiError::Certificate { .. })));
    std::fs::write(secret.path().join("ca.crt"), hub.cluster().authority()).unwrap();
    retry(async || list(&connection).await.ok().flatten()).await;
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let hub = Served::start(BROKER);
    let settings = HubSettings { apiserver: "127.0.0.1:1".to_owned(), ..hub.settings("east") };
    let error = list(&connect(&settings)).await.unwrap_err();
    assert!(matches!(&error, ApiError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn settings_that_cannot_work_are_named() {
    let hub = Served::start(BROKER);
    let invalid = |settings: HubSettings| Access::hub(&settings).unwrap_err();
    let no_token = invalid(HubSettings { token: Some(" ".to_owned()), ..hub.settings("east") });
    assert!(matches!(no_token, InvalidAccess::NoToken));
    let no_ca = invalid(HubSettings { ca: Some("bm8gUEVN".to_owned()), ..hub.settings("east") });
    assert!(matches!(no_ca, InvalidAccess::Authority { field: "BROKER_K8S_CA" }));
    let no_host = invalid(HubSettings { apiserver: "a b".to_owned(), ..hub.settings("east") });
    assert!(no_host.to_string().contains("BROKER_K8S_APISERVER"), "{no_host}");
}

#[tokio::test]
async fn home_is_reached_by_kubeconfig() {
    let home = Served::start(crate::harness::HOME);
    let connection = home.home().await;
    let found: Option<Namespace> =
        Writer::new(&connection, "test").get(&Key::new("", "kube-system")).await.unwrap();
    assert!(found.unwrap().metadata.uid.is_some());
}

#[tokio::test]
async fn replaced_token_is_used_at_once_and_its_line_end_does_not_count() {
    let hub = Served::start(BROKER);
    hub.store().create(endpoint("west", BROKER, 2)).unwrap();
    let secret = tempfile::tempdir().unwrap();
    let file = secret.path().join("token");
    std::fs::write(&file, format!("{}\n", hub.cluster().join("east").unwrap())).unwrap();
    let settings = HubSettings { secret: Some(secret.path().to_owned()), ..hub.settings_without_token() };
    let connection = connect(&settings);
    assert!(list(&connection).await.unwrap().is_some());

    let rotated = hub.cluster().replace_token("east").unwrap();
    retry(async || matches!(list(&connection).await, Err(ApiError::Unauthorized { .. })).then_some(())).await;
    std::fs::write(&file, rotated).unwrap();
    let begin = Instant::now();
    retry(async || list(&connection).await.ok().flatten()).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
}
