//! Who is let in, and who may do what: as Kubernetes decides and says it.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{Request, header};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};
use subm_apiserver::{ApiServer, AuditLog, Authority, Certified, Credential, Share};
use tower::ServiceExt as _;

use crate::harness::{BROKER, Served, code, endpoint};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

/// What was answered: the code and the body, which is text where it is no JSON.
type Answer = (u16, Value);

async fn send(server: &ApiServer, token: Option<&str>, (method, path): (&str, &str), body: Value) -> Answer {
    let mut request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = server.service().oneshot(request.body(body).unwrap()).await.unwrap();
    let code = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let text = || Value::from(String::from_utf8_lossy(&bytes).into_owned());
    (code, serde_json::from_slice(&bytes).unwrap_or_else(|_| text()))
}

fn server() -> ApiServer {
    ApiServer::builder()
        .credentials([Credential::admin("admin"), Credential::in_groups("bob", "bob", &["devs"])])
        .build()
}

async fn admin(server: &ApiServer, method: &str, path: &str, body: Value) -> Value {
    let (code, answer) = send(server, Some("admin"), (method, path), body).await;
    assert!(code < 300, "{method} {path}: {answer}");
    answer
}

fn role(kind: &str, name: &str, rules: &Value) -> Value {
    json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(kind: &str, name: &str, (role_kind, role): (&str, &str), subject: &Value) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [subject],
    })
}

fn bob() -> Value {
    json!({"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "bob"})
}

#[tokio::test]
async fn strangers_are_refused_as_kubernetes_refuses_them() {
    let server = server();
    let unauthorised = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "Unauthorized", "reason": "Unauthorized", "code": 401,
    });
    let foreign = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln";
    for token in ["nobody", foreign] {
        assert_eq!(send(&server, Some(token), ("GET", MAPS), Value::Null).await, (401, unauthorised.clone()));
    }
    let anonymous = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "configmaps is forbidden: User \"system:anonymous\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"default\"",
        "reason": "Forbidden", "details": {"kind": "configmaps"}, "code": 403,
    });
    assert_eq!(send(&server, None, ("GET", MAPS), Value::Null).await, (403, anonymous));
    let root = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "forbidden: User \"system:anonymous\" cannot get path \"/\"",
        "reason": "Forbidden", "details": {}, "code": 403,
    });
    assert_eq!(send(&server, None, ("GET", "/"), Value::Null).await, (403, root));
    assert_eq!(send(&server, None, ("GET", "/healthz"), Value::Null).await.0, 200);
    assert_eq!(send(&server, Some("bob"), ("GET", "/apis"), Value::Null).await.0, 200);
}

#[tokio::test]
async fn roles_bound_in_a_namespace_hold_there_and_for_the_names_that_they_list() {
    let server = server();
    let rules = json!([
        {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "create"]},
        {"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"], "verbs": ["get"]},
    ]);
    admin(&server, "POST", &format!("{RBAC}/namespaces/default/roles"), role("Role", "maps", &rules)).await;
    let bind = binding("RoleBinding", "maps", ("Role", "maps"), &bob());
    assert_eq!(send(&server, Some("bob"), ("GET", MAPS), Value::Null).await.0, 403);
    admin(&server, "POST", &format!("{RBAC}/namespaces/default/rolebindings"), bind).await;

    let map = |name: &str| json!({"metadata": {"name": name}, "data": {"a": "1"}});
    for name in ["one", "two"] {
        assert_eq!(send(&server, Some("bob"), ("POST", MAPS), map(name)).await.0, 201);
    }
    assert_eq!(send(&server, Some("bob"), ("GET", MAPS), Value::Null).await.0, 200);
    assert_eq!(send(&server, Some("bob"), ("GET", &format!("{MAPS}/one")), Value::Null).await.0, 200);
    let (code, refused) = send(&server, Some("bob"), ("GET", &format!("{MAPS}/two")), Value::Null).await;
    assert_eq!(code, 403);
    assert_eq!(refused["details"], json!({"name": "two", "kind": "configmaps"}));
    let elsewhere = "/api/v1/namespaces/kube-system/configmaps";
    assert_eq!(send(&server, Some("bob"), ("GET", elsewhere), Value::Null).await.0, 403);
    admin(&server, "DELETE", &format!("{RBAC}/namespaces/default/rolebindings/maps"), Value::Null).await;
    assert_eq!(send(&server, Some("bob"), ("GET", MAPS), Value::Null).await.0, 403);
}

