//! Admission policies: expressions that every write must fulfil.

use anyhow::{Context as _, Result, ensure};
use http::header;
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Answer, Ground, config_map, text};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const BINDINGS: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings";

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a bound policy denies what its expression refuses, with its message and reason",
        proof: |ground| Box::pin(denies(ground)),
    },
    Claim {
        says: "a policy is asked about updates and deletions, and sees the object before",
        proof: |ground| Box::pin(operations(ground)),
    },
    Claim {
        says: "a policy that fails denies, unless its failures are to be ignored",
        proof: |ground| Box::pin(failures(ground)),
    },
    Claim {
        says: "variables, match conditions and selectors narrow a policy",
        proof: |ground| Box::pin(narrowed(ground)),
    },
    Claim { says: "a binding that warns lets pass with a warning", proof: |ground| Box::pin(warns(ground)) },
    Claim {
        says: "a policy has the parameters that its binding names",
        proof: |ground| Box::pin(parameters(ground)),
    },
    Claim {
        says: "a policy asks what the user of a request may do",
        proof: |ground| Box::pin(authorizer(ground)),
    },
    Claim {
        says: "a policy whose expression cannot be compiled is invalid",
        proof: |ground| Box::pin(invalid(ground)),
    },
    Claim {
        says: "a policy lets each member of a hub write only what carries its own cluster id",
        proof: |ground| Box::pin(members(ground)),
    },
];

/// A policy about ConfigMaps of this claim's namespace, with changes to its spec, bound.
async fn install(ground: &Ground, changes: &Value, binding: &Value) -> Result<()> {
    let name = &ground.namespace;
    let mut policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {"matchConstraints": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            "resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"]}]},
        "validations": [{"expression": "object.data.key != 'wrong'"}]}});
    merge(&mut policy["spec"], changes);
    ground.post(POLICIES, &policy).await?.wants(201)?;
    let mut bound = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
        "spec": {"policyName": name, "validationActions": ["Deny"]}});
    merge(&mut bound["spec"], binding);
    ground.post(BINDINGS, &bound).await?.wants(201)?;
    Ok(())
}

fn merge(target: &mut Value, changes: &Value) {
    match changes {
        Value::Object(entries) => {
            for (name, value) in entries {
                merge(&mut target[name], value);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            *target = changes.clone();
        }
    }
}

async fn uninstall(ground: &Ground) -> Result<()> {
    for path in [BINDINGS, POLICIES] {
        ground.delete(&format!("{path}/{}", ground.namespace)).await?.wants(200)?;
    }
    Ok(())
}

fn checked() -> String {
    "?dryRun=All".to_owned()
}

/// Whether a ConfigMap with this value would be taken.
async fn tried(ground: &Ground, value: &str) -> Result<Answer> {
    ground.post(&format!("{}{}", ground.path("configmaps"), checked()), &config_map("tried", value)).await
}

/// Waits until a policy is in force: what is wrong is refused.
async fn in_force(ground: &Ground, value: &str) -> Result<Answer> {
    ground
        .until("the policy is in force", || async {
            let answer = tried(ground, value).await?;
            ensure!(answer.code >= 400, "nothing is denied");
            Ok(answer)
        })
        .await
}

async fn denies(ground: Ground) -> Result<()> {
    let changes = json!({"validations": [
        {"expression": "object.data.key != 'wrong'"},
        {"expression": "object.data.key != 'secret'", "message": "that is secret", "reason": "Forbidden"},
        {"expression": "object.data.key != 'told'", "messageExpression": "object.metadata.name + ' is told'"},
    ]});
    install(&ground, &changes, &json!({})).await?;
    let name = &ground.namespace;
    let says =
        format!("is forbidden: ValidatingAdmissionPolicy '{name}' with binding '{name}' denied request: ");
    let status = in_force(&ground, "wrong").await?.refuses(422, "Invalid")?;
    let wanted = format!("configmaps \"tried\" {says}failed expression: object.data.key != 'wrong'");
    ensure!(text(&status, "/message")? == wanted, "the message is {}", status["message"]);
    let cause = text(&status, "/details/causes/0/message")?;
    ensure!(wanted.ends_with(&cause) && cause.starts_with("Validating"), "the cause is {cause}");
    let status = tried(&ground, "secret").await?.refuses(403, "Forbidden")?;
    ensure!(text(&status, "/message")?.ends_with("that is secret"), "the message is {}", status["message"]);
    let status = tried(&ground, "told").await?.refuses(422, "Invalid")?;
    ensure!(text(&status, "/message")?.ends_with("tried is told"), "the message is {}", status["message"]);
    tried(&ground, "right").await?.wants(201)?;
    uninstall(&ground).await
}

async fn operations(ground: Ground) -> Result<()> {
    ground.config_map("kept", "1").await?;
    let changes = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["UPDATE", "DELETE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": "request.operation == 'DELETE' ? object == null && oldObject.metadata.name != 'kept' : object.data.key == oldObject.data.key",
            "message": "it is kept"}],
    });
    install(&ground, &changes, &json!({})).await?;
    let path = ground.at("configmaps", "kept");
    ground
        .until("the policy is in force", || async {
            let answer = ground.delete(&format!("{path}{}", checked())).await?;
            ensure!(answer.code == 422, "the deletion is not denied");
            Ok(())
        })
        .await?;
    let with_key = |value: &str| json!({"data": {"key": value, "other": "x"}});
    ground.patch(&path, crate::ground::Patch::Merge, &with_key("2")).await?.refuses(422, "Invalid")?;
    ground.patch(&path, crate::ground::Patch::Merge, &with_key("1")).await?.wants(200)?;
    ground.config_map("free", "1").await?;
    ground.delete(&ground.at("configmaps", "free")).await?.wants(200)?;
    uninstall(&ground).await
}

