//! The files that the commands name.

/// Each file and its text.
pub(super) const FILES: &[(&str, &str)] = &[
    ("namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"),
    ("map.yaml", MAP),
    ("map-more.yaml", MAP_MORE),
    ("maps.yaml", MAPS),
    ("bad-name.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: No_Name\n  namespace: shop\n"),
    (
        "unknown-field.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: odd\n  namespace: shop\ndta:\n  a: \"1\"\n",
    ),
    ("unknown-kind.yaml", "apiVersion: example.com/v1\nkind: Thing\nmetadata:\n  name: odd\n"),
    ("service.yaml", SERVICE),
    ("lease.yaml", LEASE),
    ("slice.yaml", SLICE),
    ("event.yaml", EVENT),
    ("node.yaml", "apiVersion: v1\nkind: Node\nmetadata:\n  name: worker\n  labels:\n    rack: a\n"),
    ("endpoint.yaml", ENDPOINT),
    ("bad-endpoint.yaml", BAD_ENDPOINT),
    ("gateway.yaml", GATEWAY),
    ("owned.yaml", OWNED),
];

const MAP: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: colours
  namespace: shop
  labels:
    app: paint
data:
  wall: red
  door: green
";

const MAP_MORE: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: colours
  namespace: shop
  labels:
    app: paint
data:
  wall: yellow
  roof: brown
";

const MAPS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: zebra
  namespace: shop
  labels:
    app: zoo
data:
  legs: \"4\"
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: ape
  namespace: shop
  labels:
    app: zoo
data:
  legs: \"2\"
  arms: \"2\"
";

const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: till
  namespace: shop
spec:
  clusterIP: 10.96.77.7
  selector:
    app: till
  ports:
  - name: http
    port: 80
    targetPort: 8080
";

const LEASE: &str = "\
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata:
  name: keys
  namespace: shop
spec:
  holderIdentity: clerk
  leaseDurationSeconds: 15
  renewTime: \"2026-01-01T00:00:00.000000Z\"
";

const SLICE: &str = "\
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: till-1
  namespace: shop
addressType: IPv4
ports:
- name: http
  port: 8080
  protocol: TCP
endpoints:
- addresses: [10.0.0.1]
  conditions:
    ready: true
- addresses: [10.0.0.2]
  conditions:
    ready: false
";

const EVENT: &str = "\
apiVersion: v1
kind: Event
metadata:
  name: painted
  namespace: shop
involvedObject:
  apiVersion: v1
  kind: ConfigMap
  name: colours
  namespace: shop
reason: Painted
message: the wall is red
type: Normal
source:
  component: painter
firstTimestamp: \"2026-01-01T00:00:00Z\"
lastTimestamp: \"2026-01-01T00:00:00Z\"
count: 1
";

const ENDPOINT: &str = "\
apiVersion: submariner.io/v1
kind: Endpoint
metadata:
  name: east-cable
  namespace: shop
  labels:
    submariner-io/clusterID: east
spec:
  cluster_id: east
  cable_name: submariner-cable-east-10-0-0-1
  hostname: gateway
  subnets: [10.1.0.0/16]
  private_ip: 10.0.0.1
  public_ip: \"\"
  nat_enabled: false
  backend: wireguard
";

const BAD_ENDPOINT: &str = "\
apiVersion: submariner.io/v1
kind: Endpoint
metadata:
  name: bad
  namespace: shop
spec:
  cluster_id: 7
  hostname: gateway
  subnets: 10.1.0.0/16
";

const GATEWAY: &str = "\
apiVersion: submariner.io/v1
kind: Gateway
metadata:
  name: gateway
  namespace: shop
status:
  version: v1
  haStatus: active
  statusFailure: \"\"
  connections: []
  localEndpoint:
    cluster_id: east
    cable_name: submariner-cable-east-10-0-0-1
    hostname: gateway
    subnets: [10.1.0.0/16]
    private_ip: 10.0.0.1
    public_ip: \"\"
    nat_enabled: false
    backend: wireguard
";

const OWNED: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: waits
  namespace: shop
  finalizers: [example.com/wait]
";