#[tokio::test]
async fn cluster_roles_gather_the_rules_of_those_that_are_labelled_for_them() {
    let server = server();
    let mut widgets = role(
        "ClusterRole",
        "widgets",
        &json!([{"apiGroups": ["x.io"], "resources": ["widgets"], "verbs": ["get"]}]),
    );
    widgets["metadata"]["labels"] = json!({"rbac.authorization.k8s.io/aggregate-to-view": "true"});
    admin(&server, "POST", &format!("{RBAC}/clusterroles"), widgets).await;
    let view = admin(&server, "GET", &format!("{RBAC}/clusterroles/view"), Value::Null).await;
    let has = |view: &Value| {
        view["rules"].as_array().unwrap().iter().any(|rule| rule["resources"] == json!(["widgets"]))
    };
    assert!(has(&view), "{view}");
    admin(&server, "DELETE", &format!("{RBAC}/clusterroles/widgets"), Value::Null).await;
    assert!(!has(&admin(&server, "GET", &format!("{RBAC}/clusterroles/view"), Value::Null).await));
}

#[tokio::test]
async fn nobody_grants_what_they_do_not_have() {
    let server = server();
    let rules =
        json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["*"], "verbs": ["create", "get"]}]);
    admin(&server, "POST", &format!("{RBAC}/clusterroles"), role("ClusterRole", "granter", &rules)).await;
    let bind = binding("ClusterRoleBinding", "granter", ("ClusterRole", "granter"), &bob());
    admin(&server, "POST", &format!("{RBAC}/clusterrolebindings"), bind).await;

    let secrets = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list"]}]);
    let wanted = role("ClusterRole", "more", &secrets);
    let (code, refused) = send(&server, Some("bob"), ("POST", &format!("{RBAC}/clusterroles")), wanted).await;
    assert_eq!(code, 403);
    assert_eq!(
        refused["message"],
        "clusterroles.rbac.authorization.k8s.io \"more\" is forbidden: user \"bob\" (groups=[\"devs\" \"system:authenticated\"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:[\"\"], Resources:[\"secrets\"], Verbs:[\"get\" \"list\"]}"
    );
    let own = json!([{"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["get"]}]);
    let path = format!("{RBAC}/clusterroles");
    assert_eq!(send(&server, Some("bob"), ("POST", &path), role("ClusterRole", "same", &own)).await.0, 201);
    let bind = binding("ClusterRoleBinding", "root", ("ClusterRole", "cluster-admin"), &bob());
    let path = format!("{RBAC}/clusterrolebindings");
    assert_eq!(send(&server, Some("bob"), ("POST", &path), bind).await.0, 403);
    let bind = binding("ClusterRoleBinding", "again", ("ClusterRole", "same"), &bob());
    assert_eq!(send(&server, Some("bob"), ("POST", &path), bind).await.0, 201);
}

#[tokio::test]
async fn everybody_may_ask_who_they_are_and_what_they_may() {
    let server = server();
    let review = |resource: &str, spec: Value| {
        let path = format!("/apis/authorization.k8s.io/v1/{resource}");
        let server = &server;
        async move { send(server, Some("bob"), ("POST", &path), json!({"spec": spec})).await }
    };
    let ask = json!({"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}});
    let (code, told) = review("selfsubjectaccessreviews", ask.clone()).await;
    assert_eq!((code, &told["status"]), (201, &json!({"allowed": false})));
    let (code, told) = review("selfsubjectrulesreviews", json!({"namespace": "default"})).await;
    assert_eq!(code, 201);
    assert_eq!(told["status"]["incomplete"], false);
    assert!(told["status"]["nonResourceRules"].to_string().contains("/openapi"), "{told}");
    assert_eq!(review("subjectaccessreviews", json!({"user": "eve"})).await.0, 403);

    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let (_, told) = send(&server, Some("bob"), ("POST", path), json!({})).await;
    let expected = json!({"username": "bob", "groups": ["devs", "system:authenticated"]});
    assert_eq!(told["status"]["userInfo"], expected);

    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let mut spec = ask;
    spec["user"] = json!("eve");
    spec["groups"] = json!(["system:masters"]);
    let told = admin(&server, "POST", path, json!({"spec": spec})).await;
    assert_eq!(told["status"]["allowed"], true);
}

#[tokio::test]
async fn a_token_of_a_service_account_lasts_as_long_as_what_it_is_bound_to() {
    let server = server();
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    admin(&server, "POST", accounts, json!({"metadata": {"name": "robot"}})).await;
    let request = json!({"spec": {"expirationSeconds": 600}});
    let made = admin(&server, "POST", &format!("{accounts}/robot/token"), request.clone()).await;
    assert_eq!(made["kind"], "TokenRequest");
    let token = made["status"]["token"].as_str().unwrap().to_owned();
    let (code, refused) = send(&server, Some(&token), ("GET", MAPS), Value::Null).await;
    assert_eq!(code, 403);
    let name = "system:serviceaccount:default:robot";
    assert!(refused["message"].as_str().unwrap().contains(name), "{refused}");
    let review = json!({"spec": {"token": token}});
    let told = admin(&server, "POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).await;
    assert_eq!(told["status"]["user"]["username"], name);
    let short = json!({"spec": {"expirationSeconds": 10}});
    let asked = ("POST", &*format!("{accounts}/robot/token"));
    let (code, refused) = send(&server, Some("admin"), asked, short).await;
    assert_eq!(code, 422, "{refused}");
    let other = json!({"spec": {"audiences": ["elsewhere"], "expirationSeconds": 600}});
    let made = admin(&server, "POST", &format!("{accounts}/robot/token"), other).await;
    let foreign = made["status"]["token"].as_str().unwrap();
    assert_eq!(send(&server, Some(foreign), ("GET", MAPS), Value::Null).await.0, 401);

    let secret = json!({"metadata": {"name": "holder"}});
    admin(&server, "POST", "/api/v1/namespaces/default/secrets", secret).await;
    let mut bound = request;
    bound["spec"]["boundObjectRef"] = json!({"kind": "Secret", "apiVersion": "v1", "name": "holder"});
    let made = admin(&server, "POST", &format!("{accounts}/robot/token"), bound).await;
    let bound = made["status"]["token"].as_str().unwrap();
    assert_eq!(send(&server, Some(bound), ("GET", MAPS), Value::Null).await.0, 403);
    admin(&server, "DELETE", "/api/v1/namespaces/default/secrets/holder", Value::Null).await;
    assert_eq!(send(&server, Some(bound), ("GET", MAPS), Value::Null).await.0, 401);
    admin(&server, "DELETE", &format!("{accounts}/robot"), Value::Null).await;
    assert_eq!(send(&server, Some(&token), ("GET", MAPS), Value::Null).await.0, 401);
}

#[tokio::test]
async fn a_secret_for_a_service_account_is_filled_and_goes_with_it() {
    let server = server();
    let secrets = "/api/v1/namespaces/default/secrets";
    let secret = |name: &str| {
        let annotations = json!({"kubernetes.io/service-account.name": "robot"});
        json!({"metadata": {"name": name, "annotations": annotations}, "type": "kubernetes.io/service-account-token"})
    };
    admin(&server, "POST", secrets, secret("early")).await;
    assert_eq!(send(&server, Some("admin"), ("GET", &format!("{secrets}/early")), Value::Null).await.0, 404);
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    let robot = admin(&server, "POST", accounts, json!({"metadata": {"name": "robot"}})).await;
    admin(&server, "POST", secrets, secret("robot-token")).await;
    let filled = admin(&server, "GET", &format!("{secrets}/robot-token"), Value::Null).await;
    let uid = &filled["metadata"]["annotations"]["kubernetes.io/service-account.uid"];
    assert_eq!(*uid, robot["metadata"]["uid"]);
    let decoded = base64_text(filled["data"]["token"].as_str().unwrap());
    assert_eq!(base64_text(filled["data"]["namespace"].as_str().unwrap()), "default");
    assert_eq!(send(&server, Some(&decoded), ("GET", MAPS), Value::Null).await.0, 403);
    admin(&server, "DELETE", &format!("{accounts}/robot"), Value::Null).await;
    assert_eq!(send(&server, Some(&decoded), ("GET", MAPS), Value::Null).await.0, 401);
    let path = format!("{secrets}/robot-token");
    assert_eq!(send(&server, Some("admin"), ("GET", &path), Value::Null).await.0, 404);
}

fn base64_text(text: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test]
async fn a_members_service_account_on_a_hub_writes_only_its_own() {
    let server = ApiServer::builder().credentials([Credential::admin("admin")]).hub(BROKER).build();
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": BROKER}});
    server.store().create(namespace).unwrap();
    let within = format!("/api/v1/namespaces/{BROKER}");
    admin(
        &server,
        "POST",
        &format!("{within}/serviceaccounts"),
        json!({"metadata": {"name": "cluster-east"}}),
    )
    .await;
    let account = json!({"kind": "ServiceAccount", "name": "cluster-east"});
    let bind = binding("RoleBinding", "east", ("ClusterRole", "cluster-admin"), &account);
    admin(&server, "POST", &format!("{RBAC}/namespaces/{BROKER}/rolebindings"), bind).await;
    let made =
        admin(&server, "POST", &format!("{within}/serviceaccounts/cluster-east/token"), json!({})).await;
    let east = made["status"]["token"].as_str().unwrap();
    let endpoints = format!("/apis/submariner.io/v1/namespaces/{BROKER}/endpoints");
    assert_eq!(send(&server, Some(east), ("POST", &endpoints), endpoint("east")).await.0, 201);
    let (code, refused) = send(&server, Some(east), ("POST", &endpoints), endpoint("west")).await;
    assert_eq!(code, 403, "{refused}");
}

#[tokio::test]
async fn whoever_may_impersonate_acts_as_another() {
    let server = server();
    let acting = async |token: &str, user: &str| {
        let request = Request::builder()
            .uri(MAPS)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header("impersonate-user", user);
        let response = server.service().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        serde_json::from_slice::<Value>(&bytes).unwrap()["message"].as_str().unwrap_or_default().to_owned()
    };
    assert!(acting("admin", "eve").await.contains("User \"eve\" cannot list resource \"configmaps\""));
    assert_eq!(
        acting("bob", "eve").await,
        "users \"eve\" is forbidden: User \"bob\" cannot impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
}

/// A server that knows clients by certificates of one authority.
async fn with_certificates(authority: &Authority) -> Served {
    Served::of(ApiServer::builder().authority(&authority.pem()).unwrap()).await
}

async fn by_certificate(served: &Served, certified: &Certified) -> Api<ConfigMap> {
    use base64::Engine as _;
    let encoded = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let mut file = Kubeconfig::from_yaml(&served.kubeconfig("unused")).unwrap();
    file.auth_infos[0].auth_info = Some(AuthInfo {
        client_certificate_data: Some(encoded(&certified.certificate)),
        client_key_data: Some(encoded(&certified.key).into()),
        ..AuthInfo::default()
    });
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Api::namespaced(kube::Client::try_from(config).unwrap(), "default")
}

#[tokio::test]
async fn client_certificates_name_the_user_and_worthless_ones_are_refused() {
    let authority = Authority::new("clients").unwrap();
    let served = with_certificates(&authority).await;
    let now = Timestamp::now();
    let day = SignedDuration::from_hours(24);
    let certified = |authority: &Authority, group: &str, from: i32, to: i32| {
        let validity = now.saturating_add(day * from).unwrap()..now.saturating_add(day * to).unwrap();
        authority.client_certificate("carol", &[group], validity).unwrap()
    };
    let list = async |certified: &Certified| {
        by_certificate(&served, certified).await.list(&ListParams::default()).await
    };
    list(&certified(&authority, "system:masters", -2, 2)).await.unwrap();
    let refused = list(&certified(&authority, "devs", -2, 2)).await.unwrap_err();
    assert!(refused.to_string().contains("User \"carol\" cannot list"), "{refused}");
    assert_eq!(code(list(&certified(&authority, "system:masters", -9, -2)).await), 401);
    let foreign = Authority::new("others").unwrap();
    assert_eq!(code(list(&certified(&foreign, "system:masters", -2, 2)).await), 401);
    let own = authority.client_certificate("x", &["system:masters"], now..now).unwrap();
    assert_eq!(
        Authority::from_pem("clients", &authority.pem(), &authority.key_pem()).unwrap().pem(),
        authority.pem()
    );
    drop(own);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_one_user_is_held_off_and_others_do_not_feel_it() {
    let share = Share { at_once: 4, per_second: 50, burst: 50 };
    let users = [Credential::in_groups("flood", "flood", &[]), Credential::in_groups("calm", "calm", &[])];
    let server = ApiServer::builder().credentials(users).share(share).build();
    let mut flood = tokio::task::JoinSet::new();
    for _ in 0..8 {
        flood.spawn(flooding(server.clone()));
    }
    for _ in 0..20 {
        assert_eq!(send(&server, Some("calm"), ("GET", "/apis"), Value::Null).await.0, 200);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let outcomes = flood.join_all().await;
    let answered: u32 = outcomes.iter().map(|(answered, _)| answered).sum();
    let held: u32 = outcomes.iter().map(|(_, held)| held).sum();
    assert!(answered <= 200, "{answered} requests of the flood were answered");
    assert!(held > answered, "{held} were held off, {answered} answered");
}

/// Asks without pause for two seconds, and tells how often it was answered and how often held off.
async fn flooding(server: ApiServer) -> (u32, u32) {
    let (mut answered, mut held) = (0_u32, 0_u32);
    let end = tokio::time::Instant::now() + Duration::from_secs(2);
    while tokio::time::Instant::now() < end {
        match send(&server, Some("flood"), ("GET", "/apis"), Value::Null).await {
            (200, _) => answered += 1,
            (429, text) => {
                assert_eq!(text, "Too many requests, please try again later.\n");
                held += 1;
            }
            (code, text) => panic!("{code}: {text}"),
        }
    }
    (answered, held)
}

#[tokio::test]
async fn every_request_is_told_to_the_audit_log_without_what_was_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let server = ApiServer::builder()
        .credentials([Credential::admin("admin")])
        .audit(AuditLog::open(&path).unwrap())
        .build();
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"password": "geheim"}});
    admin(&server, "POST", "/api/v1/namespaces/default/secrets", secret).await;
    send(&server, None, ("GET", MAPS), Value::Null).await;
    drop(server);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("geheim"));
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["kind"], "Event");
    assert_eq!(events[0]["user"]["username"], "system:admin");
    assert_eq!(events[0]["verb"], "create");
    assert_eq!(events[0]["responseStatus"]["code"], 201);
    let object = json!({"resource": "secrets", "namespace": "default", "apiVersion": "v1"});
    assert_eq!(events[0]["objectRef"], object);
    assert_eq!(events[1]["user"]["username"], "system:anonymous");
    assert_eq!(events[1]["annotations"]["authorization.k8s.io/decision"], "forbid");
}
