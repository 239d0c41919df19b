//! The built-in kinds that we use: defaults, allocation, validation.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::claims::Claim;
use crate::ground::{Ground, Patch, same, text};

pub(super) const CLAIMS: &[Claim] = &[
    Claim {
        says: "a Service gets its type, an address and the defaults of its ports",
        proof: |ground| Box::pin(service(ground)),
    },
    Claim { says: "a headless Service keeps None", proof: |ground| Box::pin(headless(ground)) },
    Claim {
        says: "the address of a Service cannot change, and two Services cannot have one",
        proof: |ground| Box::pin(service_address(ground)),
    },
    Claim {
        says: "a Service without ports, or with two of one name, is invalid",
        proof: |ground| Box::pin(bad_service(ground)),
    },
    Claim {
        says: "a node port is given, kept by a client that does not know it, and nobody else's",
        proof: |ground| Box::pin(node_ports(ground)),
    },
    Claim {
        says: "a value of the wrong type is a bad request that names field and type",
        proof: |ground| Box::pin(mistyped(ground)),
    },
    Claim { says: "a Secret is Opaque, and its texts become data", proof: |ground| Box::pin(secret(ground)) },
    Claim {
        says: "the type of a Secret cannot change, and data must be base64",
        proof: |ground| Box::pin(bad_secret(ground)),
    },
    Claim { says: "an immutable ConfigMap stays as it is", proof: |ground| Box::pin(immutable(ground)) },
    Claim { says: "a Pod gets its defaults and is Pending", proof: |ground| Box::pin(pod(ground)) },
    Claim {
        says: "a Pod without containers is invalid, and its containers cannot be renamed",
        proof: |ground| Box::pin(bad_pod(ground)),
    },
    Claim { says: "Pods are selected by node and phase", proof: |ground| Box::pin(pod_fields(ground)) },
    Claim { says: "a Lease keeps its times to the microsecond", proof: |ground| Box::pin(lease(ground)) },
    Claim {
        says: "an EndpointSlice needs an address type and keeps its endpoints",
        proof: |ground| Box::pin(slice(ground)),
    },
    Claim {
        says: "an Event is found by the object that it is about",
        proof: |ground| Box::pin(event(ground)),
    },
    Claim {
        says: "an Event of events.k8s.io is the same object as one of the core group",
        proof: |ground| Box::pin(event_groups(ground)),
    },
    Claim {
        says: "a Node's status is written through its subresource alone",
        proof: |ground| Box::pin(node_status(ground)),
    },
    Claim {
        says: "a Deployment counts the generations of its spec and makes a ReplicaSet",
        proof: |ground| Box::pin(deployment(ground)),
    },
    Claim {
        says: "a Deployment is completed through its template, and its selector cannot change",
        proof: |ground| Box::pin(template(ground)),
    },
    Claim {
        says: "a Service with a selector gets an EndpointSlice that it owns",
        proof: |ground| Box::pin(managed_slice(ground)),
    },
];

fn service_of(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec})
}

async fn service(ground: Ground) -> Result<()> {
    let service = ground.create("services", &service_of("s", &json!({"ports": [{"port": 80}]}))).await?;
    let spec = &service["spec"];
    let address = text(spec, "/clusterIP")?;
    ensure!(address.parse::<std::net::Ipv4Addr>().is_ok(), "the address is no IPv4 address");
    same(spec, "/clusterIPs", &json!([address]))?;
    same(spec, "/ipFamilies", &json!(["IPv4"]))?;
    same(spec, "/ipFamilyPolicy", &json!("SingleStack"))?;
    same(spec, "/type", &json!("ClusterIP"))?;
    same(spec, "/sessionAffinity", &json!("None"))?;
    same(spec, "/internalTrafficPolicy", &json!("Cluster"))?;
    same(spec, "/ports", &json!([{"port": 80, "protocol": "TCP", "targetPort": 80}]))?;
    same(&service, "/status", &json!({"loadBalancer": {}}))
}

