//! Encodings, tables, discovery and what else travels beside objects.

use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use http::header;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::claims::Claim;
use crate::ground::{Answer, Ground, config_map, same, text};

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "custom resources are answered in JSON where protobuf is preferred",
        proof: |ground| Box::pin(protobuf_preferred(ground)),
    },
    Claim {
        says: "custom resources in protobuf alone are not acceptable",
        proof: |ground| Box::pin(protobuf_alone(ground)),
    },
    Claim {
        says: "built-in kinds asked for in protobuf or JSON come in one of them",
        proof: |ground| Box::pin(either_encoding(ground)),
    },
    Claim {
        says: "an unknown encoding is not acceptable",
        proof: |ground| Box::pin(unknown_encoding(ground)),
    },
    Claim {
        says: "objects are answered in YAML where that is asked for",
        proof: |ground| Box::pin(yaml(ground)),
    },
    Claim { says: "objects are taken in YAML", proof: |ground| Box::pin(yaml_sent(ground)) },
    Claim {
        says: "a large list is compressed where gzip is accepted",
        proof: |ground| Box::pin(gzip(ground)),
    },
    Claim { says: "built-in kinds are taken in protobuf", proof: |ground| Box::pin(protobuf_sent(ground)) },
    Claim { says: "JSON comes in lines where that is asked for", proof: |ground| Box::pin(pretty(ground)) },
    Claim {
        says: "discovery of all groups has a tag, and is not sent again to who knows it",
        proof: |ground| Box::pin(discovery_tag(ground)),
    },
    Claim {
        says: "health is told check by check, and checks can be left out",
        proof: |ground| Box::pin(checks(ground)),
    },
    Claim { says: "the issuer of tokens publishes its keys", proof: |ground| Box::pin(issuer(ground)) },
    Claim { says: "many requests share one connection of HTTP/2", proof: |ground| Box::pin(http2(ground)) },
    Claim {
        says: "a table has the columns of the kind and an object's metadata in each row",
        proof: |ground| Box::pin(table(ground)),
    },
    Claim {
        says: "a table of a custom resource has the columns of its definition",
        proof: |ground| Box::pin(custom_table(ground)),
    },
    Claim {
        says: "metadata alone is answered where that is asked for",
        proof: |ground| Box::pin(metadata(ground)),
    },
    Claim {
        says: "discovery lists groups and resources, one by one and all at once",
        proof: |ground| Box::pin(discovery(ground)),
    },
    Claim {
        says: "OpenAPI v3 has an index and a document per group with the schemas of our kinds",
        proof: |ground| Box::pin(openapi_v3(ground)),
    },
    Claim { says: "OpenAPI v2 has the schemas of our kinds", proof: |ground| Box::pin(openapi_v2(ground)) },
    Claim { says: "version and health are told", proof: |ground| Box::pin(health(ground)) },
    Claim {
        says: "an unknown path, resource or version is not found",
        proof: |ground| Box::pin(unknown_path(ground)),
    },
    Claim {
        says: "an unknown field is dropped with a warning, or refused where validation is strict",
        proof: |ground| Box::pin(unknown_field(ground)),
    },
    Claim {
        says: "each answer names the priority level that admitted it and its audit entry",
        proof: |ground| Box::pin(headers(ground)),
    },
];

async fn cluster_list(ground: &Ground, accept: &str) -> Result<Answer> {
    ground.get_as(&ground.path("submariner.io/v1/clusters"), accept).await
}

async fn protobuf_preferred(ground: Ground) -> Result<()> {
    let answer = cluster_list(&ground, &format!("{PROTOBUF},application/json")).await?;
    let list = answer.wants(200)?;
    ensure!(answer.media_type() == "application/json", "the type is {:?}", answer.media_type());
    same(&list, "/kind", &json!("ClusterList"))
}

async fn protobuf_alone(ground: Ground) -> Result<()> {
    cluster_list(&ground, PROTOBUF).await?.wants(406)?;
    Ok(())
}

async fn either_encoding(ground: Ground) -> Result<()> {
    let answer = ground.get_as(&ground.path("configmaps"), &format!("{PROTOBUF},application/json")).await?;
    answer.wants(200)?;
    ensure!(
        [PROTOBUF, "application/json"].contains(&answer.media_type()),
        "the type is {:?}",
        answer.media_type()
    );
    Ok(())
}

async fn unknown_encoding(ground: Ground) -> Result<()> {
    ground.get_as(&ground.path("configmaps"), "text/csv").await?.refuses(406, "NotAcceptable")?;
    Ok(())
}

async fn yaml(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let answer = ground.get_as(&ground.at("configmaps", "a"), "application/yaml").await?;
    answer.wants(200)?;
    ensure!(answer.media_type() == "application/yaml", "the type is {:?}", answer.media_type());
    let object: Value = serde_saphyr::from_slice(&answer.bytes).context("the answer is no YAML")?;
    same(&object, "/data/key", &json!("1"))
}

