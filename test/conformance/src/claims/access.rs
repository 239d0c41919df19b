//! Who may do what.

use anyhow::{Result, ensure};
use http::Method;
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Ground, config_map, same, text};

const RBAC: &str = "rbac.authorization.k8s.io/v1";
const REVIEWS: &str = "/apis/authorization.k8s.io/v1";

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a request without a credential is forbidden to the anonymous user",
        proof: |ground| Box::pin(anonymous(ground)),
    },
    Claim { says: "an unknown token is unauthorized", proof: |ground| Box::pin(unknown_token(ground)) },
    Claim {
        says: "a service account gets a token by TokenRequest and is who it says",
        proof: |ground| Box::pin(token_request(ground)),
    },
    Claim {
        says: "a token for another audience is unauthorized",
        proof: |ground| Box::pin(other_audience(ground)),
    },
    Claim {
        says: "the token of a deleted service account is unauthorized",
        proof: |ground| Box::pin(deleted_account(ground)),
    },
    Claim {
        says: "what no role allows is forbidden, and the message says who, what and where",
        proof: |ground| Box::pin(forbidden(ground)),
    },
    Claim {
        says: "a role bound in a namespace allows its verbs there and nowhere else",
        proof: |ground| Box::pin(role(ground)),
    },
    Claim {
        says: "a role with resource names allows these names alone",
        proof: |ground| Box::pin(resource_names(ground)),
    },
    Claim {
        says: "a cluster role may be bound in one namespace",
        proof: |ground| Box::pin(cluster_role_in_namespace(ground)),
    },
    Claim { says: "a subresource needs a rule of its own", proof: |ground| Box::pin(subresource(ground)) },
    Claim { says: "nobody grants what they do not have", proof: |ground| Box::pin(escalation(ground)) },
    Claim { says: "access reviews tell what is allowed", proof: |ground| Box::pin(reviews(ground)) },
    Claim {
        says: "a secret of type service-account-token is filled with a token",
        proof: |ground| Box::pin(token_secret(ground)),
    },
    Claim { says: "token reviews tell whose token it is", proof: |ground| Box::pin(token_review(ground)) },
    Claim {
        says: "an administrator may act as another user",
        proof: |ground| Box::pin(impersonation(ground)),
    },
];

async fn anonymous(ground: Ground) -> Result<()> {
    let nobody = ground.by(ground.api.anonymous().await?);
    let status = nobody.get(&ground.path("configmaps")).await?.refuses(403, "Forbidden")?;
    let message = format!(
        "configmaps is forbidden: User \"system:anonymous\" cannot list resource \"configmaps\" in API group \"\" in the namespace \"{}\"",
        ground.namespace
    );
    same(&status, "/message", &json!(message))?;
    nobody.get("/version").await?.wants(200)?;
    nobody.get("/readyz").await?.wants(200)?;
    nobody.get("/api/v1").await?.refuses(403, "Forbidden")?;
    Ok(())
}

async fn unknown_token(ground: Ground) -> Result<()> {
    let stranger = ground.by(ground.api.client_with("unknown").await?);
    let status = stranger.get(&ground.path("configmaps")).await?.refuses(401, "Unauthorized")?;
    same(&status, "/message", &json!("Unauthorized"))
}

fn account(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
}

async fn token(ground: &Ground, name: &str, spec: &Value) -> Result<String> {
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec});
    let path = format!("{}/token", ground.at("serviceaccounts", name));
    let answer = ground.post(&path, &request).await?.wants(201)?;
    text(&answer, "/status/expirationTimestamp")?;
    text(&answer, "/status/token")
}

/// The same ground as a new service account.
pub(super) async fn somebody(ground: &Ground) -> Result<Ground> {
    account_of(ground, "somebody").await
}

/// The same ground as a new service account of this name.
pub(super) async fn account_of(ground: &Ground, name: &str) -> Result<Ground> {
    ground.create("serviceaccounts", &account(name)).await?;
    let token = token(ground, name, &json!({"expirationSeconds": 3600})).await?;
    Ok(ground.by(ground.api.client_with(&token).await?))
}

fn user(ground: &Ground) -> String {
    format!("system:serviceaccount:{}:somebody", ground.namespace)
}

async fn token_request(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let review = somebody.post(path, &review).await?.wants(201)?;
    same(&review, "/status/userInfo/username", &json!(user(&ground)))?;
    let groups = json!([
        "system:serviceaccounts",
        format!("system:serviceaccounts:{}", ground.namespace),
        "system:authenticated"
    ]);
    same(&review, "/status/userInfo/groups", &groups)?;
    let path = format!("{}/token", ground.at("serviceaccounts", "nobody"));
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    ground.post(&path, &request).await?.refuses(404, "NotFound")?;
    let path = format!("{}/token", ground.at("serviceaccounts", "somebody"));
    let short = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 60}});
    ground.post(&path, &short).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn other_audience(ground: Ground) -> Result<()> {
    ground.create("serviceaccounts", &account("somebody")).await?;
    let token = token(&ground, "somebody", &json!({"audiences": ["elsewhere"]})).await?;
    let somebody = ground.by(ground.api.client_with(&token).await?);
    somebody.get("/api").await?.refuses(401, "Unauthorized")?;
    Ok(())
}