async fn headless(ground: Ground) -> Result<()> {
    let spec = json!({"clusterIP": "None", "selector": {"a": "b"}});
    let service = ground.create("services", &service_of("s", &spec)).await?;
    same(&service, "/spec/clusterIP", &json!("None"))?;
    same(&service, "/spec/clusterIPs", &json!(["None"]))
}

async fn service_address(ground: Ground) -> Result<()> {
    let service = ground.create("services", &service_of("s", &json!({"ports": [{"port": 80}]}))).await?;
    let address = service["spec"]["clusterIP"].clone();
    let second = service_of("t", &json!({"clusterIP": address, "ports": [{"port": 80}]}));
    let status = ground.post(&ground.path("services"), &second).await?.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/field", &json!("spec.clusterIPs"))?;
    let change = json!({"spec": {"clusterIP": "10.96.250.250", "clusterIPs": ["10.96.250.250"]}});
    ground.patch(&ground.at("services", "s"), Patch::Merge, &change).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn bad_service(ground: Ground) -> Result<()> {
    for (spec, field) in [
        (json!({}), "spec.ports"),
        (json!({"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "a"}]}), "spec.ports[1].name"),
        (json!({"ports": [{"port": 80}, {"port": 81, "name": "a"}]}), "spec.ports[0].name"),
        (json!({"ports": [{"port": 70000}]}), "spec.ports[0].port"),
        (json!({"type": "Other", "ports": [{"port": 80}]}), "spec.type"),
    ] {
        let answer = ground.post(&ground.path("services"), &service_of("s", &spec)).await?;
        let status = answer.refuses(422, "Invalid")?;
        same(&status, "/details/causes/0/field", &json!(field))?;
    }
    Ok(())
}

async fn node_ports(ground: Ground) -> Result<()> {
    let spec = json!({"type": "NodePort", "ports": [{"port": 80}]});
    let service = ground.create("services", &service_of("s", &spec)).await?;
    let port = &service["spec"]["ports"][0]["nodePort"];
    ensure!(port.as_u64().is_some_and(|port| (30_000..=32_767).contains(&port)), "the node port is {port}");
    let replaced = ground.put(&ground.at("services", "s"), &service_of("s", &spec)).await?.wants(200)?;
    same(&replaced, "/spec", &service["spec"])?;
    let second = json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]});
    let answer = ground.post(&ground.path("services"), &service_of("t", &second)).await?;
    let status = answer.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/field", &json!("spec.ports[0].nodePort"))
}

async fn mistyped(ground: Ground) -> Result<()> {
    for (ports, why) in [
        (json!([{"port": "http"}]), "string into Go struct field ServicePort.spec.ports.port of type int32"),
        (json!({"port": 80}), "object into Go struct field ServiceSpec.spec.ports of type []v1.ServicePort"),
        (
            json!([{"port": 80, "name": 1}]),
            "number into Go struct field ServicePort.spec.ports.name of type string",
        ),
    ] {
        let wrong = service_of("s", &json!({"ports": ports}));
        let status = ground.post(&ground.path("services"), &wrong).await?.refuses(400, "BadRequest")?;
        let wanted =
            format!("Service in version \"v1\" cannot be handled as a Service: json: cannot unmarshal {why}");
        same(&status, "/message", &json!(wanted))?;
    }
    Ok(())
}

fn secret_of(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}})
}

async fn secret(ground: Ground) -> Result<()> {
    let mut secret = secret_of("s");
    secret["stringData"] = json!({"a": "text"});
    let secret = ground.create("secrets", &secret).await?;
    same(&secret, "/type", &json!("Opaque"))?;
    same(&secret, "/data", &json!({"a": "dGV4dA=="}))?;
    same(&secret, "/stringData", &Value::Null)
}

