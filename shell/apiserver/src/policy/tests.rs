use serde_json::{Value, json};

use super::*;
use crate::kinds::KindId;
use crate::store::{Draft, Effect, Writer};

fn store() -> Store {
    let mut store = Store::new([0; 16], 1, 100);
    for namespace in ["shop", "bank"] {
        let object = json!({"metadata": {"name": namespace, "labels": {"kind": namespace}}});
        store.create(KindId::namespaces(), "", object, &writer()).unwrap();
    }
    store
}

fn writer() -> Writer {
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    assert_eq!(Draft::time(now), "2026-01-01T00:00:00Z");
    Writer {
        manager: "test".to_owned(),
        admission: crate::access::Admission::Anything,
        now,
        effect: Effect::Lasting,
    }
}

fn kind(resource: &str) -> KindId {
    KindId::named(resource).unwrap()
}

/// A policy on ConfigMaps with changes to its spec.
fn policy(changes: &Value) -> Value {
    let mut policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE", "DELETE"], "resources": ["configmaps"]}]},
        "validations": [{"expression": "object.data.size == 'small'"}],
    }});
    json_patch::merge(&mut policy["spec"], changes);
    policy
}

fn install(store: &mut Store, policy: &Value, binding: &Value) -> Result<(), Refusal> {
    let policies = kind("validatingadmissionpolicies.admissionregistration.k8s.io");
    let bindings = kind("validatingadmissionpolicybindings.admissionregistration.k8s.io");
    store.create(policies, "", policy.clone(), &writer())?;
    let mut bound =
        json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    json_patch::merge(&mut bound["spec"], binding);
    store.create(bindings, "", bound, &writer()).map(drop)
}

fn map(size: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "labels": {"size": size}}, "data": {"size": size}})
}

fn judged(
    store: &Store,
    namespace: &str,
    old: Option<&Value>,
    new: Option<&Value>,
) -> (Result<(), Refusal>, Remarks) {
    let place = Place::new(kind("configmaps"), namespace, "m");
    let user = User { name: "jane".to_owned(), ..User::default() };
    let (authoriser, told) = (Authoriser::default(), Told::default());
    let attempt = Attempt {
        store,
        place: &place,
        old,
        new,
        user: &user,
        authoriser: &authoriser,
        options: &json!({"kind": "CreateOptions"}),
    };
    (judge(&Policies::of(store), &attempt, &told), told.take())
}

/// What a new map is denied for, by a policy with these changes.
fn denied(changes: &Value, binding: &Value, size: &str) -> Option<String> {
    let mut store = store();
    install(&mut store, &policy(changes), binding).unwrap();
    judged(&store, "shop", None, Some(&map(size))).0.err().map(|refusal| refusal.to_string())
}

const SAYS: &str =
    r#"configmaps "m" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: "#;

#[test]
fn what_a_policy_does_not_want_is_refused_with_its_message() {
    let nothing = json!({});
    assert_eq!(denied(&nothing, &nothing, "small"), None);
    assert_eq!(
        denied(&nothing, &nothing, "large").unwrap(),
        format!("{SAYS}failed expression: object.data.size == 'small'")
    );
    let said = |validation: Value| denied(&json!({"validations": [validation]}), &nothing, "large").unwrap();
    assert_eq!(said(json!({"expression": "false", "message": "no"})), format!("{SAYS}no"));
    assert_eq!(
        said(
            json!({"expression": "false", "message": "no", "messageExpression": "'it is ' + object.data.size"})
        ),
        format!("{SAYS}it is large")
    );
    assert_eq!(
        said(json!({"expression": "object.data.weight == '1'"})),
        format!("{SAYS}expression 'object.data.weight == '1'' resulted in error: no such key: weight")
    );
    let mut store = store();
    let reason = json!({"validations": [{"expression": "false", "reason": "Forbidden"}]});
    install(&mut store, &policy(&reason), &nothing).unwrap();
    let refusal = judged(&store, "shop", None, Some(&map("x"))).0.unwrap_err();
    assert_eq!((refusal.code(), refusal.reason()), (403, "Forbidden"));
    assert_eq!(
        refusal.status()["details"]["causes"][0]["message"],
        "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: failed expression: false"
    );
}

#[test]
fn errors_deny_unless_they_are_to_be_ignored() {
    let broken =
        json!({"failurePolicy": "Ignore", "validations": [{"expression": "object.data.weight == '1'"}]});
    assert_eq!(denied(&broken, &json!({}), "large"), None);
    let condition = json!({"matchConditions": [{"name": "c", "expression": "object.none"}]});
    assert!(
        denied(&condition, &json!({}), "small").unwrap().contains("match condition 'c' resulted in error")
    );
}