async fn deleted_account(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    somebody.get("/api").await?.wants(200)?;
    ground.delete(&ground.at("serviceaccounts", "somebody")).await?.wants(200)?;
    // What was found valid may be remembered for some seconds.
    ground
        .until("the token is worthless", || async {
            somebody.get("/api").await?.refuses(401, "Unauthorized")
        })
        .await?;
    Ok(())
}

async fn forbidden(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    let status = somebody.get(&ground.at("secrets", "s")).await?.refuses(403, "Forbidden")?;
    let message = format!(
        "secrets \"s\" is forbidden: User \"{}\" cannot get resource \"secrets\" in API group \"\" in the namespace \"{}\"",
        user(&ground),
        ground.namespace
    );
    same(&status, "/message", &json!(message))?;
    same(&status, "/details", &json!({"name": "s", "kind": "secrets"}))?;
    let status = somebody.get("/apis/submariner.io/v1/endpoints").await?.refuses(403, "Forbidden")?;
    let message = format!(
        "endpoints.submariner.io is forbidden: User \"{}\" cannot list resource \"endpoints\" in API group \"submariner.io\" at the cluster scope",
        user(&ground)
    );
    same(&status, "/message", &json!(message))
}

fn role_of(kind: &str, name: &str, rules: &Value) -> Value {
    json!({"apiVersion": RBAC, "kind": kind, "metadata": {"name": name}, "rules": rules})
}

fn binding(ground: &Ground, role_kind: &str, role: &str) -> Value {
    json!({
        "apiVersion": RBAC, "kind": "RoleBinding", "metadata": {"name": role},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": "somebody", "namespace": ground.namespace}],
    })
}

/// Lets somebody do in this namespace what a rule says.
pub(super) async fn allow(ground: &Ground, rule: &Value) -> Result<()> {
    ground.create(&format!("{RBAC}/roles"), &role_of("Role", "some", &json!([rule]))).await?;
    ground.create(&format!("{RBAC}/rolebindings"), &binding(ground, "Role", "some")).await?;
    Ok(())
}

/// Roles take effect as soon as the authorizer has seen them.
async fn allowed(ground: &Ground, path: &str) -> Result<Value> {
    ground.until("the role is in effect", || async { ground.get(path).await?.wants(200) }).await
}

async fn role(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    allow(&ground, &json!({"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}))
        .await?;
    allowed(&somebody, &ground.path("configmaps")).await?;
    somebody.get("/api/v1/namespaces/default/configmaps").await?.refuses(403, "Forbidden")?;
    somebody.get("/api/v1/configmaps").await?.refuses(403, "Forbidden")?;
    somebody.post(&ground.path("configmaps"), &config_map("a", "1")).await?.refuses(403, "Forbidden")?;
    let watch = format!("{}?watch=true", ground.path("configmaps"));
    somebody.get(&watch).await?.refuses(403, "Forbidden")?;
    somebody.get(&ground.path("secrets")).await?.refuses(403, "Forbidden")?;
    ground.delete(&ground.at(&format!("{RBAC}/rolebindings"), "some")).await?.wants(200)?;
    ground
        .until("the role is no longer in effect", || async {
            somebody.get(&ground.path("configmaps")).await?.refuses(403, "Forbidden")
        })
        .await
        .map(drop)
}

async fn resource_names(ground: Ground) -> Result<()> {
    for name in ["a", "b"] {
        ground.config_map(name, "1").await?;
    }
    let somebody = somebody(&ground).await?;
    let rule =
        json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["a"], "verbs": ["*"]});
    allow(&ground, &rule).await?;
    allowed(&somebody, &ground.at("configmaps", "a")).await?;
    somebody.get(&ground.at("configmaps", "b")).await?.refuses(403, "Forbidden")?;
    somebody.get(&ground.path("configmaps")).await?.refuses(403, "Forbidden")?;
    let selected = format!("{}?fieldSelector=metadata.name%3Da", ground.path("configmaps"));
    somebody.get(&selected).await?.wants(200)?;
    somebody.post(&ground.path("configmaps"), &config_map("a", "1")).await?.refuses(403, "Forbidden")?;
    Ok(())
}

async fn cluster_role_in_namespace(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    let name = format!("{}-reader", ground.namespace);
    let rules = json!([{"apiGroups": ["submariner.io"], "resources": ["*"], "verbs": ["list"]}]);
    let path = format!("/apis/{RBAC}/clusterroles");
    ground.post(&path, &role_of("ClusterRole", &name, &rules)).await?.wants(201)?;
    ground.create(&format!("{RBAC}/rolebindings"), &binding(&ground, "ClusterRole", &name)).await?;
    allowed(&somebody, &ground.path("submariner.io/v1/endpoints")).await?;
    somebody.get("/apis/submariner.io/v1/endpoints").await?.refuses(403, "Forbidden")?;
    ground.delete(&format!("{path}/{name}")).await?.wants(200)?;
    Ok(())
}

async fn subresource(ground: Ground) -> Result<()> {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}});
    ground.create("services", &service).await?;
    let somebody = somebody(&ground).await?;
    allow(&ground, &json!({"apiGroups": [""], "resources": ["services"], "verbs": ["*"]})).await?;
    allowed(&somebody, &ground.at("services", "s")).await?;
    let status = somebody.get(&format!("{}/status", ground.at("services", "s"))).await?;
    let message = text(&status.refuses(403, "Forbidden")?, "/message")?;
    ensure!(message.contains("cannot get resource \"services/status\""), "the message is {message:?}");
    Ok(())
}

