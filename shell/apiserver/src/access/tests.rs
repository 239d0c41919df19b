use super::*;
use crate::kinds::KindId;

fn action<'a>(verb: Verb, resource: &str, namespace: &'a str, name: &'a str) -> Action<'a> {
    let kind = KindId::named(resource).unwrap_or_else(|| crate::definitions::own("endpoints"));
    Action { verb: verb.word(), group: kind.group, plural: kind.plural, subresource: "", namespace, name }
}

fn authorise(user: &User, action: &Action<'_>) -> Result<(), Refusal> {
    Authoriser::default().authorise(user, action).map(drop)
}

#[test]
fn a_member_reads_endpoints_of_its_namespace_and_no_secret() {
    let member = Credential::member("t", &"east".parse().unwrap(), "broker").user;
    for verb in Verb::ALL {
        assert!(authorise(&member, &action(verb, "endpoints.submariner.io", "broker", "")).is_ok());
        for (resource, namespace) in [
            ("secrets", "broker"),
            ("endpoints.submariner.io", ""),
            ("endpoints.submariner.io", "other"),
            ("nodes", ""),
        ] {
            let refusal = authorise(&member, &action(verb, resource, namespace, "x")).unwrap_err();
            assert_eq!(refusal.code(), 403);
        }
    }
    let refusal = authorise(&member, &action(Verb::Get, "secrets", "broker", "psk")).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        r#"secrets "psk" is forbidden: User "cluster-east" cannot get resource "secrets" in API group "" in the namespace "broker""#
    );
    let refusal = authorise(&member, &action(Verb::List, "endpoints.submariner.io", "", "")).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        r#"endpoints.submariner.io is forbidden: User "cluster-east" cannot list resource "endpoints" in API group "submariner.io" at the cluster scope"#
    );
}

#[test]
fn names_and_subresources_are_told_apart() {
    let rules = vec![Rule::on("", &["nodes/status"]).named("n1").verbs(&[Verb::Patch])];
    let user = Credential::with_rules("t", "kubelet", rules).user;
    let mut asked = action(Verb::Patch, "nodes", "", "n1");
    assert!(authorise(&user, &asked).is_err());
    asked.subresource = "status";
    assert!(authorise(&user, &asked).is_ok());
    asked.name = "n2";
    assert!(authorise(&user, &asked).is_err());
}

#[test]
fn revoked_and_unknown_tokens_have_no_holder() {
    let credentials = Credentials::default();
    credentials.grant(Credential::admin("secret"));
    let grant = credentials.holder("secret").unwrap();
    assert!(credentials.holder("other").is_none());
    credentials.revoke("system:admin");
    assert!(grant.revoked.is_cancelled());
    assert!(credentials.holder("secret").is_none());
}
