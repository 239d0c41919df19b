//! Kinds stay in memory once they were served, so there is an end to them. This fills the process for good: it has a
//! binary of its own.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use serde_json::{Value, json};
use subm_apiserver::{ApiServer, Refusal};

const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

fn definition(number: usize, description: &str) -> Value {
    let plural = format!("things{number}");
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.org")},
        "spec": {
            "group": "example.org", "scope": "Namespaced",
            "names": {"plural": plural, "kind": format!("Thing{number}")},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "description": description}}}],
        },
    })
}

fn thing(number: usize) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": format!("Thing{number}"),
        "metadata": {"name": "one", "namespace": "default"}})
}

/// Makes and deletes definitions until one is refused; returns its number and why.
fn until_refused(server: &ApiServer, from: usize, description: &str) -> (usize, Refusal) {
    for number in from..from + 20_000 {
        if let Err(refusal) = server.store().create(definition(number, description)) {
            return (number, refusal);
        }
        server.store().delete(DEFINITIONS, "", &format!("things{number}.example.org")).unwrap();
    }
    panic!("20,000 different definitions were taken");
}

#[test]
fn definitions_that_come_and_go_find_an_end_and_those_that_are_there_work_on() {
    let server = ApiServer::builder().build();
    server.store().create(definition(0, "kept")).unwrap();
    server.store().create(thing(0)).unwrap();

    // Large ones come to their end by what they hold, long before they are many.
    let (many, refusal) = until_refused(&server, 1, &"x".repeat(1_500_000));
    assert!((40..50).contains(&many), "{many} definitions of 1.5 MB were taken");
    assert_eq!(refusal.code(), 403);
    assert!(refusal.to_string().contains("restart it"), "{refusal}");

    let (many, refusal) = until_refused(&server, many, "");
    assert!((4000..4200).contains(&many), "{many} small definitions were taken");
    assert!(refusal.to_string().contains("4096 different versions"), "{refusal}");

    // What was known before makes the same kind again, and what is there is served and may change.
    server.store().create(definition(many - 1, "")).unwrap();
    server.store().create(thing(many - 1)).unwrap();
    server.store().delete("things0.example.org", "default", "one").unwrap();
    server.store().create(thing(0)).unwrap();
    let labels = json!({"metadata": {"labels": {"a": "b"}}});
    server.store().merge(DEFINITIONS, "", "things0.example.org", labels).unwrap();
}