async fn bad_secret(ground: Ground) -> Result<()> {
    ground.create("secrets", &secret_of("s")).await?;
    let change = json!({"type": "example.com/other"});
    let answer = ground.patch(&ground.at("secrets", "s"), Patch::Merge, &change).await?;
    same(&answer.refuses(422, "Invalid")?, "/details/causes/0/field", &json!("type"))?;
    let mut wrong = secret_of("t");
    wrong["data"] = json!({"a": "not base64"});
    ground.post(&ground.path("secrets"), &wrong).await?.refuses(400, "BadRequest")?;
    let mut wrong = secret_of("t");
    wrong["data"] = json!({"a b": ""});
    ground.post(&ground.path("secrets"), &wrong).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn immutable(ground: Ground) -> Result<()> {
    ground.config_map("a", "1").await?;
    let path = ground.at("configmaps", "a");
    ground.patch(&path, Patch::Merge, &json!({"immutable": true})).await?.wants(200)?;
    for change in [json!({"data": {"key": "2"}}), json!({"immutable": false})] {
        ground.patch(&path, Patch::Merge, &change).await?.refuses(422, "Invalid")?;
    }
    ground.patch(&path, Patch::Merge, &json!({"metadata": {"labels": {"a": "b"}}})).await?.wants(200)?;
    Ok(())
}

fn pod_of(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec})
}

async fn pod(ground: Ground) -> Result<()> {
    super::accounts_are_there(&ground).await?;
    let spec = json!({"containers": [{"name": "c", "image": "example.com/c", "ports": [{"containerPort": 80}]}], "nodeName": "nowhere"});
    let pod = ground.create("pods", &pod_of("p", &spec)).await?;
    for (field, wanted) in [
        ("/spec/restartPolicy", json!("Always")),
        ("/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/schedulerName", json!("default-scheduler")),
        ("/spec/serviceAccountName", json!("default")),
        ("/spec/terminationGracePeriodSeconds", json!(30)),
        ("/spec/enableServiceLinks", json!(true)),
        ("/spec/containers/0/imagePullPolicy", json!("Always")),
        ("/spec/containers/0/terminationMessagePath", json!("/dev/termination-log")),
        ("/spec/containers/0/ports/0/protocol", json!("TCP")),
        ("/spec/containers/0/resources", json!({})),
        ("/status/phase", json!("Pending")),
        ("/status/qosClass", json!("BestEffort")),
    ] {
        same(&pod, field, &wanted)?;
    }
    Ok(())
}

