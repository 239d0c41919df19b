//! Built-in kinds: how they are read, completed and validated.

use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Objects, Refusal};

fn server() -> Objects {
    ApiServer::builder().build().store()
}

fn object(api_version: &str, kind: &str, fields: Value) -> Value {
    let mut object =
        json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": "o", "namespace": "default"}});
    let Value::Object(fields) = fields else { panic!("fields are an object") };
    fields.into_iter().for_each(|(name, value)| object[name] = value);
    object
}

fn deployment(spec: Value) -> Value {
    let template =
        json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "c:1"}]}});
    let mut whole = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
    let Value::Object(fields) = spec else { panic!("a spec is an object") };
    fields.into_iter().for_each(|(name, value)| whole[name] = value);
    object("apps/v1", "Deployment", json!({"spec": whole}))
}

#[test]
fn a_value_of_the_wrong_type_is_named_as_go_names_it() {
    let objects = server();
    for (fields, why) in [
        (
            json!({"data": {"a": 1}}),
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            json!({"data": []}),
            "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
        ),
        (json!({"binaryData": {"a": "?"}}), "illegal base64 data at input byte 0"),
        (
            json!({"metadata": {"name": "o", "namespace": "default", "labels": {"a": true}}}),
            "json: cannot unmarshal bool into Go struct field ObjectMeta.metadata.labels of type string",
        ),
    ] {
        let refused = objects.create(object("v1", "ConfigMap", fields)).unwrap_err();
        assert_eq!(refused.code(), 400);
        let wanted = format!("ConfigMap in version \"v1\" cannot be handled as a ConfigMap: {why}");
        assert_eq!(refused.to_string(), wanted);
    }
    let wrong = object("v1", "Service", json!({"spec": {"ports": [{"port": "http"}]}}));
    let refused = objects.create(wrong).unwrap_err().to_string();
    let why = "json: cannot unmarshal string into Go struct field ServicePort.spec.ports.port of type int32";
    assert!(refused.ends_with(why), "{refused}");
    let wrong = object("coordination.k8s.io/v1", "Lease", json!({"spec": {"renewTime": "soon"}}));
    let refused = objects.create(wrong).unwrap_err().to_string();
    assert!(refused.contains("parsing time \"soon\" as \"2006-01-02T15:04:05.000000Z07:00\""), "{refused}");
}

#[test]
fn times_are_written_as_kubernetes_writes_them() {
    let spec = json!({"renewTime": "2026-01-01T01:00:00.500000+01:00"});
    let made =
        server().create(object("coordination.k8s.io/v1", "Lease", json!({"spec": spec}))).unwrap().value();
    assert_eq!(made["spec"]["renewTime"], "2026-01-01T00:00:00.500000Z");
}

#[test]
fn nothing_is_owned_for_being_empty() {
    let objects = server().managed_by("tester");
    let event =
        json!({"involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "reason": "Seen"});
    let made = objects.create(object("v1", "Event", event)).unwrap().value();
    for (field, value) in
        [("eventTime", Value::Null), ("reportingInstance", json!("")), ("source", json!({}))]
    {
        assert_eq!(made.get(field), Some(&value), "{field}");
    }
    let owned = &made["metadata"]["managedFields"][0]["fieldsV1"];
    let wanted = json!({"f:involvedObject": {}, "f:reason": {}});
    assert_eq!(owned["f:reason"], wanted["f:reason"]);
    assert_eq!(owned.get("f:eventTime"), None, "{owned}");
    assert_eq!(owned.get("f:source"), None, "{owned}");
}

#[test]
fn a_deployment_is_completed_through_its_template() {
    let made = server().create(deployment(json!({}))).unwrap().value();
    assert_eq!(made["metadata"]["generation"], 1);
    for (field, value) in [
        ("/spec/replicas", json!(1)),
        (
            "/spec/strategy",
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}}),
        ),
        ("/spec/progressDeadlineSeconds", json!(600)),
        ("/spec/revisionHistoryLimit", json!(10)),
        ("/spec/template/metadata/creationTimestamp", Value::Null),
        ("/spec/template/spec/restartPolicy", json!("Always")),
        ("/spec/template/spec/containers/0/imagePullPolicy", json!("IfNotPresent")),
        ("/spec/template/spec/containers/0/resources", json!({})),
        ("/spec/template/spec/securityContext", json!({})),
        ("/status", json!({})),
    ] {
        assert_eq!(made.pointer(field), Some(&value), "{field}");
    }
    assert_eq!(made["spec"]["template"]["spec"].get("enableServiceLinks"), None, "that is of Pods alone");
}

