//! Settings as manifests give them.

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use super::*;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    settings: Settings,
}

/// Reads flags only, so that the environment of the test does not matter.
fn read(flags: &[&str]) -> Settings {
    let mut command = Program::command();
    let names: Vec<String> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
    for name in names {
        command = command.mut_arg(name, |arg| arg.env(None::<&str>));
    }
    let matches = command.get_matches_from(["gateway"].iter().chain(flags));
    Program::from_arg_matches(&matches).unwrap().settings
}

const SOUND: &[&str] = &[
    "--cluster-id=east",
    "--namespace=submariner-operator",
    "--node-name=east-gateway",
    "--cluster-cidr=10.1.0.0/16",
    "--service-cidr=100.1.0.0/16,100.2.0.0/16",
    "--cable-driver=VXLAN",
    "--hub-server=hub:6443",
    "--hub-namespace=submariner-k8s-broker",
    "--hub-token=hunter2",
    "--hub-secret=creds",
];

fn with(more: &[&str]) -> Result<Config, Vec<String>> {
    let flags: Vec<&str> = SOUND.iter().chain(more).copied().collect();
    read(&flags).check().map_err(|all| all.0.iter().map(ToString::to_string).collect())
}

#[test]
fn what_is_not_said_has_the_defaults_of_the_manifests() {
    let config = with(&[]).unwrap();
    assert_eq!(config.driver, Backend::Vxlan);
    assert_eq!((config.udp_port, config.metrics_port), (4500, 32780));
    assert_eq!(config.lease, LeaseTiming::DEFAULT);
    assert_eq!(config.health, Some(HealthCheck { interval: Duration::from_secs(1), losses: 5 }));
    assert_eq!((config.hub.apiserver.as_str(), config.task), ("hub:6443", Task::Run));
    assert_eq!(driver(None), Backend::Libreswan);
}

#[test]
fn services_are_published_before_pods() {
    let nets: Vec<String> = with(&[]).unwrap().networks().iter().map(ToString::to_string).collect();
    assert_eq!(nets, ["100.1.0.0/16", "100.2.0.0/16", "10.1.0.0/16"]);
}

#[test]
fn every_mistake_is_named_at_once() {
    let settings = read(&[
        "--cluster-id=East",
        "--cluster-cidr=10.1.0.0/16,nonsense",
        "--global-cidr=242.0.0.0/16",
        "--nat-enabled=",
        "--natt-port=0",
        "--lease-duration=5",
        "--hub-server=hub:6443",
    ]);
    let names: Vec<&str> = settings.check().unwrap_err().0.iter().map(|wrong| wrong.name).collect();
    assert_eq!(
        names,
        [
            "BROKER_K8S_REMOTENAMESPACE",
            "BROKER_K8S_SECRET",
            "SUBMARINER_CLUSTERID",
            "SUBMARINER_NAMESPACE",
            "NODE_NAME",
            "SUBMARINER_GLOBALCIDR",
            "SUBMARINER_CLUSTERCIDR",
            "SUBMARINER_NATENABLED",
            "CE_IPSEC_NATTPORT",
            "LEADERSHIP_LEASEDURATION",
        ]
    );
}

#[test]
fn zero_is_the_default_where_go_takes_it_so() {
    let flags = ["--lease-duration=0", "--health-check-interval=0", "--health-check-max-packet-loss-count=0"];
    assert_eq!(with(&flags).unwrap(), with(&[]).unwrap());
    assert_eq!(with(&["--health-check-enabled=false"]).unwrap().health, None);
    assert_eq!(with(&["--metrics-port=0"]).unwrap().metrics_port, 0);
}

#[test]
fn nothing_is_uninstalled_by_a_dry_run() {
    assert_eq!(with(&["--dry-run"]).unwrap().task, Task::DryRun);
    assert_eq!(with(&["--uninstall=true"]).unwrap().task, Task::Uninstall);
    let wrong = with(&["--dry-run", "--uninstall=true"]).unwrap_err();
    assert!(wrong[0].contains("SUBMARINER_UNINSTALL") && wrong[0].contains("--dry-run"), "{wrong:?}");
}

#[test]
fn secrets_are_found_where_they_are_mounted_and_never_printed() {
    let config = with(&[]).unwrap();
    let hub = config.hub.clone();
    assert_eq!(hub.secret, Some(PathBuf::from("/run/secrets/submariner.io/creds")));
    assert_eq!(hub.token.as_deref(), Some("hunter2"));
    assert!(!format!("{config:?}").contains("hunter2"));
    assert!(!format!("{:?}", read(&["--hub-token=hunter2"])).contains("hunter2"));
}