async fn bad_pod(ground: Ground) -> Result<()> {
    super::accounts_are_there(&ground).await?;
    let answer = ground.post(&ground.path("pods"), &pod_of("p", &json!({"containers": []}))).await?;
    same(&answer.refuses(422, "Invalid")?, "/details/causes/0/field", &json!("spec.containers"))?;
    let spec = json!({"containers": [{"name": "c", "image": "example.com/c"}]});
    let mut pod = ground.create("pods", &pod_of("p", &spec)).await?;
    pod["spec"]["containers"][0]["name"] = json!("d");
    pod["metadata"]["resourceVersion"] = Value::Null;
    ground.put(&ground.at("pods", "p"), &pod).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn pod_fields(ground: Ground) -> Result<()> {
    super::accounts_are_there(&ground).await?;
    for (name, node) in [("p", "one"), ("q", "two")] {
        let spec = json!({"containers": [{"name": "c", "image": "example.com/c"}], "nodeName": node});
        ground.create("pods", &pod_of(name, &spec)).await?;
    }
    let selected = async |selector: &str| {
        let list =
            ground.get(&format!("{}?fieldSelector={selector}", ground.path("pods"))).await?.wants(200)?;
        let items = list["items"].as_array().cloned().unwrap_or_default();
        let names = items.iter().map(|item| text(item, "/metadata/name")).collect::<Result<Vec<_>>>()?;
        anyhow::Ok(names.join(","))
    };
    for (selector, wanted) in [
        ("spec.nodeName%3Done", "p"),
        ("spec.nodeName!%3Done", "q"),
        ("status.phase%3DPending", "p,q"),
        ("status.phase%3DRunning", ""),
    ] {
        let found = selected(selector).await?;
        ensure!(found == wanted, "{selector} selects {found:?}, not {wanted:?}");
    }
    Ok(())
}

async fn lease(ground: Ground) -> Result<()> {
    let time = "2026-01-01T00:00:00.123456Z";
    let spec = json!({"holderIdentity": "a", "leaseDurationSeconds": 15, "renewTime": time, "acquireTime": time, "leaseTransitions": 1});
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": spec});
    let created = ground.create("coordination.k8s.io/v1/leases", &lease).await?;
    same(&created, "/spec", &spec)?;
    let path = ground.at("coordination.k8s.io/v1/leases", "l");
    for wrong in [json!({"spec": {"leaseDurationSeconds": 0}}), json!({"spec": {"leaseTransitions": -1}})] {
        ground.patch(&path, Patch::Merge, &wrong).await?.refuses(422, "Invalid")?;
    }
    ground
        .patch(&path, Patch::Merge, &json!({"spec": {"renewTime": "soon"}}))
        .await?
        .refuses(422, "Invalid")?;
    Ok(())
}

async fn slice(ground: Ground) -> Result<()> {
    let resource = "discovery.k8s.io/v1/endpointslices";
    let mut slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "e"}, "endpoints": []});
    ground.post(&ground.path(resource), &slice).await?.refuses(422, "Invalid")?;
    slice["addressType"] = json!("IPv4");
    slice["ports"] = json!([{"port": 80}]);
    slice["endpoints"] = json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "nodeName": "n"}]);
    let created = ground.create(resource, &slice).await?;
    same(&created, "/ports", &json!([{"name": "", "port": 80, "protocol": "TCP"}]))?;
    same(&created, "/endpoints", &slice["endpoints"])?;
    let path = ground.at(resource, "e");
    ground.patch(&path, Patch::Merge, &json!({"addressType": "IPv6"})).await?.refuses(422, "Invalid")?;
    let wrong = json!({"endpoints": [{"addresses": ["nowhere"]}]});
    ground.patch(&path, Patch::Merge, &wrong).await?.refuses(422, "Invalid")?;
    Ok(())
}

fn event_of(ground: &Ground, about: &str) -> Value {
    let involved =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "name": about, "namespace": ground.namespace});
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {"name": format!("of-{about}")}, "involvedObject": involved,
        "reason": "Seen", "message": "it was seen", "type": "Normal", "source": {"component": "us"},
        "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1,
    })
}

async fn event(ground: Ground) -> Result<()> {
    for about in ["a", "b"] {
        ground.create("events", &event_of(&ground, about)).await?;
    }
    let selector = "involvedObject.kind%3DConfigMap,involvedObject.name%3Da,reason%3DSeen,type%3DNormal";
    let list =
        ground.get(&format!("{}?fieldSelector={selector}", ground.path("events"))).await?.wants(200)?;
    same(&list, "/items/0/metadata/name", &json!("of-a"))?;
    same(&list, "/items/1", &Value::Null)?;
    let mut elsewhere = event_of(&ground, "c");
    elsewhere["involvedObject"]["namespace"] = json!("default");
    ground.post(&ground.path("events"), &elsewhere).await?.refuses(422, "Invalid")?;
    Ok(())
}

async fn event_groups(ground: Ground) -> Result<()> {
    ground.create("events", &event_of(&ground, "a")).await?;
    let event = ground.get(&ground.at("events.k8s.io/v1/events", "of-a")).await?.wants(200)?;
    same(&event, "/note", &json!("it was seen"))?;
    same(&event, "/regarding/name", &json!("a"))?;
    same(&event, "/deprecatedCount", &json!(1))
}

async fn node_status(ground: Ground) -> Result<()> {
    let name = format!("{}-node", ground.namespace);
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}});
    ground.post("/api/v1/nodes", &node).await?.wants(201)?;
    let path = format!("/api/v1/nodes/{name}");
    let change = json!({"status": {"nodeInfo": {"kernelVersion": "6"}}});
    let ignored = ground.patch(&path, Patch::Merge, &change).await?.wants(200)?;
    same(&ignored, "/status/nodeInfo/kernelVersion", &json!(""))?;
    let addresses = json!({"status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}]}, "spec": {"podCIDR": "10.1.0.0/24"}});
    let written = ground.patch(&format!("{path}/status"), Patch::Strategic, &addresses).await?.wants(200)?;
    same(&written, "/status/addresses", &addresses["status"]["addresses"])?;
    same(&written, "/spec/podCIDR", &Value::Null)?;
    ground.delete(&path).await?.wants(200)?;
    Ok(())
}

fn deployment_of(replicas: u32) -> Value {
    let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "example.com/c"}]}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    })
}

