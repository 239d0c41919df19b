//! The claims on the embedded API, and whether the documents say what comes out.

use anyhow::Result;
use subm_conformance::{record, suite};
use subm_servers::Embedded;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_what_holds_on_the_embedded_api() -> Result<()> {
    let embedded = Embedded::start().await?;
    let findings = suite::run(&embedded.api, "").await;
    record::compare("docs/kubernetes-api.md", &record::page(&findings))
}