#[test]
fn what_is_wrong_with_a_deployment_is_named() {
    let objects = server();
    let labels =
        json!({"metadata": {"labels": {"a": "c"}}, "spec": {"containers": [{"name": "c", "image": "c"}]}});
    let nameless = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"image": "c"}], "restartPolicy": "Never"}});
    for (spec, wanted) in [
        (json!({"selector": null}), "spec.selector: Required value"),
        (json!({"replicas": -1}), "spec.replicas: Invalid value: -1: must be greater than or equal to 0"),
        (json!({"strategy": {"type": "Other"}}), "spec.strategy.type: Unsupported value: \"Other\""),
        (
            json!({"template": labels}),
            "spec.template.metadata.labels: Invalid value: map[string]string{\"a\":\"c\"}: `selector` does not match template `labels`",
        ),
        (json!({"template": nameless}), "spec.template.spec.containers[0].name: Required value"),
        (
            json!({"template": nameless}),
            "spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\"",
        ),
    ] {
        let refused = objects.create(deployment(spec.clone())).unwrap_err();
        assert_eq!(refused.code(), 422, "{spec}");
        assert!(refused.to_string().contains(wanted), "{refused}");
    }
    objects.create(deployment(json!({}))).unwrap();
    let change = json!({"spec": {"selector": {"matchLabels": {"a": "b", "c": "d"}}}});
    let refused = objects.merge("deployments.apps", "default", "o", change).unwrap_err().to_string();
    assert!(refused.contains("spec.selector: Invalid value: v1.LabelSelector{"), "{refused}");
    assert!(refused.contains("field is immutable"), "{refused}");
}

#[test]
fn the_quality_of_a_pod_follows_from_what_it_asks_for() {
    let objects = server();
    let amounts = |cpu: &str| json!({"cpu": cpu, "memory": "64Mi"});
    for (name, resources, class) in [
        ("best", json!({}), "BestEffort"),
        ("burst", json!({"requests": amounts("1"), "limits": amounts("2")}), "Burstable"),
        ("sure", json!({"limits": amounts("1")}), "Guaranteed"),
    ] {
        let containers = json!([{"name": "c", "image": "c", "resources": resources}]);
        let mut pod = object("v1", "Pod", json!({"spec": {"containers": containers}}));
        pod["metadata"]["name"] = json!(name);
        let made = objects.create(pod).unwrap().value();
        assert_eq!(made["status"], json!({"phase": "Pending", "qosClass": class}));
    }
}

#[test]
fn a_pod_keeps_all_but_its_images() {
    let objects = server();
    let spec = json!({"containers": [{"name": "c", "image": "one"}]});
    objects.create(object("v1", "Pod", json!({"spec": spec}))).unwrap();
    let strategic = |container: Value| {
        objects.write(|store, writer| {
            let kind = store.kinds().named("pods").unwrap();
            let patch = subm_apiserver::Patch::Strategic(json!({"spec": {"containers": [container]}}));
            store.patch(&subm_apiserver::Place::new(kind, "default", "o"), &patch, writer)
        })
    };
    assert!(strategic(json!({"name": "c", "image": "two"})).is_ok());
    let refused = strategic(json!({"name": "c", "command": ["x"]})).unwrap_err();
    assert!(matches!(&refused, Refusal::Invalid(_, causes) if causes[0].field == "spec"), "{refused}");
    let refused = strategic(json!({"name": "d", "image": "two"})).unwrap_err().to_string();
    assert!(refused.contains("pod updates may not add or remove containers"), "{refused}");
}
