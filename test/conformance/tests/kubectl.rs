//! What kubectl prints on the embedded API, compared with what was recorded of Kubernetes. It needs the program, in the
//! version of the record.

use anyhow::Result;
use subm_conformance::{kubectl, record};
use subm_servers::Embedded;

#[tokio::test(flavor = "multi_thread")]
async fn the_page_says_which_commands_print_the_same() -> Result<()> {
    let embedded = Embedded::start().await?;
    let api = embedded.api.clone();
    let steps = tokio::task::spawn_blocking(move || kubectl::run(&api)).await??;
    let page = kubectl::page(record::KUBECTL, &kubectl::version()?, &steps);
    record::compare("docs/kubectl.md", &page)
}