async fn escalation(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    let rule = json!({"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles", "rolebindings"], "verbs": ["create", "list"]});
    allow(&ground, &rule).await?;
    allowed(&somebody, &ground.path(&format!("{RBAC}/roles"))).await?;
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let path = ground.path(&format!("{RBAC}/roles"));
    let status = somebody.post(&path, &role_of("Role", "more", &rules)).await?.refuses(403, "Forbidden")?;
    let message = text(&status, "/message")?;
    ensure!(
        message.contains("attempting to grant RBAC permissions not currently held"),
        "the message is {message:?}"
    );
    let bind = binding(&ground, "ClusterRole", "cluster-admin");
    somebody.post(&ground.path(&format!("{RBAC}/rolebindings")), &bind).await?.refuses(403, "Forbidden")?;
    Ok(())
}

async fn reviews(ground: Ground) -> Result<()> {
    let somebody = somebody(&ground).await?;
    let attributes = json!({"namespace": ground.namespace, "verb": "get", "resource": "secrets"});
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}});
    let path = format!("{REVIEWS}/selfsubjectaccessreviews");
    let theirs = somebody.post(&path, &review).await?.wants(201)?;
    same(&theirs, "/status/allowed", &json!(false))?;
    let ours = ground.post(&path, &review).await?.wants(201)?;
    same(&ours, "/status/allowed", &json!(true))?;
    let spec = json!({"resourceAttributes": attributes, "user": user(&ground)});
    let review =
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec});
    let theirs = ground.post(&format!("{REVIEWS}/subjectaccessreviews"), &review).await?.wants(201)?;
    same(&theirs, "/status/allowed", &json!(false))?;
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": ground.namespace}});
    let rules = ground.post(&format!("{REVIEWS}/selfsubjectrulesreviews"), &review).await?.wants(201)?;
    let all = |rule: &Value| rule["verbs"] == json!(["*"]) && rule["resources"] == json!(["*"]);
    let found = rules["status"]["resourceRules"].as_array().is_some_and(|rules| rules.iter().any(all));
    ensure!(found, "no rule says that the administrator may do everything");
    Ok(())
}

async fn token_secret(ground: Ground) -> Result<()> {
    ground.create("serviceaccounts", &account("somebody")).await?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token",
        "metadata": {"name": "s", "annotations": {"kubernetes.io/service-account.name": "somebody"}},
    });
    ground.create("secrets", &secret).await?;
    ground
        .until("the secret is filled", || async {
            let secret = ground.get(&ground.at("secrets", "s")).await?.wants(200)?;
            for key in ["token", "ca.crt", "namespace"] {
                text(&secret, &format!("/data/{key}"))?;
            }
            text(&secret, "/metadata/annotations/kubernetes.io~1service-account.uid")
        })
        .await?;
    let lost = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/service-account-token", "metadata": {"name": "t"},
    });
    ground.post(&ground.path("secrets"), &lost).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn token_review(ground: Ground) -> Result<()> {
    ground.create("serviceaccounts", &account("somebody")).await?;
    let token = token(&ground, "somebody", &json!({})).await?;
    let review = |token: &str| json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let path = "/apis/authentication.k8s.io/v1/tokenreviews";
    let valid = ground.post(path, &review(&token)).await?.wants(201)?;
    same(&valid, "/status/authenticated", &json!(true))?;
    same(&valid, "/status/user/username", &json!(user(&ground)))?;
    let invalid = ground.post(path, &review("unknown")).await?.wants(201)?;
    ensure!(invalid["status"]["authenticated"] != json!(true), "an unknown token is valid");
    Ok(())
}

async fn impersonation(ground: Ground) -> Result<()> {
    let request = |path: &str| {
        http::Request::builder().method(Method::GET).uri(path).header("impersonate-user", "jane")
    };
    let list = request(&ground.path("configmaps")).body(Vec::new())?;
    let status = ground.send(list).await?.refuses(403, "Forbidden")?;
    ensure!(text(&status, "/message")?.contains("User \"jane\" cannot list"), "another user is named");
    let list =
        request(&ground.path("configmaps")).header("impersonate-group", "system:masters").body(Vec::new())?;
    ground.send(list).await?.wants(200)?;
    Ok(())
}