async fn yaml_sent(ground: Ground) -> Result<()> {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: \"1\"\n";
    let request =
        http::Request::post(ground.path("configmaps")).header(header::CONTENT_TYPE, "application/yaml");
    let object = ground.send(request.body(text.as_bytes().to_vec())?).await?.wants(201)?;
    same(&object, "/data/key", &json!("1"))
}

async fn gzip(ground: Ground) -> Result<()> {
    ground.config_map("a", &"x".repeat(200_000)).await?;
    let request = http::Request::get(ground.path("configmaps")).header(header::ACCEPT_ENCODING, "gzip");
    let answer = ground.send(request.body(Vec::new())?).await?;
    answer.wants(200)?;
    let encoding = answer.headers.get(header::CONTENT_ENCODING).and_then(|value| value.to_str().ok());
    ensure!(encoding == Some("gzip"), "the encoding is {encoding:?}");
    ensure!(answer.bytes.starts_with(&[0x1f, 0x8b]), "the body is no gzip");
    ensure!(answer.bytes.len() < 50_000, "the body is {} bytes long", answer.bytes.len());
    let plain = ground.get(&ground.path("configmaps")).await?;
    ensure!(!plain.headers.contains_key(header::CONTENT_ENCODING), "what was not asked for is compressed");
    Ok(())
}

fn columns(table: &Value) -> Vec<&str> {
    let columns = table["columnDefinitions"].as_array().map(Vec::as_slice).unwrap_or_default();
    columns.iter().filter_map(|column| column["name"].as_str()).collect()
}

async fn table(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let path = format!("{}?fieldSelector=metadata.name%3Da", ground.path("configmaps"));
    let table = ground.get_as(&path, TABLE).await?.wants(200)?;
    same(&table, "/kind", &json!("Table"))?;
    same(&table, "/apiVersion", &json!("meta.k8s.io/v1"))?;
    ensure!(columns(&table) == ["Name", "Data", "Age"], "the columns are {:?}", columns(&table));
    same(&table, "/columnDefinitions/0/format", &json!("name"))?;
    same(&table, "/columnDefinitions/0/type", &json!("string"))?;
    same(&table, "/columnDefinitions/0/priority", &json!(0))?;
    same(&table, "/rows/0/cells/0", &json!("a"))?;
    same(&table, "/rows/0/cells/1", &json!(1))?;
    same(&table, "/rows/0/object/kind", &json!("PartialObjectMetadata"))?;
    same(&table, "/rows/0/object/metadata/name", &json!("a"))?;
    text(&table, "/metadata/resourceVersion")?;
    let whole = ground.get_as(&format!("{path}&includeObject=Object"), TABLE).await?.wants(200)?;
    same(&whole, "/rows/0/object/data/key", &json!("1"))?;
    let none = ground.get_as(&format!("{path}&includeObject=None"), TABLE).await?.wants(200)?;
    same(&none, "/rows/0/object", &Value::Null)
}

async fn custom_table(ground: Ground) -> Result<()> {
    let table = ground.get_as(&ground.path("submariner.io/v1/gateways"), TABLE).await?.wants(200)?;
    ensure!(columns(&table) == ["Name", "HA Status"], "the columns are {:?}", columns(&table));
    same(&table, "/rows", &json!([]))
}

async fn metadata(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let accept = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let object = ground.get_as(&ground.at("configmaps", "a"), accept).await?.wants(200)?;
    same(&object, "/kind", &json!("PartialObjectMetadata"))?;
    same(&object, "/apiVersion", &json!("meta.k8s.io/v1"))?;
    same(&object, "/data", &Value::Null)?;
    let accept = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";
    let list = ground.get_as(&ground.path("configmaps"), accept).await?.wants(200)?;
    same(&list, "/kind", &json!("PartialObjectMetadataList"))
}

fn find<'v>(values: &'v Value, key: &str, name: &str) -> Result<&'v Value> {
    let found = values.as_array().into_iter().flatten().find(|value| value[key] == name);
    found.with_context(|| format!("{name} is not listed"))
}