async fn deployment(ground: Ground) -> Result<()> {
    let created = ground.create("apps/v1/deployments", &deployment_of(1)).await?;
    same(&created, "/metadata/generation", &json!(1))?;
    let path = ground.at("apps/v1/deployments", "d");
    let labelled =
        ground.patch(&path, Patch::Merge, &json!({"metadata": {"labels": {"a": "b"}}})).await?.wants(200)?;
    same(&labelled, "/metadata/generation", &json!(1))?;
    let changed = ground
        .patch(&path, Patch::Merge, &json!({"spec": {"paused": false, "minReadySeconds": 1}}))
        .await?
        .wants(200)?;
    same(&changed, "/metadata/generation", &json!(2))?;
    let scale = ground.get(&format!("{path}/scale")).await?.wants(200)?;
    same(&scale, "/spec/replicas", &json!(1))?;
    ground
        .until("there is a ReplicaSet", || async {
            let list = ground.get(&ground.path("apps/v1/replicasets")).await?.wants(200)?;
            same(&list, "/items/0/metadata/ownerReferences/0/uid", &created["metadata"]["uid"])
        })
        .await
}

async fn template(ground: Ground) -> Result<()> {
    let mut deployment = deployment_of(0);
    let resources = json!({"limits": {"cpu": "0.5", "memory": "1024Mi"}});
    deployment["spec"]["template"]["spec"]["containers"][0]["resources"] = resources;
    let created = ground.create("apps/v1/deployments", &deployment).await?;
    for (field, wanted) in [
        ("/spec/strategy/rollingUpdate", json!({"maxSurge": "25%", "maxUnavailable": "25%"})),
        ("/spec/revisionHistoryLimit", json!(10)),
        ("/spec/template/spec/dnsPolicy", json!("ClusterFirst")),
        ("/spec/template/spec/containers/0/imagePullPolicy", json!("Always")),
        ("/spec/template/spec/containers/0/resources", json!({"limits": {"cpu": "500m", "memory": "1Gi"}})),
    ] {
        same(&created, field, &wanted)?;
    }
    let path = ground.at("apps/v1/deployments", "d");
    let change = json!({"spec": {"selector": {"matchLabels": {"a": "c"}}, "template": {"metadata": {"labels": {"a": "c"}}}}});
    let status = ground.patch(&path, Patch::Merge, &change).await?.refuses(422, "Invalid")?;
    same(&status, "/details/causes/0/field", &json!("spec.selector"))?;
    deployment["metadata"]["name"] = json!("e");
    deployment["spec"]["selector"]["matchLabels"] = json!({"a": "c"});
    let answer = ground.post(&ground.path("apps/v1/deployments"), &deployment).await?;
    same(&answer.refuses(422, "Invalid")?, "/details/causes/0/field", &json!("spec.template.metadata.labels"))
}

async fn managed_slice(ground: Ground) -> Result<()> {
    let spec = json!({"selector": {"a": "b"}, "ports": [{"port": 80}]});
    let service = ground.create("services", &service_of("s", &spec)).await?;
    ground
        .until("there is an EndpointSlice", || async {
            let path = format!(
                "{}?labelSelector=kubernetes.io/service-name%3Ds",
                ground.path("discovery.k8s.io/v1/endpointslices")
            );
            let list = ground.get(&path).await?.wants(200)?;
            same(&list, "/items/0/metadata/ownerReferences/0/uid", &service["metadata"]["uid"])?;
            same(&list, "/items/0/addressType", &json!("IPv4"))
        })
        .await
}