#[test]
fn variables_conditions_and_the_request_are_seen() {
    let changes = json!({
        "matchConditions": [{"name": "not-root", "expression": "request.userInfo.username != 'root'"}],
        "variables": [{"name": "size", "expression": "object.data.size"},
            {"name": "ok", "expression": "variables.size in ['small', 'tiny']"}],
        "validations": [
            {"expression": "variables.ok", "messageExpression": "variables.size + ' is too much for ' + namespaceObject.metadata.name"},
            {"expression": "request.operation == 'CREATE' && request.resource.resource == 'configmaps' && !has(request.subResource)"},
            {"expression": "oldObject == null && request.namespace == 'shop' && request.name == 'm' && !request.dryRun"},
            {"expression": "!authorizer.group('').resource('configmaps').namespace('shop').check('get').allowed()"},
            {"expression": "!authorizer.path('/healthz').check('get').allowed() && authorizer.serviceAccount('a', 'b').path('/x').check('get').reason() == ''"},
        ],
    });
    assert_eq!(denied(&changes, &json!({}), "tiny"), None);
    assert_eq!(denied(&changes, &json!({}), "large").unwrap(), format!("{SAYS}large is too much for shop"));
    let lost = json!({"variables": [{"name": "w", "expression": "object.data.weight"}],
        "validations": [{"expression": "variables.w == '1'"}]});
    assert!(
        denied(&lost, &json!({}), "x")
            .unwrap()
            .contains("composited variable \"w\" fails to evaluate: no such key")
    );
}

#[test]
fn a_policy_is_about_what_it_matches_alone() {
    let rule = |changes: Value| {
        let mut rule =
            json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["*"]});
        json_patch::merge(&mut rule, &changes);
        json!({"matchConstraints": {"resourceRules": [rule]}})
    };
    let is_denied = |changes: Value| denied(&changes, &json!({}), "large").is_some();
    assert!(is_denied(rule(json!({}))));
    assert!(is_denied(rule(json!({"scope": "Namespaced"}))) && !is_denied(rule(json!({"scope": "Cluster"}))));
    assert!(
        is_denied(rule(json!({"resourceNames": ["m"]}))) && !is_denied(rule(json!({"resourceNames": ["o"]})))
    );
    assert!(
        !is_denied(rule(json!({"operations": ["UPDATE"]})))
            && !is_denied(rule(json!({"resources": ["*/status"]})))
    );
    assert!(
        !is_denied(rule(json!({"apiGroups": ["apps"]}))) && !is_denied(rule(json!({"apiVersions": ["v2"]})))
    );
    let select = |which: &str, value: &str| json!({"matchConstraints": {which: {"matchLabels": {if which == "objectSelector" { "size" } else { "kind" }: value}}}});
    assert!(is_denied(select("objectSelector", "large")) && !is_denied(select("objectSelector", "small")));
    assert!(
        is_denied(select("namespaceSelector", "shop")) && !is_denied(select("namespaceSelector", "bank"))
    );
    assert!(!is_denied(
        json!({"matchConstraints": {"excludeResourceRules": [{"apiGroups": ["*"], "apiVersions": ["*"],
        "operations": ["*"], "resources": ["configmaps"]}]}})
    ));
    let narrowed = json!({"matchResources": {"namespaceSelector": {"matchLabels": {"kind": "bank"}}}});
    assert_eq!(denied(&json!({}), &narrowed, "large"), None);
}

#[test]
fn a_deletion_has_an_old_object_alone() {
    let mut store = store();
    let changes =
        json!({"validations": [{"expression": "object == null && oldObject.data.size != 'large'"}]});
    install(&mut store, &policy(&changes), &json!({})).unwrap();
    assert_eq!(judged(&store, "shop", Some(&map("small")), None).0, Ok(()));
    assert!(judged(&store, "shop", Some(&map("large")), None).0.is_err());
}