async fn failures(ground: Ground) -> Result<()> {
    let changes = json!({"validations": [{"expression": "object.data.nothing == '1'"}]});
    install(&ground, &changes, &json!({})).await?;
    let status = in_force(&ground, "x").await?.refuses(422, "Invalid")?;
    let message = text(&status, "/message")?;
    let wanted = "expression 'object.data.nothing == '1'' resulted in error: no such key: nothing";
    ensure!(message.contains(wanted), "the message is {message}");
    let path = format!("{POLICIES}/{}", ground.namespace);
    let ignore = json!({"spec": {"failurePolicy": "Ignore"}});
    ground.patch(&path, crate::ground::Patch::Merge, &ignore).await?.wants(200)?;
    ground.until("failures are ignored", || async { tried(&ground, "x").await?.wants(201) }).await?;
    uninstall(&ground).await
}

async fn narrowed(ground: Ground) -> Result<()> {
    let changes = json!({
        "matchConstraints": {"objectSelector": {"matchExpressions": [{"key": "free", "operator": "DoesNotExist"}]}},
        "matchConditions": [{"name": "named", "expression": "object.metadata.name != 'exempt'"}],
        "variables": [{"name": "key", "expression": "object.data.key"},
            {"name": "right", "expression": "variables.key.startsWith('r') && namespaceObject.metadata.name == request.namespace"}],
        "validations": [{"expression": "variables.right"}],
    });
    install(&ground, &changes, &json!({})).await?;
    in_force(&ground, "wrong").await?.refuses(422, "Invalid")?;
    tried(&ground, "right").await?.wants(201)?;
    let path = format!("{}{}", ground.path("configmaps"), checked());
    ground.post(&path, &config_map("exempt", "wrong")).await?.wants(201)?;
    let mut free = config_map("tried", "wrong");
    free["metadata"]["labels"] = json!({"free": "yes"});
    ground.post(&path, &free).await?.wants(201)?;
    uninstall(&ground).await
}

async fn warns(ground: Ground) -> Result<()> {
    install(&ground, &json!({}), &json!({"validationActions": ["Warn", "Audit"]})).await?;
    let warning = ground
        .until("the policy is in force", || async {
            let answer = tried(&ground, "wrong").await?;
            answer.wants(201)?;
            let warning = answer.headers.get(header::WARNING).context("there is no warning")?;
            Ok(warning.to_str()?.to_owned())
        })
        .await?;
    let name = &ground.namespace;
    let wanted = format!(
        "299 - \"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{name}': failed expression: \
         object.data.key != 'wrong'\""
    );
    ensure!(warning == wanted, "the warning is {warning}");
    uninstall(&ground).await
}

