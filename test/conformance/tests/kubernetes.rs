//! The claims on a real control plane. These tests need its programs: `make test-kubernetes` builds them.

use anyhow::{Result, bail};
use subm_conformance::{kubectl, published, record, suite};
use subm_servers::{ControlPlane, Programs};

#[tokio::test(flavor = "multi_thread")]
async fn every_claim_holds_on_kubernetes() -> Result<()> {
    let control_plane = ControlPlane::start(&Programs::find()?).await?;
    suite::install(&control_plane.api).await?;
    let only = std::env::var("ONLY").unwrap_or_default();
    let findings = suite::run(&control_plane.api, &only).await;
    let wrong = findings.iter().filter_map(|finding| Some((finding, finding.differs.as_ref()?)));
    let wrong: Vec<_> = wrong.map(|(finding, differs)| format!("{}: {differs}", finding.says)).collect();
    if !wrong.is_empty() {
        bail!("{} of {} claims do not hold:\n{}", wrong.len(), findings.len(), wrong.join("\n"));
    }
    println!("{} claims hold on Kubernetes {}", findings.len(), record::version());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_what_is_recorded() -> Result<()> {
    let control_plane = ControlPlane::start(&Programs::find()?).await?;
    suite::install(&control_plane.api).await?;
    let api = control_plane.api.clone();
    let steps = tokio::task::spawn_blocking(move || kubectl::run(&api)).await??;
    let transcript = kubectl::transcript(&kubectl::version()?, &steps);
    record::compare("test/conformance/recorded/kubectl.txt", &transcript)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_api_has_the_schemas_that_kubernetes_publishes() -> Result<()> {
    let control_plane = ControlPlane::start(&Programs::find()?).await?;
    published::compare(&published::of(&control_plane.api).await?)
}