#[test]
fn failures_are_warned_of_and_audited_where_the_binding_says_so() {
    let mut store = store();
    let changes = json!({"auditAnnotations": [{"key": "size", "valueExpression": "object.data.size"},
        {"key": "none", "valueExpression": "null"}]});
    install(&mut store, &policy(&changes), &json!({"validationActions": ["Warn", "Audit"]})).unwrap();
    let (judged, remarks) = judged(&store, "shop", None, Some(&map("large")));
    assert_eq!(judged, Ok(()));
    assert_eq!(
        remarks.warnings,
        [
            "Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': failed expression: object.data.size == 'small'"
        ]
    );
    assert_eq!(remarks.annotations[0], ("p/size".to_owned(), "large".to_owned()));
    assert_eq!(remarks.annotations[1].0, FAILURES);
    assert!(remarks.annotations[1].1.contains(r#""policy":"p""#));
}

#[test]
fn parameters_are_objects_that_the_binding_names_or_selects() {
    let changes = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.data.size in params.data.sizes.split(',')"}]});
    let with = |reference: Value, size: &str| {
        let mut store = store();
        install(&mut store, &policy(&changes), &json!({"paramRef": reference})).unwrap();
        for (name, sizes) in [("one", "small,tiny"), ("two", "small")] {
            let object =
                json!({"metadata": {"name": name, "labels": {"for": "policy"}}, "data": {"sizes": sizes}});
            store.create(kind("configmaps"), "bank", object, &writer()).unwrap();
        }
        judged(&store, "shop", None, Some(&map(size))).0.err().map(|refusal| refusal.to_string())
    };
    let named = |name: &str, action: &str| json!({"name": name, "namespace": "bank", "parameterNotFoundAction": action});
    assert_eq!(with(named("one", "Deny"), "tiny"), None);
    assert!(with(named("two", "Deny"), "tiny").is_some());
    assert_eq!(with(named("three", "Allow"), "tiny"), None);
    assert!(with(named("three", "Deny"), "small").unwrap().contains("no params found"));
    let selected = json!({"selector": {"matchLabels": {"for": "policy"}}, "namespace": "bank", "parameterNotFoundAction": "Deny"});
    assert_eq!(with(selected.clone(), "small"), None);
    assert!(with(selected, "tiny").is_some(), "the second does not have it");
}

#[test]
fn what_is_wrong_or_not_supported_is_refused_when_it_is_written() {
    let refused = |changes: Value| {
        let refusal = install(&mut store(), &policy(&changes), &json!({})).unwrap_err();
        assert_eq!(refusal.code(), 422);
        refusal.to_string()
    };
    let expression = |text: &str| json!({"validations": [{"expression": text}]});
    for (changes, why) in [
        (expression("object.data."), "spec.validations[0].expression: Invalid value"),
        (expression("quantity('1') == object"), "undeclared reference to 'quantity'"),
        (expression("params.a"), "undeclared reference to 'params'"),
        (expression("self.a == 1"), "undeclared reference to 'self'"),
        (expression("variables.x"), "undefined field 'x'"),
        (expression("request.nothing == ''"), "undefined field 'nothing'"),
        (
            expression("authorizer.requestResource.check('get').allowed()"),
            "authorizer.requestResource is not supported",
        ),
        (expression(" "), "spec.validations[0].expression: Required value"),
        (json!({"validations": null}), "spec.validations: Required value"),
        (
            json!({"validations": [{"expression": "true", "reason": "Because"}]}),
            "spec.validations[0].reason: Unsupported value",
        ),
        (json!({"matchConstraints": null}), "spec.matchConstraints: Required value"),
        (
            json!({"matchConstraints": {"resourceRules": []}}),
            "spec.matchConstraints.resourceRules: Required value",
        ),
        (
            json!({"matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"],
            "operations": ["CONNECT"]}]}}),
            "asks no policy about connections",
        ),
        (
            json!({"matchConstraints": {"resourceRules": [{"apiGroups": ["authorization.k8s.io"], "apiVersions": ["v1"],
            "resources": ["subjectaccessreviews"], "operations": ["CREATE"]}]}}),
            "asks no policy about it",
        ),
        (json!({"failurePolicy": "Sometimes"}), "spec.failurePolicy: Unsupported value"),
        (json!({"variables": [{"name": "a-b", "expression": "1"}]}), "not a valid CEL identifier"),
        (json!({"paramKind": {"kind": "ConfigMap"}}), "spec.paramKind.apiVersion: Required value"),
    ] {
        let refusal = refused(changes);
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
    let fine = expression(
        "object.data.all(k, object.data[k] != '' && [1, 2].exists(x, x > 1)) && type(1) == int && object.?a.orValue(1) == 1",
    );
    install(&mut store(), &policy(&fine), &json!({})).unwrap();
    for (binding, why) in [
        (json!({"validationActions": ["Deny", "Warn"]}), "must not contain both Deny and Warn"),
        (json!({"validationActions": []}), "spec.validationActions: Required value"),
        (json!({"policyName": ""}), "spec.policyName: Required value"),
        (json!({"paramRef": {"name": "a"}}), "spec.paramRef.parameterNotFoundAction: Required value"),
    ] {
        let refusal = install(&mut store(), &policy(&json!({})), &binding).unwrap_err().to_string();
        assert!(refusal.contains(why), "{why}: {refusal}");
    }
}