async fn discovery(ground: Ground) -> Result<()> {
    let core = ground.get("/api/v1").await?.wants(200)?;
    same(&core, "/kind", &json!("APIResourceList"))?;
    let maps = find(&core["resources"], "name", "configmaps")?;
    same(maps, "/shortNames", &json!(["cm"]))?;
    same(maps, "/namespaced", &json!(true))?;
    same(maps, "/singularName", &json!("configmap"))?;
    same(
        maps,
        "/verbs",
        &json!(["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]),
    )?;
    find(&core["resources"], "name", "services/status")?;
    let groups = ground.get("/apis").await?.wants(200)?;
    let ours = find(&groups["groups"], "name", "submariner.io")?;
    same(ours, "/preferredVersion/groupVersion", &json!("submariner.io/v1"))?;
    let ours = ground.get("/apis/submariner.io").await?.wants(200)?;
    same(&ours, "/kind", &json!("APIGroup"))?;
    let resources = ground.get("/apis/submariner.io/v1").await?.wants(200)?;
    find(&resources["resources"], "name", "endpoints")?;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let all = ground.get_as("/apis", accept).await?.wants(200)?;
    same(&all, "/kind", &json!("APIGroupDiscoveryList"))?;
    let ours = all["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|item| item["metadata"]["name"] == "submariner.io");
    let resources = &ours.context("our group is not in the aggregated list")?["versions"][0]["resources"];
    let endpoints = find(resources, "resource", "endpoints")?;
    same(endpoints, "/responseKind/kind", &json!("Endpoint"))?;
    same(endpoints, "/scope", &json!("Namespaced"))
}

async fn openapi_v3(ground: Ground) -> Result<()> {
    let index = ground.get("/openapi/v3").await?.wants(200)?;
    let url = text(&index, "/paths/apis~1submariner.io~1v1/serverRelativeURL")?;
    let document = ground.get(&url).await?.wants(200)?;
    let schema = document.pointer("/components/schemas/io.submariner.v1.Endpoint");
    let schema = schema.context("the schema of Endpoint is missing")?;
    let kind = json!({"group": "submariner.io", "kind": "Endpoint", "version": "v1"});
    same(schema, "/x-kubernetes-group-version-kind/0", &kind)?;
    same(schema, "/properties/spec/properties/cluster_id/type", &json!("string"))?;
    text(&index, "/paths/api~1v1/serverRelativeURL").map(drop)
}

async fn openapi_v2(ground: Ground) -> Result<()> {
    let document = ground.get("/openapi/v2").await?.wants(200)?;
    same(&document, "/swagger", &json!("2.0"))?;
    let schema = document.pointer("/definitions/io.submariner.v1.Endpoint/properties/spec");
    ensure!(schema.is_some(), "the schema of Endpoint is missing");
    ensure!(document.pointer("/definitions/io.k8s.api.core.v1.ConfigMap").is_some(), "ConfigMap is missing");
    Ok(())
}

async fn health(ground: Ground) -> Result<()> {
    let version = ground.get("/version").await?.wants(200)?;
    same(&version, "/major", &json!("1"))?;
    ensure!(text(&version, "/gitVersion")?.starts_with("v1."), "the version is no v1");
    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = ground.get(path).await?;
        answer.wants(200)?;
        ensure!(answer.bytes == b"ok", "{path} does not say ok");
    }
    let verbose = ground.get("/readyz?verbose").await?;
    ensure!(String::from_utf8_lossy(&verbose.bytes).contains("[+]ping ok"), "no check is listed");
    Ok(())
}

async fn unknown_path(ground: Ground) -> Result<()> {
    for path in
        ["/apis/example.com/v1/things", "/api/v1/things", "/apis/submariner.io/v9/endpoints", "/nowhere"]
    {
        ground.get(path).await?.wants(404)?;
    }
    let status = ground.get("/api/v1/things").await?.refuses(404, "NotFound")?;
    same(&status, "/message", &json!("the server could not find the requested resource"))
}

async fn unknown_field(ground: Ground) -> Result<()> {
    let mut object = config_map("a", "1");
    object["dta"] = json!({"a": "b"});
    let path = ground.path("configmaps");
    let warned = ground.post(&format!("{path}?fieldValidation=Warn"), &object).await?;
    let created = warned.wants(201)?;
    same(&created, "/dta", &Value::Null)?;
    let warning = warned.headers.get(header::WARNING).and_then(|value| value.to_str().ok());
    ensure!(warning == Some(r#"299 - "unknown field \"dta\"""#), "the warning is {warning:?}");
    object["metadata"]["name"] = json!("b");
    let status = ground.post(&format!("{path}?fieldValidation=Strict"), &object).await?;
    let message = text(&status.refuses(400, "BadRequest")?, "/message")?;
    ensure!(message.contains("strict decoding error: unknown field \"dta\""), "the message is {message:?}");
    let ignored = ground.post(&format!("{path}?fieldValidation=Ignore"), &object).await?;
    ignored.wants(201)?;
    ensure!(!ignored.headers.contains_key(header::WARNING), "what is to be ignored is warned of");
    Ok(())
}

async fn headers(ground: Ground) -> Result<()> {
    let answer = ground.get(&ground.path("configmaps")).await?;
    for name in ["audit-id", "x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"] {
        ensure!(answer.headers.contains_key(name), "there is no header {name}");
    }
    let cached = answer.headers.get(header::CACHE_CONTROL).and_then(|value| value.to_str().ok());
    ensure!(cached == Some("no-cache, private"), "Cache-Control is {cached:?}");
    Ok(())
}

/// A field of a message.
fn field(number: u8, bytes: &[u8]) -> Result<Vec<u8>> {
    Ok([&[number << 3 | 2, u8::try_from(bytes.len())?], bytes].concat())
}

async fn protobuf_sent(ground: Ground) -> Result<()> {
    let metadata = field(1, &[field(1, b"sent")?, field(2, b"")?, field(8, b"")?].concat())?;
    let data = field(2, &[field(1, b"key")?, field(2, b"1")?].concat())?;
    let told = field(1, &[field(1, b"v1")?, field(2, b"ConfigMap")?].concat())?;
    let object = field(2, &[metadata, data].concat())?;
    let body = [b"k8s\0".as_slice(), &told, &object].concat();
    let request = http::Request::post(ground.path("configmaps"))
        .header(header::CONTENT_TYPE, PROTOBUF)
        .header(header::ACCEPT, "application/json");
    let created = ground.send(request.body(body)?).await?.wants(201)?;
    same(&created, "/metadata/name", &json!("sent"))?;
    same(&created, "/data", &json!({"key": "1"}))
}

async fn pretty(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    let lines = ground.get(&format!("{path}?pretty=true")).await?;
    same(&lines.wants(200)?, "/data/key", &json!("1"))?;
    ensure!(lines.bytes.starts_with(b"{\n  \"kind\": \"ConfigMap\",\n"), "the object is not in lines");
    let plain = ground.get(&path).await?;
    ensure!(plain.bytes.starts_with(b"{\"kind\":\"ConfigMap\","), "the object is in lines unasked");
    Ok(())
}

async fn discovery_tag(ground: Ground) -> Result<()> {
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let first = ground.get_as("/api", accept).await?;
    let core = first.wants(200)?;
    ensure!(first.media_type() == accept, "the media type is {}", first.media_type());
    let maps = find(&core["items"][0]["versions"][0]["resources"], "resource", "configmaps")?;
    same(maps, "/responseKind", &json!({"group": "", "version": "", "kind": "ConfigMap"}))?;
    let tag = first.headers.get(header::ETAG).context("there is no tag")?.clone();
    let request =
        http::Request::get("/api").header(header::ACCEPT, accept).header(header::IF_NONE_MATCH, tag);
    let again = ground.send(request.body(Vec::new())?).await?;
    ensure!(again.code == 304 && again.bytes.is_empty(), "the answer is {}", again.code);
    Ok(())
}

async fn checks(ground: Ground) -> Result<()> {
    let ping = ground.get("/livez/ping").await?;
    ensure!(ping.code == 200 && ping.bytes == b"ok", "a single check is not answered");
    ground.get("/livez/nothing").await?.wants(404)?;
    let text = |answer: Answer| String::from_utf8_lossy(&answer.bytes).into_owned();
    let told = text(ground.get("/livez?verbose&exclude=ping").await?);
    ensure!(told.contains("[+]ping excluded: ok\n"), "ping is not left out: {told}");
    ensure!(told.ends_with("livez check passed\n"), "the outcome is not told: {told}");
    let told = text(ground.get("/livez?verbose&exclude=nothing").await?);
    let warned = "warn: some health checks cannot be excluded: no matches for \"nothing\"\n";
    ensure!(told.contains(warned), "an unknown check is not named: {told}");
    Ok(())
}

async fn issuer(ground: Ground) -> Result<()> {
    let told = ground.get("/.well-known/openid-configuration").await?.wants(200)?;
    let issuer = text(&told, "/issuer")?;
    ensure!(issuer.starts_with("https://kubernetes.default.svc"), "the issuer is {issuer}");
    let keys = ground.get("/openid/v1/jwks").await?.wants(200)?;
    text(&keys, "/keys/0/kid").map(drop)
}

async fn http2(ground: Ground) -> Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ground.api.authority.as_bytes())?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let address = ground.api.server.trim_start_matches("https://").to_owned();
    let stream = TcpStream::connect(&address).await?;
    let stream = TlsConnector::from(Arc::new(config)).connect("127.0.0.1".try_into()?, stream).await?;
    ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "HTTP/2 is not agreed on");
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let asked = (0..50).map(|_| {
        let mut sender = sender.clone();
        // Who has no credential is cut off after one request.
        let request = http::Request::get(format!("https://{address}/version"))
            .header(header::AUTHORIZATION, format!("Bearer {}", ground.api.token))
            .body(String::new());
        async move { anyhow::Ok(sender.send_request(request?).await?.status().as_u16()) }
    });
    let answered = futures::future::try_join_all(asked).await?;
    ensure!(answered.iter().all(|code| *code == 200), "the answers are {answered:?}");
    connection.abort();
    Ok(())
}