async fn parameters(ground: Ground) -> Result<()> {
    ground.config_map("allowed", "right").await?;
    let changes = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.data.key == params.data.key"}]});
    let reference = json!({"name": "allowed", "parameterNotFoundAction": "Deny"});
    install(&ground, &changes, &json!({"paramRef": reference})).await?;
    in_force(&ground, "wrong").await?.refuses(422, "Invalid")?;
    ground.until("the parameters are known", || async { tried(&ground, "right").await?.wants(201) }).await?;
    uninstall(&ground).await
}

async fn authorizer(ground: Ground) -> Result<()> {
    let check =
        "authorizer.group('').resource('configmaps').namespace(request.namespace).check('delete').allowed()";
    let account = format!(
        "authorizer.serviceAccount('{}', 'nobody').group('').resource('secrets').check('get').allowed()",
        ground.namespace
    );
    let changes = json!({"validations": [
        {"expression": format!("{check} || object.data.key == 'x'")},
        {"expression": format!("object.data.key != 'wrong' || {account}")},
    ]});
    install(&ground, &changes, &json!({})).await?;
    in_force(&ground, "wrong").await?.refuses(422, "Invalid")?;
    tried(&ground, "right").await?.wants(201)?;
    uninstall(&ground).await
}

async fn invalid(ground: Ground) -> Result<()> {
    let policy = |validation: Value| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": ground.namespace}, "spec": {"matchConstraints": {"resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}]},
            "validations": [validation]}})
    };
    for wrong in ["object.", "nobody(object)", "params.a == 1", "variables.a", "self.a"] {
        let answer = ground.post(POLICIES, &policy(json!({"expression": wrong}))).await?;
        let status = answer.refuses(422, "Invalid").context(wrong)?;
        let field = text(&status, "/details/causes/0/field")?;
        ensure!(field == "spec.validations[0].expression", "the field is {field}");
    }
    let odd = json!({"expression": "true", "reason": "Because"});
    ground.post(POLICIES, &policy(odd)).await?.refuses(422, "Invalid")?;
    let mut none = policy(json!({"expression": "true"}));
    none["spec"]["matchConstraints"] = json!(null);
    ground.post(POLICIES, &none).await?.refuses(422, "Invalid").map(drop)
}

async fn members(ground: Ground) -> Result<()> {
    let mine = "object.spec.cluster_id == variables.member && object.metadata.labels['submariner-io/clusterID'] == variables.member";
    let changes = json!({
        "matchConstraints": {"resourceRules": [{"apiGroups": ["submariner.io"], "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"], "resources": ["clusters"]}]},
        "matchConditions": [{"name": "member", "expression": "request.userInfo.username.startsWith('system:serviceaccount:')"}],
        "variables": [{"name": "member", "expression": "request.userInfo.username.split(':')[3].replace('cluster-', '')"}],
        "validations": [{"expression": mine, "messageExpression": "'cluster ' + variables.member + ' writes only what is its own'",
            "reason": "Forbidden"}],
    });
    install(&ground, &changes, &json!({})).await?;
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "members"},
        "rules": [{"apiGroups": ["submariner.io"], "resources": ["clusters"], "verbs": ["*"]}]});
    ground.create("rbac.authorization.k8s.io/v1/roles", &role).await?;
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "members"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "members"},
        "subjects": [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io",
            "name": format!("system:serviceaccounts:{}", ground.namespace)}]});
    ground.create("rbac.authorization.k8s.io/v1/rolebindings", &binding).await?;
    let write = |owner: &str| {
        let mut cluster = super::cluster(owner);
        cluster["metadata"]["labels"] = json!({"submariner-io/clusterID": owner});
        let request =
            http::Request::post(format!("{}{}", ground.path("submariner.io/v1/clusters"), checked()))
                .header(header::CONTENT_TYPE, "application/json")
                .header(
                    "Impersonate-User",
                    format!("system:serviceaccount:{}:cluster-east", ground.namespace),
                );
        request.body(cluster.to_string().into_bytes())
    };
    ground
        .until("the policy is in force", || async {
            let answer = ground.send(write("west")?).await?;
            let message = text(&answer.body, "/message").unwrap_or_default();
            let denied = message.ends_with("cluster east writes only what is its own");
            ensure!(answer.code == 403 && denied, "{} is answered: {message}", answer.code);
            Ok(())
        })
        .await?;
    ground.until("members may write", || async { ground.send(write("east")?).await?.wants(201) }).await?;
    uninstall(&ground).await
}
